"""Writes the report of a finished run: its numbers first, then its texts and figures.

Only the numbers can fail a run. A text or figure that cannot be made is cosmetic, and costs a
warning line.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_textrnn.base.errors import printable
from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.tables import shown_labels, tab_separated
from tf_textrnn.base.terminal import optional, show
from tf_textrnn.config import Config
from tf_textrnn.data.splits import Data
from tf_textrnn.runs.answered import Answered
from tf_textrnn.runs.coverage import coverage_text, coverage_values, risk_coverage
from tf_textrnn.runs.curve import CurvePoint, curve_figure, curve_text
from tf_textrnn.runs.evaluation import evaluation_text, label_table
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.plots import numbered_labels, reliability_figure, risk_coverage_figure
from tf_textrnn.runs.suspicious import Suspicious
from tf_textrnn.runs.words import words_text

MISTAKES_KEPT = 100
MISTAKES_SHOWN = 5
HELD_OUT = "held out"
_EVALUATED_ON = {
    "test": "test",
    "valid": "valid (there is no test file)",
    HELD_OUT: "valid (by a model that had not learned it; there is no test file)",
    "folds": "folds (each text by a model that has not seen it; there is no test file)",
}


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A text whose predicted label is wrong.

    Attributes:
      label: the true label, or labels.
      prediction: the predicted label, or the accepted ones.
      probability: probability of the prediction; of sets, how sure the worst wrong label is.
      text: start of the text, on one line and safe for a terminal.
    """

    label: str
    prediction: str
    probability: float
    text: str


def report_values(
    config: Config,
    data: Data,
    answers: Answered,
    temperature: float,
    history: dict[str, Any],
    known: dict[str, Any],
) -> dict[str, Any]:
    """Returns the values of `report.json`.

    Args:
      config: config of the run.
      data: data of the run; the scored split is `test`, or `valid` if there is no `test`. With
        folds the answers on `valid` are of models that have not seen its texts.
      answers: what the model says of that split.
      temperature: of its probabilities.
      history: values that come from training, such as `best_epoch`.
      known: what is kept of the time before training, such as `data`.
    """
    evaluated_on = "test" if data.test else "folds" if data.is_scored_whole else "valid"
    measures = answers.evaluation()
    per_class = measures.pop("per_class")
    of_texts: dict[str, str] = {}
    with optional("the hash of the texts"):
        of_texts["texts_hash"] = answers.texts_hash
    of_test = {f"test_{name}": measures[name] for name in ("accuracy", "macro_f1")}
    return {
        "texts": {name: len(split) for name, split in data.splits.items()},
        "evaluated_on": evaluated_on,
        **of_texts,
        **measures,
        **(of_test if data.test else {}),
        "calibration_error_raw": answers.reliability(calibrated=False).error,
        "temperature": temperature,
        **coverage_values(answers),
        **history,
        "per_class": per_class,
        **known,
        "config": config.options(),
    }


