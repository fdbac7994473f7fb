"""Finds the encoding of a file's text, and reads its lines."""

import codecs
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.containers import open_bytes
from tf_textrnn.data.guesses import MAX_BAD, guess

MAX_LINE = 16 << 20  # characters of one line or csv record; a longer one is not a labeled text
_BLOCK = 1 << 20
_SAMPLE = 1 << 16  # bytes of lines that are not ASCII, from which an encoding is told
_BLOCK_SAMPLE = 1 << 12  # of these at most so many from a block, so that they are spread
# A longer mark stands before the shorter one that it starts with.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ESCAPES = {b"\x1b$B": "iso2022_jp", b"\x1b$@": "iso2022_jp", b"\x1b$)C": "iso2022_kr"}
# Share of the characters beyond ASCII that may be broken in UTF-8. Text in another encoding is
# nearly all broken; text that was cut by bytes, or filled up from elsewhere, hardly is.
_MAX_BAD_UTF8 = 0.25
_CLEAR = 10_000  # broken places, after which their share is known
_MIN_TEXT = 0.7  # share of bytes that are no control characters
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))


class Encodings(NamedTuple):
    """How a file's text may be encoded.

    Attributes:
      candidates: names of encodings, the most plausible one first.
      first_bad_line: first line with bytes that the encoding asked for, or else UTF-8, cannot read;
        0 if there are none.
      num_bad: number of places that the first candidate cannot read; they become U+FFFD.
    """

    candidates: tuple[str, ...]
    first_bad_line: int = 0
    num_bad: int = 0


def find_encodings(path: str) -> Encodings:
    """Finds the encodings that a file's text may have.

    That is UTF-8 where at most a few places are broken, or what a byte order mark says, or UTF-16
    where zero bytes show it. Else it is what fits all of the file, the most plausible one first.

    Raises:
      UserError: the file cannot be read, or is no text.
    """
    with open_bytes(path) as file:
        head = file.read(_BLOCK)
    if encoding := _marked(head) or _wide(head):
        check = _check(path, encoding, max_bad=1)
        return Encodings((encoding,), check.first_bad_line, check.num_bad)
    if len(head.translate(None, _CONTROL)) < _MIN_TEXT * len(head):
        raise UserError(f"{path}: this is no text but binary data")
    if _is_utf8(path):
        return Encodings(("utf-8",))
    utf8 = _check(path, "utf-8", _MAX_BAD_UTF8)
    if utf8.num_bad <= _MAX_BAD_UTF8 * utf8.num_characters:
        return Encodings(("utf-8",), utf8.first_bad_line, utf8.num_bad)
    bad = {}
    for encoding in guess(_sample(path)):
        check = _check(path, encoding, MAX_BAD)
        if check.num_bad <= MAX_BAD * check.num_characters:
            bad[encoding] = check.num_bad
    if not bad:
        raise UserError(
            f"{path}:{utf8.first_bad_line}: not UTF-8, and it cannot be told what else; expected "
            "--encoding"
        )
    return Encodings(tuple(bad), utf8.first_bad_line, next(iter(bad.values())))


def check_encoding(path: str, encoding: str, flag: str = "encoding") -> Encodings:
    """Checks that a file's text can be in the encoding that a flag names.

    A text in UTF-8 may be broken anywhere, as there is no doubt about the rest; one in another
    encoding here and there.

    Raises:
      UserError: there is no such encoding, or the file cannot be read or is no text in it.
    """
    try:
        "".encode(encoding)  # for text, which not every codec is
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise UserError(
            f"--{flag}={encoding}: unknown; expected auto, or a name such as utf-8, cp1252 or gbk"
        ) from None
    with open_bytes(path) as file:
        head = file.read(_BLOCK)
    marked = _marked(head)
    if marked and not name.startswith(marked):
        raise UserError(f"{path}:1: --{flag}={encoding}, but it is marked as {marked}")
    if name in ("utf-16", "utf-32") and not marked:
        name = _wide(head) if name == "utf-16" and _wide(head) else f"{name}-le"
    max_bad = 1 if name.startswith("utf-8") else MAX_BAD
    try:
        check = _check(path, name, max_bad)
    except UnicodeError as error:  # of a codec that does not ask what to do about it
        raise UserError(f"{path}: this is no text in --{flag}={encoding} ({error})") from error
    if check.num_bad > max_bad * check.num_characters:
        raise UserError(
            f"{path}:{check.first_bad_line}: this is no text in --{flag}={encoding}, which cannot "
            f"read {check.num_bad:,} of {check.num_characters:,} characters beyond ASCII"
        )
    return Encodings((name,), check.first_bad_line, check.num_bad)


