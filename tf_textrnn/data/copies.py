"""Finds texts that are copies of one another: those of the same tokens in the same order."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from tf_textrnn.data.batches import Split
from tf_textrnn.data.corpus import Corpus

_MULTIPLIER = 0x9E3779B97F4A7C15  # odd: 2**64 over the golden ratio (Knuth, TAOCP 3, 6.4)
_CHUNK_TOKENS = 1 << 20


def text_hashes(corpus: Corpus) -> np.ndarray:
    """Returns uint64[texts], equal for texts of the same tokens, in whatever corpus they stand.

    The hash of a text is Σ hash(token) · m^position modulo 2^64, a polynomial in m as of Karp and
    Rabin, 1987; that of a text without a token is 0.
    """
    digests = (hashlib.blake2b(token, digest_size=8).digest() for token in corpus.types)
    of_type = np.frombuffer(b"".join(digests), np.uint64)
    longest = int(np.diff(corpus.offsets).max(initial=0))
    powers = np.cumprod(np.full(longest, _MULTIPLIER, np.uint64))
    hashes = np.zeros(len(corpus), np.uint64)
    for first, last in _chunks(corpus.offsets):
        offsets = corpus.offsets[first : last + 1]
        positions = np.arange(offsets[0], offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
        products = of_type[corpus.type_ids[offsets[0] : offsets[-1]]] * powers[positions]
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(products, dtype=np.uint64)])
        ends = offsets - offsets[0]
        hashes[first:last] = sums[ends[1:]] - sums[ends[:-1]]
    return hashes


def _chunks(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields (first, last) of runs of texts with some `_CHUNK_TOKENS` tokens, to bound memory."""
    first = 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + _CHUNK_TOKENS))
        last = min(max(last, first + 1), len(offsets) - 1)
        yield first, last
        first = last


class Copies:
    """The copies among the texts of some splits; a text without a token has none.

    A text is named by its number, the splits end to end.

    Args:
      splits: the first one is the texts to train on.
    """

    def __init__(self, splits: Sequence[Split]):
        self._splits = splits
        self._ends = np.cumsum([len(split) for split in splits])
        corpora = {id(split.corpus): split.corpus for split in splits}
        of_corpus = {key: text_hashes(corpus) for key, corpus in corpora.items()}
        hashes = np.concatenate([of_corpus[id(split.corpus)][split.rows] for split in splits])
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        is_copy = np.append(False, hashes[1:] == hashes[:-1]) & (hashes != 0)
        starts = np.flatnonzero(~is_copy)
        found = np.flatnonzero(is_copy)
        firsts = order[starts[np.searchsorted(starts, found) - 1]]
        copies = order[found]
        by_place = np.lexsort((copies, firsts))
        self._pairs = np.stack([firsts, copies], axis=1)[by_place]

    @property
    def num_measured(self) -> int:
        """Number of the texts that are not to train on."""
        return int(self._ends[-1] - self._ends[0])

    def in_two_splits(self) -> np.ndarray:
        """Returns int64[pairs, 2], texts that stand earlier in another split: there, and here."""
        split_of = np.searchsorted(self._ends, self._pairs, "right")
        return self._pairs[split_of[:, 0] != split_of[:, 1]]

    def with_two_labels(self) -> np.ndarray:
        """Returns int64[pairs, 2], texts that stand under another label too: the first of each."""
        labels = self._labels(self._pairs)
        pairs = self._pairs[labels[:, 0] != labels[:, 1]]
        _, of_text = np.unique(pairs[:, 0], return_index=True)
        return pairs[of_text]

    def texts(self, pair: np.ndarray) -> list[tuple[Corpus, int]]:
        """Returns (corpus, index in it) of both texts of a pair."""
        found = []
        for text in pair.tolist():
            part = int(np.searchsorted(self._ends, text, "right"))
            split = self._splits[part]
            index = text - int(self._ends[part]) + len(split)
            found.append((split.corpus, int(split.rows[index])))
        return found

    def _labels(self, texts: np.ndarray) -> np.ndarray:
        """Returns int32 of the shape of `texts`, equal where their labels are."""
        numbers: dict[str, int] = {}
        labels = np.zeros(texts.shape, np.int32)
        first = 0
        for split, end in zip(self._splits, self._ends, strict=True):
            names = split.corpus.label_names
            of_name = np.array([numbers.setdefault(name, len(numbers)) for name in names])
            is_here = (first <= texts) & (texts < end)
            labels[is_here] = of_name[split.corpus.labels[split.rows[texts[is_here] - first]]]
            first = end
        return labels