def write_values(folder: RunFolder, values: dict[str, Any]) -> None:
    """Writes `report.json`."""
    with atomic_write(folder.report_json) as file:
        file.write(json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n")


def show_report(
    folder: RunFolder,
    values: dict[str, Any],
    mistakes: list[Mistake],
    suspicious: Sequence[Suspicious],
) -> None:
    """Writes `mistakes.tsv` and `report.txt`, and prints the latter.

    Args:
      folder: folder of the run.
      values: values of `report.json`.
      mistakes: the worst mistakes, most confident first.
      suspicious: the labels that may be wrong, the surest first.
    """
    shown = shown_labels(values["per_class"])

    def named(name: str) -> str:
        return shown.get(name) or printable(name) or "no label"  # joined names are of sets

    text = report_text(values) + numbered_labels(list(shown))
    if "words" in values:
        text += words_text(values["words"])
    if mistakes:
        text += "\nmost confident mistakes (all in mistakes.tsv):\n" + "".join(
            f"  {named(m.label)} taken for {named(m.prediction)} ({m.probability:.2f}): "
            f"{m.text[:100]}\n"
            for m in mistakes[:MISTAKES_SHOWN]
        )
    if suspicious:
        text += f"\nlabels that may be wrong ({len(suspicious):,}, all in suspicious.tsv):\n"
        text += "".join(
            f"  {tab_separated(s.place)}: {named(s.label)} ({s.probability:.2f}), suggested "
            f"{named(s.suggested)} ({s.suggested_probability:.2f}): "
            f"{tab_separated(' '.join(s.quote.split()))[:100]}\n"
            for s in suspicious[:MISTAKES_SHOWN]
        )
    with optional(str(folder.mistakes)), atomic_write(folder.mistakes) as file:
        file.write(b"label\tprediction\tprobability\ttext\n")
        for m in mistakes:
            line = tab_separated(m.label, m.prediction, f"{m.probability:.4f}", m.text)
            file.write(f"{line}\n".encode())
    with optional(str(folder.report_text)), atomic_write(folder.report_text) as file:
        file.write(text.encode())
    show("\n" + text)


def write_predictions(folder: RunFolder, answers: Answered) -> None:
    """Writes `predictions.tsv`: place, label, prediction and probability of every scored text.

    A place is a line, or file and line where there are several files, or a folder's file; the
    text's number, from 1, where it comes from no file.

    Args:
      folder: folder of the run.
      answers: what the model says of the scored texts.
    """
    split, confidence = answers.split, answers.confidence
    with optional(str(folder.predictions)), atomic_write(folder.predictions) as file:
        file.write(b"place\tlabel\tprediction\tprobability\n")
        for text, row in enumerate(split.rows.tolist()):
            said = answers.label(text), answers.prediction(text), f"{confidence[text]:.4f}"
            file.write(f"{tab_separated(split.corpus.short_place(row), *said)}\n".encode())


def draw_report(
    folder: RunFolder, answers: Answered, curve: Sequence[CurvePoint] = ()
) -> dict[str, Any]:
    """Draws the figures of a report.

    Args:
      folder: folder of the run.
      answers: what the model says of the scored texts.
      curve: the learning curve; empty = there is none.

    Returns:
      The figures that could be drawn, by name.
    """
    drawings = {
        "confusion_matrix": answers.confusion,
        "reliability": lambda: reliability_figure(
            answers.reliability(False), answers.reliability(True)
        ),
        "risk_coverage": lambda: risk_coverage_figure(
            *risk_coverage(answers.confidence, answers.is_top_right)
        ),
    }
    if curve:
        drawings["learning_curve"] = lambda: curve_figure(curve)
    figures = {}
    for name, draw in drawings.items():
        path = getattr(folder, name)
        with optional(str(path)):
            figure = draw()
            with atomic_write(path) as file:
                figure.savefig(file, format="png", dpi=120)
            figures[name] = figure
    return figures


def report_text(report: dict[str, Any]) -> str:
    """Returns the report as text: totals, then a line for each label."""
    curve = [CurvePoint(**point) for point in report.get("learning_curve", ())]
    lines = [*total_lines(report), "", label_table(report["per_class"])]
    return "\n".join(lines) + "\n" + (curve_text(curve) if curve else "")


def measured_on(report: Mapping[str, Any]) -> str:
    """What a report is of: `evaluated_on`, or `HELD_OUT` where a last model has learned `valid`."""
    is_learned = report["evaluated_on"] == "valid" and report["config"]["folds"] == 1
    return HELD_OUT if is_learned else report["evaluated_on"]


def total_lines(report: dict[str, Any]) -> list[str]:
    """What `report.txt` says before the table of the labels."""
    return [
        evaluation_text(_EVALUATED_ON[measured_on(report)], report),
        f"best epoch {report['best_epoch']} of {report['epochs']} "
        f"(valid accuracy {report['valid_accuracy']:.4f}), "
        f"{report['train_examples_per_second']:,.0f} examples/s, "
        f"{report['parameters']:,} parameters",
        f"expected calibration error {report['calibration_error']:.4f} at temperature "
        f"{report['temperature']:.2f}, {report['calibration_error_raw']:.4f} without",
        *filter(None, [initial_text(report)]),
        *_branch_lines(report),
        *filter(None, [coverage_text(report)]),
    ]


def initial_text(report: dict[str, Any]) -> str:
    """What the model of `--init_from` had on the same texts; empty where there was none."""
    if "init_from" not in report:
        return ""
    old = report["init_from"]
    return (
        f"before training, the model of {printable(old['run'])} had accuracy "
        f"{old['accuracy']:.4f} and macro F1 {old['macro_f1']:.4f} on the same texts"
    )


def _branch_lines(report: dict[str, Any]) -> list[str]:
    """What each branch of the model is worth alone, on the texts that weigh them."""
    if "ngrams_loss" not in report:
        return []
    words = (
        f"valid loss {report['valid_loss']:.4f}; alone, the network "
        f"{report['network_loss']:.4f} (accuracy {report['network_accuracy']:.4f}), the n-grams "
        f"{report['ngrams_loss']:.4f} (accuracy {report['ngrams_accuracy']:.4f})"
    )
    if report["ngrams_loss"] <= report["valid_loss"]:
        words += ": the network adds nothing"
    return [words]


def worst_texts(answers: Answered) -> np.ndarray:
    """int64[n], at most `MISTAKES_KEPT` texts of wrong predictions, the most confident first."""
    wrong = np.flatnonzero(answers.is_wrong)
    return wrong[np.argsort(-answers.surety[wrong], kind="stable")][:MISTAKES_KEPT]


def worst_mistakes(answers: Answered) -> list[Mistake]:
    """Returns at most `MISTAKES_KEPT` wrong predictions, the most confident first.

    Args:
      answers: what the model says of the scored texts.
    """
    surety, split, worst = answers.surety, answers.split, worst_texts(answers)
    quotes = split.corpus.quotes.of(split.rows[worst].tolist())
    return [
        Mistake(
            answers.label(text),
            answers.prediction(text),
            float(surety[text]),
            tab_separated(" ".join(quote.split())),
        )
        for text, quote in zip(worst, quotes, strict=True)
    ]