class _Check(NamedTuple):
    """How an encoding fits a file.

    Attributes:
      first_bad_line: line of the first bytes that it cannot read; 0 if there are none.
      num_bad: number of places that it cannot read.
      num_characters: number of characters beyond ASCII, those places included.
    """

    first_bad_line: int
    num_bad: int
    num_characters: int


def _is_utf8(path: str) -> bool:
    """Returns whether all of a file is UTF-8, about as fast as it is read."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_bytes(path) as file:
            while block := file.read(_BLOCK):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _mark_bad(error: UnicodeError) -> tuple[str, int]:
    """Decodes what cannot be decoded; a U+FFFD may be of the text itself."""
    assert isinstance(error, UnicodeDecodeError)
    return _BAD, error.end


_BAD = "\udfff"  # half a surrogate pair, which no text has
codecs.register_error("tf_textrnn.mark_bad", _mark_bad)


def _check(path: str, encoding: str, max_bad: float) -> _Check:
    """Reads a file up to its end, or till it is clear that over `max_bad` of it are broken."""
    decoder = codecs.getincrementaldecoder(encoding)("tf_textrnn.mark_bad")
    num_lines = num_bad = num_characters = first_bad_line = 0
    with open_bytes(path) as file:
        more = True
        while more and not (num_bad > _CLEAR and num_bad > max_bad * num_characters):
            block = file.read(_BLOCK)
            more = bool(block)
            text = decoder.decode(block, final=not more)
            if (found := text.count(_BAD)) and not first_bad_line:
                first_bad_line = num_lines + text.count("\n", 0, text.index(_BAD)) + 1
            num_bad += found
            num_characters += len(text) - len(text.encode("ascii", "ignore"))
            num_lines += text.count("\n")
    return _Check(first_bad_line, num_bad, num_characters)


def _marked(head: bytes) -> str:
    """Returns the encoding that is marked as such, by a byte order mark or escape sequences."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    for escape, encoding in _ESCAPES.items():
        if escape in head and head.isascii():
            return encoding
    return ""


def _wide(head: bytes) -> str:
    """Returns which UTF-16 it is, where zero bytes show it."""
    zeros = head.count(0)
    for encoding, start, line_end in (("utf-16-le", 1, b"\n\0"), ("utf-16-be", 0, b"\0\n")):
        in_place = head[start::2].count(0)
        if in_place * 10 < zeros * 9 or not zeros:
            continue
        text = head[: len(head) // 2 * 2].decode(encoding, "replace")
        line_ends = head.count(line_end[:1] if start else line_end[1:])
        if (line_ends and text.count("\n") * 2 >= line_ends) or in_place * 5 > len(head):
            return encoding
    return ""


def _sample(path: str) -> bytes:
    """Returns lines with bytes beyond ASCII, from all over a file."""
    lines: list[bytes] = []
    size = 0
    with open_bytes(path) as file:
        while size < _SAMPLE and (block := file.read(_BLOCK)):
            block += file.readline(_BLOCK)
            if block.isascii():
                continue
            room = _SAMPLE // 2 if not lines else _BLOCK_SAMPLE
            end = 0
            for match in re.finditer(rb"[\x80-\xff]", block):
                if match.start() < end:
                    continue
                start = block.rfind(b"\n", 0, match.start()) + 1
                end = block.find(b"\n", match.start()) + 1 or len(block)
                lines.append(block[start : min(end, start + room)])
                size += len(lines[-1])
                room -= len(lines[-1])
                if room <= 0:
                    break
    return b"".join(lines)


def numbered_lines(path: str, newline: str, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yields (number from 1, line) of a file; invalid bytes and NULs become U+FFFD.

    Args:
      path: the file; it is expanded if it is compressed.
      newline: what ends a line, as for `open`.
      encoding: encoding of the text; a byte order mark is no part of it.

    Raises:
      UserError: the file cannot be read or is no text, a line is too long, or the file expands
        too much.
    """
    number = 0
    with open_bytes(path) as file:
        text = io.TextIOWrapper(file, encoding, errors="replace", newline=newline)
        try:
            line = text.readline(MAX_LINE + 1).removeprefix("\ufeff")
            while line:
                number += 1
                if len(line) > MAX_LINE:
                    raise UserError(f"{path}:{number}: the line is over {MAX_LINE:,} characters")
                yield number, line.replace("\0", "\ufffd")
                line = text.readline(MAX_LINE + 1)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from error
