"""Labeled texts of files, checked, with a fingerprint; an error names the file and the line."""

import dataclasses
import functools
import glob
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import DataConfig, FileConfig
from tf_textrnn.data.containers import stored_at
from tf_textrnn.data.label_counts import LabelCounts
from tf_textrnn.data.readers import OpenFile, Record, open_file, place_name
from tf_textrnn.data.texts import folder_files
from tf_textrnn.data.weights import text_weigher

_SHOWN_PLACES = 5


class Example(NamedTuple):
    """A labeled text and where it stands; `Source.place` says that in words.

    Attributes:
      label: its label; of a set, the first one; "" where it has none.
      text: the text.
      line: the line it starts on, from 1; in a folder, its file's number; 0 if there is no file.
      file: the index of its file in `Source.files`.
      others: the other labels of a set.
      weight: how much it counts in the training loss, beside the other texts.
    """

    label: str
    text: str
    line: int = 0
    file: int = 0
    others: tuple[str, ...] = ()
    weight: float = 1.0

    @property
    def labels(self) -> tuple[str, ...]:
        """All of its labels."""
        return (self.label, *self.others) if self.label else ()


_Text = TypeVar("_Text", Record, Example)


def chunks_of_texts(
    texts: Iterable[_Text], num_texts: int, num_characters: int
) -> Iterator[list[_Text]]:
    """Yields the texts in lists, each ended by so many texts or characters."""
    chunk: list[_Text] = []
    characters = 0
    for one in texts:
        chunk.append(one)
        characters += len(one.text)
        if len(chunk) == num_texts or characters >= num_characters:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


@dataclasses.dataclass(frozen=True)
class Source:
    """The labeled texts of one split.

    Attributes:
      name: name of the file or data set, for messages.
      fingerprint: string that changes whenever the examples do.
      read: function that starts a new pass over the examples.
      notes: returns what a user should be told of it, each a line; complete after a pass.
      first_notes: those of the notes that were known before any pass.
      files: the files; none for texts that come from elsewhere.
      read_sets: as `read`, of texts that each have a set of labels; its argument says whether one
        that the file leaves unlabeled has none of them. None = `read` does that.
    """

    name: str
    fingerprint: str
    read: Callable[[], Iterator[Example]]
    notes: Callable[[], list[str]] = list
    first_notes: tuple[str, ...] = ()
    files: tuple[OpenFile, ...] = ()
    read_sets: Callable[[bool], Iterator[Example]] | None = None

    def with_sets(self, takes_unlabeled: bool) -> "Source":
        """The source of the same texts, each of which has a set of labels.

        Args:
          takes_unlabeled: whether a text that the file leaves unlabeled, and does not give an empty
            list, has none of the labels; else it is refused, or passed over.
        """
        read = functools.partial(self.read_sets, takes_unlabeled) if self.read_sets else self.read
        fingerprint = f"{self.fingerprint}\nsets"
        return dataclasses.replace(self, fingerprint=fingerprint, read=read, read_sets=None)

    def place(self, line: int, file: int) -> str:
        """Where a text stands, for messages, by what its example says; else the source's name."""
        return self.files[file].place_name(line) if self.files else place_name(self.name, line)


def file_source(path: str, config: FileConfig, flag: str) -> Source:
    """Returns the source of the labeled texts of one file or several.

    Args:
      path: a file, several with commas between or with `*` and the like, a folder with a folder of
        texts for each label, or `-` for standard input.
      config: how files are read.
      flag: flag that named the files, for errors.

    Raises:
      UserError: a file is missing or unreadable, or it cannot be told how it is read. Reading the
        source raises it for a line that is not a labeled text, for texts without a label unless
        they are passed over, and for labels to train on that look like texts or numbers of rows.
    """
    files = open_files(path, config, flag, needs_label=True)
    paths = [file.name for file in files]
    name = paths[0] if len(paths) == 1 else path
    stamps = [_stamp(one, flag) for one in paths]
    first_notes = tuple(note for file in files for note in file.notes)
    passed_over: dict[str, str] = {}  # by file, a note
    weight_column = config.weight_column if flag == "train_file" else ""

    def check_unchanged(one: str, stamp: object) -> None:
        if _stamp(one, flag) != stamp:
            raise UserError(f"{one}: it was changed while it was in use; start again")

    def read(has_sets: bool, takes_unlabeled: bool) -> Iterator[Example]:
        takes_unlabeled &= not config.skip_unlabeled
        counts = LabelCounts(name, config.label_column)
        for number, (one, stamp, file) in enumerate(zip(paths, stamps, files, strict=True)):
            check_unchanged(one, stamp)
            unlabeled: list[int] = []  # the first places
            num_unlabeled = 0
            weigh = text_weigher(file, weight_column) if weight_column else None
            for labels, text, place, cells, is_list in file.records():
                weight = 1.0
                if weigh:
                    try:
                        weight = weigh(cells)
                    except ValueError as error:
                        raise UserError(f"{file.place_name(place)}: {error}") from error
                if len(labels) == 1 or (has_sets and labels):
                    for label in labels:
                        counts[label] += 1
                    yield Example(labels[0], text, place, number, labels[1:], weight)
                elif labels:
                    raise UserError(
                        f"{file.place_name(place)}: {len(labels)} labels "
                        f"({', '.join(map(repr, labels))[:200]}); a text has exactly one with "
                        "--multi_label=false"
                    )
                elif has_sets and (is_list or takes_unlabeled):
                    yield Example("", text, place, number, weight=weight)
                else:
                    num_unlabeled += 1
                    if len(unlabeled) < _SHOWN_PLACES:
                        unlabeled.append(place)
            if unlabeled:
                what = _without_label(unlabeled, num_unlabeled)
                if not config.skip_unlabeled:
                    raise UserError(
                        f"{file.place_name(unlabeled[0])}: {what}; expected a label, or "
                        "--skip_unlabeled"
                    )
                passed_over[file.name] = f"{file.name}: passes over {what}"
            check_unchanged(one, stamp)
        if not counts:
            raise UserError(
                f"{name}: no labeled texts{'' if passed_over else '; the file is empty'}"
            )
        if flag == "train_file":  # a few texts to test on may well have a label each
            counts.check()
            if config.label_separator and not any(file.is_separated for file in files):
                raise UserError(
                    f"--label_separator={config.label_separator}: no label of {name} has it"
                )

    def notes() -> list[str]:
        said = [note for file in files for note in file.notes]
        return said + list(passed_over.values())

    columns = f"{config.text_column} {config.label_column}"
    if weight_column:
        columns += f" weight_column={weight_column}"
    prints = [
        f"{_digest(one, flag)} {file.format} {columns}{file.reading}"
        for one, file in zip(paths, files, strict=True)
    ]
    return Source(
        name, "\n".join(prints), functools.partial(read, False, False), notes, first_notes,
        tuple(files), functools.partial(read, True),
    )  # fmt: skip


