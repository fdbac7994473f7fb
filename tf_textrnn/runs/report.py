"""A finished run's report: its numbers first, then its texts and pictures.

The numbers are worth a run's end; all else is cosmetic: what fails there costs a warning line.
"""

import dataclasses
import json
from typing import Any

import numpy as np

from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.tables import tab_separated
from tf_textrnn.base.terminal import optional, show
from tf_textrnn.config import Config
from tf_textrnn.data.batches import Split
from tf_textrnn.data.splits import Data
from tf_textrnn.predictor.evaluation import label_table
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.measures import measure, per_class_report, reliability, softmax
from tf_textrnn.runs.plots import confusion_figure, reliability_figure

MISTAKES_KEPT = 100
MISTAKES_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A text whose predicted label is wrong.

    Attributes:
      label: its own.
      prediction: the label that it was given.
      probability: of the prediction.
      text: its start, on one line and fit for a terminal.
    """

    label: str
    prediction: str
    probability: float
    text: str


def report_values(
    config: Config, data: Data, scores: np.ndarray, temperature: float, history: dict[str, Any]
) -> dict[str, Any]:
    """The numbers of a report, as `report.json` holds them.

    Args:
      config: of the run.
      data: its `test` split, or where there is none `valid`, is what was scored.
      scores: float32[texts, classes] of that split.
      temperature: probabilities are the softmax of the scores divided by this.
      history: what training itself tells.
    """
    split = data.test or data.valid
    raw = reliability(softmax(scores), split.classes)
    calibrated = reliability(softmax(scores / temperature), split.classes)
    measures = measure(scores / temperature, split.classes)
    per_class = per_class_report(split.classes, scores.argmax(axis=1), data.labels)
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    return {
        "texts": {name: len(split) for name, split in splits.items() if split},
        "evaluated_on": "test" if data.test else "valid (there is no test file)",
        "test_accuracy": measures.accuracy,
        "test_loss": measures.loss,
        "test_macro_f1": float(np.mean([row["f1"] for row in per_class.values()])),
        "test_calibration_error": calibrated.error,
        "test_calibration_error_raw": raw.error,
        "temperature": temperature,
        **history,
        "per_class": per_class,
        "config": config.options(),
    }


def write_values(folder: RunFolder, values: dict[str, Any]) -> None:
    """Writes `report.json`."""
    with atomic_write(folder.report_json) as file:
        file.write(json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n")


def show_report(folder: RunFolder, values: dict[str, Any], mistakes: list[Mistake]) -> None:
    """Writes and prints the texts of a report: `mistakes.tsv` and `report.txt`."""
    text = report_text(values)
    if mistakes:
        text += "\nmost confident mistakes (all in mistakes.tsv):\n" + "".join(
            f"  {m.label} taken for {m.prediction} ({m.probability:.2f}): {m.text[:100]}\n"
            for m in mistakes[:MISTAKES_SHOWN]
        )
    with optional(str(folder.mistakes)), atomic_write(folder.mistakes) as file:
        file.write(b"label\tprediction\tprobability\ttext\n")
        for m in mistakes:
            line = tab_separated(m.label, m.prediction, f"{m.probability:.4f}", m.text)
            file.write(f"{line}\n".encode())
    with optional(str(folder.report_text)), atomic_write(folder.report_text) as file:
        file.write(text.encode())
    show("\n" + text)


def draw_report(
    folder: RunFolder, split: Split, scores: np.ndarray, temperature: float, labels: list[str]
) -> dict[str, Any]:
    """Draws the pictures of a report, and returns those that could be drawn, by name.

    Args:
      folder: of the run.
      split: what was scored.
      scores: float32[texts, classes] of it.
      temperature: probabilities are the softmax of the scores divided by this.
      labels: the label of each class.
    """
    figures = {}
    with optional(str(folder.confusion_matrix)):
        figure = confusion_figure(split.classes, scores.argmax(axis=1), labels)
        with atomic_write(folder.confusion_matrix) as file:
            figure.savefig(file, format="png", dpi=120)
        figures["confusion_matrix"] = figure
    with optional(str(folder.reliability)):
        figure = reliability_figure(
            reliability(softmax(scores), split.classes),
            reliability(softmax(scores / temperature), split.classes),
        )
        with atomic_write(folder.reliability) as file:
            figure.savefig(file, format="png", dpi=120)
        figures["reliability"] = figure
    return figures


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
        label_table(report["per_class"]),
    ]
    return "\n".join(lines) + "\n"


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
    quotes = split.corpus.quotes.of(split.rows[worst].tolist())
    return [
        Mistake(
            labels[classes[i]],
            labels[predictions[i]],
            float(confidence[i]),
            tab_separated(" ".join(quote.split())),
        )
        for i, quote in zip(worst, quotes, strict=True)
    ]
