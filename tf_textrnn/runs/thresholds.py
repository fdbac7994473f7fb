"""The least probability at which a label is accepted, fitted on validation texts."""

import numpy as np

MIN_TEXTS = 10  # of a label that has a threshold of its own; the others share one


def best_f1_threshold(probability: np.ndarray, is_label: np.ndarray) -> float:
    """Returns the threshold at which F1 is largest: the highest of several.

    Every cut between two different probabilities is tried; the threshold lies in the middle of it.

    Args:
      probability: float[texts].
      is_label: bool[texts], whether the text has the label.
    """
    order = np.argsort(-probability, kind="stable")
    ranked, is_right = probability[order], is_label[order]
    f1 = 2.0 * np.cumsum(is_right) / (np.arange(1, len(order) + 1) + is_right.sum())
    following = np.append(ranked[1:], -1.0)
    f1[ranked == following] = -1.0  # no threshold lies between equals
    best = int(f1.argmax())
    return float((ranked[best] + max(following[best], 0.0)) / 2)


def fit_f1_thresholds(probability: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns float64[labels], the threshold of each label at which its F1 is largest.

    Labels with fewer than `MIN_TEXTS` texts share one, which is best for all labels together.

    Args:
      probability: float[texts, labels].
      rows: bool[texts, labels], the labels of each text.
    """
    is_rare = rows.sum(axis=0) < MIN_TEXTS
    thresholds = np.empty(rows.shape[1])
    if is_rare.any():
        thresholds[is_rare] = best_f1_threshold(probability.ravel(), rows.ravel())
    for label in np.flatnonzero(~is_rare):
        thresholds[label] = best_f1_threshold(probability[:, label], rows[:, label])
    return thresholds
