"""Reads files of texts, labeled or not, as streams of records.

The content of a file tells what it is, its name only helps. What is found is said in a note.
"""

import contextlib
import functools
import hashlib
import pathlib
import stat
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.containers import container_note, local_path, stored_at
from tf_textrnn.data.contents import first_lines, format_of_content, format_of_name
from tf_textrnn.data.dialects import find_dialect
from tf_textrnn.data.encodings import Encodings, check_encoding, find_encodings
from tf_textrnn.data.labels import Cell, LabelError, Labels
from tf_textrnn.data.objects import (
    Keys,
    parquet_names,
    read_json_array,
    read_json_lines,
    read_parquet,
)
from tf_textrnn.data.tables import Row, Table, open_table, table_reading
from tf_textrnn.data.texts import (
    folder_files,
    read_fasttext,
    read_folder,
    read_lines,
)

_PARQUET_MARK = b"PAR1"
_SHOWN_LABELS = 4
_WITH_SETS = ("jsonl", "json", "parquet", "fasttext")  # formats that have several labels a text
_DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "blanks"}


class Record(NamedTuple):
    """A text of a file.

    Attributes:
      labels: its labels; none where it is unlabeled.
      text: the text.
      place: the line it starts on, from 1; a Parquet file's row; the number of a folder's file.
      cells: the record as read: the row of a table (list of str), a JSON object, or None; the row
        of a Parquet file only where no labels are needed.
      is_list: whether the file has its labels in a list, which may be empty.
    """

    labels: tuple[str, ...]
    text: str
    place: int
    cells: Any
    is_list: bool = False


class OpenFile:
    """A file that has been looked at and can be read, any number of times.

    Attributes:
      name: its name, for messages.
      format: how it is read: tsv, csv, jsonl, json, fasttext, parquet, folder or lines.
      header: the names of a table's columns; None where it has none, or its rows have no cells.
      delimiter: what separates a table's columns; empty for the other formats.
      encoding: that of its text; empty where it has none of its own.
      notes: what a user should be told of it, each a line; complete after a pass.
      members: the file of each text of a folder; empty for the other formats.
      reading: what tells files apart that hold the same bytes and are read in other ways; empty
        where it is read as the first release did.
      may_have_sets: whether a text may have several labels.
    """

    def __init__(
        self,
        name: str,
        file_format: str,
        rows: Callable[[], Iterator[Row]],
        config: FileConfig,
        table: Table | None = None,
        reading: str = "",
        encoding: str = "",
    ):
        self.name = name
        self.format = file_format
        self.header = table.names if table else None
        self.delimiter = table.dialect.delimiter if table else ""
        self.encoding = encoding
        self.notes: list[str] = []
        self.members: list[str] = []
        self.reading = reading
        self.may_have_sets = bool(config.label_separator) or file_format in _WITH_SETS
        self._has_json_cells = config.label_separator == "json"
        self._rows = rows
        self._labels = Labels(
            config.label_separator, config.missing_labels, lambda: (row[0] for row in rows())
        )

    @property
    def description(self) -> str:
        """How it is read, in a line."""
        parts = [self.format, self.encoding]
        if self.delimiter:
            parts.append(f"columns separated by {_DELIMITERS.get(self.delimiter, self.delimiter)}")
            names = [name or "''" for name in self.header or []]
            parts.append(f"header {', '.join(names)}" if names else "no header")
        return f"{self.name}: {'; '.join(filter(None, parts))}"

    def records(self) -> Iterator[Record]:
        """Starts a new pass over the texts.

        Raises:
          UserError: the file has a mistake; the message names the line.
        """
        labels = self._labels
        place = 0
        try:
            for cell, text, place, cells in self._rows():
                yield Record(labels[cell], text, place, cells, self._is_list(cell))
        except LabelError as error:
            raise UserError(f"{self.place_name(place)}: the label: {error}") from error
        if labels.whole_number:
            self._note(
                f"{self.name}: all labels are whole numbers; {labels.whole_number} and the like "
                "are read without the point"
            )

    def place_name(self, place: int) -> str:
        """The place of a record, for messages: file and line, or a folder's file."""
        return self.members[place - 1] if self.members else place_name(self.name, place)

    @property
    def is_separated(self) -> bool:
        """Whether labels read so far were separated; JSON lists are by themselves."""
        return self._labels.separates or self._has_json_cells

    def _is_list(self, cell: Cell) -> bool:
        if self._has_json_cells:
            return bool(cell)
        return type(cell) is tuple and self.format != "fasttext"

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def place_name(name: str, place: int) -> str:
    """A place in a file, for messages."""
    return f"{name}:{place}" if place else name


