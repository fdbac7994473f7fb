"""An exported model in this process. Needs TensorFlow, NumPy and `tf_textrnn.base` alone."""

import concurrent.futures
import json
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from tf_textrnn.base import invocation
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.startup import load_tensorflow, usable_cores
from tf_textrnn.predictor import guard

_WORD_OR_SIGN = re.compile(r"\w+|[^\w\s]")

VALUES_FILE = "assets.extra/classes.json"  # labels that are numbers, by class, as JSON
_CARD_FILE = "assets.extra/model_card.json"
BATCH_TEXTS = 128
BATCH_BYTES = 1 << 19  # of a batch, each text counted as long as the longest


Array = np.ndarray[Any, np.dtype[Any]]


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
    """

    classes: Array
    probability: Array
    num_tokens: Array
    is_cut: Array
    accepted: Array


class Predictor:
    """An exported model in this process.

    Args:
      model: a SavedModel's folder, a folder of numbered versions, whose newest is taken, or the
        folder of a run that has such an export.

    Attributes:
      labels: the label of each class, as text.
      has_sets: whether a text has any number of labels, and not exactly one.
      classes_: object[classes], the same labels; of what a `TextClassifier` saved, numbers and
        truth values where it was fitted to such.

    Raises:
      UserError: there is no model of this project here, or it does more than compute.

    Example:
      >>> texts, labels = ["a fine film", "a dull film"] * 20, ["good", "bad"] * 20
      >>> tf_textrnn.TextClassifier(num_epochs=2).fit(texts, labels).save("reviews")
      >>> predictor = tf_textrnn.load("reviews")
      >>> predictor.classes_
      array(['bad', 'good'], dtype=object)
      >>> predictor.predict_proba(["a fine film", "a film"]).shape
      (2, 2)
    """

    def __init__(self, model: str | os.PathLike[str]):
        tf = load_tensorflow(intraop_threads=1)  # cores go to batches, not to single ops
        path = newest_version(pathlib.Path(model))
        if path is None and (pathlib.Path(model) / "config.json").is_file():
            export = invocation.command_line("export", f"--run_dir={model}")
            raise UserError(f"--model={model}: this run has no export; make one with {export}")
        if path is None:
            raise UserError(f"--model={model}: no saved_model.pb here; expected an exported model")
        try:
            guard.check(path)
            self.labels = (path / "assets" / "labels.txt").read_text("utf-8").splitlines()
            self._model = tf.saved_model.load(str(path))
            self._signature = self._model.signatures["serving_default"]
            classes = self._signature.structured_outputs["probability"].shape[-1]
            self.has_sets = _has_sets(path)
            self.classes_: Array = np.array(_read_values(path) or self.labels, object)
        except UserError:
            raise
        except Exception as error:  # a damaged model fails in many ways
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: not a model of this project ({reason})") from error
        if not len(self.labels) == len(self.classes_) == classes:
            raise UserError(f"{path}: {len(self.labels)} labels, expected {classes}")
        self._to_tensor = tf.constant
        self._threads = concurrent.futures.ThreadPoolExecutor(usable_cores())

    def predict(self, texts: Iterable[str]) -> Array:
        """object[texts], of `classes_`: the most probable label of each text.

        Where a text has any number of labels, a tuple of those that it is taken to have.

        Args:
          texts: strings, in a list, an array or a pandas Series.

        Raises:
          TypeError: there is something else in it, or it is a string by itself.
          ValueError: it has rows and columns.
        """
        found = self(as_texts(texts))
        labels: Array = self.classes_[found.classes]
        if self.has_sets:
            for text, accepted in enumerate(found.accepted):
                labels[text] = tuple(self.classes_[accepted])
        return labels

    def predict_proba(self, texts: Iterable[str]) -> Array:
        """float32[texts, classes]: the probability of each label, in the order of `classes_`.

        Args and errors are those of `predict`.
        """
        return self(as_texts(texts)).probability

    def __call__(self, texts: Sequence[str]) -> Predictions:
        """Classifies texts, in batches of like length, several at a time."""
        encoded = [text.encode("utf-8", "replace") for text in texts]
        if len(encoded) == 1:
            return self._run(encoded)
        sizes = np.array([len(text) for text in encoded], np.int64)
        batches = list(_batches(_guess_tokens(texts, sizes), sizes))
        results = self._threads.map(lambda batch: self._run([encoded[i] for i in batch]), batches)
        found = Predictions(
            np.empty(len(texts), np.int64),
            np.empty((len(texts), len(self.labels)), np.float32),
            np.empty(len(texts), np.int32),
            np.empty(len(texts), bool),
            np.empty((len(texts), len(self.labels)), bool),
        )
        for batch, result in zip(batches, results, strict=True):
            for whole, part in zip(found, result, strict=True):
                whole[batch] = part
        return found

    def _run(self, texts: list[bytes]) -> Predictions:
        outputs = self._signature(text=self._to_tensor(texts))
        none = np.zeros(len(texts), np.int32)
        tells, accepts = "is_cut" in outputs, "accepted" in outputs
        classes = outputs["prediction"].numpy()
        return Predictions(
            classes,
            outputs["probability"].numpy(),
            outputs["num_tokens"].numpy() if tells else none,
            outputs["is_cut"].numpy() if tells else none.astype(bool),
            outputs["accepted"].numpy()
            if accepts
            else np.eye(len(self.labels), dtype=bool)[classes],
        )


def as_texts(texts: Any) -> list[str]:
    """The strings of a list, tuple, iterator, array or pandas Series.

    Raises:
      TypeError: it is none of these, or holds something else.
      ValueError: it has no rows, or rows and columns.
    """
    if isinstance(texts, str | bytes):
        raise TypeError("texts: found one string; expected a list of strings, even for one text")
    if getattr(texts, "ndim", 1) != 1:  # an array, a DataFrame, a sparse matrix
        raise ValueError(
            f"texts: found a {type(texts).__name__} of {texts.ndim} dimensions; expected one "
            f"column of strings, such as frame['text']"
        )
    if isinstance(texts, Mapping | Set) or not isinstance(texts, Iterable):
        raise TypeError(f"texts: found a {type(texts).__name__}; expected a list of strings")
    found = list(texts)
    for index, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"texts[{index}]: found {text!r:.40}; expected a string")
    return found


def _read_values(path: pathlib.Path) -> list[Any]:
    """The label of each class as `TextClassifier` saved it; none in other exports."""
    file = path / VALUES_FILE
    values: list[Any] = json.loads(file.read_text("utf-8")) if file.is_file() else []
    return values


def _has_sets(path: pathlib.Path) -> bool:
    """Whether an export is of a model of label sets, as its card says; older ones are not."""
    file = path / _CARD_FILE
    return file.is_file() and json.loads(file.read_text("utf-8")).get("multi_label") is True


def newest_version(path: pathlib.Path) -> pathlib.Path | None:
    """The SavedModel at this path, or the one of the highest number in this folder, if any."""
    if (path / "saved_model.pb").is_file():
        return path
    if (path / "config.json").is_file():  # a run
        path /= "export"
    found = path.glob("*/saved_model.pb") if path.is_dir() else ()
    versions = [file.parent for file in found if file.parent.name.isdecimal()]
    return max(versions, key=lambda version: int(version.name), default=None)


def _guess_tokens(texts: Sequence[str], sizes: Array) -> Array:
    """float64[texts]: what grows with the tokens of texts of these sizes in bytes.

    Words and signs, and what a text has of characters that take more than a byte, as Chinese does.
    """
    words = np.array([len(_WORD_OR_SIGN.findall(text)) for text in texts])
    characters = np.array([len(text) for text in texts])
    tokens: Array = words + (sizes - characters) / 2
    return tokens


def _batches(tokens: Array, sizes: Array) -> Iterator[Array]:
    """The indices of each batch, those of most tokens first, and of most bytes where these tie."""
    order = np.lexsort((-sizes, -tokens))
    start = 0
    while start < len(order):
        texts = order[start : start + BATCH_TEXTS]
        longest = np.maximum.accumulate(sizes[texts])
        fits = longest * np.arange(1, len(texts) + 1) <= BATCH_BYTES
        size = max(1, int(fits.sum()))
        yield texts[:size]
        start += size
