"""Checkpoints: arrays and a state, in one file, written whole and verified when read."""

import concurrent.futures
import hashlib
import json
import math
import os
import pathlib
import sys
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import atomic_write

KEPT = 3
_STATE, _CHECKSUM = "state.json", "sha256"


class DamagedError(Exception):
    """A checkpoint that is not as it was written."""


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Writes arrays and a JSON-able state to `path`, an .npz file, all or nothing."""
    entries = dict(arrays)
    entries[_STATE] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    entries[_CHECKSUM] = np.frombuffer(_digest(entries), np.uint8)
    with atomic_write(path) as file:
        np.savez(file, **entries)  # type: ignore[arg-type]


def read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the state of a checkpoint.

    Nothing in it is unpickled, and whatever it declares, no more memory is used than it has bytes.

    Raises:
      DamagedError: the file is not a whole checkpoint.
    """
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            size = os.fstat(file.fileno()).st_size
            if sum(member.file_size for member in archive.infolist()) > size:
                raise DamagedError("it declares more than it holds")
            entries = {
                member.filename.removesuffix(".npy"): _read_array(archive, member)
                for member in archive.infolist()
            }
        checksum = entries.pop(_CHECKSUM).tobytes()
        if _digest(entries) != checksum:
            raise DamagedError("its checksum does not fit")
        state = json.loads(entries.pop(_STATE).tobytes())
    except DamagedError:
        raise
    except Exception as error:  # what zipfile and NumPy raise for garbage has no common class
        # zipfile puts whole names, of any length, into its messages.
        raise DamagedError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    return entries, state


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
    path = folder / f"{step:010d}.npz"
    write(path, arrays, state)
    paths = sorted(folder.glob("*.npz"))
    place = paths.index(path)
    for other in paths[: max(place + 1 - KEPT, 0)] + paths[place + 1 :]:
        other.unlink()


class BackgroundSaver:
    """Calls `save_step` in a thread of its own, so that training goes on meanwhile."""

    def __init__(self) -> None:
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._under_way: concurrent.futures.Future | None = None

    def save(
        self,
        folder: pathlib.Path,
        step: int,
        variables: Mapping[str, tf.Variable],
        state: Mapping[str, Any],
    ) -> None:
        """Begins to save the variables as they are now. One save at a time: `wait` comes before."""
        arrays = {name: variable.numpy() for name, variable in variables.items()}
        self._under_way = self._thread.submit(save_step, folder, step, arrays, state)

    def wait(self) -> None:
        """Returns when the last save is on disk, or raises what it failed with."""
        under_way, self._under_way = self._under_way, None
        if under_way:
            under_way.result()


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
