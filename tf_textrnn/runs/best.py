"""The weights of a run's best epochs, each a file that checkpoints name."""

import math
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import fsync_folder
from tf_textrnn.runs import checkpoints

if TYPE_CHECKING:
    from tf_textrnn.runs.folder import RunFolder


class Named(NamedTuple):
    """A best file as a checkpoint's state names it: `{"file": …, "sha256": …}`.

    Attributes:
      file: its name in `best/`.
      sha256: its checksum, in hexadecimal digits; empty = not known, in a run of 0.1.
    """

    file: str
    sha256: str


def named_best(path: pathlib.Path) -> Named | None:
    """The best file that a checkpoint names; None before the first epoch, or where it is damaged.

    Raises:
      UserError: its format is newer than this program.
    """
    try:
        return parse_best(checkpoints.read_state(path))
    except checkpoints.DamagedError:
        return None


def parse_best(state: Mapping[str, Any]) -> Named | None:
    """The best file that a checkpoint's state names; None before the first epoch.

    Raises:
      DamagedError: the state names it in another way.
    """
    if "best" not in state:
        return Named(checkpoints.LONE_BEST, "")  # 0.1
    best = state["best"]
    if best is None:
        return None
    match best:
        case {"file": str(file), "sha256": str(sha256)} if sha256 and checkpoints.is_own_name(file):
            return Named(file, sha256)
    raise checkpoints.DamagedError("it names no best weights of a run")


def remove_unnamed(folder: pathlib.Path, checkpoint_folder: pathlib.Path) -> None:
    """Removes the best files that no checkpoint names.

    Args:
      folder: of the best files.
      checkpoint_folder: of the checkpoints.
    """
    named = {
        best.file for best in map(named_best, checkpoints.own_files(checkpoint_folder)) if best
    }
    lone = folder / checkpoints.LONE_BEST
    found = checkpoints.own_files(folder) + [lone] * lone.exists()
    unnamed = [path for path in found if path.name not in named]
    if unnamed:
        fsync_folder(checkpoint_folder)  # one that comes back with the power finds its best file
        for path in unnamed:
            path.unlink()


def read_best(folder: "RunFolder") -> checkpoints.Checkpoint:
    """The weights of a run's best epoch, by name, and as their state its metrics.

    They are those that the newest checkpoint names. Where no checkpoint is left, they are those of
    the newest best file.

    Raises:
      UserError: the file is missing, damaged or of another training.
    """
    for path in reversed(checkpoints.own_files(folder.checkpoints)):
        if named := named_best(path):
            return read_named_best(folder, named, path)
    lone = folder.best / checkpoints.LONE_BEST
    found = [lone] * lone.exists() + checkpoints.own_files(folder.best)
    if not found:
        raise UserError(f"{folder.best}: holds no weights; expected a run of at least one epoch")
    return _read_best_file(found[-1], "")


def read_named_best(
    folder: "RunFolder", named: Named, checkpoint: pathlib.Path
) -> checkpoints.Checkpoint:
    """The best weights that a checkpoint of the run names.

    Args:
      folder: of the run.
      named: how it names them.
      checkpoint: its path, for errors.

    Raises:
      UserError: the file is missing, damaged or of another training.
    """
    try:
        return _read_best_file(folder.best / named.file, named.sha256)
    except UserError as error:
        raise UserError(
            f"{error} that {checkpoint} names; put them back, or take away the checkpoints that "
            f"name them"
        ) from error


def _read_best_file(path: pathlib.Path, sha256: str) -> checkpoints.Checkpoint:
    try:
        arrays, state = checkpoints.read(path, sha256)
    except checkpoints.DamagedError as error:
        raise UserError(
            f"{path}: cannot be read ({error}); expected the best weights of a run"
        ) from error
    temperature = state.get("temperature", 1.0)  # an imported run has none
    if type(temperature) is not float or not 0 < temperature < math.inf:
        raise UserError(
            f"{path}: its temperature is {temperature!r}; expected one above 0, in the best "
            f"weights of a run"
        )
    weights = state.get("branch_weights", [1.0])  # it has none, nor has a run of 0.1
    if not are_branch_weights(weights):
        raise UserError(f"{path}: its branch_weights are {weights!r}; expected one or two above 0")
    return checkpoints.Checkpoint(path, arrays, state)


def are_branch_weights(found: Any) -> bool:
    """Whether something read from a file is the weights of one branch or two."""
    is_list = isinstance(found, list) and len(found) in (1, 2)
    return is_list and all(type(value) is float and 0 < value < math.inf for value in found)
