"""What may be chance in a measure, or in the difference of two models: bootstrap, McNemar's test.

Texts are drawn with replacement, as many as there are, and measured; the bounds are quantiles over
the draws (Efron & Tibshirani 1993, 13.3). They cover the choice of the texts, not that of seeds.
SciPy, which takes a while to load, is imported when something is measured.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

SEED = 1
_DRAWS, _MIN_DRAWS = 2_000, 200
_TEXTS = 100_000_000  # drawn in all, where that leaves enough draws
_NUMBERS = 1 << 23  # texts × draws, and labels × draws, that are held at a time
_BOUNDS = (0.025, 0.975)


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


def measure_intervals(
    truth: "sparse.csr_array", answers: "sparse.csr_array"
) -> dict[str, list[float]]:
    """The bounds of each measure of `compare_measures`, with 95 % confidence.

    Args:
      truth: float32[texts, labels], 1 for each label of a text.
      answers: float32[texts, labels], 1 for each answer.
    """
    counts = _Counts(truth, answers)
    drawn = [counts.measures(weights) for weights in _draws(*truth.shape)]
    return {name: list(_bounds([values[name] for values in drawn])) for name in drawn[0]}


def compare_measures(
    truth: "sparse.csr_array", first: "sparse.csr_array", second: "sparse.csr_array"
) -> dict[str, Difference]:
    """The measures of two models, with intervals of their differences.

    Both models are measured on the same draw (paired, as in Koehn 2004).

    Args:
      truth: float32[texts, labels], 1 for each label of a text.
      first: float32[texts, labels], 1 for each answer of the first model.
      second: float32[texts, labels], 1 for each answer of the second one.

    Returns:
      `accuracy` (of whole sets), `macro_f1` over the labels that a draw has texts of, `weighted_f1`
      and `micro_f1`.
    """
    models = _Counts(truth, first), _Counts(truth, second)
    all_texts = np.ones([1, truth.shape[0]], np.float32)
    of_first, of_second = (counts.measures(all_texts) for counts in models)
    drawn = [[counts.measures(weights) for counts in models] for weights in _draws(*truth.shape)]
    return {
        name: Difference(
            float(of_first[name][0]),
            float(of_second[name][0]),
            *_bounds([second[name] - first[name] for first, second in drawn]),
        )
        for name in of_first
    }


def mcnemar(first_alone: int, second_alone: int) -> float:
    """The probability that chance alone tells two models this far apart (McNemar 1947, exact).

    Args:
      first_alone: texts of which the first model alone is right.
      second_alone: texts of which the second alone is.
    """
    from scipy import stats

    both = first_alone + second_alone
    return float(stats.binomtest(first_alone, both).pvalue) if both else 1.0


def one_hot(classes: np.ndarray, num_classes: int) -> "sparse.csr_array":
    """float32[texts, classes], 1 for the class int[texts] of each text."""
    from scipy import sparse

    ones = np.ones(len(classes), np.float32)
    shape = (len(classes), num_classes)
    return sparse.csr_array((ones, classes, np.arange(len(classes) + 1)), shape)


def table_of(rows: np.ndarray) -> "sparse.csr_array":
    """float32[texts, labels], 1 where bool[texts, labels] is true."""
    from scipy import sparse

    return sparse.csr_array(rows.astype(np.float32))


def are_equal(truth: "sparse.csr_array", answers: "sparse.csr_array") -> np.ndarray:
    """bool[texts], whether the answers are the labels, all of them."""
    return np.asarray(abs(truth - answers).sum(axis=1)).ravel() == 0


def _bounds(parts: list[np.ndarray]) -> tuple[float, float]:
    low, high = np.quantile(np.concatenate(parts), _BOUNDS)
    return float(low), float(high)


def _draws(num_texts: int, num_labels: int) -> Iterator[np.ndarray]:
    """Yields float32[draws, texts], how often each text is drawn."""
    random = np.random.default_rng(SEED)
    total = max(_MIN_DRAWS, min(_DRAWS, _TEXTS // num_texts))
    size = max(1, _NUMBERS // max(num_texts, num_labels))
    shares = np.full(num_texts, 1 / num_texts)
    for start in range(0, total, size):
        count = min(size, total - start)
        yield random.multinomial(num_texts, shares, count).astype(np.float32)


class _Counts:
    """What a model gets right in each text, to be summed over draws of texts."""

    def __init__(self, truth: "sparse.csr_array", answers: "sparse.csr_array"):
        self._right = are_equal(truth, answers).astype(np.float32)
        self._true, self._given = truth.tocsc(), answers.tocsc()
        self._both = truth.multiply(answers).tocsc()

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
