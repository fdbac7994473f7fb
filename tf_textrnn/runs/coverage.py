"""How often a model is wrong by how many texts it answers, and what its thresholds come to."""

from typing import Any, NamedTuple

import numpy as np

from tf_textrnn.runs.answered import Answered
from tf_textrnn.runs.measures import accuracy_interval

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)  # of texts, in numbers


class RiskCoverage(NamedTuple):
    """The share of wrong labels among the texts of the most probable ones, by how many these are.

    Attributes:
      coverage: float64[texts], ascending to 1.
      risk: float64[texts].
    """

    coverage: np.ndarray
    risk: np.ndarray


def risk_coverage(confidence: np.ndarray, is_right: np.ndarray) -> RiskCoverage:
    """The risk–coverage curve (El-Yaniv & Wiener 2010), of the most probable label of each text.

    Args:
      confidence: float[texts], probability of that label.
      is_right: bool[texts], whether the text has it.
    """
    order = np.argsort(-confidence, kind="stable")
    count = np.arange(1, len(order) + 1)
    return RiskCoverage(count / len(order), np.cumsum(~is_right[order]) / count)


def coverage_values(answers: Answered) -> dict[str, Any]:
    """What `report.json` holds of it: the curve at some shares, and what the thresholds come to.

    `coverage` is the share of texts of which a label is accepted, `precision` the share of accepted
    labels that are right, `precision_interval` that with 95 % confidence. They are absent without
    thresholds, the precision where nothing is accepted.
    """
    curve = risk_coverage(answers.confidence, answers.is_top_right)
    places = np.ceil(np.array(SHARES) * len(curve.risk)).astype(int) - 1
    values: dict[str, Any] = {
        "risk_coverage": [
            [share, float(curve.risk[i])] for share, i in zip(SHARES, places, strict=True)
        ]
    }
    if answers.thresholds is None:
        return values
    accepted = answers.accepted
    given = int(accepted.sum())
    values["coverage"] = float(accepted.any(axis=1).mean())
    if given:
        right = int((accepted & answers.rows[:, : accepted.shape[1]]).sum())
        values["precision"] = right / given
        values["precision_interval"] = list(accuracy_interval(right, given))
    return values


def coverage_text(report: dict[str, Any]) -> str:
    """What the thresholds come to, in a line for people; "" without thresholds."""
    if "coverage" not in report:
        return ""
    line = (
        f"--threshold={report['config']['threshold']}: a label is accepted for "
        f"{report['coverage']:.1%} of the texts (valid {report['valid_coverage']:.1%})"
    )
    if "precision" in report:
        low, high = report["precision_interval"]
        line += (
            f"; {report['precision']:.4f} of the accepted are right "
            f"(95 % interval {low:.4f} to {high:.4f})"
        )
    return line
