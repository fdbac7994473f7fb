"""Finds texts that are copies of one another: those of the same tokens in the same order."""

import itertools
from collections.abc import Sequence

import numpy as np

from tf_textrnn.data.batches import Split
from tf_textrnn.data.corpus import Corpus


class Copies:
    """The copies among the texts of some splits; a text without a token has none.

    A text is named by its number, the splits end to end.

    Args:
      splits: the first one is the texts to train on.
    """

    def __init__(self, splits: Sequence[Split]):
        self._splits = splits
        self._ends = np.cumsum([len(split) for split in splits])
        hashes = np.concatenate([split.corpus.text_hashes[split.rows] for split in splits])
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
        numbers: dict[frozenset[str], int] = {}
        labels = np.zeros(texts.shape, np.int32)
        first = 0
        for split, end in zip(self._splits, self._ends, strict=True):
            corpus = split.corpus
            is_here = (first <= texts) & (texts < end)
            rows = split.rows[texts[is_here] - first]
            found, offsets = corpus.label_sets(rows)
            names = [corpus.label_names[label] for label in found.tolist()]
            labels[is_here] = [
                numbers.setdefault(frozenset(names[start:stop]), len(numbers))
                for start, stop in itertools.pairwise(offsets.tolist())
            ]
            first = end
        return labels
