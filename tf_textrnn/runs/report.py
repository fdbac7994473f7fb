"""The files of a finished run's report."""

import dataclasses
import itertools
import json
from typing import Any, NamedTuple

import numpy as np

from tf_textrnn.base.files import atomic_write
from tf_textrnn.config import Config
from tf_textrnn.data.batches import Split
from tf_textrnn.data.splits import Data
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.measures import measure, per_class_report, reliability, softmax
from tf_textrnn.runs.plots import confusion_figure, reliability_figure

MISTAKES_KEPT = 100
MISTAKES_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A text whose predicted label is wrong."""

    label: str
    prediction: str
    probability: float
    text: str


class Report(NamedTuple):
    """What is in the report's files.

    Attributes:
      values: of `report.json`.
      mistakes: the worst first.
      figures: matplotlib figures by name.
    """

    values: dict[str, Any]
    mistakes: list[Mistake]
    figures: dict[str, Any]


def write_report(
    folder: RunFolder,
    config: Config,
    data: Data,
    scores: np.ndarray,
    temperature: float,
    history: dict[str, Any],
) -> Report:
    """Writes and prints the report, and returns it.

    Args:
      folder: where to.
      config: of the run.
      data: its `test` split, or where there is none `valid`, is what was scored.
      scores: float32[examples, classes] of that split.
      temperature: probabilities are the softmax of the scores divided by this.
      history: what training itself tells, taken into `report.json`.
    """
    split = data.test or data.valid
    predictions = scores.argmax(axis=1)
    per_class = per_class_report(split.classes, predictions, data.labels)
    raw = reliability(softmax(scores), split.classes)
    scores = scores / temperature
    calibrated = reliability(softmax(scores), split.classes)
    measures = measure(scores, split.classes)
    splits = {"train": data.train, "valid": data.valid, "test": data.test}
    report = {
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
    mistakes = worst_mistakes(split, scores, data.labels)
    text = report_text(report)
    if mistakes:
        text += "\nmost confident mistakes (all in mistakes.tsv):\n" + "".join(
            f"  {m.label} taken for {m.prediction} ({m.probability:.2f}): {m.text[:100]}\n"
            for m in mistakes[:MISTAKES_SHOWN]
        )
    with atomic_write(folder.report_json) as file:
        file.write(json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n")
    with atomic_write(folder.report_text) as file:
        file.write(text.encode())
    with atomic_write(folder.mistakes) as file:
        file.write(b"label\tprediction\tprobability\ttext\n")
        for m in mistakes:
            file.write(f"{m.label}\t{m.prediction}\t{m.probability:.4f}\t{m.text}\n".encode())
    with atomic_write(folder.confusion_matrix) as file:
        confusion = confusion_figure(split.classes, predictions, data.labels)
        confusion.savefig(file, format="png", dpi=120)
    with atomic_write(folder.reliability) as file:
        curve = reliability_figure(raw, calibrated)
        curve.savefig(file, format="png", dpi=120)
    print("\n" + text, flush=True)
    figures = {"confusion_matrix": confusion, "reliability": curve}
    return Report(report, mistakes, figures)


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
