"""Reads files of texts, labeled or not, as streams of records."""

import csv
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.encodings import MAX_LINE, numbered_lines

FORMATS = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
           ".txt": "fasttext", ".ft": "fasttext", ".fasttext": "fasttext"}  # fmt: skip
FASTTEXT_PREFIX = "__label__"


class Record(NamedTuple):
    """A text of a file.

    Attributes:
      labels: its labels; none where it is unlabeled.
      text: the text.
      place: the line it starts on, from 1; the row of a Parquet file; 0 in a folder.
      cells: the record as read: the row of a table (list of str), a JSON object, or None.
    """

    labels: tuple[str, ...]
    text: str
    place: int
    cells: Any


class OpenFile:
    """A file that has been looked at and can be read, any number of times.

    Attributes:
      name: its name, for messages.
      format: how it is read: tsv, csv, jsonl, json, fasttext, parquet, folder or lines.
      header: the names of a table's columns; None where it has none.
      delimiter: what separates a table's columns; empty for the other formats.
      notes: what a user should be told of it, each a line.
    """

    def __init__(
        self,
        name: str,
        file_format: str,
        read: Callable[[], Iterator[Record]],
        header: list[str] | None = None,
        delimiter: str = "",
    ):
        self.name = name
        self.format = file_format
        self.header = header
        self.delimiter = delimiter
        self.notes: list[str] = []
        self._read = read

    def records(self) -> Iterator[Record]:
        """Starts a new pass over the texts."""
        return self._read()


def open_file(path: str, config: FileConfig, flag: str, needs_label: bool) -> OpenFile:
    """Looks at a file and tells how it is read.

    Args:
      path: the file.
      config: how it is read, as far as it is known.
      flag: flag that named the file, for errors.
      needs_label: whether each text has a label; else labels, and the column of labels, may be
        absent, and a file of no known format is one text a line.

    Raises:
      UserError: the file is missing or unreadable, or it cannot be told how to read it.
    """
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    file_format = config.format
    if file_format == "auto":
        file_format = FORMATS.get(suffixes[-1] if suffixes else "", "" if needs_label else "lines")
        if not file_format:
            raise UserError(
                f"--{flag}={path}: cannot tell the format from the name; expected one of "
                f"{' '.join(FORMATS)} (also .gz), or --format"
            )
    header = None
    if file_format == "csv":
        header = next(csv.reader(line for _, line in numbered_lines(path, newline="")), None)
    delimiter = {"tsv": "\t", "csv": ","}.get(file_format, "")
    return OpenFile(
        path, file_format, lambda: _READERS[file_format](path, config), header, delimiter
    )


def _full_lines(path: str) -> Iterator[tuple[int, str]]:
    """Yields (number from 1, line without its end) for each line that is not empty."""
    for number, line in numbered_lines(path, newline="\n"):
        if stripped := line.rstrip("\r\n"):
            yield number, stripped


def _read_lines(path: str, config: FileConfig) -> Iterator[Record]:
    for number, line in numbered_lines(path, newline="\n"):
        yield Record((), line.rstrip("\r\n"), number, None)


def _read_tsv(path: str, config: FileConfig) -> Iterator[Record]:
    for number, line in _full_lines(path):
        label, tab, text = line.partition("\t")
        if not tab:
            raise UserError(f"{path}:{number}: expected label<TAB>text, found no tab")
        yield Record((label,), text, number, [label, text])


def _read_csv(path: str, config: FileConfig) -> Iterator[Record]:
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
                label, text = row[positions["label_column"]], row[positions["text_column"]]
                yield Record((label,), text, start, row)
            elif row:
                raise UserError(f"{path}:{start}: expected {len(header)} columns, found {len(row)}")
            start = reader.line_num + 1
            record = 0
    except csv.Error as error:
        raise UserError(f"{path}:{max(reader.line_num, 1)}: broken csv ({error})") from error


def _read_jsonl(path: str, config: FileConfig) -> Iterator[Record]:
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
        text = text.encode("utf-8", "replace").decode("utf-8")
        yield Record((str(label),), text, number, record)


def _read_fasttext(path: str, config: FileConfig) -> Iterator[Record]:
    for number, line in _full_lines(path):
        label, _, text = line.partition(" ")
        if not label.startswith(FASTTEXT_PREFIX):
            raise UserError(
                f"{path}:{number}: expected {FASTTEXT_PREFIX}<label> <text>, found {line[:40]!r}"
            )
        if text.lstrip().startswith(FASTTEXT_PREFIX):
            raise UserError(f"{path}:{number}: two labels; a text has exactly one here")
        yield Record((label.removeprefix(FASTTEXT_PREFIX),), text, number, None)


_READERS = {
    "tsv": _read_tsv,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "fasttext": _read_fasttext,
    "lines": _read_lines,
}
