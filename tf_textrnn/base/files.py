"""Files that are never half-written, and files of one entry a line."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from tf_textrnn.base.errors import UserError

MAX_LINES_BYTES = 1 << 30  # of a vocabulary or label file


@contextlib.contextmanager
def atomic_write(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a file that takes its name only when all of it is on disk; an old one stays till then.

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
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        scratch.unlink(missing_ok=True)


def ends_whole(path: pathlib.Path, start: int) -> bool:
    """Whether a TFRecord file, as event files are, ends with a whole record.

    Args:
      path: of records: length uint64, its CRC uint32, content, its CRC uint32.
      start: where one of its records begins.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        while start < size:
            file.seek(start)
            start += 16 + int.from_bytes(file.read(8), "little")
    return start == size


def write_lines(path: pathlib.Path, lines: Sequence[bytes]) -> None:
    """Writes a vocabulary or label file."""
    with atomic_write(path) as file:
        file.writelines(line + b"\n" for line in lines)


def read_lines(path: pathlib.Path) -> list[bytes]:
    """The lines of a vocabulary or label file.

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
