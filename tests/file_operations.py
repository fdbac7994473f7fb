"""Every file operation of this process below a folder: seen, counted, and a place to end it.

What Python code does is seen, by `os`, `open` and all that is built on them: opening for writing,
each write that reaches the system, fsync, rename, unlink, mkdir, rmdir, truncate. Event files and a
SavedModel's variables are written by TensorFlow in C++, and are seen only where Python opens, cuts,
syncs, renames or removes them.

As `sitecustomize` of a process, it appends to the file TRACE each operation below FOLDER, and kills
the process with SIGKILL at the first one that is equal to KILL_AT.
"""

# ruff: noqa: PTH100, PTH115, PTH118
# `pathlib` is built on what is watched here.

import builtins
import io
import os
import re
import signal
from collections.abc import Callable
from typing import Any

# The process in a scratch file's name, the random part of a scratch folder's, and all
# that TensorFlow puts into an event file's.
_CHANGING = re.compile(r"(?<=\.)\d+(?=\.tmp)|(?<=ing-)\w+|(?<=tfevents\.).+(?=\.v2)")


class Watch:
    """Calls `tell` before each operation below a folder, and after each rename and removal.

    An operation is told in words: when, what, the path below the folder, and of a rename the new
    path: "after rename .config.json.*.tmp config.json". What differs from one process to the
    next is left out of the names, so that the same operation has the same words.

    Args:
      folder: whose files are watched.
      tell: called with each operation's words.
    """

    def __init__(self, folder: str, tell: Callable[[str], None]):
        self._folder = os.path.realpath(folder)
        self._tell = tell
        self._undo: list[tuple[Any, str, Any]] = []

    def _name(self, path: Any, dir_fd: int | None = None) -> str:
        """The path below the folder; nothing where it does not lie there."""
        if isinstance(path, int):
            found = _path_of(path)
        else:
            parent = "" if dir_fd is None else _path_of(dir_fd)
            found = os.path.abspath(os.path.join(parent, os.fsdecode(path)))
        if not found.startswith(self._folder + os.sep):
            return ""
        return _CHANGING.sub("*", found[len(self._folder) + 1 :])

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
        function, tell = getattr(os, name), self._tell

        def wrapped(path: Any, *arguments: Any, **options: Any) -> Any:
            words = self._name(path, options.get("dir_fd"))
            if not words:
                return function(path, *arguments, **options)
            if kind == "rename":
                words += f" {self._name(arguments[0])}"
            tell(f"before {kind} {words}")
            result = function(path, *arguments, **options)
            if tells_after:
                tell(f"after {kind} {words}")
            return result

        self._replace(os, name, wrapped)

    def _wrap_open(self) -> None:
        plain_open, plain_os_open = builtins.open, os.open
        tell, name = self._tell, self._name

        class WatchedFile(io.FileIO):
            again = ""

            def write(self, content: Any) -> int:
                tell(f"before write {name(self.name)}{self.again}")
                self.again = " again"
                return super().write(content)

        def watched_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            words = "" if isinstance(file, int) else name(file)
            if not words or not set(mode) & set("wax+"):
                return plain_open(file, mode, *arguments, **options)
            tell(f"before open {words}")
            if mode != "wb" or arguments or options:
                return plain_open(file, mode, *arguments, **options)
            return io.BufferedWriter(WatchedFile(file, "w"))

        def watched_os_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            words = name(path, options.get("dir_fd"))
            if words and flags & (os.O_WRONLY | os.O_RDWR):
                tell(f"before open {words}")
            return plain_os_open(path, flags, *arguments, **options)

        self._replace(builtins, "open", watched_open)
        self._replace(io, "open", watched_open)
        self._replace(os, "open", watched_os_open)


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _install_killer() -> None:
    trace = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(words: str) -> None:
        os.write(trace, f"{words}\n".encode())
        if words == os.environ["KILL_AT"]:
            os.kill(os.getpid(), signal.SIGKILL)

    Watch(os.environ["FOLDER"], tell).install()


if __name__ == "sitecustomize":
    _install_killer()