def open_file(path: str, config: FileConfig, flag: str, needs_label: bool) -> OpenFile:
    """Looks at a file and tells how it is read.

    Args:
      path: a file, a folder with a folder for each label, or `-` for standard input.
      config: how it is read, as far as it is asked for.
      flag: flag that named the file, for errors.
      needs_label: whether each text has a label; else labels, and the column of labels, may be
        absent, and a file of no known format is one text a line.

    Raises:
      UserError: the file is missing or unreadable, or it cannot be told how to read it.
    """
    path = local_path(path, flag)
    try:
        mode = pathlib.Path(stored_at(path)).stat().st_mode
        if stat.S_ISDIR(mode) and config.format in ("auto", "folder"):
            return _open_folder(path, config, flag)
        if not stat.S_ISREG(mode) or config.format == "folder":
            raise UserError(
                f"--{flag}={path}: expected a {'folder' if config.format == 'folder' else 'file'}"
            )
        with open(stored_at(path), "rb") as file:
            mark = file.read(len(_PARQUET_MARK))
    except OSError as error:
        raise UserError(f"--{flag}={path}: {error.strerror}") from error
    if config.format == "parquet" or (config.format == "auto" and mark == _PARQUET_MARK):
        keys = Keys(config, config.skip_unlabeled or not needs_label)
        keeps_cells = not needs_label or bool(config.weight_column)
        rows = functools.partial(read_parquet, path, config, keys, keeps_cells)
        opened = OpenFile(path, "parquet", rows, config)
        opened.header = parquet_names(path) if keeps_cells else None
        return opened
    if config.encoding == "auto":
        encodings = find_encodings(path)
    else:
        encodings = check_encoding(path, config.encoding)
    opened = _settle_encoding(path, encodings, config, needs_label)
    if note := container_note(path):
        opened.notes.append(note)
    hint = format_of_name(path)
    if config.format == "auto" and hint and {hint, opened.format} not in _SAME:
        how = f"columns separated by {opened.delimiter!r}" if opened.delimiter else opened.format
        opened.notes.append(f"{path}: its name says {hint}, its content {how}; read as that")
    return opened


_SAME = [{"tsv"}, {"csv"}, {"jsonl"}, {"json", "jsonl"}, {"fasttext"}, {"parquet"}]


def _open_folder(path: str, config: FileConfig, flag: str) -> OpenFile:
    files = folder_files(path, flag)
    notes: list[str] = []
    opened = OpenFile(path, "folder", lambda: read_folder(files, config.encoding, notes), config)
    opened.notes = notes
    opened.members = [str(file) for _, file in files]
    return opened


def _settle_encoding(
    path: str, encodings: Encodings, config: FileConfig, needs_label: bool
) -> OpenFile:
    """Opens a file in its encoding; no label depends on which of the plausible ones that is."""
    candidates = list(encodings.candidates)
    if needs_label and len(candidates) > 1:
        candidates = _with_same_labels(path, candidates, config)
    encoding = candidates[0]
    opened = _open_text(path, encoding, config, needs_label)
    line = encodings.first_bad_line
    if line and encoding != "utf-8" and config.encoding == "auto":
        opened.notes.append(
            f"{path}: not UTF-8 (first at line {line}); read as {encoding} (--encoding to choose)"
        )
    elif encodings.num_bad:
        opened.notes.append(
            f"{path}: {encodings.num_bad:,} places are not {encoding} (first at line {line}); "
            "U+FFFD stands for them"
        )
    return opened


def _with_same_labels(path: str, candidates: list[str], config: FileConfig) -> list[str]:
    """Returns those encodings in which labels can be read, if all read the same ones.

    Raises:
      UserError: they do not.
    """
    digests: dict[str, str] = {}
    shown: dict[str, list[str]] = {}  # some labels beyond ASCII, by what all of them are
    for candidate in candidates:
        digest = hashlib.sha256()
        some: dict[str, None] = {}
        with contextlib.suppress(UserError):  # what cannot be read in an encoding is not in it
            for record in _open_text(path, candidate, config, True).records():
                digest.update(f"{record.labels}".encode("utf-8", "surrogatepass"))
                if len(some) < _SHOWN_LABELS:
                    some.update((name, None) for name in record.labels if not name.isascii())
            digests[candidate] = digest.hexdigest()
            shown[candidate] = [name[:40] for name in some][:_SHOWN_LABELS]
    if len(set(digests.values())) > 1:
        columns = "; ".join(f"{one}: {', '.join(shown[one])}" for one in digests)
        raise UserError(
            f"{path}: not UTF-8, and its labels depend on the encoding; expected --encoding, one "
            f"of {columns}"
        )
    return list(digests) or candidates


def _open_text(path: str, encoding: str, config: FileConfig, needs_label: bool) -> OpenFile:
    """Looks at a file of text whose encoding is known."""
    lines, is_whole = first_lines(path, encoding)
    file_format = config.format
    hint = format_of_name(path) if file_format == "auto" else file_format
    if file_format == "auto":
        file_format = format_of_content(lines, hint, config, needs_label)
    reading = "" if encoding == "utf-8" else f" {encoding}"
    for option in ("label_separator", "missing_labels", "skip_unlabeled"):
        if value := getattr(config, option):
            reading += f" {option}={value}"
    keys = Keys(config, config.skip_unlabeled or not needs_label)
    others: dict[str, Callable[[], Iterator[Row]]] = {
        "jsonl": lambda: read_json_lines(path, encoding, keys),
        "json": lambda: read_json_array(path, encoding, keys),
        "fasttext": lambda: read_fasttext(path, encoding),
        "lines": lambda: read_lines(path, encoding),
    }
    dialect = None
    if file_format not in others:
        dialect = find_dialect(lines, is_whole, hint, config, needs_label)
        if dialect is None and lines and needs_label:
            raise UserError(
                f"{path}:1: cannot tell the format; expected label<TAB>text, a csv with a header, "
                f"JSON objects or __label__<label> <text>, found {lines[0].strip()[:40]!r}"
            )
    if dialect is None:
        file_format = file_format if file_format in others else "lines"
        rows = others[file_format]
        return OpenFile(path, file_format, rows, config, None, reading, encoding)
    table = open_table(path, encoding, lines, dialect, config, needs_label)
    if config.format == "auto":
        file_format = "tsv" if dialect.delimiter == "\t" else "csv"
    reading += table_reading(table, file_format)
    return OpenFile(path, file_format, table.rows, config, table, reading, encoding)
