"""Classifies texts with an exported model: one line a text, in the order of the input.

Texts come from the command line, from --input or from standard input, one a line. The output is
label, probability and text, separated by tabs, or with --format=jsonl an object a line.

Needs TensorFlow and NumPy, and of tf_textrnn only base.
"""

import argparse
import contextlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from tf_textrnn.base.files import read_blocks
from tf_textrnn.predictor.predictor import PredictError, Predictions, Predictor

WINDOW_TEXTS = 4_096  # sorted by length together
MAX_LINE = 64 << 20  # bytes


def read_windows(file: io.BufferedReader) -> Iterator[list[str]]:
    """The lines of a file, up to `WINDOW_TEXTS` together.

    A window ends early where the input pauses, so that what comes through a pipe is answered at
    once. Invalid bytes and NULs become U+FFFD, as in training.
    """
    lines: list[str] = []
    rest, is_first = b"", True
    for block in read_blocks(file):
        if not block:
            if lines:
                yield lines
                lines = []
            continue
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > MAX_LINE:
            raise PredictError(f"a line is over {MAX_LINE:,} bytes")
        if is_first and whole:
            whole[0], is_first = whole[0].removeprefix(b"\xef\xbb\xbf"), False
        lines += map(_decode, whole)
        while len(lines) >= WINDOW_TEXTS:
            yield lines[:WINDOW_TEXTS]
            del lines[:WINDOW_TEXTS]
    if rest:
        lines.append(_decode(rest.removeprefix(b"\xef\xbb\xbf") if is_first else rest))
    if lines:
        yield lines


def _decode(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r").replace("\0", "\ufffd")


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


def format_tsv(text: str, label: str, probability: float) -> str:
    """label<TAB>probability<TAB>text, on one line."""
    return f"{label}\t{probability:.4f}\t" + re.sub(r"[\t\r\n]", " ", text)


def format_json(text: str, labels: Sequence[str], probability: np.ndarray, top_k: int) -> str:
    """The `top_k` most probable labels, surest first, as a JSON object."""
    best = np.argsort(-probability, kind="stable")[:top_k]
    record = {
        "label": labels[best[0]],
        "probability": round(float(probability[best[0]]), 6),
        "probabilities": {labels[i]: round(float(probability[i]), 6) for i in best},
        "text": text,
    }
    return json.dumps(record, ensure_ascii=False)


class Evaluation:
    """Counts how often each label is taken for each.

    Args:
      labels: the label of each class.
      name: the file, for errors.
    """

    def __init__(self, labels: Sequence[str], name: str):
        self._labels = labels
        self._class_of = {label: index for index, label in enumerate(labels)}
        self._name = name
        self._line = 0
        self.matrix = np.zeros((len(labels), len(labels)), np.int64)  # [true, predicted]

    def parse(self, lines: Sequence[str]) -> tuple[list[int], list[str]]:
        """The classes and texts of lines label<TAB>text; empty ones are passed over."""
        classes, texts = [], []
        for line in lines:
            self._line += 1
            if not line:
                continue
            label, tab, text = line.partition("\t")
            where = f"{self._name}:{self._line}"
            if not tab:
                raise PredictError(f"{where}: expected label<TAB>text, found no tab")
            if label.strip() not in self._class_of:
                raise PredictError(f"{where}: the model has no label {label[:40]!r}")
            classes.append(self._class_of[label.strip()])
            texts.append(text)
        return classes, texts

    def add(self, classes: Sequence[int], predictions: np.ndarray) -> None:
        """Takes in texts of these classes and what was predicted for them."""
        np.add.at(self.matrix, (np.array(classes), predictions), 1)

    def report(self) -> dict[str, Any]:
        """Accuracy, macro F1, and precision, recall, F1 and texts of each label.

        Raises:
          PredictError: there was no labelled text.
        """
        if not self.matrix.any():
            raise PredictError(f"{self._name}: no labelled texts")
        right = np.diag(self.matrix).astype(float)
        support, predicted = self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        precision = right / np.maximum(predicted, 1)
        recall = right / np.maximum(support, 1)
        f1 = 2 * right / np.maximum(support + predicted, 1)
        return {
            "texts": int(support.sum()),
            "accuracy": float(right.sum() / support.sum()),
            "macro_f1": float(f1.mean()),
            "per_class": {
                label: {
                    "precision": float(precision[i]),
                    "recall": float(recall[i]),
                    "f1": float(f1[i]),
                    "support": int(support[i]),
                }
                for i, label in enumerate(self._labels)
            },
        }


def format_report(report: dict[str, Any]) -> str:
    """The report for people."""
    width = max(12, *(len(label) for label in report["per_class"]))
    lines = [
        f"{report['texts']:,} texts: accuracy {report['accuracy']:.4f}, "
        f"macro F1 {report['macro_f1']:.4f}",
        f"{'label':<{width}}  precision  recall      f1  texts",
    ]
    for label, row in report["per_class"].items():
        lines.append(
            f"{label:<{width}}  {row['precision']:9.3f}  {row['recall']:6.3f}  {row['f1']:6.3f}"
            f"  {row['support']:5d}"
        )
    return "\n".join(lines)


def run(options: argparse.Namespace) -> None:
    """Does what the command line asks for."""
    source: contextlib.AbstractContextManager[Any] = contextlib.nullcontext(sys.stdin.buffer)
    if options.input:
        try:
            source = open(options.input, "rb")  # noqa: SIM115
        except OSError as error:
            raise PredictError(f"--input={options.input}: {error.strerror}") from error
    with source as file:
        predictor = Predictor(options.model)
        windows = iter([options.text]) if options.text else read_windows(file)
        size = os.fstat(file.fileno()).st_size if options.input else 0
        evaluation = Evaluation(predictor.labels, options.input or "standard input")
        progress = Progress()
        for lines in windows:
            classes, texts = evaluation.parse(lines) if options.evaluate else ([], lines)
            if texts:
                predictions = predictor(texts)
                if options.evaluate:
                    evaluation.add(classes, predictions.classes)
                else:
                    _print(options, predictor.labels, texts, predictions)
            progress.update(len(texts), file.tell() / size if size else None)
        progress.close()
    if options.evaluate:
        report = evaluation.report()
        print(json.dumps(report) if options.format == "jsonl" else format_report(report))


def _print(
    options: argparse.Namespace, labels: list[str], texts: list[str], predictions: Predictions
) -> None:
    for text, best, probability in zip(texts, *predictions, strict=True):
        if options.format == "jsonl":
            print(format_json(text, labels, probability, options.top_k or len(labels)))
        else:
            print(format_tsv(text, labels[best], probability[best]))
    sys.stdout.flush()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def main() -> None:
    parser = _Parser(prog="python -m export.predict", description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the SavedModel: <run>/export/<version>")
    parser.add_argument("--input", help="a file with one text a line; left out: standard input")
    parser.add_argument("--format", choices=("tsv", "jsonl"), default="tsv")
    parser.add_argument("--top_k", type=int, default=0, help="labels in a jsonl line; 0 = all")
    parser.add_argument(
        "--evaluate", action="store_true", help="lines are label<TAB>text; print a report instead"
    )
    parser.add_argument("text", nargs="*", help="texts to classify")
    options = parser.parse_intermixed_args()
    if options.text and (options.input or options.evaluate):
        parser.error("texts on the command line, and --input or --evaluate; expected one of them")
    if options.top_k < 0 or (options.top_k and options.format == "tsv"):
        parser.error(f"--top_k={options.top_k}: expected a number, with --format=jsonl")
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        run(options)
    except PredictError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
