"""Hashes of texts, equal for copies: texts of the same tokens in the same order."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import sparse

_MULTIPLIER = 0x9E3779B97F4A7C15  # odd: 2**64 over the golden ratio (Knuth, TAOCP 3, 6.4)
_CHUNK_TOKENS = 1 << 20


def text_hashes(types: Sequence[bytes], type_ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Returns uint64[texts], equal for texts of the same tokens, in whatever corpus they stand.

    The hash of a text is Σ hash(token) · m^position modulo 2^64, a polynomial in m as of Karp and
    Rabin, 1987; that of a text without a token is 0.

    Args:
      types: the distinct tokens.
      type_ids: int32[tokens], the index in `types` of each token, the texts end to end.
      offsets: int64[texts + 1], where each text starts in `type_ids`.
    """
    digests = (hashlib.blake2b(token, digest_size=8).digest() for token in types)
    of_type = np.frombuffer(b"".join(digests), np.uint64)
    longest = int(np.diff(offsets).max(initial=0))
    powers = np.cumprod(np.full(longest, _MULTIPLIER, np.uint64))
    hashes = np.zeros(len(offsets) - 1, np.uint64)
    for first, last in _chunks(offsets):
        part = offsets[first : last + 1]
        positions = np.arange(part[0], part[-1]) - np.repeat(part[:-1], np.diff(part))
        products = of_type[type_ids[part[0] : part[-1]]] * powers[positions]
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(products, dtype=np.uint64)])
        ends = part - part[0]
        hashes[first:last] = sums[ends[1:]] - sums[ends[:-1]]
    return hashes


def members(hashes: np.ndarray) -> sparse.csr_array:
    """Returns float32[texts, different texts], 1 where a text is a copy of that one.

    Args:
      hashes: uint64[texts], equal for copies.
    """
    _, groups = np.unique(hashes, return_inverse=True)
    ones = np.ones(len(groups), np.float32)
    return sparse.csr_array((ones, groups, np.arange(len(groups) + 1)))


def _chunks(offsets: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields (first, last) of runs of texts with some `_CHUNK_TOKENS` tokens, to bound memory."""
    first = 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + _CHUNK_TOKENS))
        last = min(max(last, first + 1), len(offsets) - 1)
        yield first, last
        first = last
