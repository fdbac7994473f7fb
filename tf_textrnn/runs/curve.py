"""The learning curve: how good the model is by the number of texts that it was trained on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tf_textrnn.runs.measures import accuracy_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CurvePoint(NamedTuple):
    """How good the model of some of the texts is.

    Attributes:
      texts: how many it was trained on.
      accuracy: on the validation texts.
      low: lower bound of the accuracy, with 95 % confidence.
      high: upper bound.
    """

    texts: int
    accuracy: float
    low: float
    high: float


def curve_point(texts: int, accuracy: float, num_valid: int) -> CurvePoint:
    """A point with its interval, of an accuracy on so many validation texts."""
    return CurvePoint(texts, accuracy, *accuracy_interval(round(accuracy * num_valid), num_valid))


def curve_text(curve: Sequence[CurvePoint]) -> str:
    """What `report.txt` says of a learning curve that ends with all texts."""
    lines = ["", "texts trained on  valid accuracy  95 % interval"]
    lines += [
        f"{point.texts:16,}  {point.accuracy:14.4f}  {point.low:.4f} to {point.high:.4f}"
        for point in curve
    ]
    before, last = curve[-2:]
    gain = last.accuracy - before.accuracy
    return "\n".join([*lines, f"the last doubling of the texts brought {gain:+.4f}"]) + "\n"


def curve_figure(curve: Sequence[CurvePoint]) -> "Figure":
    """Draws the learning curve, over a logarithmic axis of texts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    texts, accuracy, low, high = np.array(curve).T
    axes.errorbar(texts, accuracy, [accuracy - low, high - accuracy], marker="o", capsize=4)
    axes.set_xscale("log", base=2)
    axes.set_xticks(texts, [f"{int(number):,}" for number in texts])
    axes.minorticks_off()
    axes.set_xlabel("texts trained on")
    axes.set_ylabel("accuracy on the validation texts, 95 % interval")
    axes.grid(alpha=0.3)
    return figure
