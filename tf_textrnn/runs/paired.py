"""Whether one model is better than another on the same texts: paired bootstrap, McNemar's test."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse, stats

DRAWS = 4_000
_NUMBERS = 1 << 23  # texts × draws that are held at a time


class Difference(NamedTuple):
    """A measure of two models, and what may be chance in it.

    Attributes:
      first: of the first model.
      second: of the second.
      low: lower bound of second - first, with 95 % confidence.
      high: upper bound.
    """

    first: float
    second: float
    low: float
    high: float


def compare_measures(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int = 1
) -> dict[str, Difference]:
    """The measures of two models, with intervals of their differences.

    Texts are drawn with replacement, as many as there are, and both models are measured on the same
    draw; the bounds are quantiles of the differences over the draws (Efron & Tibshirani 1993, 13.3;
    paired as in Koehn 2004). They cover the choice of the texts, not that of seeds.

    Args:
      truth: bool[texts, labels], the labels of each text.
      first: bool[texts, labels], what the first model answers.
      second: bool[texts, labels], what the second one answers.
      seed: of the draws.

    Returns:
      `accuracy` (of whole sets), `macro_f1` over the labels that a draw has texts of, `weighted_f1`
      and `micro_f1`.
    """
    whole = _Counts(truth, first), _Counts(truth, second)
    ones = np.ones([1, len(truth)], np.float32)
    values = [counts.measures(ones) for counts in whole]
    drawn = [[counts.measures(weights) for counts in whole] for weights in _draws(len(truth), seed)]
    found = {}
    for name in values[0]:
        differences = np.concatenate([second[name] - first[name] for first, second in drawn])
        low, high = np.quantile(differences, [0.025, 0.975])
        found[name] = Difference(
            float(values[0][name][0]), float(values[1][name][0]), float(low), float(high)
        )
    return found


def mcnemar(first_alone: int, second_alone: int) -> float:
    """The probability that chance alone tells two models this far apart (McNemar 1947, exact).

    Args:
      first_alone: texts of which the first model alone is right.
      second_alone: texts of which the second alone is.
    """
    both = first_alone + second_alone
    return float(stats.binomtest(first_alone, both).pvalue) if both else 1.0


def _draws(num_texts: int, seed: int) -> Iterator[np.ndarray]:
    """Yields float32[draws, texts], how often each text is drawn."""
    random = np.random.default_rng(seed)
    size = max(1, min(DRAWS, _NUMBERS // num_texts))
    for start in range(0, DRAWS, size):
        count = min(size, DRAWS - start)
        shares = np.full(num_texts, 1 / num_texts)
        yield random.multinomial(num_texts, shares, count).astype(np.float32)


class _Counts:
    """What a model gets right in each text, to be summed over draws of texts."""

    def __init__(self, truth: np.ndarray, answers: np.ndarray):
        self._right = (truth == answers).all(axis=1).astype(np.float32)
        self._true, self._given, self._both = (
            sparse.csc_array(rows.astype(np.float32)) for rows in (truth, answers, truth & answers)
        )

    def measures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Each measure, float64[draws], for float32[draws, texts]."""
        true, given, both = (
            (weights @ rows).astype(np.float64) for rows in (self._true, self._given, self._both)
        )
        f1 = 2 * both / np.maximum(true + given, 1)
        return {
            "accuracy": weights @ self._right / weights.sum(axis=1),
            "macro_f1": (f1 * (true > 0)).sum(axis=1) / np.maximum((true > 0).sum(axis=1), 1),
            "weighted_f1": (f1 * true).sum(axis=1) / np.maximum(true.sum(axis=1), 1),
            "micro_f1": 2 * both.sum(axis=1) / np.maximum((true + given).sum(axis=1), 1),
        }
