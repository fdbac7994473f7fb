"""Answers as lines: a table's or JSON's own record with what the model says added to it."""

import csv
import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.tables import joined_labels, json_text, tab_separated
from tf_textrnn.data.readers import OpenFile, Record
from tf_textrnn.predicting.options import PredictOptions
from tf_textrnn.predictor.explain import Explanation

DELIMITERS = {"tsv": "\t", "csv": ","}
TABLES, OBJECTS = ("csv", "tsv", "parquet"), ("jsonl", "json")  # formats of inputs
ANSWERS = {"csv": "csv", "tsv": "tsv", "parquet": "csv", "jsonl": "jsonl", "json": "jsonl"}


class Said(NamedTuple):
    """What the model says of a text.

    Attributes:
      probability: float32[classes].
      accepted: bool[classes], the labels that the text is taken to have.
      explanation: of the text; None = `--explain` is off.
    """

    probability: np.ndarray
    accepted: np.ndarray
    explanation: Explanation | None = None


class Answers(Protocol):
    """How answers are written.

    Attributes:
      head: the lines before the first answer.
    """

    head: list[str]

    def line(self, record: Record, said: Said) -> str:
        """The answer to a text, with its end of line.

        Args:
          record: the text as it was read.
          said: of it.
        """


class Naming(NamedTuple):
    """How the accepted labels of a text are named.

    Attributes:
      labels: the label of each class.
      unsure: what stands for the label where none is accepted.
      has_sets: whether a text has any number of labels.
    """

    labels: Sequence[str]
    unsure: str = "?"
    has_sets: bool = False

    def text(self, accepted: np.ndarray) -> str:
        """The labels in one."""
        return joined_labels(self._accepted(accepted)) or self.unsure

    def value(self, accepted: np.ndarray) -> str | list[str]:
        """The labels as JSON has them: a list of any number, or the one."""
        return self._accepted(accepted) if self.has_sets else self.text(accepted)

    def _accepted(self, accepted: np.ndarray) -> list[str]:
        return [self.labels[label] for label in np.flatnonzero(accepted).tolist()]


def answers_for(
    options: PredictOptions, naming: Naming, files: Sequence[OpenFile], is_terminal: bool
) -> Answers:
    """Chooses how answers are written.

    Args:
      options: of the command.
      naming: how labels are named.
      files: the input; none = texts of the command line, or lines of standard input.
      is_terminal: whether a person reads the answers as they come.

    Raises:
      UserError: what the options ask for has no place in such answers.
    """
    opened = files[0] if files else None
    source = opened.format if opened else "lines"
    is_table = source in TABLES
    for other in files[1:]:
        if (other.format in TABLES, other.format in OBJECTS) != (is_table, source in OBJECTS):
            raise UserError(
                f"--input: {other.name} is {other.format} and {files[0].name} {source}; expected "
                "tables, or JSON, or texts alone"
            )
    kind = ANSWERS.get(source, "tsv") if options.format == "auto" else options.format
    if options.top_k and kind != "jsonl":
        raise UserError(f"--top_k={options.top_k}: expected --format=jsonl beside it")
    if kind == "jsonl":
        return JsonAnswers(options, naming, files)
    if is_table or kind == "csv":
        delimiter = opened.delimiter if opened and source == kind else DELIMITERS[kind]
        header = opened.header if opened and is_table else ["text"]
        shown_labels = naming.labels if options.all_probabilities else ()
        return TableAnswers(
            header, is_table, delimiter, naming, shown_labels, is_terminal, options.explain
        )
    if options.all_probabilities:
        raise UserError("--all_probabilities: expected --format=csv or --format=jsonl beside it")
    return LineAnswers(naming)


def free_name(name: str, taken: Container[str]) -> str:
    """A name that is not taken: `name`, else `predicted_<name>`, else that with a number.

    Example:
      >>> free_name("label", ["text"]), free_name("label", ["text", "label"])
      ('label', 'predicted_label')
    """
    numbered = (f"predicted_{name}_{number}" for number in itertools.count(2))
    candidates = itertools.chain([name, f"predicted_{name}"], numbered)
    return next(candidate for candidate in candidates if candidate not in taken)


