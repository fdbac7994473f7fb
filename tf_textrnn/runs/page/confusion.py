"""Which labels are taken for which: a matrix and its largest numbers."""

from typing import NamedTuple

import numpy as np

from tf_textrnn.base.tables import cut_to, shown_labels
from tf_textrnn.runs.answered import Answered
from tf_textrnn.runs.marks import given_labels
from tf_textrnn.runs.page.markup import Html, section, table, tag

LABELS_SHOWN = 50  # in the matrix
PAIRS_SHOWN = 20
NOTHING = "(nothing)"
_NAME_WIDTH = 20
_SHADES = 9


class Confusions(NamedTuple):
    """What is taken for what.

    Attributes:
      names: of the labels, the most often confused first; of sets, perhaps `NOTHING` last.
      counts: int[names, names], texts of which one label (row) is missed and another (column) is
        wrongly given; on the diagonal, those of a label that is given.
      texts: int[names], of each label.
      num_labels: all that there are.
    """

    names: list[str]
    counts: np.ndarray
    texts: np.ndarray
    num_labels: int

    def pairs(self) -> list[tuple[int, int]]:
        """The rows and columns of the largest numbers off the diagonal, the largest first."""
        wrong = self.counts * ~np.eye(len(self.counts), dtype=bool)
        order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS_SHOWN]
        pairs = zip(
            *(places.tolist() for places in np.unravel_index(order, wrong.shape)), strict=True
        )
        return [pair for pair in pairs if wrong[pair]]


def confusions(answers: Answered) -> Confusions:
    """Counts what is taken for what, of the labels that are most often confused.

    Of a set several labels can be missed and several wrongly given: each pair counts. One that is
    missed with none in its place, or given beside all that are right, is paired with `NOTHING`.

    Args:
      answers: what the model says of the scored texts.
    """
    rows = answers.rows
    given = given_labels(answers)
    given = np.pad(given, [(0, 0), (0, rows.shape[1] - given.shape[1])])
    missed, wrong = rows & ~given, given & ~rows
    mistakes, texts = (missed | wrong).sum(axis=0), rows.sum(axis=0)
    shown = np.lexsort((-texts, -mistakes))[:LABELS_SHOWN]
    names = [answers.labels[label] for label in shown]
    right = np.append((rows & given).sum(axis=0)[shown], 0)
    missed, wrong = (_and_nothing(part, shown) for part in (missed, wrong))
    counts = (missed.T @ wrong).astype(int)
    counts[-1, -1] = 0  # texts that are right
    texts = np.append(texts[shown], counts[-1].sum())
    counts += np.diag(right)
    has_nothing = counts[-1].any() or counts[:, -1].any()
    end = None if has_nothing else -1
    shown_names = list(shown_labels(names).values())
    return Confusions(
        [*shown_names, NOTHING][:end], counts[:end, :end], texts[:end], len(answers.labels)
    )


def _and_nothing(is_label: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """float32[texts, shown + 1], the last where a text has no label at all."""
    return np.column_stack([is_label[:, shown], ~is_label.any(axis=1)]).astype(np.float32)


def confusion_section(found: Confusions) -> Html:
    """The part of the page on what is taken for what."""
    few = len(found.names) - (NOTHING in found.names)
    which = "" if few == found.num_labels else f" The {few} of {found.num_labels:,} labels shown."
    note = (
        "A row is a true label, a column what is given in its place; the labels that are most "
        f"often confused come first.{which} Point at a number, or go there with the arrow keys."
    )
    of_sets = (
        f"The row {NOTHING} has labels given beside all that are right, the column {NOTHING} those "
        "that are missed with none in their place."
    )
    return section(
        "What is taken for what",
        tag("p", note),
        tag("p", of_sets) if NOTHING in found.names else "",
        tag("output", "\u00a0", id="cell", aria_live="polite"),
        _matrix(found),
        _pairs_table(found),
    )


def _matrix(found: Confusions) -> Html:
    heads = [tag("th", tag("span", _short(name)), scope="col", title=name) for name in found.names]
    rows = [
        tag("tr", tag("th", _short(name), scope="row", title=name),
            *[_cell(found, row, column) for column in range(len(found.names))])
        for row, name in enumerate(found.names)
    ]  # fmt: skip
    size = "large" if len(found.names) > 20 else "small"
    return tag(
        "div",
        tag("table", tag("thead", tag("tr", tag("td"), *heads)), tag("tbody", *rows),
            id="confusion", class_=size,
            aria_label="numbers of texts, by true label (row) and label given (column)"),
        class_="scroll", tabindex="0", role="region", aria_label="confusion matrix",
    )  # fmt: skip


def _short(name: str) -> str:
    return cut_to(name, _NAME_WIDTH)


def _cell(found: Confusions, row: int, column: int) -> Html:
    count = int(found.counts[row, column])
    if not count:
        return tag("td")
    share = count / max(int(found.texts[row]), 1)
    shade = min(1 + int(share * _SHADES), _SHADES)
    kind = "right" if row == column else "wrong"
    return tag("td", str(count), class_=f"{kind} q{shade}", title=_told(found, row, column))


def _told(found: Confusions, row: int, column: int) -> str:
    """What a cell of the matrix says."""
    true, given = found.names[row], found.names[column]
    count, texts = int(found.counts[row, column]), int(found.texts[row])
    of = f"{count:,} of {texts:,} texts ({count / max(texts, 1):.1%})"
    if row == column:
        return f"{true}: right in {of}"
    if given == NOTHING:
        return f"{true} missed, with nothing in its place: {of}"
    if true == NOTHING:
        return f"{given} given beside all that is right: {count:,} times"
    return f"{true} taken for {given}: {of}"


def _pairs_table(found: Confusions) -> Html:
    pairs = found.pairs()
    if not pairs:
        return tag("p", "No label is taken for another one.")
    rows = [
        [found.names[row], found.names[column], str(found.counts[row, column]),
         f"{found.counts[row, column] / max(found.texts[row], 1):.1%}"]
        for row, column in pairs
    ]  # fmt: skip
    heads = ["true label", "given instead", "texts", "of the true label's"]
    return table("most often confused", heads, rows)
