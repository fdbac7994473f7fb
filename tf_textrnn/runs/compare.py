"""Says whether one of two runs is better, on the same texts.

    textrnn compare runs/a runs/b
    textrnn compare runs/a runs/b --output=differences.tsv

Each measure comes with the 95 % interval of the difference. It covers the choice of the texts;
other seeds would train other models. --output lists every text that the two answer differently.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from tf_textrnn.base.errors import UserError, printable
from tf_textrnn.base.files import written
from tf_textrnn.base.options import CheckedOptions, option
from tf_textrnn.base.tables import aligned, display_width, pad, split_labels, tab_separated
from tf_textrnn.base.terminal import show
from tf_textrnn.runs.bootstrap import are_equal, compare_measures, mcnemar
from tf_textrnn.runs.folder import RunFolder, read_report

TEXTS_SHOWN = 10
_NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "weighted_f1": "weighted F1"}
_NAMES_OF_SETS = {"accuracy": "whole sets", "macro_f1": "macro F1", "micro_f1": "micro F1"}


@dataclasses.dataclass(frozen=True)
class CompareOptions(CheckedOptions):
    """What `textrnn compare` is told."""

    output: str = option(
        "", "File for the texts that the two answer differently; empty = none", is_path=True
    )


class Predicted(NamedTuple):
    """What the report of a run says of the texts that it is of.

    Attributes:
      name: the run's folder.
      texts: of which texts it is, as `report.json` has it.
      evaluated_on: which split they are.
      has_sets: whether a text has a set of labels.
      rows: place, label, prediction and probability of each text.
    """

    name: str
    texts: str
    evaluated_on: str
    has_sets: bool
    rows: list[tuple[str, str, str, str]]


def compare(options: CompareOptions, runs: Sequence[str]) -> None:
    """Prints how two runs differ, and writes `--output`.

    Args:
      options: what the command is told.
      runs: folders of two runs.

    Raises:
      UserError: there are not two runs that have ended, or their reports are of other texts.
    """
    if len(runs) != 2:
        raise UserError(f"compare: expected the folders of two runs, found {len(runs)}")
    first, second = map(read_predicted, runs)
    if first.texts != second.texts or len(first.rows) != len(second.rows):
        raise UserError(
            f"{first.name} and {second.name}: expected reports of the same texts, found "
            f"{len(first.rows):,} of {first.evaluated_on} and {len(second.rows):,} of "
            f"{second.evaluated_on} that are others; train both with the same --test_file"
        )
    if first.has_sets != second.has_sets:
        raise UserError(f"{first.name} and {second.name}: expected the same --multi_label of both")
    differing = [
        (place, label, one[2], one[3], other[2], other[3])
        for one, other in zip(first.rows, second.rows, strict=True)
        for place, label in [one[:2]]
        if not _is_same(one[2], other[2], first.has_sets)
    ]
    if options.output:
        heads = "place", "label", "prediction_1", "probability_1", "prediction_2", "probability_2"
        with written(pathlib.Path(options.output), f"--output={options.output}") as file:
            for row in [heads, *differing]:
                file.write(f"{tab_separated(*row)}\n".encode())
    show("\n".join([*_measures(first, second), "", *_texts(differing, options.output)]))


def _is_same(first: str, second: str, has_sets: bool) -> bool:
    """Whether two answers are the same label, or the same labels in whatever order."""
    return set(split_labels(first)) == set(split_labels(second)) if has_sets else first == second


def read_predicted(run: str) -> Predicted:
    """What the report of a run says of its texts.

    Raises:
      UserError: the run has not ended, is of an older version, or a file is damaged.
    """
    folder = RunFolder(run)
    report = read_report(folder)
    try:
        content = folder.predictions.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        content = ""
        if not isinstance(error, FileNotFoundError):
            raise UserError(f"{folder.predictions}: cannot be read ({error})") from error
    if not report or not content:
        raise UserError(
            f"{run}: expected a run that has ended, with report.json and predictions.tsv"
        )
    if not isinstance(report.get("texts_hash"), str):
        raise UserError(
            f"{folder.report_json}: does not say which texts it is of (an older version wrote it); "
            f"expected a run of this version"
        )
    rows = [tuple(line.split("\t")) for line in content.split("\n")[1:-1]]
    for number, row in enumerate(rows, 2):
        if len(row) != 4:
            raise UserError(f"{folder.predictions}:{number}: expected 4 cells, found {len(row)}")
    has_sets = "per_text_f1" in report
    if has_sets and (label := next((x for x in report["per_class"] if "|" in x), None)):
        raise UserError(
            f"{folder.predictions}: the label {printable(label)!r} holds the | that joins labels; "
            f"such sets cannot be told apart"
        )
    return Predicted(run, report["texts_hash"], report["evaluated_on"], has_sets, rows)  # type: ignore[arg-type]


def _measures(first: Predicted, second: Predicted) -> list[str]:
    """Lines with each measure of both runs, and of how far chance goes."""
    truth, *answers = label_rows(
        [[row[1] for row in first.rows], *([row[2] for row in x.rows] for x in (first, second))],
        first.has_sets,
    )
    found = compare_measures(truth, answers[0], answers[1])
    names = _NAMES_OF_SETS if first.has_sets else _NAMES
    rows = [["", printable(first.name), printable(second.name), "difference", "95 % interval"]]
    for key, name in names.items():
        one, other, low, high = found[key]
        rows.append(
            [
                name,
                f"{one:.4f}",
                f"{other:.4f}",
                f"{other - one:+.4f}",
                f"{low:+.4f} to {high:+.4f}",
            ]
        )
    is_right = [are_equal(truth, rows) for rows in answers]
    alone = [int((is_right[i] & ~is_right[1 - i]).sum()) for i in range(2)]
    p = mcnemar(*alone)
    verdict = "chance alone may do that" if p >= 0.05 else "chance alone hardly does that"
    return [
        f"{len(first.rows):,} texts of {first.evaluated_on}, the same in both",
        "",
        *aligned(rows),
        "",
        f"right alone: {printable(first.name)} {alone[0]:,}, {printable(second.name)} "
        f"{alone[1]:,}; McNemar's p = {p:.2g}: {verdict}",
    ]


def _texts(differing: Sequence[tuple[str, ...]], output: str) -> list[str]:
    """Lines with the first of the texts that the two runs answer differently."""
    if not differing:
        return ["they answer every text alike"]
    places = f"all in {output}" if output else "--output=FILE lists all"
    lines = [f"they answer {len(differing):,} texts differently ({places}):"]
    width = max(display_width(row[0]) for row in differing[:TEXTS_SHOWN])
    for place, label, *answers in differing[:TEXTS_SHOWN]:
        first, second = (
            f"{tab_separated(answers[i]) or 'no label'} ({answers[i + 1]})" for i in (0, 2)
        )
        lines.append(
            f"  {pad(tab_separated(place), width)}  {tab_separated(label) or 'no label'}: "
            f"{first}, {second}"
        )
    return lines


def label_rows(columns: Sequence[Sequence[str]], has_sets: bool) -> list[sparse.csr_array]:
    """float32[texts, labels] of each column of labels, 1 for each label of a text."""
    sets = [[split_labels(cell) if has_sets else [cell] for cell in column] for column in columns]
    class_of = {
        label: index
        for index, label in enumerate(
            sorted({x for column in sets for cell in column for x in cell})
        )
    }
    rows = []
    for column in sets:
        found = [class_of[label] for cell in column for label in cell]
        ends = np.cumsum([0, *map(len, column)])
        ones = np.ones(len(found), np.float32)
        rows.append(sparse.csr_array((ones, found, ends), (len(column), len(class_of))))
    return rows
