"""Finds the encoding of a file's text, and reads its lines."""

import codecs
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.containers import open_bytes

MAX_LINE = 16 << 20  # characters of one line or csv record; a longer one is not a labeled text
_BLOCK = 1 << 20
_SAMPLE = 1 << 18  # bytes of lines that are not ASCII, from which an encoding is told
_BLOCK_SAMPLE = 1 << 13  # of these at most so many from a block, so that they are spread
# A longer mark stands before the shorter one that it starts with.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Where several fit equally well, the one that more people use stands first.
_USED = [
    "gb18030",
    "cp932",
    "euc_jp",
    "big5hkscs",
    "cp949",
    "cp1252",
    "cp1251",
    "koi8_r",
    "cp1250",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "cp1258",
    "cp874",
    "cp866",
    "iso8859_2",
    "iso8859_5",
    "iso8859_7",
    "iso8859_15",
    "mac_roman",
    "cp850",
    "cp437",
]
# Share of the characters beyond ASCII that may be broken. Text in another encoding is nearly all
# broken as UTF-8; text that was cut by bytes, or filled up from elsewhere, hardly is.
_MAX_BAD = {"utf-8": 0.25}
_MAX_BAD_ELSE = 0.01
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
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return _checked(path, (encoding,))
    if encoding := _wide(head):
        return _checked(path, (encoding,))
    if len(head.translate(None, _CONTROL)) < 0.7 * len(head):
        raise UserError(f"{path}: this is no text but binary data")
    utf8 = _check(path, "utf-8")
    if utf8.bad <= _MAX_BAD["utf-8"] * utf8.characters:
        return Encodings(("utf-8",), utf8.first_bad_line, utf8.bad)
    found = _guess(_sample(path))
    checks = {encoding: _check(path, encoding) for encoding in found}
    fitting = tuple(
        encoding
        for encoding, check in checks.items()
        if check.bad <= _MAX_BAD_ELSE * check.characters
    )
    if not fitting:
        raise UserError(
            f"{path}:{utf8.first_bad_line}: not UTF-8, and no other encoding fits; expected "
            "--encoding"
        )
    return Encodings(fitting, utf8.first_bad_line, checks[fitting[0]].bad)


def check_encoding(path: str, encoding: str, flag: str = "encoding") -> Encodings:
    """Checks that a file's text can be in the encoding that a flag names.

    Raises:
      UserError: there is no such encoding, or the file cannot be read in it.
    """
    try:
        if not codecs.lookup(encoding)._is_text_encoding:
            raise LookupError
        encoding = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise UserError(
            f"--{flag}={encoding}: unknown; expected auto, or a name such as utf-8, cp1252 or gbk"
        ) from None
    check = _check(path, encoding)
    if encoding not in ("utf-8", "utf-8-sig") and check.bad > _MAX_BAD_ELSE * check.characters:
        raise UserError(
            f"{path}:{check.first_bad_line}: no text in --{flag}={encoding}; it cannot read "
            f"{check.bad:,} of {check.characters:,} characters beyond ASCII"
        )
    return Encodings((encoding,), check.first_bad_line, check.bad)


class _Check(NamedTuple):
    """How an encoding fits.

    Attributes:
      first_bad_line: line of the first bytes that it cannot read; 0 if there are none.
      bad: number of places that it cannot read.
      characters: number of characters beyond ASCII, those places included.
    """

    first_bad_line: int
    bad: int
    characters: int


def _check(path: str, encoding: str) -> _Check:
    lines = bad = characters = first = 0
    with open_bytes(path) as file:
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        strict = encoding in ("utf-8", "utf-8-sig")
        while True:
            block = file.read(_BLOCK)
            if strict and block.isascii() and not decoder.getstate()[0]:
                if not block:
                    break
                lines += block.count(b"\n")
                continue
            text = decoder.decode(block, final=not block)
            found = text.count("\ufffd")
            if found and not first:
                first = lines + text.count("\n", 0, text.index("\ufffd")) + 1
            bad += found
            characters += len(text) - len(text.encode("ascii", "ignore"))
            lines += text.count("\n")
            if not block:
                break
    return _Check(first, bad, characters)


def _checked(path: str, candidates: tuple[str, ...]) -> Encodings:
    check = _check(path, candidates[0])
    return Encodings(candidates, check.first_bad_line, check.bad)


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


def _guess(sample: bytes) -> list[str]:
    """Returns the encodings that a sample may have, the most plausible one first."""
    from charset_normalizer import from_bytes  # takes a while to load

    found = from_bytes(sample, cp_isolation=_USED, preemptive_behaviour=False, threshold=0.3)
    return [match.encoding for match in found]


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
