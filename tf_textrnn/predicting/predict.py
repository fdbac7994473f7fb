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
from tf_textrnn.base.terminal import is_terminal, note
from tf_textrnn.data.readers import OpenFile, Record
from tf_textrnn.data.sources import Source, chunks_of_texts, file_source, open_files
from tf_textrnn.predicting.answers import Answers, Naming, Said, answers_for
from tf_textrnn.predicting.columns import with_columns
from tf_textrnn.predicting.options import PredictOptions
from tf_textrnn.predictor.explain import MAX_SPANS, Explanation
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.predictor.runtime import Predictions
from tf_textrnn.predictor.texts import WINDOW_TEXTS, windows_of
from tf_textrnn.runs.evaluation import Evaluation, accepted_text, evaluation_text, label_table
from tf_textrnn.runs.set_evaluation import SetEvaluation

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
    source = None
    files: list[OpenFile] = []
    path = options.input or ("-" if options.evaluate else "")
    if path:
        options = with_columns(options, path)
        if options.evaluate:
            source = file_source(path, options.files, "input")
        else:
            files = open_files(path, options.files, "input", needs_label=False)
    with _sink(options.output) as write:
        predictor = Predictor(options.model)
        if source and predictor.has_sets:
            source = source.with_sets(takes_unlabeled=True)
        notes = (
            source.notes if source else (lambda: [note for file in files for note in file.notes])
        )
        seen = Seen(notes, is_alone=bool(options.output))
        if source:
            write(_evaluated(options, predictor, source, seen))
        else:
            shows_here = not options.output and is_terminal(sys.stdout)
            naming = Naming(predictor.labels, options.unsure_label, predictor.has_sets)
            answers = answers_for(options, naming, files, shows_here)
            records = itertools.chain.from_iterable(file.records() for file in files)
            windows = (
                chunks_of_texts(records, WINDOW_TEXTS, WINDOW_CHARACTERS)
                if files
                else _windows_of_lines(texts)
            )
            for lines in _answered(predictor, answers, windows, seen, options.explain):
                write(lines)
        seen.close()


def _answered(
    predictor: Predictor,
    answers: Answers,
    windows: Iterable[list[Record]],
    seen: "Seen",
    explains: bool,
) -> Iterator[str]:
    """Yields the lines of each window, of explained texts one by one."""
    yield "".join(answers.head)
    for records in windows:
        texts = [record.text for record in records]
        if explains:
            for record, found in zip(records, predictor.explain_all(texts), strict=True):
                seen.add_explained(found)
                yield answers.line(record, Said(found.probability, found.accepted, found))
            continue
        predictions = predictor(texts)
        seen.add(predictions)
        said = map(Said, predictions.probability, predictions.accepted)
        yield "".join(map(answers.line, records, said))


def _evaluated(options: PredictOptions, predictor: Predictor, source: Source, seen: "Seen") -> str:
    """How good the model is on a file, for people or as JSON.

    Raises:
      UserError: there is no labeled text; by `--strict_labels`, the model lacks a label, or it
        lacks so many that they can be no labels; or its probabilities are NaN.
    """
    evaluation = (SetEvaluation if predictor.has_sets else Evaluation)(predictor.labels)
    known = set(predictor.labels)
    unknown: set[str] = set()
    for examples in chunks_of_texts(source.read(), WINDOW_TEXTS, WINDOW_CHARACTERS):
        for example, label in ((one, label) for one in examples for label in one.labels):
            if label in known or label in unknown:
                continue
            if options.strict_labels:
                place = source.place(example.line, example.file)
                raise UserError(f"{place}: the model has no label {label[:40]!r}")
            unknown.add(label)
            if len(unknown) > MAX_UNKNOWN_LABELS:
                raise UserError(
                    f"{source.name}: over {MAX_UNKNOWN_LABELS:,} labels that the model lacks; is "
                    f"--label_column={options.files.label_column} right?"
                )
        predictions = predictor([example.text for example in examples])
        seen.add(predictions)
        if not np.isfinite(predictions.probability).all():
            raise UserError(
                f"{options.model}: its probabilities are not finite numbers; expected a model that "
                f"knows its words, such as one imported with --vocabulary"
            )
        if isinstance(evaluation, SetEvaluation):
            rows = evaluation.rows([example.labels for example in examples])
            evaluation.add(rows, predictions.probability, predictions.accepted)
        else:
            classes = np.array([evaluation.class_of(example.label) for example in examples])
            is_accepted = np.any(predictions.accepted, axis=1)
            evaluation.add(classes, predictions.classes, predictions.probability, is_accepted)
    report = evaluation.report()
    if options.format == "jsonl":
        return json.dumps({"texts": evaluation.num_texts, **report}) + "\n"
    text = evaluation_text(f"{evaluation.num_texts:,} texts", report)
    lines = [text, f"expected calibration error {report['calibration_error']:.4f}"]
    if "coverage" in report:
        lines.append(accepted_text(report))
    return "\n".join([*lines, "", label_table(report["per_class"]), ""])


def _windows_of_lines(texts: Sequence[str]) -> Iterator[list[Record]]:
    """The texts of the command line; where there are none, the lines of standard input."""
    for window in windows_of(texts, ""):
        yield [Record((), text, 0, None) for text in window]


@contextlib.contextmanager
def _sink(path: str) -> Iterator[Callable[[str], None]]:
    """What takes lines: a file that is written whole or not at all, or standard output.

    Raises:
      UserError: the file cannot be written, or there is no standard output.
    """
    if not path:
        if sys.stdout is None:
            raise UserError("there is no standard output; expected --output")
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
      notes: returns those of the input; more may come as it is read.
      is_alone: whether nothing else goes to the terminal meanwhile.
    """

    def __init__(self, notes: Callable[[], list[str]], is_alone: bool):
        self._notes = notes
        self._told: list[str] = []
        self._tell_notes()
        self._shows = is_terminal(sys.stderr) and (is_alone or not is_terminal(sys.stdout))
        self._started = time.monotonic()
        self._texts = self._cut = self._max_tokens = self._in_spans = 0

    def add(self, predictions: Predictions) -> None:
        """Takes in the predictions of a window."""
        num_tokens = int(predictions.num_tokens.max(initial=0))
        self._add(len(predictions.classes), int(predictions.is_cut.sum()), num_tokens)

    def add_explained(self, explanation: Explanation) -> None:
        """Takes in the explanation of a text."""
        self._in_spans += explanation.span > 1
        self._add(1, int(explanation.is_cut), len(explanation.tokens))

    def _add(self, num_texts: int, num_cut: int, num_tokens: int) -> None:
        self._texts += num_texts
        self._cut += num_cut
        self._max_tokens = max(self._max_tokens, num_tokens)
        if self._shows:
            seconds = max(time.monotonic() - self._started, 1e-9)  # a coarse clock may stand still
            rate = self._texts / seconds
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
        if self._in_spans:
            note(
                f"{self._in_spans:,} of {self._texts:,} texts are longer than {MAX_SPANS} tokens; "
                f"what the network makes of these is measured some tokens at a time"
            )

    def _tell_notes(self) -> None:
        for text in self._notes():
            if text not in self._told:
                note(text)
                self._told.append(text)
