"""The event files of a run, on disk: whole, synced, and cut back when a run is resumed."""

import contextlib
import errno
import os
import pathlib
import re
from collections.abc import Mapping

from tf_textrnn.base.files import ends_whole, fsync_folder

RUNS = ("train", "valid", "run")
# Of TensorFlow's writer: when, where, the process and the number of the writer in it.
_OWN_NAME = re.compile(r"events\.out\.tfevents\.\d+\..+\.\d+\.\d+\.v2", re.ASCII)


class EventFiles:
    """The event files below a TensorBoard folder that trainers of this run wrote.

    Files of other names, such as a profiler's, and other folders are not ours.

    Args:
      folder: with a folder for each of `RUNS`.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._sizes: dict[pathlib.Path, int] = {}  # of files that are known to be whole

    def _paths(self) -> list[pathlib.Path]:
        return [
            path
            for run in RUNS
            for path in sorted((self._folder / run).glob("events.out.tfevents.*"))
            if _OWN_NAME.fullmatch(path.name)
        ]

    def cut_back(self, kept: Mapping[str, int]) -> None:
        """Cuts each file back to what a checkpoint knew; one that it did not know is removed.

        Args:
          kept: the size of each, by `<run>/<name>`.

        Raises:
          OSError: a file cannot be changed.
        """
        for path in self._paths():
            size = kept.get(f"{path.parent.name}/{path.name}")
            if size is None:
                path.unlink()
                continue
            if size < path.stat().st_size:
                os.truncate(path, size)
            self._sizes[path] = path.stat().st_size

    def sync(self) -> dict[str, int]:
        """Brings the files and their names to disk, once the writers have flushed.

        Returns:
          The size of each, by `<run>/<name>`.

        Raises:
          OSError: a file does not end with a whole event, or the disk fails.
        """
        folders = set()
        for path in self._paths():
            # TensorFlow says nothing of most events that find no room.
            if not ends_whole(path, self._sizes.get(path, 0)):
                raise OSError(errno.EIO, "events are lost; is the disk full?", str(path))
            # On Windows TensorFlow shares a file that it writes for reading only.
            with contextlib.suppress(PermissionError), open(path, "rb+") as file:
                os.fsync(file.fileno())
            if path not in self._sizes:
                folders |= {path.parent, self._folder, self._folder.parent}
            self._sizes[path] = path.stat().st_size
        for folder in sorted(folders):
            fsync_folder(folder)
        return {
            f"{path.parent.name}/{path.name}": size for path, size in sorted(self._sizes.items())
        }
