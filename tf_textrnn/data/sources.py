"""Labeled texts of files, checked, with a fingerprint; an error names the file and the line."""

import dataclasses
import hashlib
import pathlib
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.readers import open_file

MAX_LABEL = 1_000  # characters


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
      notes: what a user should be told of it, each a line; complete after a pass.
    """

    name: str
    fingerprint: str
    read: Callable[[], Iterator[Example]]
    notes: list[str] = dataclasses.field(default_factory=list)


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
    opened = open_file(path, config, flag, needs_label=True)

    def check_unchanged() -> None:
        if _stamp(path) != stamp:
            raise UserError(f"{path}: it was changed while it was in use; start again")

    def read() -> Iterator[Example]:
        check_unchanged()
        count = 0
        for (label,), text, line, _ in opened.records():
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

    columns = f"{config.text_column} {config.label_column}"
    return Source(path, f"{digest.hexdigest()} {opened.format} {columns}", read, opened.notes)


def _stamp(path: str) -> tuple[int, ...]:
    """Returns numbers that change when the file does."""
    try:
        status = pathlib.Path(path).stat()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    return status.st_ino, status.st_size, status.st_mtime_ns
