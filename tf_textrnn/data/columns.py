"""Which columns of a table hold the texts and the labels, and whether its first line names them."""

from typing import NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig


class Columns(NamedTuple):
    """Where a table has its texts and labels.

    Attributes:
      texts: positions of the columns of the text, from 0.
      label: position of the column of the label; None = the table has none.
      header: whether the first line names the columns.
      is_sure: whether that is certain.
    """

    texts: list[int]
    label: int | None
    header: bool
    is_sure: bool


def is_default(config: FileConfig) -> bool:
    """Whether no column is asked for by a flag."""
    default = FileConfig()
    return (config.text_column, config.label_column) == (default.text_column, default.label_column)


def has_numbers(config: FileConfig) -> bool:
    """Whether a column is asked for by its number."""
    return any(map(column_number, [*config.text_column.split(","), config.label_column]))


def find_name(name: str, names: list[str]) -> int | None:
    """Returns the position of a name, with case and blanks around it forgiven; None = not there.

    Raises:
      UserError: two positions have the name.
    """
    for form in (str, _folded):
        found = [index for index, other in enumerate(names) if form(other) == form(name)]
        if len(found) > 1:
            raise UserError(f"two columns are named {name!r}; expected one, or its number")
        if found:
            return found[0]
    return None


def text_names(text_column: str, names: list[str]) -> list[str]:
    """Returns the columns of the text that are asked for: one, or several with commas between."""
    if "," not in text_column or find_name(text_column, names) is not None:
        return [text_column]
    return [name.strip() for name in text_column.split(",")]


def names_columns(first: list[str], config: FileConfig, needs_label: bool) -> bool:
    """Whether a first line names all columns that are asked for by name."""
    asked = text_names(config.text_column, first)
    if needs_label:
        asked.append(config.label_column)
    named = [name for name in asked if not column_number(name)]
    return bool(named) and all(find_name(name, first) is not None for name in named)


def find_columns(
    first: list[str], rows: list[list[str]], config: FileConfig, needs_label: bool, is_tsv: bool
) -> Columns:
    """Finds the columns that are asked for.

    Without a header, two columns that no flag names are label and text.

    Args:
      first: the cells of the first line.
      rows: those of some lines after it.
      config: the columns and the header that are asked for.
      needs_label: whether there must be a column of labels.
      is_tsv: whether tabs separate the columns; such a table commonly has no header.

    Raises:
      UserError: a column is not there, or stands twice.
    """
    width = len(first)
    header = config.header == "yes" or (
        config.header == "auto" and names_columns(first, config, needs_label)
    )
    asked = [*text_names(config.text_column, first), config.label_column]
    is_plain = is_default(config) and not header and (is_tsv or config.header == "no")
    if is_plain and width == 1 and not needs_label:
        return Columns([0], None, False, True)
    if is_plain and width == 2:
        is_sure = config.header == "no" or any(row[:1] == first[:1] for row in rows)
        if is_sure or not any(_is_there(name, first, 0) for name in asked):
            return Columns([1], 0, False, is_sure)
    if not header and any(_is_there(name, first, 0) for name in asked):
        header = config.header == "auto"  # it names some; the error names the others
    names = first if header else []
    texts = [
        _position(name, names, first, "text_column", header)
        for name in text_names(config.text_column, names)
    ]
    label = None
    if needs_label or _is_there(config.label_column, names, width):
        label = _position(config.label_column, names, first, "label_column", header)
    is_sure = header or config.header == "no"
    if not is_sure and label is not None:
        is_sure = any(len(row) == width and row[label] == first[label] for row in rows)
    if not is_sure and not needs_label:
        raise UserError(
            f"cannot tell whether the first line, {shown(first)}, names the columns; expected "
            "--header=yes or --header=no"
        )
    return Columns(texts, label, header, is_sure)


def shown(cells: list[str]) -> str:
    """The cells of a line, for messages."""
    quoted = [repr(cell if len(cell) <= 40 else cell[:39] + "…") for cell in cells[:8]]
    return ", ".join(quoted) + (", …" if len(cells) > 8 else "")


def _folded(name: str) -> str:
    return name.strip().casefold()


def column_number(name: str) -> int:
    """The number that a column is asked for by; 0 = by name."""
    return int(name) if name.isdecimal() and len(name) < 7 else 0


def _is_there(name: str, names: list[str], width: int) -> bool:
    number = column_number(name)
    return number <= width if number else find_name(name, names) is not None


def _position(name: str, names: list[str], first: list[str], flag: str, header: bool) -> int:
    number = column_number(name)
    found = number - 1 if number else find_name(name, names)
    if found is not None and found < len(first):
        return found
    line = "the header has" if header else "the first line has"
    raise UserError(
        f"no column {name!r} (--{flag}); {line} {shown(first)}; expected --text_column and "
        "--label_column by name, or by number from 1"
    )
