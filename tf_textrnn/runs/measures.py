"""How good predictions are, and how far their probabilities can be believed."""

import dataclasses
from typing import NamedTuple

import numpy as np

BINS = 15  # of the calibration error


def softmax(scores: np.ndarray) -> np.ndarray:
    """float64[..., classes]: probabilities."""
    exponentials = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class Measures:
    """Mean cross-entropy and share of right predictions."""

    loss: float
    accuracy: float


def measure(scores: np.ndarray, classes: np.ndarray) -> Measures:
    """Loss and accuracy of scores float32[n, classes] against classes int[n]."""
    probability = softmax(scores)[np.arange(len(classes)), classes]
    loss = float(np.mean(-np.log(np.maximum(probability, np.finfo(np.float64).tiny))))
    return Measures(loss, float(np.mean(scores.argmax(axis=1) == classes)))


def per_class_report(
    classes: np.ndarray, predictions: np.ndarray, labels: list[str]
) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each label."""
    import sklearn.metrics  # not for a model in use

    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
        classes, predictions, labels=range(len(labels)), zero_division=0.0
    )
    return {
        label: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, label in enumerate(labels)
    }


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
