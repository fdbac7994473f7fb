"""How good a model is: scores, measures, report, confusion matrix, worst mistakes."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.metrics
import tensorflow as tf

from tf_textrnn.runs.calibration import Reliability, softmax
from tf_textrnn.data.batches import Split, evaluation_batches
from tf_textrnn.network.model import TextRNN

Scorer = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
MISTAKES_KEPT = 100
LABELS_SHOWN = 1_000  # in the confusion matrix


def make_scorer(model: TextRNN) -> Scorer:
    """The model's compiled `(token_ids, lengths) -> scores`, without dropout."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    )
    def score(token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return model((token_ids, lengths), training=False)

    return score


def make_branch_scorer(model: TextRNN) -> Scorer:
    """As `make_scorer`, with the scores of the model's branches side by side."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    )
    def score(token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.concat(model.branch_scores((token_ids, lengths), training=False), axis=1)

    return score


def score_split(
    scorer: Scorer, split: Split, num_classes: int, worker: int = 0, num_workers: int = 1
) -> np.ndarray:
    """float32[examples, classes]: the scores of a split's examples, in their order.

    Of several workers each scores a part; elsewhere its scores are zeros.
    """
    scores = np.zeros((len(split), num_classes), np.float32)
    for examples, batch in evaluation_batches(split, worker, num_workers):
        scores[examples] = scorer(batch.token_ids, batch.lengths)
    return scores


@dataclasses.dataclass(frozen=True)
class Measures:
    """Mean cross-entropy and share of right predictions."""

    loss: float
    accuracy: float


def measure(scores: np.ndarray, classes: np.ndarray) -> Measures:
    """Loss and accuracy of scores float32[n, classes] against classes int[n]."""
    probability = softmax(scores)[np.arange(len(classes)), classes]
    loss = float(np.mean(-np.log(np.maximum(probability, np.finfo(np.float64).tiny))))
    return Measures(loss, float(np.mean(scores.argmax(axis=1) == classes)))


def per_class_report(
    classes: np.ndarray, predictions: np.ndarray, labels: list[str]
) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each label."""
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(
        classes, predictions, labels=range(len(labels)), zero_division=0.0
    )
    return {
        label: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": int(support[i]),
        }
        for i, label in enumerate(labels)
    }


def report_text(report: dict[str, Any]) -> str:
    """The report for people: totals, then a line a class."""
    lines = [
        f"{report['evaluated_on']}: accuracy {report['test_accuracy']:.4f}, "
        f"macro F1 {report['test_macro_f1']:.4f}",
        f"best epoch {report['best_epoch']} of {report['epochs']} "
        f"(valid accuracy {report['valid_accuracy']:.4f}), "
        f"{report['train_examples_per_second']:,.0f} examples/s, "
        f"{report['parameters']:,} parameters",
        f"expected calibration error {report['test_calibration_error']:.4f} at temperature "
        f"{report['temperature']:.2f}, {report['test_calibration_error_raw']:.4f} without",
        "",
    ]
    width = max(12, *(len(label) for label in report["per_class"]))
    lines.append(f"{'label':<{width}}  precision  recall      f1  texts")
    for label, row in report["per_class"].items():
        lines.append(
            f"{label:<{width}}  {row['precision']:9.3f}  {row['recall']:6.3f}  {row['f1']:6.3f}"
            f"  {row['support']:5d}"
        )
    return "\n".join(lines) + "\n"


def confusion_figure(classes: np.ndarray, predictions: np.ndarray, labels: list[str]) -> Any:
    """A matplotlib figure: how often each label (row) was taken for each (column).

    Of more than a thousand labels, those with the most texts.
    """
    from matplotlib.figure import Figure

    texts = np.bincount(classes, minlength=len(labels))
    shown = np.sort(np.argsort(-texts, kind="stable")[:LABELS_SHOWN])
    matrix = sklearn.metrics.confusion_matrix(classes, predictions, labels=shown)
    labels = [labels[index] for index in shown]
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = min(4 + 0.28 * len(labels), 30)
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


def reliability_figure(raw: Reliability, calibrated: Reliability) -> Any:
    """A matplotlib figure: the share of right predictions by how sure the model is of them."""
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


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A text whose predicted label is wrong."""

    label: str
    prediction: str
    probability: float
    text: str


def worst_mistakes(split: Split, scores: np.ndarray, labels: list[str]) -> list[Mistake]:
    """The most confident wrong predictions, surest first.

    Args:
      split: the examples.
      scores: float32[examples, classes].
      labels: the label of each class.
    """
    probability = softmax(scores)
    predictions = scores.argmax(axis=1)
    classes = split.classes
    confidence = probability.max(axis=1)
    wrong = np.flatnonzero(predictions != classes)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES_KEPT]
    wanted = set(split.rows[worst].tolist())
    last = max(wanted, default=-1)
    texts = {
        row: example.text
        for row, example in enumerate(itertools.islice(split.corpus.source.read(), last + 1))
        if row in wanted
    }
    return [
        Mistake(
            labels[classes[i]],
            labels[predictions[i]],
            float(confidence[i]),
            _one_line(texts[int(split.rows[i])]),
        )
        for i in worst
    ]


def _one_line(text: str) -> str:
    """The start of a text, fit for a terminal: no control characters."""
    line = " ".join(text[:10_000].split())[:1_000]
    return "".join(character if character.isprintable() else "\ufffd" for character in line)
