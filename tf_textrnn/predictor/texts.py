"""Texts to classify: of the command line, a file or standard input, one a line.

Standard library only.
"""

import io
import sys
from collections.abc import Iterator, Sequence

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import read_blocks

WINDOW_TEXTS = 4_096  # sorted by length together
MAX_LINE = 64 << 20  # bytes


def windows_of(texts: Sequence[str], path: str) -> Iterator[list[str]]:
    """Texts of the command line; where there are none, the lines of a file or of standard input.

    Args:
      texts: as the command line has them.
      path: the file; empty = standard input.

    Raises:
      UserError: the file cannot be read, or there is no standard input.
    """
    if texts:
        yield given_texts(texts)
    elif path:
        try:
            file = open(path, "rb")  # noqa: SIM115
        except OSError as error:
            raise UserError(f"--input={path}: {error.strerror}") from error
        with file:
            yield from read_windows(file)
    elif sys.stdin is None:
        raise UserError("there is no standard input; expected texts, or --input")
    else:
        yield from read_windows(sys.stdin.buffer)  # type: ignore[arg-type]


def given_texts(texts: Sequence[str]) -> list[str]:
    """Texts of the command line, read as lines of a file are: invalid bytes become U+FFFD."""
    return [decode_line(text.encode("utf-8", sys.getfilesystemencodeerrors())) for text in texts]


def read_windows(file: io.BufferedReader) -> Iterator[list[str]]:
    """The lines of a file, up to `WINDOW_TEXTS` together.

    A window ends early where the input pauses, so that what comes through a pipe is answered at
    once. Invalid bytes and NULs become U+FFFD, as in training.
    """
    lines: list[str] = []
    rest, is_first = b"", True
    for block in read_blocks(file):
        if not block:
            if lines:
                yield lines
                lines = []
            continue
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > MAX_LINE:
            raise UserError(f"a line is over {MAX_LINE:,} bytes")
        if is_first and whole:
            whole[0], is_first = whole[0].removeprefix(b"\xef\xbb\xbf"), False
        lines += map(decode_line, whole)
        while len(lines) >= WINDOW_TEXTS:
            yield lines[:WINDOW_TEXTS]
            del lines[:WINDOW_TEXTS]
    if rest:
        lines.append(decode_line(rest.removeprefix(b"\xef\xbb\xbf") if is_first else rest))
    if lines:
        yield lines


def decode_line(line: bytes) -> str:
    """A line without its end as a text: invalid bytes and NULs become U+FFFD."""
    return line.decode("utf-8", "replace").rstrip("\r").replace("\0", "\ufffd")
