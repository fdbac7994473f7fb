"""Which n-grams the linear part of a model knows, and where their weights start."""

import itertools
from typing import NamedTuple

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.batches import Split
from tf_textrnn.text import ngram_keys

MAX_NGRAMS = 500_000
MAX_WEIGHTS = 100_000_000  # n-grams × classes; fewer n-grams where the classes are many
MAX_COUNTED = 20_000_000  # n-grams that are looked at; of a larger split, evenly spaced texts
PRIOR_WEIGHT = 0.5  # of the log-count ratios at the start
_TEXTS = 1_024


class Ngrams(NamedTuple):
    """N-grams and their weights.

    Attributes:
      keys: int64[n-grams], ascending.
      log_count_ratios: float32[n-grams, classes], the weights' start.
    """

    keys: np.ndarray
    log_count_ratios: np.ndarray


def choose_ngrams(split: Split, order: int, vocab_size: int, num_classes: int) -> Ngrams:
    """The n-grams of the texts, the most frequent ones where there are too many.

    With n_fc the texts of class c that hold n-gram f, n_f those of all C classes and p_c the share
    of class c, the weight of f for c starts at half of

        log((n_fc + C p_c) / (n_f - n_fc + C (1 - p_c))) - log(p_c / (1 - p_c)).

    So C more texts, spread as the classes are, are taken to hold each n-gram; one whose texts
    spread likewise starts at 0, and a class is not favoured for its size. For two classes alike in
    size it is the ratio of Wang & Manning (2012) with one text added to each.

    Args:
      split: the training texts.
      order: tokens of the longest n-gram; 0 chooses none.
      vocab_size: different token ids.
      num_classes: classes.

    Raises:
      UserError: the n-grams are too many for 64-bit keys.
    """
    if vocab_size**order >= 2**63:
        raise UserError(
            f"flag --ngrams={order}: expected less with {vocab_size:,} token ids, or a smaller "
            f"--vocab_size"
        )
    if not order:
        return Ngrams(np.zeros(0, np.int64), np.zeros((0, num_classes), np.float32))
    stride = max(1, -(-int(split.lengths.sum()) * order // MAX_COUNTED))
    examples = np.arange(0, len(split), stride)
    found = []
    for start in range(0, len(examples), _TEXTS):
        batch = split.batch(examples[start : start + _TEXTS])
        keys = ngram_keys(batch.token_ids, order, vocab_size).numpy()
        found.append([np.unique(text[text > 0]) for text in keys])
    keys, texts = np.unique(np.concatenate(list(itertools.chain(*found))), return_counts=True)
    most = min(MAX_NGRAMS, MAX_WEIGHTS // num_classes)
    frequent = np.sort(np.argsort(-texts, kind="stable")[:most])
    keys, texts = keys[frequent], texts[frequent]

    counts = np.zeros((len(keys), num_classes), np.float32)
    classes = split.classes
    classes_looked_at = classes[examples]
    for part, start in zip(found, range(0, len(examples), _TEXTS), strict=True):
        part_keys = np.concatenate(part)
        place = np.minimum(np.searchsorted(keys, part_keys), len(keys) - 1)
        is_known = keys[place] == part_keys
        part_classes = classes_looked_at[start : start + len(part)]
        part_classes = np.repeat(part_classes, [len(text) for text in part])
        np.add.at(counts, (place[is_known], part_classes[is_known]), 1)
    texts_of_class = np.bincount(classes, minlength=num_classes).astype(np.float32)
    share = texts_of_class / len(split)
    added = num_classes * share
    ratios = np.log((counts + added) / (texts[:, None] - counts + num_classes - added))
    ratios -= np.log(share / (1 - share))
    return Ngrams(keys, (PRIOR_WEIGHT * ratios).astype(np.float32))
