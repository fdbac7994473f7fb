"""How a table is written: what separates its columns, and whether quotes enclose cells."""

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.columns import names_columns

DELIMITERS = ("\t", ",", ";", "|")
NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_SEPARATOR_LINE = re.compile(r'("?)sep=([^"\r\n])\1[\r\n]*', re.IGNORECASE)


class Dialect(NamedTuple):
    """How a table is written.

    Attributes:
      delimiter: the character between columns.
      quoted: whether quotes enclose cells, as csv has it; else they are plain characters, and a
        line is a row.
      skips_space: whether blanks after a delimiter are no part of a cell.
      skipped: number of lines before the table.
    """

    delimiter: str
    quoted: bool
    skips_space: bool = False
    skipped: int = 0


def find_dialect(
    lines: list[str], is_whole: bool, hint: str, config: FileConfig, needs_label: bool
) -> Dialect | None:
    """Finds how a table is written from its first lines; None where they are no table.

    Args:
      lines: the first lines, with their ends.
      is_whole: whether they are the whole file.
      hint: the format that the file's name says: tsv, csv or another.
      config: the delimiter, the format and the columns, as far as they are asked for.
      needs_label: whether texts have labels; else lines are only a table where that is plain.

    Raises:
      UserError: the flag --delimiter is no single character.
    """
    asked = _asked_delimiter(config) or ("\t" if config.format == "tsv" else "")
    separator_line = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    if separator_line:
        asked = asked or separator_line[2]
        lines = lines[1:]
    hinted = asked or {"tsv": "\t", "csv": ","}.get(hint, "")
    tried = [asked] if asked else sorted(DELIMITERS, key=lambda one: one != hinted)
    ranks = [_rank(lines, one, config, needs_label, hinted) for one in tried]
    if min(ranks) < _NO_TABLE:
        delimiter = tried[ranks.index(min(ranks))]
    elif hinted:
        delimiter = hinted
    else:
        return None
    quoted = config.format == "csv" or (
        config.format != "tsv" and (delimiter != "\t" or _are_quotes_csv("".join(lines), is_whole))
    )
    first = _first_row(lines, delimiter)
    skips_space = (
        quoted
        and len(first) > 1
        and all(cell.startswith(" ") for cell in first[1:])
        and is_header(first, config, needs_label)
    )
    return Dialect(delimiter, quoted, skips_space, 1 if separator_line else 0)


def has_header(lines: list[str], config: FileConfig, needs_label: bool) -> bool:
    """Whether a first line names the columns that are asked for, with any delimiter."""
    return any(is_header(_first_row(lines, one), config, needs_label) for one in DELIMITERS)


def rows_of_sample(lines: list[str], dialect: Dialect) -> list[list[str]]:
    """Returns the rows of the first lines of a table, without those that are empty.

    Args:
      lines: the first lines, with their ends.
      dialect: how the table is written.
    """
    lines = lines[dialect.skipped :]
    if dialect.quoted:
        return list(_cells(lines, dialect.delimiter, dialect.skips_space))
    stripped = (line.rstrip("\r\n") for line in lines)
    return [line.split(dialect.delimiter) for line in stripped if line]


_NO_TABLE = 2


def _rank(
    lines: list[str], delimiter: str, config: FileConfig, needs_label: bool, hinted: str
) -> int:
    """How well a delimiter fits: 0 = its header names the columns, 1 = it fits, else 2."""
    first = _first_row(lines, delimiter)
    if (len(first) > 1 or hinted) and is_header(first, config, needs_label):
        return 0
    full = [line for line in lines if line.strip("\r\n")]
    is_table = needs_label or bool(hinted)
    if delimiter == "\t":
        if hinted == "\t" and "\t" in "".join(full[:1]):
            return 1
        if all("\t" in line for line in full) and (is_table or len(full) > 1):
            return 1
    widths = {len(row) for row in _cells(lines, delimiter)}
    return 1 if is_table and len(widths) == 1 and widths != {1} else _NO_TABLE


def _first_row(lines: list[str], delimiter: str) -> list[str]:
    return next(_cells(lines, delimiter), [])


def is_header(first: list[str], config: FileConfig, needs_label: bool) -> bool:
    """Whether a first line names the columns that are asked for."""
    if config.header == "no":
        return False
    try:
        return names_columns(first, config, needs_label)
    except UserError:  # two columns have a name that is asked for, which is told later
        return True


def _cells(lines: list[str], delimiter: str, skips_space: bool = False) -> Iterator[list[str]]:
    """Yields the rows that csv finds in the first lines of a file, but a last one that is cut."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=skips_space)
    try:
        for row in reader:
            if row:
                yield row
    except csv.Error:
        return


def _asked_delimiter(config: FileConfig) -> str:
    if config.delimiter == "auto":
        return ""
    delimiter = NAMES.get(config.delimiter.lower(), config.delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise UserError(
            f"--delimiter={config.delimiter}: expected one character, {' or '.join(NAMES)}"
        )
    return delimiter


_NUMBER = re.compile(r"[+-]?[0-9.]*(?:[eE][+-]?[0-9]+)?")
_TAB_FIELD = re.compile(
    r'(?:"(?P<quoted>[^"]*(?:""[^"]*)*)"|(?P<bare>[^"\t\r\n][^\t\r\n]*|))(?P<end>\t|\r?\n|\Z)'
)


def _are_quotes_csv(sample: str, is_whole: bool) -> bool:
    """Whether quotes in a tab-separated table stand exactly as a program that writes csv puts them.

    Such a program encloses all cells in quotes, or all that are no numbers, or those that hold a
    quote, a tab or an end of a line, spreadsheets also those with a comma; and it doubles quotes
    inside. People do not: with them a quote is a plain character.
    """
    if '"' not in sample:
        return False
    bare: set[int] = set()  # columns with a cell that is not enclosed
    needless: set[int] = set()  # columns with a cell that is, and needs not
    has_bare_words = has_bare_comma = has_quoted_comma = False
    widths: set[int] = set()
    column = position = 0
    while position < len(sample):
        match = _TAB_FIELD.match(sample, position)
        if match is None:
            rest = sample[position:]
            if is_whole or rest[0] != '"' or '"' in rest[1:].replace('""', ""):
                return False
            break  # the quote may close after the sample
        quoted, text = match["quoted"], match["bare"]
        if quoted is None:
            if '"' in text:
                return False
            bare.add(column)
            has_bare_words = has_bare_words or not _NUMBER.fullmatch(text)
            has_bare_comma = has_bare_comma or "," in text
        elif not any(character in quoted for character in '"\t\r\n'):
            if "," in quoted:
                has_quoted_comma = True
            else:
                needless.add(column)
        position = match.end()
        if match["end"] == "\t":
            column += 1
        else:
            widths.add(column)
            column = 0
    if len(widths) > 1 or (has_bare_comma and has_quoted_comma):
        return False
    return not needless or not (bare & needless or has_bare_words)
