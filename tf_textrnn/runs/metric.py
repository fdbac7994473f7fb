"""Measures validation texts by the metric that `--metric` names."""

import statistics
from typing import TYPE_CHECKING

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Metric
from tf_textrnn.runs.answered import Answered

if TYPE_CHECKING:
    from tf_textrnn.data.splits import Data


def check_metric(metric: Metric, data: "Data") -> None:
    """Checks that the validation texts can be measured so.

    Raises:
      UserError: the training texts lack the metric's label, or the validation texts do.
    """
    if not metric.label:
        return
    flag = f"--metric={metric.kind}:{metric.label}"
    if metric.label not in data.labels:
        raise UserError(
            f"{flag}: {data.train.corpus.source.name} has no label {metric.label!r}; expected one "
            f"of {', '.join(data.labels[:10])}{', …' if len(data.labels) > 10 else ''}"
        )
    table = data.valid.label_sets(len(data.all_labels))
    if not table[:, [data.labels.index(metric.label)]].nnz:
        raise UserError(
            f"{flag}: none of the {len(data.valid):,} validation texts has the label "
            f"{metric.label!r}; expected at least one"
        )


def measure_metric(metric: Metric, answers: Answered) -> float:
    """The value of a metric, from 0 to 1.

    Args:
      metric: what to measure beside loss and accuracy; `check_metric` has found its label.
      answers: what a model says of texts.
    """
    if metric.kind == "macro_f1":
        rows = answers.per_label().values()
        return statistics.mean([row["f1"] for row in rows if row["support"]] or [0.0])
    if metric.kind == "f1":
        return answers.per_label()[metric.label]["f1"]
    label = answers.labels.index(metric.label)
    is_label, probability = answers.rows[:, label], answers.probability[:, label]
    return recall_at_precision(is_label, probability, metric.precision)


def recall_at_precision(is_label: np.ndarray, probability: np.ndarray, precision: float) -> float:
    """The largest recall of a label among the thresholds at which its precision is high enough.

    Args:
      is_label: bool[texts], whether the text has it.
      probability: float[texts], that it has it.
      precision: the least share of accepted texts that have it.

    Returns:
      A number from 0 to 1; 0 where no threshold has that precision, or no text has the label.
    """
    if not is_label.any():
        return 0.0
    import sklearn.metrics  # only where something is measured

    precisions, recalls, _ = sklearn.metrics.precision_recall_curve(is_label, probability)
    return float(recalls[precisions >= precision].max())
