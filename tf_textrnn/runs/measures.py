"""Measures how good predictions are, and how well their probabilities are calibrated."""

import dataclasses
import math
import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

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
      classes: int[texts], the class of each text; a number beyond the classes is an unknown label,
        which is a mistake and has no loss.
    """
    is_known = classes < scores.shape[1]
    loss = float(loss_of(softmax(scores[is_known]), classes[is_known]).mean())
    return Measures(loss, float(np.mean(scores.argmax(axis=1) == classes)))


def loss_of(probability: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Returns the cross-entropy float64[texts] of probabilities.

    Args:
      probability: float[texts, classes].
      classes: int[texts], the class of each text.
    """
    of_class = probability[np.arange(len(classes)), classes].astype(np.float64)
    return -np.log(np.maximum(of_class, np.finfo(np.float64).tiny))


def per_class_report(
    classes: np.ndarray, predictions: np.ndarray, labels: list[str]
) -> dict[str, dict[str, float]]:
    """Measures precision, recall, F1 and support of each label.

    Args:
      classes: int[texts], the class of each text.
      predictions: int[texts], the predicted class of each text.
      labels: the label of each class.
    """
    import sklearn.metrics  # only where something is measured

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


def accuracy_interval(num_right: int, num_texts: int) -> tuple[float, float]:
    """Returns the bounds of the accuracy, with 95 % confidence.

    The score interval of Wilson, "Probable inference, the law of succession, and statistical
    inference", 1927; it holds for few texts and for accuracies near 0 and 1 too.
    """
    z = statistics.NormalDist().inv_cdf(0.975)
    share = num_right / num_texts
    center = share + z**2 / (2 * num_texts)
    spread = z * math.sqrt(share * (1 - share) / num_texts + (z / (2 * num_texts)) ** 2)
    scale = 1 + z**2 / num_texts
    low, high = (center - spread) / scale, (center + spread) / scale
    return min(share, max(0.0, low)), max(share, min(1.0, high))  # rounding may cross the share


def coverage_measures(
    num_texts: int, num_answered: int, num_accepted: int, num_right: int
) -> dict[str, Any]:
    """Returns what thresholds come to, by the names that it has in `report.json`.

    `coverage` is the share of texts of which a label is accepted, `precision` the share of accepted
    labels that are right, `precision_interval` that with 95 % confidence. Without an accepted label
    there is the coverage alone.

    Args:
      num_texts: number of texts.
      num_answered: of which a label is accepted.
      num_accepted: accepted labels of all texts.
      num_right: of which are right.
    """
    found: dict[str, Any] = {"coverage": num_answered / num_texts}
    if num_accepted:
        found["precision"] = num_right / num_accepted
        found["precision_interval"] = list(accuracy_interval(num_right, num_accepted))
    return found


def ranking_measures(probability: np.ndarray, classes: np.ndarray) -> Iterator[dict[str, float]]:
    """Measures how well the probability of each label ranks its texts above all others.

    Args:
      probability: float[texts, classes].
      classes: int[texts], the class of each text.

    Yields:
      For each class its `roc_auc` and `average_precision`; nothing where it has no text, or all.
    """
    for label in range(probability.shape[1]):
        yield ranks_of_label(classes == label, probability[:, label])


def ranks_of_label(is_label: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Returns `roc_auc` and `average_precision` of one label; nothing where no text or all have it.

    Args:
      is_label: bool[texts], whether the text has it.
      probability: float[texts], that it has it.
    """
    import sklearn.metrics

    if is_label.all() or not is_label.any():
        return {}
    return {
        "roc_auc": float(sklearn.metrics.roc_auc_score(is_label, probability)),
        "average_precision": float(sklearn.metrics.average_precision_score(is_label, probability)),
    }


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


def reliability(confidence: np.ndarray, is_right: np.ndarray) -> Reliability:
    """Measures how well probabilities are calibrated (Naeini 2015).

    Args:
      confidence: float[texts], the probability of each prediction.
      is_right: bool[texts], whether the prediction is right.
    """
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    texts = np.bincount(places, minlength=BINS)
    sums = [np.bincount(places, weights=x, minlength=BINS) for x in (confidence, is_right)]
    return Reliability(texts, *(x / np.maximum(texts, 1) for x in sums))
