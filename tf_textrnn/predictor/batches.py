"""Which texts are classified together: those of like length."""

import re
from collections.abc import Iterator, Sequence

import numpy as np

BATCH_TEXTS = 128
BATCH_BYTES = 1 << 19  # of a batch, each text counted as long as the longest
_WORD_OR_SIGN = re.compile(r"\w+|[^\w\s]")


def batches_of(texts: Sequence[str], encoded: Sequence[bytes]) -> Iterator[np.ndarray]:
    """The indices of each batch, those of most tokens first, and of most bytes where these tie.

    Args:
      texts: to be classified.
      encoded: the same in UTF-8.
    """
    sizes = np.array([len(text) for text in encoded], np.int64)
    order = np.lexsort((-sizes, -_guess_tokens(texts, sizes)))
    start = 0
    while start < len(order):
        batch = order[start : start + BATCH_TEXTS]
        longest = np.maximum.accumulate(sizes[batch])
        fits = longest * np.arange(1, len(batch) + 1) <= BATCH_BYTES
        size = max(1, int(fits.sum()))
        yield batch[:size]
        start += size


def _guess_tokens(texts: Sequence[str], sizes: np.ndarray) -> np.ndarray:
    """float64[texts]: what grows with the tokens of texts of these sizes in bytes.

    Words and signs, and what a text has of characters that take more than a byte, as Chinese does.
    """
    words = np.array([len(_WORD_OR_SIGN.findall(text)) for text in texts])
    characters = np.array([len(text) for text in texts])
    tokens: np.ndarray = words + (sizes - characters) / 2
    return tokens
