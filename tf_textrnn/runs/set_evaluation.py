"""How good predictions of label sets are, by the names that a report has for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_textrnn.runs.bootstrap import measure_intervals, table_of
from tf_textrnn.runs.evaluation import RANKED_LABELS, RANKED_SCORES, NumberedLabels
from tf_textrnn.runs.measures import accuracy_interval, ranks_of_label, reliability
from tf_textrnn.runs.set_measures import exact_matches, per_label_report


class SetEvaluation(NumberedLabels):
    """Takes in predictions for texts with sets of labels, part by part, and measures all of them.

    Args:
      labels: the label of each class of the model.
      thresholds: float[classes], least probability of an accepted label; None = not known.

    Example:
      >>> evaluation = SetEvaluation(["bad", "good"])
      >>> rows = np.array([[True, False], [True, True]])
      >>> evaluation.add(rows, np.array([[0.9, 0.2], [0.8, 0.4]]), np.array([[1, 0], [1, 0]]) > 0)
      >>> report = evaluation.report()
      >>> report["accuracy"], round(report["micro_f1"], 3), report["label_cardinality"]
      (0.5, 0.8, 1.5)
    """

    def __init__(self, labels: Sequence[str], thresholds: Sequence[float] | None = None):
        super().__init__(labels)
        self._thresholds = thresholds
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def rows(self, label_sets: Sequence[Sequence[str]]) -> np.ndarray:
        """bool[texts, labels known so far], the labels of some texts."""
        columns = [[self.class_of(label) for label in labels] for labels in label_sets]
        rows = np.zeros((len(columns), len(self._names)), bool)
        for row, found in zip(rows, columns, strict=True):
            row[found] = True
        return rows

    def add(self, rows: np.ndarray, probability: np.ndarray, accepted: np.ndarray) -> None:
        """Takes in some texts.

        Args:
          rows: bool[texts, labels], the labels of each text; unknown labels follow the classes.
          probability: float[texts, classes].
          accepted: bool[texts, classes].
        """
        self._parts.append((rows, probability.astype(np.float32), accepted))
        self.num_texts += len(rows)

    def report(self) -> dict[str, Any]:
        """The measures, by the names that they have in `report.json`.

        `accuracy` is that of whole sets; `macro_f1` is the mean over the labels that were tested,
        and so is `average_precision`; `per_text_f1` is 1 for a text without labels to which none is
        given. Measures of ranks are absent where there is too much to rank.
        """
        width = len(self._names)
        rows = np.concatenate([_padded(part[0], width) for part in self._parts])
        probability, accepted = (np.concatenate([part[i] for part in self._parts]) for i in (1, 2))
        per_class = per_label_report(rows, accepted, self._names)
        for label, threshold in zip(self._names, self._thresholds or (), strict=False):
            per_class[label]["threshold"] = float(threshold)
        num_exact = int(exact_matches(accepted, rows).sum())
        known = rows[:, : self._num_classes]
        right, given, true = (known & accepted).sum(axis=1), accepted.sum(axis=1), rows.sum(axis=1)
        total = given + true
        of_text = np.where(total > 0, 2 * right / np.maximum(total, 1), 1.0)
        tested = [row for row in per_class.values() if row["support"]]
        support = np.array([row["support"] for row in tested])
        f1 = np.array([row["f1"] for row in tested])
        tables = rows, _padded(accepted, width)
        bounds = measure_intervals(*map(table_of, tables))
        return {
            "accuracy": num_exact / self.num_texts,
            "accuracy_interval": list(accuracy_interval(num_exact, self.num_texts)),
            "macro_f1": float(f1.mean()) if tested else 0.0,
            "macro_f1_interval": bounds["macro_f1"],
            "labels_left_out": len(per_class) - len(tested),
            "unknown_labels": self._names[self._num_classes :],
            "weighted_f1": float(f1 @ support / max(support.sum(), 1)),
            "micro_f1_interval": bounds["micro_f1"],
            "micro_f1": float(2 * right.sum() / max(total.sum(), 1)),
            "per_text_f1": float(of_text.mean()),
            "log_loss": float(_log_losses(probability, known).mean()),
            **self._ranks(known, probability, per_class),
            "label_cardinality": float(true.mean()),
            "predicted_label_cardinality": float(given.mean()),
            "calibration_error": reliability(probability.ravel(), known.ravel()).error,
            "per_class": per_class,
        }

    def _ranks(
        self, known: np.ndarray, probability: np.ndarray, per_class: dict[str, dict[str, float]]
    ) -> dict[str, float]:
        """The measures of ranks; those of a label go into `per_class`."""
        if self._num_classes > RANKED_LABELS or probability.size > RANKED_SCORES:
            return {}
        import sklearn.metrics

        of_labels = [
            ranks_of_label(*columns) for columns in zip(known.T, probability.T, strict=True)
        ]
        for label, found in zip(self._names, of_labels, strict=False):
            per_class[label].update(found)
        means = {
            name: float(np.mean(values))
            for name in ("roc_auc", "average_precision")
            if (values := [found[name] for found in of_labels if name in found])
        }
        overall = ranks_of_label(known.ravel(), probability.ravel())
        if overall:
            means["micro_average_precision"] = overall["average_precision"]
        if self._num_classes > 1:
            loss = sklearn.metrics.label_ranking_loss(known, probability)
            means["ranking_loss"] = float(loss)
        return means


def _padded(rows: np.ndarray, width: int) -> np.ndarray:
    return np.pad(rows, [(0, 0), (0, width - rows.shape[1])])


def _log_losses(probability: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The cross-entropy float64[texts] of probabilities, summed over the labels."""
    of_truth = np.where(rows, probability, 1.0 - probability).astype(np.float64)
    return -np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).sum(axis=1)
