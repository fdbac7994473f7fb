"""Counts the n-grams of the training texts, and adds what earlier texts had."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.batches import Split
from tf_textrnn.network.ngrams import ngram_keys

MAX_NGRAMS = 500_000
MAX_WEIGHTS = 100_000_000  # n-grams × classes; fewer n-grams where the classes are many
MAX_COUNTED = 20_000_000  # n-grams counted; of a larger split, evenly spaced texts are
_TEXTS = 1_024  # counted at a time


class Ngrams(NamedTuple):
    """N-grams and how many texts hold them, earlier texts among them.

    Attributes:
      keys: int64[n-grams], ascending.
      counts: float32[n-grams, classes + 1], the texts of each class that hold it, then all.
      shares: float32[classes], share of each class in the sum of the counts.
      text_shares: float32[classes], share of the texts that are of each class.
      held: float32[n-grams], share of the training texts, without earlier ones, that hold it.
    """

    keys: np.ndarray
    counts: np.ndarray
    shares: np.ndarray
    text_shares: np.ndarray
    held: np.ndarray


class EarlierTexts(NamedTuple):
    """What is known of texts that an earlier training has counted.

    Attributes:
      keys: int64[n-grams], ascending.
      counts: float32[n-grams, classes + 1], the texts of each class that hold it, then all.
      of_class: float32[classes], the texts of each class.
      num_texts: number of texts.
    """

    keys: np.ndarray
    counts: np.ndarray
    of_class: np.ndarray
    num_texts: int

    @classmethod
    def none(cls, num_classes: int) -> "EarlierTexts":
        """There are no such texts."""
        counts = np.zeros((0, num_classes + 1), np.float32)
        return cls(np.zeros(0, np.int64), counts, np.zeros(num_classes, np.float32), 0)


def keys_of_more_tokens(
    keys: np.ndarray, order: int, vocab_size: int, larger_size: int
) -> np.ndarray:
    """Numbers n-grams as `ngram_keys` does with more token ids; an ascending order stays one.

    Args:
      keys: int64[n-grams], as `ngram_keys` numbers them with `vocab_size`.
      order: tokens of the longest n-gram.
      vocab_size: different token ids.
      larger_size: as many or more, of which the first have the same meaning.

    Returns:
      int64[n-grams].
    """
    found, left = np.zeros_like(keys), keys
    for place in range(order):  # a key is a number whose digits are token ids, the last one first
        left, token_ids = np.divmod(left, vocab_size)
        found += token_ids * larger_size**place
    return found


def counted_texts(split: Split, order: int) -> np.ndarray:
    """Returns int64[texts], indices of the texts whose n-grams are counted: all, if not too many.

    Args:
      split: the training texts.
      order: tokens of the longest n-gram.
    """
    stride = max(1, -(-int(split.lengths.sum()) * order // MAX_COUNTED))
    return np.arange(0, len(split), stride)


def count_ngrams(
    split: Split,
    order: int,
    vocab_size: int,
    num_classes: int,
    earlier: EarlierTexts | None = None,
) -> Ngrams:
    """Counts the n-grams of the texts, the most frequent ones where there are too many.

    Args:
      split: the training texts.
      order: tokens of the longest n-gram; 0 counts none.
      vocab_size: different token ids.
      num_classes: classes.
      earlier: texts whose counts are added; None = there are none.

    Raises:
      UserError: the n-grams are too many for 64-bit keys.
    """
    if vocab_size**order >= 2**63:
        raise UserError(
            f"flag --ngrams={order}: expected less with {vocab_size:,} token ids, or a smaller "
            f"--vocab_size"
        )
    earlier = earlier or EarlierTexts.none(num_classes)
    label_sets = split.label_sets(num_classes)
    texts_of_class = np.bincount(label_sets.indices, minlength=num_classes).astype(np.float32)
    texts_of_class += earlier.of_class
    num_texts = len(split) + earlier.num_texts
    # A class may have no text here, as where its only one is held out.
    text_shares = np.clip(texts_of_class, 0.5, max(num_texts - 0.5, 0.5)) / num_texts
    if not order:
        counts = np.zeros((0, num_classes + 1), np.float32)
        none = np.zeros(0, np.float32)
        return Ngrams(np.zeros(0, np.int64), counts, text_shares, text_shares, none)
    examples = counted_texts(split, order)
    found: list[np.ndarray] = []
    for start in range(0, len(examples), _TEXTS):
        batch = split.batch(examples[start : start + _TEXTS])
        keys = ngram_keys(batch.token_ids, order, vocab_size).numpy()
        found.extend(np.unique(text[text > 0]) for text in keys)
    own_keys, own_texts = np.unique(np.concatenate(found), return_counts=True)
    keys = np.union1d(own_keys, earlier.keys)
    texts = np.zeros(len(keys), np.int64)
    texts[np.searchsorted(keys, own_keys)] = own_texts
    before = np.zeros(len(keys), np.int64)
    before[np.searchsorted(keys, earlier.keys)] = earlier.counts[:, -1]
    most = min(MAX_NGRAMS, MAX_WEIGHTS // num_classes)
    frequent = np.sort(np.argsort(-(texts + before), kind="stable")[:most])
    keys, texts = keys[frequent], texts[frequent]

    counts = np.zeros((len(keys), num_classes + 1), np.float32)
    counts[:, -1] = texts
    label_sets = label_sets[examples]
    for start in range(0, len(found), _TEXTS):
        part = found[start : start + _TEXTS]
        place, is_known = find_keys(keys, np.concatenate(part))
        text = np.repeat(np.arange(len(part)), [len(text) for text in part])[is_known]
        ones = np.ones(len(text), np.float32)
        holds = sparse.csr_array((ones, (place[is_known], text)), (len(keys), len(part)))
        of_class = (holds @ label_sets[start : start + _TEXTS]).tocoo()
        counts[of_class.row, of_class.col] += of_class.data
    held = counts[:, -1] / len(examples)
    place, is_known = find_keys(keys, earlier.keys)
    counts[place[is_known]] += earlier.counts[is_known]
    sums = counts.sum(axis=0, dtype=np.float64)
    least = 0.5 / num_texts
    shares = np.clip(sums[:-1] / max(sums[-1], 1.0), least, 1.0 - least).astype(np.float32)
    return Ngrams(keys, counts, shares, text_shares, held)


def find_keys(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns int64[wanted], their places among ascending keys, and bool[wanted], who is there."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted
