"""Classifies texts with an exported model, or tells how good it is on labeled ones.

Texts are those of the command line, of --input, or lines of standard input. A table keeps its
columns and a JSON object its keys; label and probability are added. One text a line is answered by
label, probability and text, separated by tabs.
"""

import contextlib
import functools
import itertools
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import atomic_write
from tf_textrnn.base.terminal import note
from tf_textrnn.data.readers import OpenFile, Record, open_file
from tf_textrnn.predicting.answers import Answers, answers_for
from tf_textrnn.predicting.options import PredictOptions
from tf_textrnn.predictor.predictor import Predictions, Predictor
from tf_textrnn.predictor.texts import WINDOW_TEXTS, given_texts, open_texts, read_windows
from tf_textrnn.runs.evaluation import Evaluation, evaluation_text, label_table

WINDOW_CHARACTERS = 1 << 24
MAX_UNKNOWN_LABELS = 10_000


def predict(options: PredictOptions, texts: Sequence[str]) -> None:
    """Writes what a model says of texts, or how good it is on labeled ones.

    Args:
      options: of the command.
      texts: of the command line; none = those of a file or of standard input.

    Raises:
      UserError: a mistake in options, files or the model.
    """
    options.check(bool(texts))
    path = options.input or ("-" if options.evaluate else "")
    opened = open_file(path, options.files, "input", options.evaluate) if path else None
    with _sink(options.output) as write:
        predictor = Predictor(options.model)
        seen = Seen(opened.notes if opened else [], is_alone=bool(options.output))
        if opened and options.evaluate:
            write(_evaluated(options, predictor, opened, seen))
        else:
            is_terminal = not options.output and sys.stdout.isatty()
            answers = answers_for(options, predictor.labels, opened, is_terminal)
            windows = _windows(opened.records()) if opened else _windows_of_lines(texts)
            for lines in _answered(predictor, answers, windows, seen):
                write(lines)
        seen.close()


def _answered(
    predictor: Predictor, answers: Answers, windows: Iterable[list[Record]], seen: "Seen"
) -> Iterator[str]:
    """Yields the lines of each window."""
    yield "".join(answers.head)
    for records in windows:
        predictions = predictor([record.text for record in records])
        seen.add(predictions)
        found = zip(records, predictions.classes.tolist(), predictions.probability, strict=True)
        yield "".join(itertools.starmap(answers.line, found))


def _evaluated(
    options: PredictOptions, predictor: Predictor, opened: OpenFile, seen: "Seen"
) -> str:
    """How good the model is on a file, for people or as JSON.

    Raises:
      UserError: there is no labeled text, one has several labels, or, by `--strict_labels`, the
        model lacks one; or it lacks so many that they can be no labels.
    """
    evaluation = Evaluation(predictor.labels)
    known = set(predictor.labels)
    unknown: set[str] = set()
    for records in _windows(opened.records()):
        classes = []
        for record in records:
            where = f"{opened.name}:{record.place}"
            if len(record.labels) != 1:
                raise UserError(f"{where}: expected one label, found {len(record.labels)}")
            label = record.labels[0].strip()
            if label not in known:
                if options.strict_labels:
                    raise UserError(f"{where}: the model has no label {label[:40]!r}")
                unknown.add(label)
                if len(unknown) > MAX_UNKNOWN_LABELS:
                    raise UserError(
                        f"{where}: over {MAX_UNKNOWN_LABELS:,} labels that the model lacks; is "
                        f"--label_column={options.label_column} right?"
                    )
            classes.append(evaluation.class_of(label))
        predictions = predictor([record.text for record in records])
        seen.add(predictions)
        evaluation.add(np.array(classes), predictions.classes, predictions.probability)
    if not evaluation.num_texts:
        raise UserError(f"{opened.name}: no labeled texts")
    report = evaluation.report()
    if options.format == "jsonl":
        return json.dumps({"texts": evaluation.num_texts, **report}) + "\n"
    text = evaluation_text(f"{evaluation.num_texts:,} texts", report)
    error = f"expected calibration error {report['calibration_error']:.4f}"
    return f"{text}\n{error}\n\n{label_table(report['per_class'])}\n"


def _windows(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Records in lists that are classified together: of bounded number and size."""
    window: list[Record] = []
    characters = 0
    for record in records:
        window.append(record)
        characters += len(record.text)
        if len(window) == WINDOW_TEXTS or characters >= WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


def _windows_of_lines(texts: Sequence[str]) -> Iterator[list[Record]]:
    """The texts of the command line; where there are none, the lines of standard input."""
    with open_texts("") as stdin:
        for window in [given_texts(texts)] if texts else read_windows(stdin):
            yield [Record((), text, 0, None) for text in window]


@contextlib.contextmanager
def _sink(path: str) -> Iterator[Callable[[str], None]]:
    """What takes lines: a file that is written whole or not at all, or standard output.

    Raises:
      UserError: the file cannot be written.
    """
    if not path:
        yield functools.partial(_write, sys.stdout.buffer)
        return
    try:
        with atomic_write(pathlib.Path(path)) as file:
            yield functools.partial(_write, file)
    except OSError as error:
        raise UserError(f"--output={path}: cannot be written ({error.strerror})") from error


def _write(file: BinaryIO, lines: str) -> None:
    # As bytes, since Windows would change the ends of lines, within cells too.
    file.write(lines.encode())
    file.flush()


class Seen:
    """What stderr tells: how many texts are done, and in the end which were cut.

    Args:
      notes: of the input; more may come as it is read.
      is_alone: whether nothing else goes to the terminal meanwhile.
    """

    def __init__(self, notes: list[str], is_alone: bool):
        self._notes = notes
        self._num_told = 0
        self._tell_notes()
        self._shows = sys.stderr.isatty() and (is_alone or not sys.stdout.isatty())
        self._started = time.monotonic()
        self._texts = self._cut = self._max_tokens = 0

    def add(self, predictions: Predictions) -> None:
        """Takes in the predictions of a window."""
        self._texts += len(predictions.classes)
        self._cut += int(predictions.is_cut.sum())
        self._max_tokens = max(self._max_tokens, int(predictions.num_tokens.max(initial=0)))
        if self._shows:
            rate = self._texts / (time.monotonic() - self._started)
            print(f"\r{self._texts:,} texts  {rate:,.0f}/s ", end="", file=sys.stderr)

    def close(self) -> None:
        """Ends the line, and tells the rest."""
        if self._shows and self._texts:
            print(file=sys.stderr)
        self._tell_notes()
        if self._cut:
            note(
                f"{self._cut:,} of {self._texts:,} texts are longer than the model's "
                f"{self._max_tokens:,} tokens; the rest of them was not read"
            )

    def _tell_notes(self) -> None:
        for text in self._notes[self._num_told :]:
            note(text)
        self._num_told = len(self._notes)
