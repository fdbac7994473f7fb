"""Classifies texts with an exported model: one line a text, in the order of the input.

Texts are those of the command line, or lines of --input or of standard input. A line of the output
holds label, probability and text, separated by tabs, or with --format=jsonl an object.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.options import CheckedOptions, option
from tf_textrnn.base.tables import json_text, tab_separated
from tf_textrnn.predicting.evaluation import Evaluation
from tf_textrnn.predictor.predictor import Predictions, Predictor
from tf_textrnn.predictor.texts import given_texts, open_texts, read_windows
from tf_textrnn.runs.measures import label_table


@dataclasses.dataclass(frozen=True)
class PredictOptions(CheckedOptions):
    """What `textrnn predict` is told."""

    model: str = option(
        "",
        "Folder of a run, of its export, or of one version of that",
        is_path=True,
        required=True,
    )
    input: str = option("", "File with one text a line; empty = standard input", is_path=True)
    format: str = option("tsv", "Format of the output", choices=("tsv", "jsonl"))
    top_k: int = option(0, "Number of labels in a line of jsonl; 0 = all", minimum=0)
    evaluate: bool = option(False, "Reads lines label<TAB>text and prints how many are right")


class Progress:
    """Texts done and texts a second, on stderr where that is a terminal and stdout is not."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty() and not sys.stdout.isatty()
        self._started = time.monotonic()
        self._texts = 0

    def update(self, texts: int, share: float | None) -> None:
        """Shows that `texts` more are done; `share` is that of the input which is read."""
        self._texts += texts
        if self._shows:
            rate = self._texts / (time.monotonic() - self._started)
            bar = "" if share is None else f"{'█' * round(30 * share):░<30} {share:4.0%}  "
            print(f"\r{bar}{self._texts:,} texts  {rate:,.0f}/s ", end="", file=sys.stderr)

    def close(self) -> None:
        """Ends the line."""
        if self._shows and self._texts:
            print(file=sys.stderr)


def format_json(text: str, labels: Sequence[str], probability: np.ndarray, top_k: int) -> str:
    """The `top_k` most probable labels, surest first, as a JSON object."""
    best = np.argsort(-probability, kind="stable")[:top_k]
    record = {
        "label": labels[best[0]],
        "probability": round(float(probability[best[0]]), 6),
        "probabilities": {labels[i]: round(float(probability[i]), 6) for i in best},
        "text": text,
    }
    return json_text(record)


def format_report(report: dict[str, Any]) -> str:
    """The report for people."""
    return (
        f"{report['texts']:,} texts: accuracy {report['accuracy']:.4f}, "
        f"macro F1 {report['macro_f1']:.4f}\n{label_table(report['per_class'])}"
    )


def predict(options: PredictOptions, texts: Sequence[str]) -> None:
    """Prints what a model says of texts, or how good it is on labeled ones.

    Args:
      options: of the command.
      texts: of the command line; none = those of a file.

    Raises:
      UserError: a mistake in options, files or the model.
    """
    if texts and (options.input or options.evaluate):
        raise UserError(
            "texts on the command line, and --input or --evaluate; expected one of them"
        )
    if options.top_k and options.format == "tsv":
        raise UserError(f"--top_k={options.top_k}: expected --format=jsonl beside it")
    with open_texts(options.input) as file:
        predictor = Predictor(options.model)
        windows = iter([given_texts(texts)]) if texts else read_windows(file)
        size = os.fstat(file.fileno()).st_size if options.input else 0
        evaluation = Evaluation(predictor.labels, options.input or "standard input")
        progress = Progress()
        for lines in windows:
            classes, found = evaluation.parse(lines) if options.evaluate else ([], lines)
            if found:
                predictions = predictor(found)
                if options.evaluate:
                    evaluation.add(classes, predictions.classes)
                else:
                    _print(options, predictor.labels, found, predictions)
            progress.update(len(found), file.tell() / size if size else None)
        progress.close()
    if options.evaluate:
        report = evaluation.report()
        print(json.dumps(report) if options.format == "jsonl" else format_report(report))


def _print(
    options: PredictOptions, labels: list[str], texts: Sequence[str], predictions: Predictions
) -> None:
    for text, best, probability in zip(texts, *predictions, strict=True):
        if options.format == "jsonl":
            print(format_json(text, labels, probability, options.top_k or len(labels)))
        else:
            print(tab_separated(labels[best], f"{probability[best]:.4f}", text))
    sys.stdout.flush()
