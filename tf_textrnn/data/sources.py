"""Streams labeled texts from files; an error names the file and the line."""

import csv
import dataclasses
import gzip
import hashlib
import io
import json
import pathlib
import stat
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig

MAX_LINE = 16 << 20  # characters of one line or csv record; a longer one is not a labeled text
MAX_EXPANSION = 200  # times that gzip may expand; text expands 3 to 50 times, a bomb 1,000 times
_BOMB_CHARACTERS = 1 << 26  # fewer than these are harmless however much they expand
MAX_LABEL = 1_000  # characters
FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
           ".txt": "fasttext", ".ft": "fasttext", ".fasttext": "fasttext"}  # fmt: skip
FASTTEXT_PREFIX = "__label__"


class Example(NamedTuple):
    """A labeled text and the line it starts on (from 1; 0 if there is no file)."""

    label: str
    text: str
    line: int = 0


@dataclasses.dataclass(frozen=True)
class Source:
    """The labeled texts of one split.

    Attributes:
      name: name of the file or data set, for messages.
      fingerprint: string that changes whenever the examples do.
      read: function that starts a new pass over the examples.
    """

    name: str
    fingerprint: str
    read: Callable[[], Iterator[Example]]


def file_source(path: str, config: FileConfig, flag: str) -> Source:
    """Returns the source of a file's labeled texts.

    Args:
      path: the file; it is decompressed if its name ends in `.gz`.
      config: gives `format`, `text_column` and `label_column`.
      flag: flag that named the file, for errors.

    Raises:
      UserError: the file is missing or unreadable, or its format is unknown. Reading the source
        raises it for a line that is not a labeled text.
    """
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    file_format = config.format
    if file_format == "auto":
        file_format = FORMATS.get(suffixes[-1] if suffixes else "", "")
        if not file_format:
            raise UserError(
                f"--{flag}={path}: cannot tell the format from the name; expected one of "
                f"{' '.join(FORMATS)} (also .gz), or --format"
            )
    digest = hashlib.sha256()
    try:
        if not stat.S_ISREG(pathlib.Path(path).stat().st_mode):
            raise UserError(f"--{flag}={path}: expected a file")
        with open(path, "rb") as file:
            stamp = _stamp(path)
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"--{flag}={path}: {error.strerror}") from error
    reader = _READERS[file_format]

    def check_unchanged() -> None:
        if _stamp(path) != stamp:
            raise UserError(f"{path}: it was changed while it was in use; start again")

    def read() -> Iterator[Example]:
        check_unchanged()
        count = 0
        for line, label, text in reader(path, config):
            if not label.strip():
                raise UserError(f"{path}:{line}: the label is empty")
            if len(label) > MAX_LABEL or not label.isprintable():
                raise UserError(
                    f"{path}:{line}: expected a label of at most {MAX_LABEL} printable "
                    f"characters, found {label[:40]!r}"
                )
            count += 1
            yield Example(label.strip(), text, line)
        if not count:
            raise UserError(f"{path}: no labeled texts; the file is empty")
        check_unchanged()

    fingerprint = f"{digest.hexdigest()} {file_format} {config.text_column} {config.label_column}"
    return Source(path, fingerprint, read)


def _stamp(path: str) -> tuple[int, ...]:
    """Returns numbers that change when the file does."""
    try:
        status = pathlib.Path(path).stat()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    return status.st_ino, status.st_size, status.st_mtime_ns


def numbered_lines(path: str, newline: str) -> Iterator[tuple[int, str]]:
    """Yields (number from 1, line) of a UTF-8 file; invalid bytes and NULs become U+FFFD.

    Args:
      path: the file; it is decompressed if its name ends in `.gz`.
      newline: what ends a line, as for `open`.

    Raises:
      UserError: the file cannot be read, a line is too long, or gzip expands it too much.
    """
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


def _full_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yields (number from 1, line without its end) for each line that is not empty."""
    for number, line in numbered_lines(path, newline="\n"):
        if stripped := line.rstrip("\r\n"):
            yield number, stripped


Row = tuple[int, str, str]  # line number, label, text


def _read_tsv(path: str, config: FileConfig) -> Iterator[Row]:
    for number, line in _full_lines(path):
        label, tab, text = line.partition("\t")
        if not tab:
            raise UserError(f"{path}:{number}: expected label<TAB>text, found no tab")
        yield number, label, text


def _read_csv(path: str, config: FileConfig) -> Iterator[Row]:
    csv.field_size_limit(MAX_LINE)
    record = 0  # characters of the record so far

    def lines() -> Iterator[str]:
        nonlocal record
        for number, line in numbered_lines(path, newline=""):
            record += len(line)
            if record > MAX_LINE:
                raise UserError(f"{path}:{number}: the record is over {MAX_LINE:,} characters")
            yield line

    reader = csv.reader(lines(), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            return
        positions = {}
        for flag in ("label_column", "text_column"):
            column = getattr(config, flag)
            if column not in header:
                raise UserError(
                    f"{path}:1: no column {column!r} (--{flag}); the header has "
                    f"{', '.join(map(repr, header))[:200]}"
                )
            positions[flag] = header.index(column)
        start = reader.line_num + 1
        for row in reader:
            if len(row) == len(header):
                yield start, row[positions["label_column"]], row[positions["text_column"]]
            elif row:
                raise UserError(f"{path}:{start}: expected {len(header)} columns, found {len(row)}")
            start = reader.line_num + 1
            record = 0
    except csv.Error as error:
        raise UserError(f"{path}:{max(reader.line_num, 1)}: broken csv ({error})") from error


def _read_jsonl(path: str, config: FileConfig) -> Iterator[Row]:
    for number, line in _full_lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{number}: broken JSON ({error})") from error
        if not isinstance(record, dict):
            raise UserError(f"{path}:{number}: expected a JSON object, found {line[:40]!r}")
        for flag in ("label_column", "text_column"):
            if getattr(config, flag) not in record:
                raise UserError(f"{path}:{number}: no key {getattr(config, flag)!r} (--{flag})")
        label, text = record[config.label_column], record[config.text_column]
        if isinstance(label, bool) or not isinstance(label, (str, int)):
            raise UserError(
                f"{path}:{number}: expected a string or a whole number as the label, "
                f"found {str(label)[:40]!r}"
            )
        if not isinstance(text, str):
            raise UserError(
                f"{path}:{number}: expected a string as the text, found {str(text)[:40]!r}"
            )
        # A lone surrogate, legal in JSON, has no UTF-8.
        yield number, str(label), text.encode("utf-8", "replace").decode("utf-8")


def _read_fasttext(path: str, config: FileConfig) -> Iterator[Row]:
    for number, line in _full_lines(path):
        label, _, text = line.partition(" ")
        if not label.startswith(FASTTEXT_PREFIX):
            raise UserError(
                f"{path}:{number}: expected {FASTTEXT_PREFIX}<label> <text>, found {line[:40]!r}"
            )
        if text.lstrip().startswith(FASTTEXT_PREFIX):
            raise UserError(f"{path}:{number}: two labels; a text has exactly one here")
        yield number, label.removeprefix(FASTTEXT_PREFIX), text


_READERS = {"tsv": _read_tsv, "csv": _read_csv, "jsonl": _read_jsonl, "fasttext": _read_fasttext}
