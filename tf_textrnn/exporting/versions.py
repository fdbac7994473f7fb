"""Numbered versions of an export, each of them whole: written beside, then renamed."""

import contextlib
import itertools
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tf_textrnn.base import invocation, locks
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import fsync_folder, fsync_tree

if TYPE_CHECKING:
    from tf_textrnn.runs.folder import RunFolder
    from tf_textrnn.runs.loaded import LoadedRun

_SCRATCH_PREFIX, _LOCK = ".writing-", "lock"


def export_version(
    folder: "RunFolder",
    parent: pathlib.Path,
    write: Callable[[pathlib.Path, "RunFolder", "LoadedRun"], None],
) -> pathlib.Path:
    """Writes the next version of a run's export.

    It is written beside and renamed, so that a server that watches the folder never sees a part.

    Args:
      folder: of a run that has finished at least one epoch.
      parent: the folder of the versions; made where it is missing.
      write: fills an empty folder with what is exported of a run.

    Returns:
      The version's folder.

    Raises:
      UserError: the folder holds no whole run, or cannot be written.
    """
    import tensorflow as tf

    from tf_textrnn.runs.loaded import load_run

    run = load_run(folder)
    try:
        parent.mkdir(exist_ok=True)
        fsync_folder(folder.path)
        with scratch_folder(parent) as scratch:
            write(scratch, folder, run)
            return take_next_version(scratch, parent)
    except (OSError, tf.errors.OpError) as error:  # TensorFlow writes the variables by itself
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise UserError(
            f"{parent}: cannot be written ({reason}); the run is whole: mend this, then "
            f"{invocation.command_line('export', f'--run_dir={folder.path}')}"
        ) from error


@contextlib.contextmanager
def scratch_folder(parent: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder that no server takes for a version; gone afterwards, unless renamed.

    It lies in one whose lock this process holds meanwhile, and so do those of other processes that
    are writing; any whose lock nobody holds is a killed process's and is removed.
    """
    for leftover in parent.glob(f"{_SCRATCH_PREFIX}*"):
        _remove_unless_held(leftover)
    outer, lock = _locked_folder(parent)
    try:
        with lock:
            scratch = outer / "version"
            scratch.mkdir()
            scratch.chmod(0o755)  # a server may run as another user
            yield scratch
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _locked_folder(
    parent: pathlib.Path,
) -> tuple[pathlib.Path, contextlib.AbstractContextManager]:
    while True:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=parent))
        try:
            return folder, locks.take(folder / _LOCK, wait=False)
        except (BlockingIOError, FileNotFoundError):
            # Another process took it for a killed one's, between the two calls above.
            continue


def _remove_unless_held(folder: pathlib.Path) -> None:
    try:
        with locks.take(folder / _LOCK, wait=False):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # a process that lives holds it, or it is another user's or gone
        return
    shutil.rmtree(folder, ignore_errors=True)  # Windows keeps the lock's file while it is held


def take_next_version(scratch: pathlib.Path, parent: pathlib.Path) -> pathlib.Path:
    """Makes a whole version of a scratch folder, under the next free number."""
    fsync_tree(scratch)  # a version that can be seen is on disk
    taken = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
    for version in itertools.count(max(taken, default=0) + 1):
        target = parent / str(version)
        try:
            scratch.rename(target)
        except OSError:
            if not target.exists():  # else another export was faster
                raise
        else:
            fsync_folder(parent)
            return target
    raise AssertionError
