"""How good predictions are on labeled texts: what a run's report and `predict --evaluate` say."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_textrnn.base.tables import display_width, pad, shown_labels, tab_separated
from tf_textrnn.runs.bootstrap import measure_intervals, one_hot
from tf_textrnn.runs.measures import (
    accuracy_interval,
    coverage_measures,
    loss_of,
    per_class_report,
    ranking_measures,
    reliability,
)

RANKED_LABELS = 50  # with more of them, ROC-AUC and average precision are left out
RANKED_SCORES = 1 << 24  # texts × labels; with more, too: ranking them would take minutes
LABELS_NAMED = 10  # in one line of the text


class NumberedLabels:
    """Numbers labels: those of a model first, and then the ones that it lacks, as they come.

    Args:
      labels: the label of each class of the model.
    """

    def __init__(self, labels: Sequence[str]):
        self._names = list(labels)
        self._num_classes = len(labels)
        self._class_of = {label: index for index, label in enumerate(labels)}
        self.num_texts = 0

    def class_of(self, label: str) -> int:
        """The class of a label; one that the model lacks gets a number after the model's own."""
        if label not in self._class_of:
            self._class_of[label] = len(self._names)
            self._names.append(label)
        return self._class_of[label]


class Evaluation(NumberedLabels):
    """Takes in predictions for labeled texts, part by part, and measures all of them.

    It holds 13 bytes for each text, and 4 for each of its scores while these are few enough to
    be ranked.

    Args:
      labels: the label of each class of the model.

    Example:
      >>> evaluation = Evaluation(["bad", "good"])
      >>> evaluation.add(np.array([1, 0]), np.array([1, 1]), np.array([[0.2, 0.8], [0.4, 0.6]]))
      >>> report = evaluation.report()
      >>> report["accuracy"], report["per_class"]["good"]["recall"], report["micro_f1"]
      (0.5, 1.0, 0.5)
    """

    def __init__(self, labels: Sequence[str]):
        super().__init__(labels)
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._losses = 0.0
        self._ranked: list[np.ndarray] | None = [] if len(labels) <= RANKED_LABELS else None

    def add(
        self,
        classes: np.ndarray,
        predictions: np.ndarray,
        probability: np.ndarray,
        is_accepted: np.ndarray | None = None,
    ) -> None:
        """Takes in some texts.

        Args:
          classes: int[texts], the class of each text, as `class_of` gives it.
          predictions: int[texts], the predicted class of each.
          probability: float[texts, classes], of the model's labels.
          is_accepted: bool[texts], whether the predicted label is accepted; None = each is.
        """
        confidence = probability[np.arange(len(predictions)), predictions]
        if is_accepted is None:
            is_accepted = np.ones(len(predictions), bool)
        self._parts.append(
            (
                classes.astype(np.int32),
                predictions.astype(np.int32),
                confidence.astype(np.float32),
                is_accepted,
            )
        )
        is_known = classes < self._num_classes
        self._losses += loss_of(probability[is_known], classes[is_known]).sum()
        self.num_texts += len(classes)
        if self.num_texts * self._num_classes > RANKED_SCORES:
            self._ranked = None
        if self._ranked is not None:
            self._ranked.append(probability.astype(np.float32))

    def report(self) -> dict[str, Any]:
        """The measures, by the names that they have in `report.json`.

        `macro_f1` is the mean over the labels that were tested, `labels_left_out` the number of
        the model's labels that were not; `unknown_labels`, of which every text is a mistake, are
        those that the model lacks. `roc_auc` and `average_precision` are of each label against
        the rest, and their means over the labels; they are absent where there are too many.
        The `coverage_measures` are there where a predicted label is not accepted.
        """
        classes, predictions, confidence, is_accepted = map(
            np.concatenate, zip(*self._parts, strict=True)
        )
        per_class = per_class_report(classes, predictions, self._names)
        if self._ranked is not None:
            for name, ranked in zip(
                self._names, ranking_measures(np.concatenate(self._ranked), classes), strict=False
            ):
                per_class[name].update(ranked)
        is_right = classes == predictions
        num_right = int(is_right.sum())
        num_known = int((classes < self._num_classes).sum())
        tested = [row for row in per_class.values() if row["support"]]
        support = np.array([row["support"] for row in tested])
        f1 = np.array([row["f1"] for row in tested])
        means = {
            name: float(np.mean(values))
            for name in ("roc_auc", "average_precision")
            if (values := [row[name] for row in tested if name in row])
        }
        bounds = measure_intervals(
            one_hot(classes, len(self._names)), one_hot(predictions, len(self._names))
        )
        return {
            "accuracy": num_right / self.num_texts,
            "accuracy_interval": list(accuracy_interval(num_right, self.num_texts)),
            "macro_f1": float(f1.mean()),
            "macro_f1_interval": bounds["macro_f1"],
            "labels_left_out": len(per_class) - len(tested),
            "unknown_labels": self._names[self._num_classes :],
            "weighted_f1": float(f1 @ support / self.num_texts),
            "weighted_f1_interval": bounds["weighted_f1"],
            # Of texts with one label each, to which one label each is given.
            "micro_f1": num_right / self.num_texts,
            **({"log_loss": self._losses / num_known} if num_known else {}),
            **means,
            "calibration_error": reliability(confidence, is_right).error,
            **({} if is_accepted.all() else self._coverage(is_accepted, is_right)),
            "per_class": per_class,
        }

    def _coverage(self, is_accepted: np.ndarray, is_right: np.ndarray) -> dict[str, Any]:
        num_accepted, num_right = int(is_accepted.sum()), int((is_accepted & is_right).sum())
        return coverage_measures(self.num_texts, num_accepted, num_accepted, num_right)


