"""How sure a model may be: weights of its branches, fitted on validation texts; calibration error.

The weights of one branch are the inverse of its temperature (Guo 2017).
"""

from typing import NamedTuple

import numpy as np

WEIGHT_BOUNDS = (0.1, 10.0)  # so that a small validation set silences no branch
BINS = 15
_NEWTON_STEPS = 50


def softmax(scores: np.ndarray) -> np.ndarray:
    """float64[..., classes]: probabilities."""
    exponentials = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def fit_branch_weights(branches: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The weights with which the sum of the branches' scores has the least cross-entropy.

    The function is convex; a pull of each weight towards 1, as strong as half the square of its
    distance beside the sum over all texts, keeps the weights finite where the texts are told apart
    without a mistake.

    Args:
      branches: float32[texts, branches, classes], scores.
      classes: int[texts], the class of each text.

    Returns:
      float64[branches], within `WEIGHT_BOUNDS`.
    """
    scores = branches.astype(np.float64)
    target = np.take_along_axis(scores, classes[:, None, None], axis=2)[:, :, 0]

    def objective(weights: np.ndarray) -> float:
        mixed = np.einsum("b,tbc->tc", weights, scores)
        losses = np.logaddexp.reduce(mixed, axis=1) - target @ weights
        return losses.sum() + 0.5 * np.sum((weights - 1.0) ** 2)

    weights = np.ones(scores.shape[1])
    best = objective(weights)
    for _ in range(_NEWTON_STEPS):
        probability = softmax(np.einsum("b,tbc->tc", weights, scores))
        mean = np.einsum("tbc,tc->tb", scores, probability)
        gradient = (mean - target).sum(axis=0) + weights - 1.0
        hessian = np.einsum("tac,tbc,tc->ab", scores, scores, probability) - mean.T @ mean
        step = np.linalg.solve(hessian + np.eye(len(weights)), gradient)
        while np.abs(step).max() > 1e-6:
            candidate = np.clip(weights - step, *WEIGHT_BOUNDS)
            if (value := objective(candidate)) < best:
                weights, best = candidate, value
                break
            step /= 2
        else:
            break
    return weights


class Reliability(NamedTuple):
    """Sureness against truth, in bins of equal width by the probability of the prediction.

    Attributes:
      texts: int[bins].
      confidence: float[bins], the mean probability of the predictions; 0 in an empty bin.
      accuracy: float[bins], the share of them that is right.
    """

    texts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the bins' mean gap, weighted by their texts."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float(self.texts @ gaps / max(self.texts.sum(), 1))


def reliability(probability: np.ndarray, classes: np.ndarray) -> Reliability:
    """Measures how far probabilities can be believed (Naeini 2015).

    Args:
      probability: float[texts, classes].
      classes: int[texts].
    """
    confidence = probability.max(axis=1)
    is_right = probability.argmax(axis=1) == classes
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    texts = np.bincount(places, minlength=BINS)
    sums = [np.bincount(places, weights=x, minlength=BINS) for x in (confidence, is_right)]
    return Reliability(texts, *(x / np.maximum(texts, 1) for x in sums))
