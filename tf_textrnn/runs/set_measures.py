"""Measures predictions of label sets: a text has any number of labels."""

import numpy as np


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """Returns the probabilities float64[..., classes] of scores, each label by itself."""
    from scipy import special  # only where something is measured

    return special.expit(scores.astype(np.float64))


def set_losses(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the cross-entropy float64[texts] of the sigmoid of scores, summed over the labels.

    Args:
      scores: float[texts, classes].
      rows: [texts, classes], 1 for each label of a text, else 0.
    """
    scores = scores.astype(np.float64)
    return (np.logaddexp(0.0, scores) - scores * rows).sum(axis=1)


def exact_matches(accepted: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns bool[texts], whether the accepted labels of a text are its labels, and no more.

    Args:
      accepted: bool[texts, classes].
      rows: bool[texts, classes + unknown labels].
    """
    num_classes = accepted.shape[1]
    is_same = (accepted == rows[:, :num_classes]).all(axis=1)
    return is_same & ~rows[:, num_classes:].any(axis=1)


def per_label_report(
    rows: np.ndarray, accepted: np.ndarray, labels: list[str]
) -> dict[str, dict[str, float]]:
    """Measures precision, recall, F1 and support of each label, as `per_class_report` does.

    Args:
      rows: bool[texts, labels], the labels of each text, the unknown ones after the classes.
      accepted: bool[texts, classes], those that were accepted.
      labels: the name of each label.
    """
    accepted = np.pad(accepted, [(0, 0), (0, rows.shape[1] - accepted.shape[1])])
    right, given, support = (rows & accepted).sum(axis=0), accepted.sum(axis=0), rows.sum(axis=0)
    return {
        label: {
            "precision": float(right[i] / max(given[i], 1)),
            "recall": float(right[i] / max(support[i], 1)),
            "f1": float(2 * right[i] / max(given[i] + support[i], 1)),
            "support": int(support[i]),
        }
        for i, label in enumerate(labels)
    }
