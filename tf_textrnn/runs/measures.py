"""Measures how good predictions are, and how well their probabilities are calibrated."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

BINS = 15  # in which the calibration error is measured


def softmax(scores: np.ndarray) -> np.ndarray:
    """Returns the probabilities float64[..., classes] of scores."""
    exponentials = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class Measures:
    """How good predictions are.

    Attributes:
      loss: mean cross-entropy.
      accuracy: fraction of predictions that are right.
    """

    loss: float
    accuracy: float


def measure(scores: np.ndarray, classes: np.ndarray) -> Measures:
    """Measures the loss and accuracy of scores.

    Args:
      scores: float32[texts, classes].
      classes: int[texts], the class of each text.
    """
    probability = softmax(scores)[np.arange(len(classes)), classes]
    loss = float(np.mean(-np.log(np.maximum(probability, np.finfo(np.float64).tiny))))
    return Measures(loss, float(np.mean(scores.argmax(axis=1) == classes)))


def per_class_report(
    classes: np.ndarray, predictions: np.ndarray, labels: list[str]
) -> dict[str, dict[str, float]]:
    """Measures precision, recall, F1 and support of each label.

    Args:
      classes: int[texts], the class of each text.
      predictions: int[texts], the predicted class of each text.
      labels: the label of each class.
    """
    import sklearn.metrics  # not needed to use a model

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


def label_table(per_class: Mapping[str, Mapping[str, float]]) -> str:
    """A table for people: precision, recall, F1 and number of texts of each label.

    Args:
      per_class: by label, `precision`, `recall`, `f1` and `support`.
    """
    width = max(12, *(len(label) for label in per_class))
    lines = [f"{'label':<{width}}  precision  recall      f1  texts"]
    for label, row in per_class.items():
        lines.append(
            f"{label:<{width}}  {row['precision']:9.3f}  {row['recall']:6.3f}  {row['f1']:6.3f}"
            f"  {row['support']:5d}"
        )
    return "\n".join(lines)


class Reliability(NamedTuple):
    """Confidence and accuracy, in bins of equal width by the probability of the prediction.

    Attributes:
      texts: int[bins], number of texts.
      confidence: float[bins], mean probability of the predictions; 0 in an empty bin.
      accuracy: float[bins], fraction of predictions that are right; 0 in an empty bin.
    """

    texts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap of the bins, weighted by their texts."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float(self.texts @ gaps / max(self.texts.sum(), 1))


def reliability(probability: np.ndarray, classes: np.ndarray) -> Reliability:
    """Measures how well probabilities are calibrated (Naeini 2015).

    Args:
      probability: float[texts, classes].
      classes: int[texts], the class of each text.
    """
    confidence = probability.max(axis=1)
    is_right = probability.argmax(axis=1) == classes
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    texts = np.bincount(places, minlength=BINS)
    sums = [np.bincount(places, weights=x, minlength=BINS) for x in (confidence, is_right)]
    return Reliability(texts, *(x / np.maximum(texts, 1) for x in sums))
