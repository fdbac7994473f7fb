"""What leaving a text out takes from the counts of its n-grams."""

import numpy as np
from scipy import sparse


class OwnCounts:
    """Of each text, the counts that it and its copies make: one a label, and one for the text.

    Args:
      classes: int[texts], the class of each text.
      num_classes: number of classes.
      hashes: uint64[texts], equal for copies.
      is_counted: bool[texts], whether the text is among those whose n-grams were counted.
    """

    def __init__(
        self, classes: np.ndarray, num_classes: int, hashes: np.ndarray, is_counted: np.ndarray
    ):
        texts = np.flatnonzero(is_counted)
        shape = (len(classes), num_classes + 1)
        ones = np.ones(2 * len(texts), np.float32)
        columns = np.concatenate([classes[texts], np.full(len(texts), num_classes)])
        of_text = sparse.csr_array((ones, (np.tile(texts, 2), columns)), shape)
        _, groups = np.unique(hashes, return_inverse=True)
        is_in = sparse.csr_array(
            (np.ones(len(groups), np.float32), groups, np.arange(len(groups) + 1))
        )
        self._counts = is_in @ (is_in.T @ of_text)

    def of(self, indices: np.ndarray) -> np.ndarray:
        """Returns float32[batch, classes + 1], the counts of some texts.

        Args:
          indices: int[batch], the texts' indices.
        """
        return self._counts[indices].toarray()
