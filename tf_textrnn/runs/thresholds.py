"""The least probability at which a label is accepted, fitted on validation texts."""

import numpy as np

from tf_textrnn.config import ThresholdRule

MIN_TEXTS = 10  # of a label that has a threshold of its own; the others share one
NEVER = 2.0  # a threshold that no probability reaches


def best_threshold(
    rule: ThresholdRule, probability: np.ndarray, is_right: np.ndarray, support: int
) -> float:
    """Returns the threshold that a rule asks for, among all cuts between different probabilities.

    "f1" takes the cut with the largest F1. "precision" takes the cut that accepts the most, so long
    as the share of right ones is what is asked for with one more, wrong, among them; else no
    probability reaches the threshold. It lies in the middle of its cut.

    Args:
      rule: what is asked for.
      probability: float[n], of n texts to which the label could be given.
      is_right: bool[n], whether they have it.
      support: number of all texts that have it.
    """
    if rule.kind == "fixed":
        return rule.value
    order = np.argsort(-probability, kind="stable")
    ranked, num_right = probability[order], np.cumsum(is_right[order])
    count = np.arange(1, len(order) + 1)
    following = np.append(ranked[1:], -1.0)
    if rule.kind == "f1":
        worth = 2.0 * num_right / (count + support)
    else:
        worth = np.where(num_right >= rule.value * (count + 1), count, 0)
    worth = np.where(ranked == following, 0, worth)  # no threshold lies between equals
    if not worth.any():
        return NEVER
    best = int(worth.argmax())
    return float((ranked[best] + max(following[best], 0.0)) / 2)


def fit_thresholds(
    rule: ThresholdRule, probability: np.ndarray, rows: np.ndarray, can_have: np.ndarray
) -> np.ndarray:
    """Returns float64[labels], the threshold of each label.

    Labels of fewer than `MIN_TEXTS` texts, or to which so few could be given, share one, which is
    best for all labels together. So do those of too few to show the precision that is asked for.

    Args:
      rule: what is asked for.
      probability: float[texts, labels].
      rows: bool[texts, labels], the labels of each text.
      can_have: bool[texts, labels], which labels can be given to each text.
    """
    shared = best_threshold(rule, probability[can_have], rows[can_have], int(rows.sum()))
    thresholds = np.full(rows.shape[1], shared)
    support = rows.sum(axis=0)
    least: float = MIN_TEXTS
    if rule.kind == "precision":  # as many right ones, and the wrong one, are just enough
        least = max(least, rule.value / max(1.0 - rule.value, 1e-9))
    for label in np.flatnonzero(np.minimum(support, can_have.sum(axis=0)) >= least):
        is_in = can_have[:, label]
        found = probability[is_in, label], rows[is_in, label]
        thresholds[label] = best_threshold(rule, *found, int(support[label]))
    return thresholds
