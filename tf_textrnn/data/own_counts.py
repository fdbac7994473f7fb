"""What leaving a text out takes from the counts of its n-grams."""

import numpy as np
from scipy import sparse

from tf_textrnn.data.hashes import members


class OwnCounts:
    """Of each text, the counts that it and its copies make: one a label, and one for the text.

    Args:
      label_sets: float32[texts, classes], 1 for each label of a text.
      hashes: uint64[texts], equal for copies.
      is_counted: bool[texts], whether the text is among those whose n-grams were counted.
    """

    def __init__(self, label_sets: sparse.csr_array, hashes: np.ndarray, is_counted: np.ndarray):
        counted = sparse.csr_array(is_counted[:, None].astype(np.float32))
        of_text = sparse.hstack([label_sets * counted, counted], "csr")
        is_in = members(hashes)
        self._counts = is_in @ (is_in.T @ of_text)

    def of(self, indices: np.ndarray) -> np.ndarray:
        """Returns float32[batch, classes + 1], the counts of some texts.

        Args:
          indices: int[batch], the texts' indices.
        """
        return self._counts[indices].toarray()
