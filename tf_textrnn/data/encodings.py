"""Placeholder until the branch of encodings is merged."""

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from tf_textrnn.base.errors import UserError

MAX_LINE = 16 << 20  # characters of one line or csv record; a longer one is not a labeled text
MAX_EXPANSION = 200  # times that gzip may expand; text expands 3 to 50 times, a bomb 1,000 times
_BOMB_CHARACTERS = 1 << 26  # fewer than these are harmless however much they expand


class Encodings(NamedTuple):
    """Encodings that a file may have."""

    candidates: tuple[str, ...]
    first_bad_line: int


def find_encodings(path: str) -> Encodings:
    """Placeholder."""
    return Encodings(("utf-8",), 0)


def numbered_lines(path: str, newline: str, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yields (number from 1, line) of a UTF-8 file; invalid bytes and NULs become U+FFFD."""
    number = characters = 0
    try:
        with open(path, "rb") as file:
            raw: Any = gzip.GzipFile(fileobj=file) if path.lower().endswith(".gz") else file
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline=newline)
            while line := text.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise UserError(f"{path}:{number}: the line is over {MAX_LINE:,} characters")
                characters += len(line)
                if characters > max(_BOMB_CHARACTERS, MAX_EXPANSION * file.tell()):
                    raise UserError(f"{path}:{number}: expands over {MAX_EXPANSION} times; no text")
                yield number, line.replace("\0", "\ufffd")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}:{number + 1}: broken gzip data ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
