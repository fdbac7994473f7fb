"""Labels as files hold them: what stands for none, for several, and what cannot be one."""

import json
import re
from collections.abc import Callable, Iterator

from tf_textrnn.base.tables import MAX_LABEL, can_be_label

Cell = str | tuple[str, ...] | None  # what a file has for a text's labels; None = nothing
_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0+)?")


class LabelError(ValueError):
    """What is wrong with a label; the reader of a file adds the place."""


def check_label(label: str) -> None:
    r"""Raises a LabelError unless the label can be one.

    Letters, marks, blanks and joiners of any script are part of labels; control characters and ends
    of lines are not.

    Args:
      label: the label.

    Example:
      >>> check_label("می\u200cخواهم")
      >>> check_label("a\x1b[2J")
      Traceback (most recent call last):
      tf_textrnn.data.labels.LabelError: found 'a\x1b[2J'; expected no control ...
    """
    if not label.strip():
        raise LabelError("found an empty one; expected at least one character")
    if len(label) > MAX_LABEL:
        raise LabelError(
            f"found {len(label):,} characters ({label[:40]!r}…); expected at most {MAX_LABEL:,}"
        )
    if not can_be_label(label):
        raise LabelError(f"found {label[:40]!r}; expected no control character or end of a line")


class Labels(dict[Cell, tuple[str, ...]]):
    """The labels that each cell of a file stands for, found once a cell.

    Args:
      separator: what separates several labels; empty = a cell is one label; "json" = a cell is a
        JSON list.
      missing: labels that stand for none.
      cells: starts a pass over the cells of the whole file.

    Attributes:
      whole_number: a label such as 1.0 that is read as 1, since all are whole numbers; else empty.
      separates: whether a cell has held the separator.
    """

    def __init__(self, separator: str, missing: str, cells: Callable[[], Iterator[Cell]]):
        self._separator = separator
        self._missing = {name.strip() for name in missing.split(",")} | {""}
        self._cells = cells
        self._all_whole: bool | None = None
        self.whole_number = ""
        self.separates = False

    def __missing__(self, cell: Cell) -> tuple[str, ...]:
        labels = dict.fromkeys(self._label(name) for name in self._names(cell))
        if len(self) >= 1 << 16:  # a column of texts, taken for labels
            self.clear()
        self[cell] = found = tuple(labels)
        return found

    def _names(self, cell: Cell) -> list[str]:
        """The names in a cell, without those that stand for none."""
        if cell is None:
            return []
        if not isinstance(cell, str):
            names = list(cell)
        elif self._separator == "json" and cell.strip():
            names = _json_list(cell)
        else:
            names = cell.split(self._separator) if self._separator else [cell]
            self.separates |= len(names) > 1
        return [name for name in map(str.strip, names) if name not in self._missing]

    def _label(self, name: str) -> str:
        try:
            check_label(name)
        except LabelError as error:
            raise LabelError(f"{error}; is --label_column right?") from error
        if "\ufffd" in name:
            raise LabelError(
                f"found U+FFFD in {name[:40]!r}, which stands for bytes that cannot be read; "
                "expected --encoding"
            )
        match = _WHOLE.fullmatch(name)
        if match is None or not match[2]:
            return name
        if self._all_whole is None:
            self._all_whole = all(
                _WHOLE.fullmatch(other) for cell in self._cells() for other in self._names(cell)
            )
        if not self._all_whole:
            return name
        self.whole_number = self.whole_number or name
        return match[1]


def _json_list(cell: str) -> list[str]:
    try:
        names = json.loads(cell)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list):
        raise LabelError(f"expected a JSON list, found {cell[:40]!r}")
    return [name if isinstance(name, str) else json.dumps(name) for name in names]
