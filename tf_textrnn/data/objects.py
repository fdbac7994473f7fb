"""Reads files of objects with keys: JSON lines, a JSON array, Parquet."""

import codecs
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.columns import find_name, shown, text_names
from tf_textrnn.data.containers import stored_at
from tf_textrnn.data.encodings import MAX_LINE, numbered_lines, open_bytes
from tf_textrnn.data.labels import Cell
from tf_textrnn.data.tables import Row

_BATCH_ROWS = 4_096  # of a Parquet file in memory at a time
_BLOCK = 1 << 16  # bytes
ABSENT = object()


class Keys:
    """Takes text and label from objects by the keys that are asked for.

    Args:
      config: gives the keys; `a.b` is `b` inside `a`.
      may_lack_label: whether an object without the label's key is one without a label.
    """

    def __init__(self, config: FileConfig, may_lack_label: bool):
        self._config = config
        self._may_lack_label = may_lack_label
        self._texts = [config.text_column]

    def cells(self, record: dict[str, Any]) -> tuple[Cell, str]:
        """Returns the label, as it is written, and the text of an object.

        Raises:
          ValueError: a key is not there, or its value can be none; its text lacks the place.
        """
        config = self._config
        label = value_of(record, config.label_column)
        if label is ABSENT:
            if not self._may_lack_label:
                raise _missing(config.label_column, "label_column", record)
            label = None
        texts = [value_of(record, name) for name in self._texts]
        if ABSENT in texts:
            self._texts = text_names(config.text_column, list(record))
            texts = [value_of(record, name) for name in self._texts]
            if ABSENT in texts:
                raise _missing(self._texts[texts.index(ABSENT)], "text_column", record)
        if len(texts) == 1:
            return _label(label), _text(texts[0])
        return _label(label), " ".join(filter(None, map(_text, texts)))


def read_json_lines(path: str, encoding: str, keys: Keys) -> Iterator[Row]:
    """Yields the rows of a file with a JSON object a line.

    Raises:
      UserError: a line is no JSON object, or has not the keys that are asked for.
    """
    for number, line in numbered_lines(path, "\n", encoding):
        line = line.strip()
        if not line:
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{number}: broken JSON ({error})") from error
        yield _row(path, number, record, keys)


def read_json_array(path: str, encoding: str, keys: Keys) -> Iterator[Row]:
    """Yields the rows of a file that is one JSON array of objects; one is in memory at a time.

    Raises:
      UserError: the file is no such array, or an object has not the keys that are asked for.
    """
    decoder = json.JSONDecoder()
    blocks = text_blocks(path, encoding)
    buffer, position = "", 0
    line, counted = 1, 0  # the line in which the buffer is at `counted`

    def place() -> int:
        nonlocal line, counted
        line += buffer.count("\n", counted, position)
        counted = position
        return line

    def more() -> bool:
        """Reads on; the part of the buffer that is done is dropped."""
        nonlocal buffer, position, counted
        rest = buffer[position:]
        if len(rest) > MAX_LINE:
            raise UserError(f"{path}:{place()}: the object is over {MAX_LINE:,} characters")
        # Twice as much each time, so that a long object is not begun too often.
        parts = [rest]
        size = 0
        for block in blocks:
            parts.append(block)
            size += len(block)
            if size and size >= len(rest):
                break
        place()
        buffer, position, counted = "".join(parts), 0, 0
        return size > 0

    def next_character() -> str:
        nonlocal position
        while True:
            while position < len(buffer) and buffer[position] in " \t\r\n":
                position += 1
            if position < len(buffer):
                return buffer[position]
            if not more():
                return ""

    def broken(expected: str) -> UserError:
        found = repr(buffer[position : position + 20]) if position < len(buffer) else "the end"
        return UserError(f"{path}:{place()}: broken JSON: expected {expected}, found {found}")

    if next_character() != "[":
        raise broken("'['")
    position += 1
    is_first = True
    while next_character() != "]":
        if not is_first:
            if buffer[position : position + 1] != ",":
                raise broken("',' or ']'")
            position += 1
            next_character()
        is_first = False
        while True:
            try:
                record, end = decoder.raw_decode(buffer, position)
                break
            except (ValueError, RecursionError) as error:
                inside = getattr(error, "pos", position) - position
                if isinstance(error, RecursionError) or not more():
                    position += inside
                    what = getattr(error, "msg", error)  # its line is one of the buffer
                    raise UserError(f"{path}:{place()}: broken JSON ({what})") from error
        yield _row(path, place(), record, keys)
        position = end
    position += 1
    if next_character():
        raise broken("the end of the file")


