"""Reads files that are texts with marks: fastText, plain lines, a folder with a folder a label."""

import pathlib
import re
import tempfile
from collections.abc import Iterator

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.encodings import MAX_LINE, find_encodings, numbered_lines, open_bytes
from tf_textrnn.data.tables import Row

FASTTEXT_PREFIX = "__label__"
FASTTEXT_LABEL = re.compile(rf"(?:^|(?<=\s)){FASTTEXT_PREFIX}(\S*)")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SAMPLE = 1 << 18  # bytes from which the encoding of a folder's texts is told


def read_fasttext(path: str, encoding: str) -> Iterator[Row]:
    """Yields the rows of a file of fastText: each token with its prefix is a label, wherever."""
    for number, line in numbered_lines(path, "\n", encoding):
        line = line.rstrip("\r\n")
        if not line:
            continue
        if line.startswith(FASTTEXT_PREFIX) and FASTTEXT_PREFIX not in line[1:]:
            label, _, text = line.replace("\t", " ", 1).partition(" ")
            yield (label.removeprefix(FASTTEXT_PREFIX),), text, number, None
        else:
            labels = tuple(FASTTEXT_LABEL.findall(line))
            yield labels, FASTTEXT_LABEL.sub("", line).strip(), number, None


def read_lines(path: str, encoding: str) -> Iterator[Row]:
    """Yields the lines of a file as texts without labels."""
    for number, line in numbered_lines(path, "\n", encoding):
        yield None, line.rstrip("\r\n"), number, None


def folder_files(path: str, flag: str) -> list[tuple[str, pathlib.Path]]:
    """Returns (label, file) for each file of a folder that has a folder for each label, in order.

    Files beside the folders, and what is hidden, are no texts.

    Raises:
      UserError: there is no folder in it, or one in a label's folder.
    """
    found = []
    for label in _visible(pathlib.Path(path)):
        if not label.is_dir():
            continue
        for file in _visible(label):
            if file.is_dir():
                raise UserError(
                    f"--{flag}={path}: found the folder {file} inside the folder of a label; "
                    f"expected texts there, or is it --{flag}={label}?"
                )
            if file.is_file():
                found.append((label.name, file))
    if not found:
        raise UserError(
            f"--{flag}={path}: expected a file, or a folder that holds a folder of texts for each "
            "label"
        )
    return found


def _visible(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__")))
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from error


def read_folder(
    files: list[tuple[str, pathlib.Path]], encoding: str, notes: list[str]
) -> Iterator[Row]:
    """Yields a row for each file.

    Args:
      files: (label, file) for each.
      encoding: that of all; "auto" = UTF-8 where a text is that, else what the others are in.
      notes: is told the encoding that was found.
    """
    other = ""
    for number, (label, file) in enumerate(files, 1):
        content = _content(file)
        used = encoding
        if encoding == "auto":
            used = "utf-16" if content.startswith(_UTF16_MARKS) else "utf-8"
            if used == "utf-8" and not _is_utf8(content):
                if not other:
                    other = _other_encoding(files)
                    note = f"{file}: not UTF-8; read as {other} (--encoding to choose)"
                    if note not in notes:
                        notes.append(note)
                used = other
        text = content.decode(used, "replace").removeprefix("\ufeff").replace("\0", "\ufffd")
        yield label, text.rstrip("\r\n"), number, None


def _content(file: pathlib.Path) -> bytes:
    with open_bytes(str(file)) as stream:
        content = stream.read(MAX_LINE + 1)
    if len(content) > MAX_LINE:
        raise UserError(f"{file}: the text is over {MAX_LINE:,} bytes")
    return content


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _other_encoding(files: list[tuple[str, pathlib.Path]]) -> str:
    """The most plausible encoding of those files that are not UTF-8."""
    sample = b""
    for _, file in files:
        content = _content(file)
        if not content.startswith(_UTF16_MARKS) and not _is_utf8(content):
            sample += content + b"\n"
            if len(sample) > _SAMPLE:
                break
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "sample")
        path.write_bytes(sample)
        try:
            return find_encodings(str(path)).candidates[0]
        except UserError as error:
            raise UserError(
                f"{files[0][1].parent.parent}: not all texts are UTF-8, and it cannot be told what "
                "they are; expected --encoding"
            ) from error
