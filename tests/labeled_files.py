"""Writes small labeled files and reads them, for tests of the readers."""

import pathlib

import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.sources import Source, file_source


def source(path: pathlib.Path | str, content: str | bytes | None = None, **options) -> Source:
    """The source of a file, which is written first if there is content."""
    if content is not None:
        data = content.encode() if isinstance(content, str) else content
        pathlib.Path(path).write_bytes(data)
    return file_source(str(path), FileConfig(**options), "train_file")


def pairs(path: pathlib.Path | str, content: str | bytes | None = None, **options) -> list:
    """(label, text) of each example of a file."""
    return [example[:2] for example in source(path, content, **options).read()]


def notes(path: pathlib.Path, content: str | bytes, **options) -> list[str]:
    """What is said of a file once it has been read, without its folder."""
    found = source(path, content, **options)
    list(found.read())
    return [note.replace(f"{path.parent}/", "") for note in found.notes()]


def mistake(path: pathlib.Path | str, content: str | bytes | None = None, **options) -> str:
    """The error of a file, without its folder."""
    with pytest.raises(UserError) as error:
        pairs(path, content, **options)
    assert "\n" not in str(error.value)
    return str(error.value).replace(f"{pathlib.Path(path).parent}/", "")
