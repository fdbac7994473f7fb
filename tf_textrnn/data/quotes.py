"""The start of each text, kept for reports."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

QUOTE_CHARACTERS = 1_000  # kept of each text


class Quotes(NamedTuple):
    """The start of each text as it was read, so that a report never reads the source again.

    Attributes:
      content: uint8[bytes], the quotes in UTF-8, end to end.
      sizes: int32[texts], number of bytes of each quote.
    """

    content: np.ndarray
    sizes: np.ndarray

    def of(self, rows: Sequence[int]) -> list[str]:
        """Returns the quotes of the texts with these indices in the corpus."""
        ends = np.cumsum(self.sizes, dtype=np.int64)
        return [
            self.content[ends[row] - self.sizes[row] : ends[row]].tobytes().decode() for row in rows
        ]
