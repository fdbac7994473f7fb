"""The figures of a report; matplotlib loads when the first of them is drawn."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tf_textrnn.network.gradient_flow import Flow
from tf_textrnn.runs.measures import Reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS_SHOWN = 1_000  # in the confusion matrix


def confusion_figure(classes: np.ndarray, predictions: np.ndarray, labels: list[str]) -> "Figure":
    """Draws how often each label (row) was taken for each (column).

    Of more than a thousand labels, those with the most texts.
    """
    import matplotlib
    import sklearn.metrics
    from matplotlib.figure import Figure

    texts = np.bincount(classes, minlength=len(labels))
    shown = np.sort(np.argsort(-texts, kind="stable")[:LABELS_SHOWN])
    matrix = sklearn.metrics.confusion_matrix(classes, predictions, labels=shown)
    labels = [labels[index] for index in shown]
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = min(4 + 0.28 * len(labels), 30)
    with matplotlib.rc_context({"text.parse_math": False}):  # a label may hold dollar signs
        figure = Figure(figsize=(size + 1, size), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        names = [label if len(label) <= 20 else label[:19] + "…" for label in labels]
        if len(labels) <= 100:
            axes.set_xticks(range(len(labels)), names, rotation=90)
            axes.set_yticks(range(len(labels)), names)
        if len(labels) <= 20:
            for row, column in itertools.product(range(len(labels)), repeat=2):
                colour = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, matrix[row, column], ha="center", va="center", color=colour)
        axes.set_xlabel("predicted label")
        axes.set_ylabel("true label")
        axes.set_title(f"accuracy {np.mean(classes == predictions):.3f}, {len(classes):,} texts")
        figure.colorbar(image, ax=axes, label="share of the true label's texts", shrink=0.8)
    return figure


def reliability_figure(raw: Reliability, calibrated: Reliability) -> "Figure":
    """Draws the share of right predictions by how sure the model is of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="as sure as right")
    for name, found in (("softmax of the scores", raw), ("at the fitted temperature", calibrated)):
        filled = found.texts > 0
        label = f"{name}: error {found.error:.3f}"
        axes.plot(found.confidence[filled], found.accuracy[filled], marker="o", label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel("probability of the prediction")
    axes.set_ylabel("share of predictions that are right")
    axes.legend(loc="upper left")
    return figure


def gradient_flow_figure(flows: Sequence[Flow]) -> "Figure":
    """Draws the norms of gradients by distance in time, on a logarithmic scale."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=(8, 5), layout="constrained")
    axes = plot.subplots()
    for flow in flows:
        shown = np.where(flow.norms > 0, flow.norms, np.nan)
        axes.plot(shown, "--" if flow.name.endswith("clipped") else "-", label=flow.name)
    axes.set_yscale("log")
    axes.set_xlabel("steps back from where the loss enters")
    axes.set_ylabel("‖∂loss/∂h‖, mean over texts")
    axes.set_title("gradient flow through time")
    axes.grid(alpha=0.3)
    axes.legend()
    return plot
