"""Reads tables: csv with any delimiter and quoting, and lines of tab-separated cells."""

import bisect
import csv
import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.columns import Columns, find_columns, is_default, shown
from tf_textrnn.data.dialects import Dialect, is_header, rows_of_sample
from tf_textrnn.data.encodings import MAX_LINE, numbered_lines
from tf_textrnn.data.labels import Cell

Row = tuple[Cell, str, int, Any]  # label, text, place, the record as read
_MANY = 10_000  # different labels; a table that has more shows by them what it is
_FEW = 20  # rows, of which each may have a label of its own
_QUOTED_CELL = re.compile(r'"[^"]*(?:""[^"]*)*"')


class Table(NamedTuple):
    """A table whose dialect and columns are known.

    Attributes:
      path: the file.
      encoding: its encoding.
      newline: what ends a line, as for `open`.
      dialect: how it is written.
      width: number of columns.
      columns: where it has texts and labels.
      names: the names of the columns; None where the first line does not tell them.
    """

    path: str
    encoding: str
    newline: str
    dialect: Dialect
    width: int
    columns: Columns
    names: list[str] | None

    def rows(self) -> Iterator[Row]:
        """Starts a new pass over the rows, without the header.

        Raises:
          UserError: rows differ in width, quotes are broken, or the first line may be a header.
        """
        found = self._all_rows()
        return found if self.columns.is_sure else self._without_header(found)

    def _all_rows(self) -> Iterator[Row]:
        width, (texts, label, header, _) = self.width, self.columns
        text, is_joined = texts[0], len(texts) > 1
        if self.dialect.quoted:
            rows = quoted_lines(self.path, self.encoding, self.dialect)
        else:
            # More delimiters in a line belong to the text, where it is the last column.
            rows = self._plain_lines(-1 if is_joined or text < width - 1 else width - 1)
        for place, row in rows:
            if len(row) != width:
                raise UserError(self._other_width(place, row))
            if header:
                header = False
                continue
            yield (
                None if label is None else row[label],
                _joined(row, texts) if is_joined else row[text],
                place,
                row,
            )

    def _plain_lines(self, splits: int) -> Iterator[tuple[int, list[str]]]:
        """Yields (line, cells) of each line that is not empty, in at most `splits` + 1 cells."""
        delimiter, skipped = self.dialect.delimiter, self.dialect.skipped
        for place, line in numbered_lines(self.path, self.newline, self.encoding):
            line = line.rstrip("\r\n")
            if line and place > skipped:
                yield place, line.split(delimiter, splits)

    def _other_width(self, place: int, row: list[str]) -> str:
        expected = f"expected {self.width} columns, found {len(row)}"
        if self.width == 2 and len(row) == 1 and self.dialect.delimiter == "\t":
            expected = "expected label<TAB>text, found no tab"
        advice = ""
        if not self.dialect.quoted and '"' in "".join(row):
            advice = "; --format=csv --delimiter=tab reads ends of lines within quotes"
        return f"{self.path}:{place}: {expected} ({shown(row)}){advice}"

    def _without_header(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Passes on the rows; at their end raises an error if the first one looks like a header.

        It does where its label stands nowhere else, and others stand more than once. Where nearly
        none does, they are no labels, which is told elsewhere.
        """
        first = next(rows, None)
        if first is None:
            return
        yield first
        seen: set[Cell] = set()
        count = 0
        for row in rows:
            yield row
            if row[0] == first[0]:
                yield from rows
                return
            count += 1
            if len(seen) < _MANY:
                seen.add(row[0])
        if len(seen) < count and len(seen) * 2 <= max(count, _FEW):
            raise UserError(
                f"{self.path}:{first[2]}: the first line, {shown(first[3])}, has a label that "
                "stands nowhere else; expected --header=yes if it names the columns, or --header=no"
            )


def open_table(
    path: str,
    encoding: str,
    lines: list[str],
    dialect: Dialect,
    config: FileConfig,
    needs_label: bool,
) -> Table:
    """Finds the columns of a table.

    Args:
      path: the file.
      encoding: its encoding.
      lines: its first lines, with their ends.
      dialect: how it is written.
      config: the columns that are asked for.
      needs_label: whether there must be a column of labels.

    Raises:
      UserError: a column that is asked for is not there or stands twice, or the first row is bad.
    """
    text = "".join(lines)
    newline = "" if dialect.quoted or ("\r" in text and "\n" not in text) else "\n"
    rows = rows_of_sample(lines, dialect)
    if dialect.quoted:  # the lines may end within the first row
        first = next(quoted_lines(path, encoding, dialect), None)
        rows[:1] = [] if first is None else [first[1]]
    if not rows:
        return Table(path, encoding, newline, dialect, 0, Columns([0], None, False, True), None)
    is_tsv = dialect.delimiter == "\t"
    try:
        if not (
            dialect.quoted or config.header == "yes" or is_header(rows[0], config, needs_label)
        ):
            rows = _cut_alike(rows, dialect.delimiter, config)
        columns = find_columns(rows[0], rows[1:], config, needs_label, is_tsv)
    except UserError as error:
        raise UserError(f"{path}:{1 + dialect.skipped}: {error}") from error
    names = rows[0] if columns.header else None
    return Table(path, encoding, newline, dialect, len(rows[0]), columns, names)


def _cut_alike(rows: list[list[str]], delimiter: str, config: FileConfig) -> list[list[str]]:
    """Gives rows that differ in width the same one: the rest of a line belongs to its last cell.

    So the text of `label<TAB>text` may hold tabs.
    """
    widths = set(map(len, rows))
    if len(widths) == 1 and len(rows) > 1:
        return rows
    width = 2 if is_default(config) else min(widths)
    return [[*row[: width - 1], delimiter.join(row[width - 1 :])] for row in rows]


def quoted_lines(path: str, encoding: str, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yields (line that it starts on, row) of a csv file for each row that is not empty.

    Args:
      path: the file.
      encoding: its encoding.
      dialect: how it is written.

    Raises:
      UserError: a quote is never closed, or broken; or a row is too long.
    """
    csv.field_size_limit(MAX_LINE)
    size = 0  # characters of the row so far
    start = 1 + dialect.skipped

    def lines() -> Iterator[str]:
        nonlocal size
        for number, line in numbered_lines(path, "", encoding):
            if number <= dialect.skipped:
                continue
            size += len(line)
            if size > MAX_LINE:
                raise UserError(f"{path}:{start}: the record is over {MAX_LINE:,} characters")
            yield line

    reader = csv.reader(
        lines(), delimiter=dialect.delimiter, strict=True, skipinitialspace=dialect.skips_space
    )
    try:
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1 + dialect.skipped
            size = 0
    except csv.Error as error:
        raise UserError(_broken(path, encoding, dialect, start, str(error))) from error


def _broken(path: str, encoding: str, dialect: Dialect, start: int, error: str) -> str:
    """What is wrong with the row that starts on a line: where the quote opens that is to blame."""
    ends = []  # of the lines, as positions in the row
    row = ""
    for number, line in numbered_lines(path, "", encoding):
        if number >= start:
            row += line
            ends.append(len(row))
            if len(row) > MAX_LINE:
                break
    option = "--format=tsv"
    if dialect.delimiter != "\t":
        option += f" {shlex.quote(f'--delimiter={dialect.delimiter}')}"
    advice = f"{option} reads quotes as plain characters"
    end_of_cell = re.compile(rf"[{re.escape(dialect.delimiter)}\r\n]|\Z")
    position = 0
    while position < len(row):
        while dialect.skips_space and row[position : position + 1] == " ":
            position += 1
        if row[position : position + 1] == '"':
            opened = start + bisect.bisect_right(ends, position)
            cell = _QUOTED_CELL.match(row, position)
            if cell is None:
                return f"{path}:{opened}: a quote that opens here is never closed; {advice}"
            position = cell.end()
            if row[position : position + 1] not in ("", dialect.delimiter, "\r", "\n"):
                closed = start + bisect.bisect_right(ends, position - 1)
                where = "" if closed == opened else f" in line {closed}"
                return (
                    f"{path}:{opened}: broken csv: a quote inside the quotes that open here is not "
                    f"doubled{where}; {advice}"
                )
        end = end_of_cell.search(row, position)
        position = end.end() if end else len(row)
    return f"{path}:{start}: broken csv ({error}); {advice}"


def _joined(row: list[str], texts: list[int]) -> str:
    """The texts of several columns as one, with spaces between; empty ones leave none."""
    return " ".join([row[index] for index in texts if row[index]])


def table_reading(table: Table, file_format: str) -> str:
    """How a table is read, where the first release did not read it so."""
    usual = Dialect("\t", False) if file_format == "tsv" else Dialect(",", True)
    parts = [] if table.dialect == usual else [f"{table.dialect.delimiter}{table.dialect[1:]}"]
    if (table.names is None) != (file_format == "tsv"):
        parts.append("header" if table.names else "no header")
    return "".join(f" {part}" for part in parts)
