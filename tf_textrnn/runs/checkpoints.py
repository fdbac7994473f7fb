"""Checkpoints: arrays and a state, in one file, written whole and verified when read.

`checkpoints/<step>.npz` is all of a training at that step; `best/<step>.npz`, in the folder beside,
holds the weights of the best epoch, which ended with that step. A checkpoint's state names the best
file of its moment and that file's checksum, so that the two are never of different trainings; a
best file is kept until no checkpoint names it. Files of other names are not ours: they are neither
read nor removed.
"""

import contextlib
import hashlib
import json
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.formats import FORMAT, check_format
from tf_textrnn.base.terminal import warn

if TYPE_CHECKING:
    import tensorflow as tf

KEPT = 3
LONE_BEST = "model.npz"  # the only best file of an imported model, and of a run of 0.1
_STATE, _CHECKSUM = "state.json", "sha256"
_OWN_NAME = re.compile(r"\d{10}\.npz", re.ASCII)


class DamagedError(Exception):
    """A checkpoint that is not as it was written."""


def is_own_name(name: str) -> bool:
    """Whether a file of this name is ours, in `checkpoints/` or in `best/`."""
    return name == LONE_BEST or bool(_OWN_NAME.fullmatch(name))


def own_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of a folder that `<step>.npz` names, the newest last."""
    return sorted(path for path in folder.glob("*.npz") if _OWN_NAME.fullmatch(path.name))


def step_file(folder: pathlib.Path, step: int) -> pathlib.Path:
    """The path of a step's file."""
    return folder / f"{step:010d}.npz"


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> str:
    """Writes arrays and a JSON-able state to `path`, an .npz file, all or nothing.

    Returns:
      The file's checksum, in hexadecimal digits.
    """
    entries = dict(arrays)
    content = json.dumps({"format": FORMAT, **state}).encode()
    entries[_STATE] = np.frombuffer(content, np.uint8)
    checksum = _digest(entries)
    entries[_CHECKSUM] = np.frombuffer(checksum, np.uint8)
    with atomic_write(path) as file:
        np.savez(file, **entries)  # type: ignore[arg-type]
    return checksum.hex()


def read(path: pathlib.Path, sha256: str = "") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the state of a checkpoint, `format` left out.

    Nothing in it is unpickled, and whatever it declares, no more memory is used than it has bytes.

    Args:
      path: the file.
      sha256: the checksum that it must have, in hexadecimal digits; empty = any.

    Raises:
      DamagedError: the file is not a whole checkpoint, or another one.
      UserError: its format is newer than this program.
    """
    with _told_as_damage():
        entries = _read_entries(path)
        checksum = entries.pop(_CHECKSUM).tobytes()
        if _digest(entries) != checksum:
            raise DamagedError("its checksum does not fit")
        if sha256 and checksum.hex() != sha256:
            raise DamagedError("it is whole, but another one")
        state = json.loads(entries.pop(_STATE).tobytes())
    return entries, _checked_state(path, state)


def read_state(path: pathlib.Path) -> dict[str, Any]:
    """The state alone, at little cost; the arrays may be damaged.

    Raises:
      DamagedError, UserError: as `read`.
    """
    with _told_as_damage():
        state = json.loads(_read_entries(path, f"{_STATE}.npy")[_STATE].tobytes())
    return _checked_state(path, state)


def checksum(path: pathlib.Path) -> str:
    """The checksum that a file says it has, in hexadecimal digits.

    Raises:
      DamagedError: it says nothing.
    """
    with _told_as_damage():
        return _read_entries(path, f"{_CHECKSUM}.npy")[_CHECKSUM].tobytes().hex()


def _checked_state(path: pathlib.Path, state: Any) -> dict[str, Any]:
    if not isinstance(state, dict):
        raise DamagedError("its state is not an object")
    check_format(str(path), state.pop("format", 1))
    return state


@contextlib.contextmanager
def _told_as_damage() -> Iterator[None]:
    """What zipfile, NumPy and json raise for garbage has no common class; here it gets one."""
    try:
        yield
    except DamagedError:
        raise
    except Exception as error:
        # zipfile puts whole names, of any length, into its messages.
        raise DamagedError(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _read_entries(path: pathlib.Path, only: str = "") -> dict[str, np.ndarray]:
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        size = os.fstat(file.fileno()).st_size
        if sum(member.file_size for member in archive.infolist()) > size:
            raise DamagedError("it declares more than it holds")
        return {
            member.filename.removesuffix(".npy"): _read_array(archive, member)
            for member in archive.infolist()
            if only in ("", member.filename)
        }


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array; NumPy's own reader allocates what the header asks for before it looks."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise DamagedError("it is compressed")
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise DamagedError("it has arrays of another version")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        content = file.read()
    if dtype.hasobject or min(shape, default=0) < 0:
        raise DamagedError("it has arrays of another kind")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise DamagedError("an array is not as long as it says")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _digest(entries: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(entries):
        array = np.ascontiguousarray(entries[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.digest()


def save_step(
    folder: pathlib.Path, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]
) -> None:
    """Writes the checkpoint of a step.

    All but three up to this step are removed, and all past it: damaged ones that a resumed run
    had passed over.
    """
    path = step_file(folder, step)
    write(path, arrays, state)
    paths = own_files(folder)
    place = paths.index(path)
    for other in paths[: max(place + 1 - KEPT, 0)] + paths[place + 1 :]:
        other.unlink()


class Checkpoint(NamedTuple):
    """What a file holds."""

    path: pathlib.Path
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


def newest(folder: pathlib.Path) -> Checkpoint | None:
    """The newest whole checkpoint; a damaged one is passed over with a warning.

    None where the folder holds no checkpoint.

    Raises:
      UserError: checkpoints are there, but all are damaged, or one is of a newer format.
    """
    paths = own_files(folder)
    for path in reversed(paths):
        try:
            return Checkpoint(path, *read(path))
        except DamagedError as error:
            warn(f"{path} is damaged ({error}); going back to the one before")
    if paths:
        raise UserError(f"{folder}: every checkpoint is damaged; start the run anew")
    return None


def assign(
    path: pathlib.Path,
    arrays: Mapping[str, np.ndarray],
    variables: Mapping[str, "tf.Variable"],
    not_finite: Collection[str] = (),
) -> None:
    """Assigns arrays to the variables of the same names.

    Args:
      path: the arrays' file, for errors.
      arrays: by name.
      variables: by name.
      not_finite: the names of arrays that may hold NaN and infinity.

    Raises:
      UserError: a name is missing or too many, a shape or type differs, or a number is not finite.
    """
    for name in sorted(arrays.keys() ^ variables.keys()):
        where = "lacks" if name in variables else "has an unknown"
        raise UserError(f"{path}: the checkpoint {where} {name!r}")
    for name, variable in variables.items():
        found, expected = arrays[name], variable.numpy()
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise UserError(
                f"{path}: {name!r} is {found.dtype}{list(found.shape)}, "
                f"expected {expected.dtype}{list(expected.shape)}"
            )
        if name not in not_finite and not np.isfinite(found).all():
            raise UserError(f"{path}: {name!r} holds NaN or infinity; expected finite numbers")
    for name, variable in variables.items():
        variable.assign(arrays[name])
