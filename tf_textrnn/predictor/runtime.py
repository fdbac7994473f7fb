"""What an export's runtime offers, whichever kind of export it runs, and which kind lies where."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tf_textrnn.predictor.explain import Shares

Array = np.ndarray[Any, np.dtype[Any]]

SAVED_MODEL, ONNX, SETTINGS = "saved_model.pb", "model.onnx", "model.json"
FOLDERS = ("export", "export_onnx")  # of a run, the first that has a version is taken


class Predictions(NamedTuple):
    """What a model says of some texts.

    Attributes:
      classes: int64[texts], the most probable class of each.
      probability: float32[texts, classes].
      num_tokens: int32[texts], number of tokens that were read.
      is_cut: bool[texts], whether the text goes on after these. Exports of 0.1 do not tell: to
        them all texts have 0 tokens and are whole.
      accepted: bool[texts, classes], the labels that the text is taken to have; to exports of 0.1
        it has the most probable one.
      scores: float32[texts, classes].
      num_known: int32[texts], the tokens not read as unknown; to exports that do not tell, all.
    """

    classes: Array
    probability: Array
    num_tokens: Array
    is_cut: Array
    accepted: Array
    scores: Array
    num_known: Array

    @classmethod
    def empty(cls, num_texts: int, num_classes: int) -> "Predictions":
        """For that many texts, to be filled."""
        by_class = (num_texts, num_classes)
        return cls(
            np.empty(num_texts, np.int64),
            np.empty(by_class, np.float32),
            np.empty(num_texts, np.int32),
            np.empty(num_texts, bool),
            np.empty(by_class, bool),
            np.empty(by_class, np.float32),
            np.empty(num_texts, np.int32),
        )

    def of(self, texts: Sequence[int]) -> "Predictions":
        """Those of some of the texts, by their places."""
        return Predictions(*(values[texts] for values in self))

    def put(self, texts: Sequence[int] | Array, part: "Predictions") -> None:
        """Takes the predictions of the texts at these places."""
        for whole, values in zip(self, part, strict=True):
            whole[texts] = values


class Runtime(Protocol):
    """An export that answers.

    Attributes:
      labels: the label of each class, as text.
      values: the same as numbers or truth values, where the model was fitted to such; else empty.
      has_sets: whether a text has any number of labels, and not exactly one.
    """

    labels: list[str]
    values: list[Any]
    has_sets: bool

    def run(self, texts: list[bytes]) -> Predictions:
        """Classifies texts, all of them together; several threads may do so at a time."""

    def explain(self, text: bytes) -> Shares:
        """Tells what each token of a text adds to the scores; threads as in `run`."""


def is_onnx(path: pathlib.Path) -> bool:
    """Whether an export for ONNX Runtime lies in a folder, or a part of one."""
    return not (path / SAVED_MODEL).is_file() and any(
        (path / name).is_file() for name in (ONNX, SETTINGS)
    )


def card_file(version: pathlib.Path) -> pathlib.Path:
    """Where the model card of an export lies: beside an ONNX graph, or in what a SavedModel has."""
    card = version / "model_card.json"
    return card if card.is_file() else version / "assets.extra" / card.name


def newest_version(path: pathlib.Path) -> pathlib.Path | None:
    """The export that a path leads to, if any.

    Args:
      path: an export; a folder of numbered versions, whose newest is taken; or the folder of a run,
        in which a SavedModel goes before an export for ONNX Runtime.
    """
    if (path / SAVED_MODEL).is_file() or is_onnx(path):
        return path
    if (path / "config.json").is_file():  # a run
        found = (_newest_of(path / name) for name in FOLDERS)
        return next((version for version in found if version), None)
    return _newest_of(path)


def _newest_of(folder: pathlib.Path) -> pathlib.Path | None:
    versions = [
        entry
        for entry in folder.glob("*")
        if entry.name.isdecimal() and ((entry / SAVED_MODEL).is_file() or is_onnx(entry))
    ]
    return max(versions, key=lambda version: int(version.name), default=None)
