"""Files that are never half-written, blocks that come through a pipe, files of one entry a line."""

import contextlib
import errno
import io
import os
import pathlib
import queue
import re
import stat
import threading
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from tf_textrnn.base.errors import UserError

MAX_LINES_BYTES = 1 << 30  # of a vocabulary or label file
BLOCK_BYTES = 1 << 20
_BLOCKS_AHEAD = 16  # that a pipe's reader holds at most
_CTRL_C_SECONDS = 1.0  # Windows delivers Ctrl-C only between waits for a queue


_SCRATCH_NAME = re.compile(r"\.(.+)\.\d+\.tmp", re.ASCII)


@contextlib.contextmanager
def atomic_write(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a file that takes its name when all of it is on disk; until then the old one stays.

    A process that is killed meanwhile leaves `.<name>.<process>.tmp` beside it.

    Args:
      path: the file.

    Raises:
      OSError: it cannot be written; the error names the file.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(scratch, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        scratch.unlink(missing_ok=True)


def written_name(scratch: pathlib.Path) -> str:
    """The name that a file beside it was to take; empty for one that `atomic_write` did not make.

    Args:
      scratch: the path of a file.
    """
    match = _SCRATCH_NAME.fullmatch(scratch.name)
    return match[1] if match else ""


@contextlib.contextmanager
def written(path: pathlib.Path, flag: str) -> Iterator[BinaryIO]:
    """Opens a file as `atomic_write` does.

    Args:
      path: the file.
      flag: the flag and its value that named the path.

    Raises:
      UserError: it cannot be written.
    """
    try:
        with atomic_write(path) as file:
            yield file
    except OSError as error:
        raise UserError(f"{flag}: cannot be written ({error})") from error


def fsync_folder(path: pathlib.Path) -> None:
    """Brings a folder's entries to disk, so that a rename outlasts a power failure.

    Does nothing where a folder cannot be opened, as on Windows, or has no fsync.

    Raises:
      OSError: the disk fails.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def fsync_tree(path: pathlib.Path) -> None:
    """Brings every file below a folder, and every folder's entries, to disk.

    Raises:
      OSError: a file cannot be opened for writing, as Windows wants it for this, or the disk fails.
    """
    for entry in (path, *path.rglob("*")):
        if entry.is_dir():
            fsync_folder(entry)
        else:
            with open(entry, "rb+") as file:
                os.fsync(file.fileno())


def read_blocks(file: io.BufferedReader) -> Iterator[bytes]:
    """Yields the content of a file in blocks as they come, and an empty one where it pauses.

    A pipe, a terminal or a socket is read by a thread, since asking whether more is there has no
    way that every system knows. The thread reads below the buffer, whose lock it would still hold
    when the interpreter ends. A regular file never pauses.

    Args:
      file: opened for reading bytes; nothing of it has been read.

    Raises:
      OSError: it cannot be read.
    """
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        while block := file.raw.read(BLOCK_BYTES):
            yield block
        return
    blocks: queue.Queue[bytes | OSError] = queue.Queue(_BLOCKS_AHEAD)

    def read() -> None:
        try:
            while block := file.raw.read(BLOCK_BYTES):
                blocks.put(block)
            blocks.put(b"")
        except OSError as error:
            blocks.put(error)

    threading.Thread(target=read, name="reader", daemon=True).start()
    patience = 0.0
    while True:
        try:
            item = blocks.get(timeout=patience)
        except queue.Empty:
            yield b""
            patience = _CTRL_C_SECONDS
            continue
        if isinstance(item, OSError):
            raise item
        if not item:
            return
        yield item
        patience = 0.0


def ends_whole(path: pathlib.Path, start: int) -> bool:
    """Returns whether a TFRecord file, such as an event file, ends with a whole record.

    Args:
      path: a file of records: length uint64, its CRC uint32, content, its CRC uint32.
      start: where one of its records begins.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        while start < size:
            file.seek(start)
            start += 16 + int.from_bytes(file.read(8), "little")
    return start == size


def write_lines(path: pathlib.Path, lines: Sequence[bytes]) -> None:
    """Writes a vocabulary or label file, one entry a line, atomically."""
    with atomic_write(path) as file:
        file.writelines(line + b"\n" for line in lines)


def read_lines(path: pathlib.Path) -> list[bytes]:
    """Returns the lines of a vocabulary or label file.

    Raises:
      UserError: the file cannot be read, is over a gibibyte or is not UTF-8, or two of its lines
        are the same.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_LINES_BYTES + 1)
        if len(content) > MAX_LINES_BYTES:
            raise UserError(f"{path}: expected at most {MAX_LINES_BYTES:,} bytes")
        content.decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 ({error})") from error
    lines = content.removesuffix(b"\n").split(b"\n")
    if len(set(lines)) != len(lines):
        raise UserError(f"{path}: the same line stands there twice")
    return lines