def read_parquet(path: str, config: FileConfig, keys: Keys, keeps_cells: bool) -> Iterator[Row]:
    """Yields the rows of a Parquet file, numbered from 1.

    Args:
      path: the file.
      config: names the columns of label and text.
      keys: takes them from a row.
      keeps_cells: whether to read all columns; else the rows have no cells.

    Raises:
      UserError: pyarrow is not installed, or the file is broken or lacks a column.
    """
    number = 0
    with _opened_parquet(path) as file:
        names = file.schema_arrow.names
        columns = None if keeps_cells else _columns(path, names, config)
        for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
            for record in batch.to_pylist():
                number += 1
                label, text, _, _ = _row(path, number, record, keys)
                cells = list(map(_written, record.values())) if keeps_cells else None
                yield label, text, number, cells


def parquet_names(path: str) -> list[str]:
    """Returns the names of the columns of a Parquet file.

    Raises:
      UserError: pyarrow is not installed, the file is broken, or two columns have one name.
    """
    with _opened_parquet(path) as file:
        names = file.schema_arrow.names
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{path}: {count} columns are named {name!r}")
    return names


@contextlib.contextmanager
def _opened_parquet(path: str) -> Iterator[Any]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"{path}: a Parquet file, and pyarrow is not installed; pip install "
            "'tf_textrnn[formats]'"
        ) from error
    try:
        with parquet.ParquetFile(stored_at(path)) as file:
            yield file
    except UserError:
        raise
    except (ValueError, OSError) as error:  # ArrowInvalid is a ValueError
        raise UserError(f"{path}: broken Parquet data ({str(error).strip()})") from error


def _written(value: Any) -> str:
    """A value of a row as a table's cell."""
    if value is None:
        return ""
    if isinstance(value, (bool, int, float, list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _columns(path: str, names: list[str], config: FileConfig) -> list[str]:
    """Returns those columns of a Parquet file that are needed."""
    needed = []
    try:
        for name in [*text_names(config.text_column, names), config.label_column]:
            for outer in (name, name.split(".")[0]):
                found = find_name(outer, names)
                if found is not None:
                    needed.append(names[found])
                    break
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return needed


def _row(path: str, number: int, record: Any, keys: Keys) -> Row:
    if not isinstance(record, dict):
        found = json.dumps(record)
        raise UserError(f"{path}:{number}: expected a JSON object, found {found[:40]!r}")
    try:
        label, text = keys.cells(record)
    except ValueError as error:
        raise UserError(f"{path}:{number}: {error}") from error
    return label, text, number, record


def _missing(name: str, flag: str, record: dict[str, Any]) -> ValueError:
    return ValueError(f"no key {name!r} (--{flag}); the object has {shown(list(record))}")


def value_of(record: Any, name: str) -> Any:
    """The value of a key; of a key inside, with dots; case and blanks around it are forgiven."""
    value = record.get(name, ABSENT)
    if value is not ABSENT:
        return value
    found = find_name(name, list(record))
    if found is not None:
        return list(record.values())[found]
    outer, dot, inner = name.partition(".")
    value = value_of(record, outer) if dot else ABSENT
    return value_of(value, inner) if isinstance(value, dict) else ABSENT


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _clean(value)
    if value is None:
        return ""
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise ValueError(f"expected a string as the text, found {str(value)[:40]!r}")


def _label(value: Any) -> Cell:
    if isinstance(value, str):
        return value
    if value is None:
        return None
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, list) and all(isinstance(one, (str, bool, int, float)) for one in value):
        return tuple(one if isinstance(one, str) else json.dumps(one) for one in value)
    raise ValueError(
        f"expected a string, a number or a list of them as the label, found {str(value)[:40]!r}"
    )


def _clean(text: str) -> str:
    """A text without what has no UTF-8, a lone surrogate, and without NUL: both are legal JSON."""
    if text.isascii():
        return text if "\0" not in text else text.replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def text_blocks(path: str, encoding: str) -> Iterator[str]:
    """Yields the text of a file in blocks; invalid bytes and NULs become U+FFFD."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    with open_bytes(path) as file:
        text = decoder.decode(file.read(_BLOCK)).removeprefix("\ufeff")
        while text:
            yield text.replace("\0", "\ufffd")
            text = decoder.decode(file.read(_BLOCK))
        yield decoder.decode(b"", final=True)
