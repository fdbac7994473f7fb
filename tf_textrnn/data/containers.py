"""Opens a file as the bytes of its text: containers, and what is no text, told by content."""

import atexit
import bz2
import contextlib
import gzip
import io
import lzma
import os
import pathlib
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, cast

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.binaries import UNPACK, what_is_no_archive, what_is_no_text

MAX_EXPANSION = 200  # times that a container may expand; text expands 3 to 50, a bomb 1,000 times
_BOMB_BYTES = 1 << 26  # fewer than these are harmless however much they expand
_BLOCK = 1 << 18
_ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
_CONTAINERS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # without members
}


STANDARD_INPUT = "standard input"


class _Spool(NamedTuple):
    """What standard input held: the flag that named it, and the file that holds it now."""

    flag: str
    path: str


_spool: _Spool | None = None


def local_path(path: str, flag: str) -> str:
    """Returns a name that `stored_at` finds any number of times.

    That is `path` itself, unless it is `-`: standard input is copied into a temporary file, which
    goes with the process.

    Args:
      path: the file, or `-`.
      flag: flag that named it. Only one flag has standard input.

    Raises:
      UserError: another flag has standard input, or it cannot be read.
    """
    global _spool
    if path != "-":
        return path
    if _spool is None:
        if sys.stdin is None:
            raise UserError(f"--{flag}=-: there is no standard input")
        try:
            _spool = _copy(flag, sys.stdin.buffer)
        except OSError as error:
            raise UserError(f"--{flag}=-: {error.strerror or error}") from error
    if _spool.flag != flag:
        raise UserError(
            f"--{_spool.flag}=- and --{flag}=-: standard input can be read for one flag alone"
        )
    return STANDARD_INPUT


def stored_at(path: str) -> str:
    """Returns the path by which a file can be opened, from the one that `local_path` gives."""
    return _spool.path if _spool and path == STANDARD_INPUT else path


def _copy(flag: str, stdin: BinaryIO) -> _Spool:
    opened = pathlib.Path("/proc/self/fd")
    if opened.is_dir():  # so that no name is left behind, however the process ends
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(stdin, file, _BLOCK)
            file.flush()
            return _Spool(flag, str(opened / str(os.dup(file.fileno()))))
    folder = tempfile.mkdtemp(prefix="textrnn-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = pathlib.Path(folder, "standard_input")
    with open(path, "wb") as copy:
        shutil.copyfileobj(stdin, copy, _BLOCK)
    return _Spool(flag, str(path))


def container_note(path: str) -> str:
    """Says where a file's name and its content contradict each other; "" where they do not.

    Raises:
      UserError: the file cannot be read.
    """
    named = _ENDINGS.get(pathlib.Path(path).suffix.lower(), "")
    try:
        with open(stored_at(path), "rb") as file:
            kind = _container(file.read(8))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if not named or kind == named:
        return ""
    return f"{path}: it is no {named} data, as its name says; read as {kind or 'it is'}"


@contextlib.contextmanager
def open_bytes(path: str) -> Iterator[BinaryIO]:
    """Opens a file's bytes for reading; gzip, bzip2, xz, zstd and zip are expanded.

    What a file is, its first bytes tell, whatever its name is.

    Args:
      path: the file. A zip has one member, beside what macOS adds.

    Raises:
      UserError: the file cannot be read, or is no text. Reading raises it where the data of the
        container is broken, or expands as no text does.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(stored_at(path), "rb"))
            kind = _container(file.read(8))
            file.seek(0)
            expanded: BinaryIO = file
            if kind:
                raw = _Expanding(path, kind, file, _expand(path, kind, file, stack))
                expanded = cast(BinaryIO, io.BufferedReader(raw, _BLOCK))
            head = expanded.peek(1024)[:1024]  # type: ignore[attr-defined]
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from error
        found = what_is_no_text(head)
        if kind and (inside := _container(head)):
            found = f"{inside} data; {UNPACK}"
        if found:
            raise UserError(f"{path}: {f'the {kind} data holds' if kind else 'this is'} {found}")
        yield expanded


def _container(head: bytes) -> str:
    for magic, kind in _CONTAINERS.items():
        if head.startswith(magic):
            return kind if kind != "bzip2" or head[4:5] in (b"1", b"\x17") else ""
    return ""


def _expand(path: str, kind: str, file: BinaryIO, stack: contextlib.ExitStack) -> Any:
    """Returns what reads the expanded data of a container."""
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file)
    if kind == "bzip2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return lzma.LZMAFile(file)
    if kind == "zstd":
        return _Zstd(path, file)
    return _zip_member(path, file, stack)


def _zip_member(path: str, file: BinaryIO, stack: contextlib.ExitStack) -> Any:
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir()
            and not member.filename.startswith("__MACOSX/")
            and pathlib.PurePosixPath(member.filename).name != ".DS_Store"
        ]
    except Exception as error:
        raise _broken(path, 1, "zip", error) from error
    names = [member.filename for member in members]
    if found := what_is_no_archive(names):
        raise UserError(f"{path}: this is {found}")
    if len(members) != 1:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise UserError(
            f"{path}: expected a zip with one file, found {len(names)}"
            f"{': ' if names else ''}{shown[:300]}"
        )
    if members[0].flag_bits & 1:
        raise UserError(f"{path}: {names[0]} is encrypted; {UNPACK}")
    try:
        return stack.enter_context(archive.open(members[0]))
    except Exception as error:
        raise _broken(path, 1, "zip", error) from error


def _broken(path: str, line: int, kind: str, error: Exception) -> Exception:
    """Returns what to raise for the error of a decoder, which is of any kind, even IndexError."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    what = str(error) or type(error).__name__
    return UserError(f"{path}:{line}: broken {kind} data ({what[:200]})")


class _Expanding(io.RawIOBase):
    """The expanded bytes of a container; what is wrong with it becomes one line."""

    def __init__(self, path: str, kind: str, file: BinaryIO, expanded: Any):
        self._path, self._kind, self._file, self._expanded = path, kind, file, expanded
        self._bytes = 0
        self._line = 1

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._expanded.read(len(buffer))
        except Exception as error:
            raise _broken(self._path, self._line, self._kind, error) from error
        self._bytes += len(block)
        self._line += block.count(b"\n")
        if self._bytes > max(_BOMB_BYTES, MAX_EXPANSION * self._file.tell()):
            raise UserError(
                f"{self._path}:{self._line}: expands over {MAX_EXPANSION} times; no text"
            )
        buffer[: len(block)] = block
        return len(block)


class _Zstd:
    """Expands zstd frames one after the other.

    The readers of `zstandard` end in silence where data is cut off.
    """

    def __init__(self, path: str, file: BinaryIO):
        try:
            import zstandard
        except ImportError as error:
            raise UserError(
                f"{path}: zstd data needs `zstandard`: pip install 'tf_textrnn[formats]'"
            ) from error
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._new_frame()
        self._error = zstandard.ZstdError
        self._file = file
        self._rest = b""
        self._expanded = io.BytesIO()

    def read(self, size: int) -> bytes:
        while not (block := self._expanded.read(size)):
            # So few expand to 8 MB at most.
            data = self._rest or self._file.read(256)
            if not data:
                if not self._frame.eof:
                    raise EOFError("the data ends before the end of its frame")
                return b""
            if self._frame.eof:
                self._frame = self._new_frame()
            try:
                self._expanded = io.BytesIO(self._frame.decompress(data))
            except self._error as error:
                raise OSError(str(error)) from error
            self._rest = self._frame.unused_data
        return block
