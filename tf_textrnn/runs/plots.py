"""Draws the figures of a report; matplotlib is imported when the first one is drawn."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tf_textrnn.base.tables import cut_to, shown_labels
from tf_textrnn.network.gradient_flow import Flow
from tf_textrnn.runs.fonts import fonts_for
from tf_textrnn.runs.measures import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS_SHOWN = 1_000  # in the confusion matrix
LABELS_NAMED = 100  # a confusion matrix of more has no names
_NAME_WIDTH = 20  # columns of a label's name


def confusion_figure(classes: np.ndarray, predictions: np.ndarray, labels: list[str]) -> "Figure":
    """Draws the confusion matrix: how often each label (row) was predicted as each (column).

    It shows at most `LABELS_SHOWN` labels, those with the most texts. A label that no installed
    font can draw has its number, as `numbered_labels` lists it.

    Args:
      classes: int[texts], the class of each text.
      predictions: int[texts], the predicted class of each text.
      labels: the label of each class.
    """
    import sklearn.metrics

    shown = _most_texts(np.bincount(classes, minlength=len(labels)))
    matrix = sklearn.metrics.confusion_matrix(classes, predictions, labels=shown)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    title = f"accuracy {np.mean(classes == predictions):.3f}, {len(classes):,} texts"
    return _matrix_figure(matrix, share, [labels[index] for index in shown], title)


def set_confusion_figure(rows: np.ndarray, accepted: np.ndarray, labels: list[str]) -> "Figure":
    """Draws which labels (columns) are wrongly accepted for texts of which one (row) is missed.

    On the diagonal are the texts of a label for which it is accepted. The labels shown are those of
    `confusion_figure`.

    Args:
      rows: bool[texts, labels], the labels of each text.
      accepted: bool[texts, classes], the accepted ones; labels beyond the classes are unknown.
      labels: the label of each class, and then the unknown ones.
    """
    accepted = np.pad(accepted, [(0, 0), (0, rows.shape[1] - accepted.shape[1])])
    texts = rows.sum(axis=0)
    shown = _most_texts(texts)
    is_exact = (rows == accepted).all(axis=1).mean()
    rows, accepted = rows[:, shown], accepted[:, shown]
    missed, wrong = rows & ~accepted, accepted & ~rows
    matrix = (missed.T.astype(np.float32) @ wrong.astype(np.float32)).astype(int)
    matrix += np.diag((rows & accepted).sum(axis=0))
    share = matrix / np.maximum(texts[shown], 1)[:, None]
    title = f"whole sets right {is_exact:.3f}, {len(rows):,} texts"
    names = [labels[index] for index in shown]
    return _matrix_figure(matrix, share, names, title, "accepted, and wrong off the diagonal")


def _most_texts(texts: np.ndarray) -> np.ndarray:
    """Returns the indices of the labels with the most texts, ascending."""
    return np.sort(np.argsort(-texts, kind="stable")[:LABELS_SHOWN])


def _matrix_figure(
    matrix: np.ndarray,
    share: np.ndarray,
    labels: list[str],
    title: str,
    columns: str = "predicted label",
) -> "Figure":
    """Draws the numbers of texts of a matrix of labels, colored by shares of the true label."""
    from matplotlib.figure import Figure

    size = min(4 + 0.28 * len(labels), 30)
    with _named(labels) as names:
        figure = Figure(figsize=(size + 1, size), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        if names:
            axes.set_xticks(range(len(labels)), names, rotation=90)
            axes.set_yticks(range(len(labels)), names)
        if len(labels) <= 20:
            for row, column in itertools.product(range(len(labels)), repeat=2):
                color = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, matrix[row, column], ha="center", va="center", color=color)
        axes.set_xlabel(columns)
        axes.set_ylabel("true label")
        axes.set_title(title)
        figure.colorbar(image, ax=axes, label="share of the true label's texts", shrink=0.8)
    return figure


@contextlib.contextmanager
def _named(labels: Sequence[str]) -> Iterator[list[str]]:
    """Inside, a figure can draw the labels; gives their names, none where they are too many."""
    import matplotlib

    names, families = _names(labels)
    settings = {
        "text.parse_math": False,  # a label may hold dollar signs
        "font.family": [*matplotlib.rcParams["font.family"], *families],
    }
    with matplotlib.rc_context(settings):
        yield names


def numbered_labels(labels: Sequence[str]) -> str:
    """Lines that tell which labels a confusion matrix shows by number; "" where it shows none so.

    Args:
      labels: the label of each class.
    """
    if len(labels) > LABELS_NAMED:
        return ""
    names, _ = _names(labels)
    shown = shown_labels(labels)
    rows = [
        f"  {name} = {shown[label]}\n"
        for number, (name, label) in enumerate(zip(names, labels, strict=True), 1)
        if name == f"#{number}" != label
    ]
    return "".join(["\nlabels by number in the confusion matrix:\n", *rows]) if rows else ""


def _names(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """How a figure names labels, and the families of fonts that it needs beside the default one.

    A label that no font can draw, or that looks like another one once it is cut, has its number.
    """
    if len(labels) > LABELS_NAMED:
        return [], []
    cut = [cut_to(shown, _NAME_WIDTH) for shown in shown_labels(labels).values()]
    families, missing = fonts_for(frozenset("".join(cut)))
    names = [
        name if cut.count(name) == 1 and not missing & set(name) else f"#{number}"
        for number, name in enumerate(cut, 1)
    ]
    return names, families


def f1_figure(epochs: Sequence[int], f1: np.ndarray, labels: list[str]) -> "Figure":
    """Draws the F1 of each label (row) after each epoch (column), the lowest at the end on top.

    The labels are named as in `confusion_figure`, and no more of them are shown.

    Args:
      epochs: counted from 1, ascending.
      f1: float[epochs, labels].
      labels: the label of each class.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shown = np.argsort(f1[-1], kind="stable")[:LABELS_SHOWN]
    with _named(labels) as names:
        figure = Figure(figsize=(8, min(2 + 0.2 * len(shown), 20)), layout="constrained")
        axes = figure.subplots()
        edges = (epochs[0] - 0.5, epochs[-1] + 0.5, len(shown) - 0.5, -0.5)
        image = axes.imshow(f1[:, shown].T, vmax=1, aspect="auto", extent=edges)
        if names:
            axes.set_yticks(range(len(shown)), [names[index] for index in shown])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("label")
        axes.set_title("F1 on the validation texts")
        figure.colorbar(image, ax=axes, label="F1")
    return figure


