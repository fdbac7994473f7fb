"""Tokenizes a source once, into memory-mapped files.

A corpus does not depend on a vocabulary. For each token it holds the index of its *type*: types are
the distinct tokens of the source, numbered in order of appearance. A type gets its token id later,
so one cached corpus serves every vocabulary size, text length, seed and split.

Windows can neither rename nor remove a file that is open or mapped. So a corpus is written and
checked with every file closed before its folder gets its name, and is mapped only afterwards.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import uuid
import zlib

import numpy as np
from scipy import sparse

from tf_textrnn.base import locks
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import read_lines, write_lines
from tf_textrnn.data.hashes import text_hashes
from tf_textrnn.data.quotes import QUOTE_CHARACTERS, Quotes
from tf_textrnn.data.sources import Source
from tf_textrnn.data.tokens import tokenized

VERSION = 1  # of the tokenization; raise it with every change, so that no run goes on with another
CACHE_VERSION = 5  # of the files; raise it with every change, so that no old cache is read
MAX_TYPES = 4_000_000  # new types beyond it count as one type, which no vocabulary holds
MAX_TYPE_BYTES = 1 << 30  # of all types together; new types beyond it count as that one too
MAX_TEXTS = 1 << 27
MAX_LABELS = 10_000
_SCRATCH_PREFIX = ".making-"
_FILES = (
    "type_ids", "lengths", "labels", "places", "files", "types.txt", "label_names.txt", "quotes",
    "quote_sizes", "notes.json", "label_counts", "weights",
)  # fmt: skip
_OVERFLOW_TYPE = b""  # type 0; neither tokenizer makes an empty token


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A tokenized source.

    Attributes:
      source: the source that was tokenized.
      fingerprint: hash of the source's content and of the tokenizer.
      types: the distinct tokens.
      label_names: the distinct labels.
      type_ids: int32[tokens], the index in `types` of each token, the texts end to end.
      offsets: int64[texts + 1], where each text starts in `type_ids`.
      labels: int32[labels of all texts], the index in `label_names` of each label, the texts end to
        end; where each text has one label that is int32[texts].
      places: int64[texts], the line on which each text starts in its file; in a folder, the number
        of its file; 0 without a file.
      files: int32[texts], the index of each text's file in `source.files`.
      quotes: the start of each text.
      notes: what a user should be told of the source, each a line.
      label_offsets: int64[texts + 1], where each text starts in `labels`; None = each has one.
      weights: float32[texts], how much each text counts in the training loss; None = all alike.
    """

    source: Source
    fingerprint: str
    types: list[bytes]
    label_names: list[str]
    type_ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    places: np.ndarray
    files: np.ndarray
    quotes: Quotes
    notes: tuple[str, ...] = ()
    label_offsets: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def label_sets(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The labels of some texts.

        Args:
          rows: int[n], indices of the texts.

        Returns:
          int32[labels of these texts], as in `labels`, and int64[n + 1], where each text starts.
        """
        if self.label_offsets is None:
            return self.labels[rows], np.arange(len(rows) + 1)
        starts = self.label_offsets[rows]
        counts = self.label_offsets[rows + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(counts)])
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)
        return self.labels[places], offsets

    def label_table(self, rows: np.ndarray, columns: np.ndarray, width: int) -> sparse.csr_array:
        """float32[texts, width], 1 for each label of a text, whether it has one or several.

        Args:
          rows: int[texts], indices of the texts.
          columns: int[label names], the column of each label.
          width: number of columns.
        """
        labels, offsets = self.label_sets(rows)
        ones = np.ones(len(labels), np.float32)
        return sparse.csr_array((ones, columns[labels], offsets), (len(rows), width))

    def labels_of(self, row: int) -> list[str]:
        """The labels of a text."""
        return [self.label_names[label] for label in self.label_sets(np.array([row]))[0]]

    @functools.cached_property
    def text_hashes(self) -> np.ndarray:
        """uint64[texts], equal for copies; see `data.hashes`."""
        return text_hashes(self.types, self.type_ids, self.offsets)

    def place_name(self, row: int) -> str:
        """Where a text stands: its file and line, or its number where it has no line."""
        if line := int(self.places[row]):
            return self.source.place(line, int(self.files[row]))
        return f"{self.source.name}, text {row + 1:,}"

    def short_place(self, row: int) -> str:
        """As `place_name`, without the name of the source, if that stands in front."""
        if not self.places[row]:
            return str(row + 1)
        return self.place_name(row).removeprefix(f"{self.source.name}:")


def open_corpus(source: Source, tokenizer: str, cache_dir: str) -> Corpus:
    """Returns a source's corpus from the cache, after making it if it is not there.

    Args:
      source: labeled texts.
      tokenizer: "word" or "char".
      cache_dir: folder of all cached corpora.

    Raises:
      UserError: the source has a mistake, or the cache cannot be written or locked.
    """
    key = f"{VERSION} {tokenizer} {source.fingerprint}"
    fingerprint = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    name = hashlib.sha256(f"{CACHE_VERSION} {fingerprint}".encode()).hexdigest()[:32]
    folder = pathlib.Path(cache_dir) / name
    corpus = _load(folder, source, fingerprint)
    if corpus is None:
        try:
            corpus = _make(folder, source, tokenizer, fingerprint)
        except OSError as error:
            raise UserError(
                f"--cache_dir={cache_dir}: cannot write the encoded texts ({error.strerror})"
            ) from error
        if corpus is None:
            raise UserError(f"{folder}: the corpus was just written but cannot be read back")
    return corpus


def _make(folder: pathlib.Path, source: Source, tokenizer: str, fingerprint: str) -> Corpus | None:
    """Makes the corpus in the cache; a lock admits one process of a user at a time.

    A scratch folder of this user found under the lock was left by a process that was killed. Users
    may share a cache, and none of them holds or removes what is another's; where two make the same
    corpus at once, the first one's stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    user = os.geteuid() if hasattr(os, "geteuid") else 0  # Windows calls every file's owner 0
    with locks.take(folder.parent / f".lock-{user}", wait=True):
        for leftover in folder.parent.glob(f"{_SCRATCH_PREFIX}*"):
            if leftover.stat().st_uid == user:  # a killed process's
                shutil.rmtree(leftover)
        corpus = _load(folder, source, fingerprint)
        if corpus is not None:  # made by another process meanwhile
            return corpus
        scratch = folder.parent / f"{_SCRATCH_PREFIX}{uuid.uuid4().hex}"
        scratch.mkdir()  # not by `tempfile`, whose folders no other user may read
        try:
            _write(scratch, source, tokenizer)
            if folder.exists() and _load(folder, source, fingerprint) is None:
                shutil.rmtree(folder)
            try:
                scratch.rename(folder)
            except OSError:
                if not folder.exists():  # else another user was faster
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return _load(folder, source, fingerprint)


def _write(folder: pathlib.Path, source: Source, tokenizer: str) -> None:
    """Writes the files of a corpus, and their checksums last."""
    types = {_OVERFLOW_TYPE: 0}
    label_ids: dict[str, int] = {}
    type_bytes = texts = 0
    label_counts: list[np.ndarray] = []  # int32[texts of a chunk]
    weights: list[np.ndarray] = []  # float32[texts of a chunk]
    with (
        open(folder / "type_ids", "wb") as type_ids,
        open(folder / "lengths", "wb") as lengths,
        open(folder / "labels", "wb") as labels,
        open(folder / "places", "wb") as places,
        open(folder / "files", "wb") as files,
        open(folder / "quotes", "wb") as quotes,
        open(folder / "quote_sizes", "wb") as quote_sizes,
    ):
        for tokens, token_counts, chunk in tokenized(source.read(), tokenizer):
            texts += len(chunk)
            if texts > MAX_TEXTS:
                raise UserError(f"{source.name}: over {MAX_TEXTS:,} texts")
            if len(types) < MAX_TYPES and type_bytes < MAX_TYPE_BYTES:
                known = len(types)
                ids = [types.setdefault(token, len(types)) for token in tokens.tolist()]
                new = itertools.islice(reversed(types), len(types) - known)
                type_bytes += sum(map(len, new))
            else:
                ids = [types.get(token, 0) for token in tokens.tolist()]
            np.array(ids, np.int32).tofile(type_ids)
            token_counts.astype(np.int32).tofile(lengths)
            names = [label for example in chunk for label in example.labels]
            for name in names:
                if label_ids.setdefault(name, len(label_ids)) == MAX_LABELS:
                    raise UserError(f"{source.name}: over {MAX_LABELS:,} different labels")
            np.array([label_ids[name] for name in names], np.int32).tofile(labels)
            weights.append(np.array([example.weight for example in chunk], np.float32))
            label_counts.append(np.array([len(example.labels) for example in chunk], np.int32))
            np.array([example.line for example in chunk], np.int64).tofile(places)
            np.array([example.file for example in chunk], np.int32).tofile(files)
            starts = [
                example.text[:QUOTE_CHARACTERS].encode("utf-8", "replace") for example in chunk
            ]
            quotes.writelines(starts)
            np.array([len(start) for start in starts], np.int32).tofile(quote_sizes)
    for name, parts in (("label_counts", label_counts), ("weights", weights)):
        values = np.concatenate(parts) if parts else np.zeros(0)
        values = values[:0] if (values == 1).all() else values  # empty where texts are alike
        values.tofile(folder / name)
    late = [note for note in source.notes() if note not in source.first_notes]
    notes = {"source": source.name, "notes": late}
    (folder / "notes.json").write_text(json.dumps(notes) + "\n", encoding="utf-8")
    write_lines(folder / "types.txt", list(types))
    write_lines(folder / "label_names.txt", [name.encode() for name in label_ids])
    checksums = {name: _checksum(folder / name) for name in _FILES}
    (folder / "manifest.json").write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")


def _load(folder: pathlib.Path, source: Source, fingerprint: str) -> Corpus | None:
    """Returns the cached corpus, or None if there is none or it is damaged."""
    try:
        checksums = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if checksums != {name: _checksum(folder / name) for name in _FILES}:
            return None
        lengths = np.fromfile(folder / "lengths", np.int32)
        label_counts = np.fromfile(folder / "label_counts", np.int32)
        weights = np.fromfile(folder / "weights", np.float32)
        return Corpus(
            source=source,
            fingerprint=fingerprint,
            types=read_lines(folder / "types.txt"),
            label_names=[name.decode() for name in read_lines(folder / "label_names.txt")],
            type_ids=_memory_map(folder / "type_ids"),
            offsets=_offsets(lengths),
            labels=_memory_map(folder / "labels"),
            places=_memory_map(folder / "places", np.int64),
            files=_memory_map(folder / "files"),
            quotes=Quotes(
                _memory_map(folder / "quotes", np.uint8), _memory_map(folder / "quote_sizes")
            ),
            notes=_notes(folder, source),
            label_offsets=_offsets(label_counts) if len(label_counts) else None,
            weights=weights if len(weights) else None,
        )
    except (OSError, ValueError, AttributeError):  # UserError is a ValueError
        return None


def _offsets(counts: np.ndarray) -> np.ndarray:
    """int64[n + 1], where each of n parts of these sizes starts, and the end of the last."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _notes(folder: pathlib.Path, source: Source) -> tuple[str, ...]:
    """The notes of a source, with those of the pass in which its corpus was made.

    The file may have had another name then.
    """
    made = json.loads((folder / "notes.json").read_text(encoding="utf-8"))
    then = f"{made['source']}: "
    late = [
        f"{source.name}: {note.removeprefix(then)}" if note.startswith(then) else note
        for note in made["notes"]
    ]
    return tuple(dict.fromkeys([*source.notes(), *late]))


def _memory_map(path: pathlib.Path, dtype: type = np.int32) -> np.ndarray:
    if path.stat().st_size == 0:  # an empty file, of texts without any token, cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, "r")


def _checksum(path: pathlib.Path) -> int:
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum
