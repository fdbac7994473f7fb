"""Every file operation of this process below a folder: seen, counted, and a place to end it.

What Python code does is seen, by `os`, `open` and all that is built on them: opening for writing,
each write that reaches the system, fsync, rename, unlink, mkdir, rmdir, truncate. Event files and a
SavedModel's variables are written by TensorFlow in C++, and are seen only where Python opens, cuts,
syncs, renames or removes them.

In a process of its own, as `sitecustomize`: kills it with SIGKILL before, or of a rename and an
unlink also after, the operation that OPERATION numbers, from 1; 0 only counts them. FOLDERS are the
folders, and TRACE the file that the operations are told in.
"""

import builtins
import io
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_WRITING = os.O_WRONLY | os.O_RDWR


class Operation(NamedTuple):
    """One operation: its kind, its file or folder, and what a rename makes of it."""

    kind: str
    path: str
    target: str = ""


class Watch:
    """Calls `before` and `after` around each operation below the folders, once installed.

    Args:
      folders: whose files are watched.
      before: called with each operation, before it is done.
      after: called with each rename, unlink and rmdir, when it is done.
    """

    def __init__(
        self,
        folders: Sequence[str],
        before: Callable[[Operation], None],
        after: Callable[[Operation], None],
    ):
        self._folders = [os.path.realpath(folder) for folder in folders]
        self._before, self._after = before, after
        self._paths: dict[int, str] = {}  # of descriptors of folders, for what is relative to one
        self._undo: list[tuple[Any, str, Any]] = []

    def _below(self, path: Any, dir_fd: int | None = None) -> str:
        """The absolute path, if it lies below a watched folder; else nothing."""
        if isinstance(path, int):
            found = self._paths.get(path) or _path_of(path)
        else:
            parent = "" if dir_fd is None else _path_of(dir_fd)
            found = os.path.abspath(os.path.join(parent, os.fsdecode(path)))  # noqa: PTH100
        watched = any(found == f or found.startswith(f + os.sep) for f in self._folders)
        return found if watched else ""

    def _replace(self, module: Any, name: str, function: Any) -> None:
        self._undo.append((module, name, getattr(module, name)))
        setattr(module, name, function)

    def install(self) -> None:
        """Watches from now on."""
        for name in ("unlink", "remove", "rmdir"):
            self._wrap(name, "unlink" if name == "remove" else name, tells_after=True)
        for name in ("mkdir", "truncate", "ftruncate", "fsync"):
            self._wrap(name, name.removeprefix("f") if name == "ftruncate" else name)
        for name in ("rename", "replace"):
            self._wrap(name, "rename", tells_after=True)
        self._wrap_open()

    def remove(self) -> None:
        """Watches no longer."""
        while self._undo:
            setattr(*self._undo.pop())

    def _wrap(self, name: str, kind: str, tells_after: bool = False) -> None:
        function = getattr(os, name)

        def wrapped(path: Any, *arguments: Any, **options: Any) -> Any:
            found = self._below(path, options.get("dir_fd"))
            if not found:
                return function(path, *arguments, **options)
            target = self._below(arguments[0]) if kind == "rename" else ""
            operation = Operation(kind, found, target)
            self._before(operation)
            result = function(path, *arguments, **options)
            if tells_after:
                self._after(operation)
            return result

        self._replace(os, name, wrapped)

    def _wrap_open(self) -> None:
        plain_open, plain_os_open = builtins.open, os.open
        before = self._before

        class WatchedFile(io.FileIO):
            def write(self, content: Any) -> int:
                before(Operation("write", os.path.abspath(self.name)))  # noqa: PTH100
                return super().write(content)

        def open_watched(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            writes = not isinstance(file, int) and set(mode) & set("wax+")
            if not writes or not self._below(file):
                return plain_open(file, mode, *arguments, **options)
            before(Operation("open", self._below(file)))
            if mode != "wb" or arguments or options:
                return plain_open(file, mode, *arguments, **options)
            return io.BufferedWriter(WatchedFile(file, "w"))

        def os_open_watched(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            if flags & _WRITING and self._below(path, options.get("dir_fd")):
                before(Operation("open", self._below(path, options.get("dir_fd"))))
            return plain_os_open(path, flags, *arguments, **options)

        self._replace(builtins, "open", open_watched)
        self._replace(io, "open", open_watched)
        self._replace(os, "open", os_open_watched)


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _install_killer() -> None:
    """Kills this process at the operation that its environment numbers."""
    number, done = int(os.environ["OPERATION"]), 0
    trace = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(moment: str, operation: Operation) -> None:
        nonlocal done
        done += 1
        os.write(trace, f"{moment} {' '.join(operation)}\n".encode())
        if done == number:
            os.kill(os.getpid(), signal.SIGKILL)

    Watch(
        os.environ["FOLDERS"].split(os.pathsep),
        lambda operation: tell("before", operation),
        lambda operation: tell("after", operation),
    ).install()


if __name__ == "sitecustomize":
    _install_killer()