class LineAnswers:
    """label<TAB>probability<TAB>text, whatever these hold; words before the text, if explained."""

    def __init__(self, naming: Naming):
        self.head: list[str] = []
        self._naming = naming

    def line(self, record: Record, said: Said) -> str:
        label, best = self._naming.text(said.accepted), said.probability.max()
        why = [said.explanation.line()] if said.explanation else []
        return tab_separated(label, f"{best:.4f}", *why, record.text) + "\n"


class TableAnswers:
    """A table's own rows with columns added, as `csv` writes them.

    Args:
      header: the names of the columns; None where the table has none.
      is_table: whether the records are rows; else a row is the text alone.
      delimiter: what separates the columns.
      naming: how labels are named.
      shown_labels: those that have a column of their own.
      is_terminal: leaves out of cells what would drive a terminal.
      explains: whether a column has the words that speak most for a label and against it.
    """

    def __init__(
        self,
        header: Sequence[str] | None,
        is_table: bool,
        delimiter: str,
        naming: Naming,
        shown_labels: Sequence[str],
        is_terminal: bool,
        explains: bool,
    ):
        self._is_table = is_table
        self._naming = naming
        self._shows_all = bool(shown_labels)
        self._is_terminal = is_terminal
        self._lines: list[str] = []
        # With its usual end of line, `csv` quotes cells that hold \r or \n.
        self._writer = csv.writer(self, delimiter=delimiter)
        self.head: list[str] = []
        if header is not None:
            names = list(header)
            added = [f"probability_{label}" for label in shown_labels] + ["words"] * explains
            for name in ("label", "probability", *added):
                names.append(free_name(name, names))
            self.head.append(self._row(names))

    def line(self, record: Record, said: Said) -> str:
        cells = record.cells if self._is_table else [record.text]
        shown = [said.probability.max(), *(said.probability if self._shows_all else ())]
        why = [said.explanation.line()] if said.explanation else []
        return self._row(
            [*cells, self._naming.text(said.accepted), *(f"{value:.6f}" for value in shown), *why]
        )

    def write(self, line: str) -> None:
        """Takes a line from `csv`."""
        self._lines.append(line)

    def _row(self, cells: Iterable[str]) -> str:
        self._writer.writerow(map(tab_separated, cells) if self._is_terminal else cells)
        return self._lines.pop().removesuffix("\r\n") + "\n"


class JsonAnswers:
    """An object a line: the input's own, or a text, with what the model says of it.

    Args:
      options: of the command.
      naming: how labels are named.
      files: the input; it is read once to learn which names its objects have.
    """

    def __init__(self, options: PredictOptions, naming: Naming, files: Sequence[OpenFile]):
        self.head: list[str] = []
        self._naming = naming
        self._header = files[0].header if files and files[0].format in TABLES else None
        self._top_k = options.top_k or len(naming.labels)
        is_objects = bool(files) and files[0].format in OBJECTS
        self._is_own = not (self._header or is_objects)
        self._shows_more = self._is_own or options.all_probabilities or bool(options.top_k)
        taken = set(self._header or ())
        if is_objects:
            taken = {name for file in files for record in file.records() for name in record.cells}
        names = ("label", "probability", "probabilities", "explanation")
        self._names = [free_name(name, taken) for name in names]

    def line(self, record: Record, said: Said) -> str:
        labels, probability = self._naming.labels, said.probability
        surest = np.argsort(-probability, kind="stable")[: self._top_k].tolist()
        label, of_label, of_labels, why = self._names
        answer: dict[str, Any] = {
            **self._own(record),
            label: self._naming.value(said.accepted),
            of_label: round(float(probability.max()), 6),
        }
        if self._shows_more:
            answer[of_labels] = {labels[i]: round(float(probability[i]), 6) for i in surest}
        if said.explanation:
            answer[why] = said.explanation.as_json()
        if self._is_own:
            answer["text"] = record.text
        return json_text(answer) + "\n"

    def _own(self, record: Record) -> Mapping[str, Any]:
        if self._header:
            return dict(zip(self._header, record.cells, strict=True))
        return {} if self._is_own else record.cells
