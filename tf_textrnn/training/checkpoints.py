"""Checkpoints: arrays and a state, in one file, written whole and verified when read."""

import hashlib
import json
import pathlib
import sys
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_textrnn.errors import UserError
from tf_textrnn.files import written_whole

KEPT = 3
_STATE, _CHECKSUM = "state.json", "sha256"


class DamagedError(Exception):
    """A checkpoint that is not as it was written."""


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Writes arrays and a JSON-able state to `path`, an .npz file, all or nothing."""
    entries = dict(arrays)
    entries[_STATE] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    entries[_CHECKSUM] = np.frombuffer(_digest(entries), np.uint8)
    with written_whole(path) as file:
        np.savez(file, **entries)  # type: ignore[arg-type]


def read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the state of a checkpoint. Nothing in it is unpickled.

    Raises:
      DamagedError: the file is not a whole checkpoint.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            entries = dict(archive)
        checksum = entries.pop(_CHECKSUM).tobytes()
        if _digest(entries) != checksum:
            raise DamagedError("its checksum does not fit")
        state = json.loads(entries.pop(_STATE).tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as e:
        raise DamagedError(str(e) or type(e).__name__) from e
    return entries, state


def _digest(entries: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(entries):
        array = np.ascontiguousarray(entries[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.digest()


def save_step(
    folder: pathlib.Path, step: int, variables: Mapping[str, tf.Variable], state: Mapping[str, Any]
) -> None:
    """Writes the checkpoint of a step and removes all but the newest three."""
    arrays = {name: variable.numpy() for name, variable in variables.items()}
    write(folder / f"{step:010d}.npz", arrays, state)
    for old in sorted(folder.glob("*.npz"))[:-KEPT]:
        old.unlink()


class Checkpoint(NamedTuple):
    """What a file holds."""

    path: pathlib.Path
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


def newest(folder: pathlib.Path) -> Checkpoint | None:
    """The newest whole checkpoint; a damaged one is passed over with a warning.

    None where the folder holds no checkpoint.

    Raises:
      UserError: checkpoints are there, but all are damaged.
    """
    paths = sorted(folder.glob("*.npz"), reverse=True)
    for path in paths:
        try:
            return Checkpoint(path, *read(path))
        except DamagedError as error:
            print(
                f"warning: {path} is damaged ({error}); going back to the one before",
                file=sys.stderr,
            )
    if paths:
        raise UserError(f"{folder}: every checkpoint is damaged; start the run anew")
    return None


def assign(
    path: pathlib.Path, arrays: Mapping[str, np.ndarray], variables: Mapping[str, tf.Variable]
) -> None:
    """Assigns arrays to the variables of the same names.

    Raises:
      UserError: a name is missing or too many, or a shape or type differs.
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
    for name, variable in variables.items():
        variable.assign(arrays[name])
