"""How often a model is wrong by how many texts it answers, and what its thresholds come to."""

from typing import Any, NamedTuple

import numpy as np

from tf_textrnn.runs.answered import Answered
from tf_textrnn.runs.evaluation import accepted_text
from tf_textrnn.runs.measures import coverage_measures

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

    The latter, `coverage_measures`, are absent without thresholds.
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
    is_right = accepted & answers.rows[:, : accepted.shape[1]]
    num_answered = int(accepted.any(axis=1).sum())
    return values | coverage_measures(
        len(accepted), num_answered, int(accepted.sum()), int(is_right.sum())
    )


def coverage_text(report: dict[str, Any]) -> str:
    """What the thresholds come to, in a line for people; "" without thresholds."""
    if "coverage" not in report:
        return ""
    valid = f" (valid {report['valid_coverage']:.1%})"
    return f"--threshold={report['config']['threshold']}: {accepted_text(report, valid)}"