def reliability_figure(raw: Reliability, calibrated: Reliability) -> "Figure":
    """Draws accuracy by the probability of the prediction.

    Args:
      raw: reliability of the softmax of the scores.
      calibrated: reliability of the softmax of the scores divided by the temperature.
    """
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


def risk_coverage_figure(coverage: np.ndarray, risk: np.ndarray) -> "Figure":
    """Draws how many of the most probable labels are wrong, by the share of texts that have them.

    Args:
      coverage: float[texts], ascending to 1.
      risk: float[texts].
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(coverage, risk)
    axes.set(xlim=(0, 1), ylim=(0, max(float(risk.max()) * 1.1, 0.01)))
    axes.set_xlabel("share of texts that are answered, the surest first")
    axes.set_ylabel("share of wrong labels among them")
    axes.set_title(f"risk and coverage, {len(risk):,} texts")
    axes.grid(alpha=0.3)
    return figure


def gradient_flow_figure(flows: Sequence[Flow]) -> "Figure":
    """Draws the norms of gradients by distance in time, on a logarithmic scale."""
    from matplotlib.figure import Figure

    plot = Figure(figsize=(8, 5), layout="constrained")
    draw_flows(plot.subplots(), flows, "gradient flow through time")
    return plot


def draw_flows(axes: "Axes", flows: Sequence[Flow], title: str) -> None:
    """Draws flows into axes, as `gradient_flow_figure` does."""
    for flow in flows:
        shown = np.where(flow.norms > 0, flow.norms, np.nan)
        axes.plot(shown, "--" if flow.name.endswith("clipped") else "-", label=flow.name)
    axes.set_yscale("log")
    axes.set_xlabel("steps back from where the loss enters")
    axes.set_ylabel("‖∂loss/∂h‖, mean over texts")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