def evaluation_text(evaluated: str, report: Mapping[str, Any]) -> str:
    """The measures for people: totals, then a line for each label.

    Args:
      evaluated: what was scored.
      report: as from `Evaluation.report`.
    """
    low, high = report["accuracy_interval"]
    f1_low, f1_high = report["macro_f1_interval"]
    rows = report["per_class"]
    left_out = [label for label, row in rows.items() if not row["support"]]
    tested = f" over {len(rows) - len(left_out)} of {len(rows)} labels" if left_out else ""
    names = {"weighted_f1": "weighted F1", "micro_f1": "micro F1", "per_text_f1": "F1 of a text",
             "log_loss": "log loss", "roc_auc": "ROC-AUC", "average_precision": "average precision",
             "micro_average_precision": "micro average precision", "ranking_loss": "ranking loss",
             "label_cardinality": "labels of a text",
             "predicted_label_cardinality": "accepted"}  # fmt: skip
    subset = "subset " if "per_text_f1" in report else ""
    lines = [
        f"{evaluated}: {subset}accuracy {report['accuracy']:.4f} "
        f"(95 % interval {low:.4f} to {high:.4f}), macro F1 {report['macro_f1']:.4f} "
        f"({f1_low:.4f} to {f1_high:.4f}){tested}",
        ", ".join(f"{words} {report[name]:.4f}" for name, words in names.items() if name in report),
    ]
    if left_out:
        lines.append(f"without a text to test on: {_named(left_out)}")
    if report["unknown_labels"]:
        counts = [f"{label} ({rows[label]['support']})" for label in report["unknown_labels"]]
        lines.append(f"labels that the model lacks, all mistakes: {_named(counts)}")
    return "\n".join(lines)


def accepted_text(report: Mapping[str, Any], more: str = "") -> str:
    """What thresholds come to, by `coverage_measures`, with something more about the coverage."""
    text = f"a label is accepted for {report['coverage']:.1%} of the texts{more}"
    if "precision" in report:
        low, high = report["precision_interval"]
        text += (
            f"; {report['precision']:.4f} of the accepted are right "
            f"(95 % interval {low:.4f} to {high:.4f})"
        )
    return text


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - LABELS_NAMED:,} more" if len(labels) > LABELS_NAMED else ""
    return tab_separated(", ".join(labels[:LABELS_NAMED])) + more


def label_table(per_class: Mapping[str, Mapping[str, float]]) -> str:
    """A table for people: precision, recall, F1 and number of texts of each label.

    Args:
      per_class: by label, `precision`, `recall`, `f1` and `support`; of sets, `threshold` and
        perhaps `average_precision` too.
    """
    shown = shown_labels(per_class)
    width = max(12, *map(display_width, shown.values()))
    has_sets = any("threshold" in row for row in per_class.values())
    more = "     AP  threshold" if has_sets else ""
    lines = [f"{'label':<{width}}  precision  recall      f1  texts{more}"]
    for label, row in per_class.items():
        line = (
            f"{pad(shown[label], width)}  {row['precision']:9.3f}  {row['recall']:6.3f}  "
            f"{row['f1']:6.3f}  {row['support']:5d}"
        )
        if has_sets:
            ap, threshold = (row.get(name, math.nan) for name in ("average_precision", "threshold"))
            line += f"  {ap:5.3f}  {threshold:9.3f}"
        lines.append(line)
    return "\n".join(lines)
