"""Counts how often each type of a corpus occurs in some of its texts."""

import numpy as np

from tf_textrnn.data.corpus import Corpus


def count_types(corpus: Corpus, rows: np.ndarray, max_len: int) -> np.ndarray:
    """Counts how often each type occurs in the first `max_len` tokens of some texts.

    Args:
      corpus: the corpus that holds the texts.
      rows: int[texts], their indices in the corpus.
      max_len: maximum number of tokens of a text that count.

    Returns:
      int64[types].
    """
    counts = np.zeros(len(corpus.types), np.int64)
    starts = corpus.offsets[rows]
    lengths = np.minimum(corpus.offsets[rows + 1] - starts, max_len)
    chunk = 4_096  # texts at a time, to bound the memory
    for first in range(0, len(rows), chunk):
        part = lengths[first : first + chunk]
        # The positions of all tokens of these texts, end to end.
        before = np.repeat(np.cumsum(part) - part, part)
        positions = np.repeat(starts[first : first + chunk], part) - before
        positions += np.arange(len(before))
        counts += np.bincount(corpus.type_ids[positions], minlength=len(counts))
    return counts