def open_files(path: str, config: FileConfig, flag: str, needs_label: bool) -> list[OpenFile]:
    """Looks at one file or several; tables have the same columns.

    Args:
      path: as for `file_source`.
      config: how files are read.
      flag: flag that named the files, for errors.
      needs_label: as for `open_file`.

    Raises:
      UserError: a file is missing or unreadable, or it cannot be told how it is read; or tables
        differ in their columns.
    """
    files = [open_file(one, config, flag, needs_label) for one in _paths(path, flag)]
    for file in files[1:]:
        if file.header != files[0].header:
            raise UserError(
                f"--{flag}: {file.name} has other columns than {files[0].name}; expected the same"
            )
    return files


def is_there(path: str) -> bool:
    """Whether all files that a flag names exist; standard input always does."""
    try:
        return all(one == "-" or pathlib.Path(one).exists() for one in _paths(path, ""))
    except UserError:
        return False


def standard_input_flag(data: DataConfig) -> str:
    """The flag whose file is standard input, or a device, which no other process can read.

    Returns:
      Its name; empty where there is none.
    """
    for flag in ("train_file", "valid_file", "test_file"):
        paths = getattr(data, flag).split(",")
        if any(path == "-" or path.startswith(("/dev/", "/proc/")) for path in paths):
            return flag
    return ""


def _paths(path: str, flag: str) -> list[str]:
    """The files that a flag names: one, several with commas between, or with `*` and the like."""
    if path == "-" or pathlib.Path(path).exists():
        return [path]
    found = []
    for part in path.split(","):
        if part == "-" or not glob.has_magic(part) or pathlib.Path(part).exists():
            found.append(part)
            continue
        named = glob.glob(part, recursive=True)  # noqa: PTH207
        matches = sorted(one for one in named if pathlib.Path(one).is_file())
        if not matches:
            raise UserError(f"--{flag}={path}: no file is named like {part}")
        found += matches
    return found


def _contents(path: str, flag: str) -> list[pathlib.Path]:
    """The files whose bytes are the content of a path: itself, or those of a folder."""
    if pathlib.Path(path).is_dir():
        return [file for _, file in folder_files(path, flag)]
    return [pathlib.Path(stored_at(path))]


def _stamp(path: str, flag: str) -> list[tuple[str, int, int, int]]:
    """Returns what changes when a file or folder does."""
    try:
        stamp = []
        for file in _contents(path, flag):
            status = file.stat()
            stamp.append((file.name, status.st_ino, status.st_size, status.st_mtime_ns))
        return stamp
    except OSError as error:
        raise UserError(f"--{flag}={path}: {error.strerror}") from error


def _digest(path: str, flag: str) -> str:
    """Returns the SHA-256 of a file's bytes, or of the names and bytes of a folder's files."""
    digest = hashlib.sha256()
    try:
        is_folder = pathlib.Path(path).is_dir()
        for file in _contents(path, flag):
            if is_folder:
                name = f"{file.parent.name}/{file.name}/{file.stat().st_size}"
                digest.update(name.encode("utf-8", "surrogateescape"))
            with open(file, "rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise UserError(f"--{flag}={path}: {error.strerror}") from error
    return digest.hexdigest()


def _without_label(places: list[int], count: int) -> str:
    """Says how many texts have no label, and in which lines the first ones are."""
    texts = "a text" if count == 1 else f"{count:,} texts"
    lines = "line" if count == 1 else "lines"
    more = ", …" if count > len(places) else ""
    return f"{texts} without a label ({lines} {', '.join(map(str, places))}{more})"
