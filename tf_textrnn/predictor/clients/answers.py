"""What an answer must be before anything of it is used. Standard library only.

A server may be a stranger: every value has its type, its bounds and its fellows, or the answer is
refused whole.
"""

import re
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from tf_textrnn.base.tables import MAX_LABEL, can_be_label

Kind = TypeVar("Kind")

STATES = ("UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END")  # of a version
KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}
ROUNDING = 1e-6  # of a probability


class AnswerError(ValueError):
    """An answer that is not of the form that it should have."""


class Prediction(NamedTuple):
    """What the model says of one text.

    Attributes:
      label: the most probable one.
      probability: of that label.
      probabilities: of every label, in the order of the model's labels file.
      accepted: the places of the labels that the text is taken to have, in the same order; a model
        of 0.1, which does not tell, takes it to have the most probable one.
    """

    label: str
    probability: float
    probabilities: list[float]
    accepted: list[int]


class VersionStatus(NamedTuple):
    """A version of the model on the server, its state ("AVAILABLE") and what went wrong."""

    version: int
    state: str
    error: str


def expect(kind: type[Kind], value: Any, name: str) -> Kind:
    """Returns a value of JSON that is of this kind: dict, list or str.

    Raises:
      AnswerError: it is not; `name` says where it was found.
    """
    if not isinstance(value, kind):
        raise AnswerError(f"expected {KINDS[kind]} as {name}, found {reprlib.repr(value)}")
    return value


def member(kind: type[Kind], holder: Any, name: str) -> Kind:
    """Returns a member of this kind of an object of JSON.

    Raises:
      AnswerError: there is no object, or no such member in it.
    """
    found = expect(dict, holder, f"holder of {name!r}")
    if name not in found:
        raise AnswerError(f"expected {name!r}, found {reprlib.repr(sorted(map(str, found)))}")
    return expect(kind, found[name], repr(name))


def whole_number(text: str, name: str) -> int:
    """Returns the number that a text of JSON writes out, as protobuf has 64-bit numbers there.

    Raises:
      AnswerError: it is no such number.
    """
    if not re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
        raise AnswerError(f"expected a whole number as {name}, found {reprlib.repr(text)}")
    return int(text)


def predictions(rows: Iterable[tuple[Any, Any, Any]], count: int) -> list[Prediction]:
    """Returns the predictions that an answer holds.

    Args:
      rows: the label of each text, the probabilities of all labels, and whether each is accepted;
        None = the answer does not tell.
      count: number of texts that were asked about.

    Raises:
      AnswerError: a label or a probability that can be none; texts that are not of the same
        labels; a label that is not that of the largest probability.
    """
    found = []
    label_of_class: dict[int, str] = {}
    for label, probabilities, accepted in rows:
        row = _probabilities(probabilities)
        largest = max(row)
        places = [row.index(largest)] if accepted is None else _accepted(accepted, len(row))
        found.append(Prediction(_label(label), largest, row, places))
        if len(row) != len(found[0].probabilities):
            raise AnswerError(
                f"{len(row)} probabilities beside {len(found[0].probabilities)} of another text"
            )
        # Where two labels are about as probable, rounding decides.
        if sum(probability > largest - ROUNDING for probability in row) == 1:
            label_of_class.setdefault(row.index(largest), label)
            if label_of_class[row.index(largest)] != label:
                raise AnswerError(f"the label {label!r} is not that of the largest probability")
    if len(set(label_of_class.values())) != len(label_of_class):
        raise AnswerError("one label for largest probabilities at different places")
    return _checked_count(found, count)


def classifications(
    rows: Iterable[Sequence[tuple[Any, Any]]], count: int
) -> list[dict[str, float]]:
    """Returns the probability of every label for each text of an answer.

    Args:
      rows: the labels of each text with their probabilities.
      count: number of texts that were asked about.

    Raises:
      AnswerError: a label or a probability that can be none; a label twice; texts that are not of
        the same labels.
    """
    found: list[dict[str, float]] = []
    for row in rows:
        labels = [_label(label) for label, _ in row]
        probabilities = _probabilities([probability for _, probability in row])
        found.append(dict(zip(labels, probabilities, strict=True)))
        if len(found[-1]) != len(labels) or found[-1].keys() != found[0].keys():
            raise AnswerError("labels that come twice, or differ from those of another text")
    return _checked_count(found, count)


def version_status(version: int, state: str, error: str) -> VersionStatus:
    """Returns a version's status.

    Raises:
      AnswerError: there is no such version or state.
    """
    if version < 0 or state not in STATES:
        raise AnswerError(f"version {version} in the state {reprlib.repr(state)}")
    return VersionStatus(version, state, error)


def _checked_count(found: list[Kind], count: int) -> list[Kind]:
    if len(found) != count:
        raise AnswerError(f"{len(found)} answers to {count} texts")
    return found


def _label(value: Any) -> str:
    label = expect(str, value, "a label")
    if not 0 < len(label) <= MAX_LABEL or not can_be_label(label):
        raise AnswerError(
            f"expected 1 to {MAX_LABEL:,} printable characters as a label, found "
            f"{reprlib.repr(label)}"
        )
    return label


def _accepted(values: Any, count: int) -> list[int]:
    accepted = expect(list, values, "accepted labels")
    if len(accepted) != count or not all(type(value) is bool for value in accepted):
        raise AnswerError(
            f"expected true or false for each of {count} labels, found {reprlib.repr(accepted)}"
        )
    return [place for place, value in enumerate(accepted) if value]


def _probabilities(values: Any) -> list[float]:
    numbers = expect(list, values, "probabilities")
    if not numbers:
        raise AnswerError("no probabilities")
    for number in numbers:
        # Not a number, and what is infinite, fail the comparison; so do numbers of many digits.
        if type(number) not in (int, float) or not 0 <= number <= 1 + ROUNDING:
            raise AnswerError(f"expected probabilities, found {reprlib.repr(number)}")
    return [float(number) for number in numbers]
