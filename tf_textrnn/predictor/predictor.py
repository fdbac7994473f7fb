"""An exported model in this process. Needs TensorFlow and NumPy, and of tf_textrnn only base."""

import concurrent.futures
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tf_textrnn.base.startup import load_tensorflow, usable_cores
from tf_textrnn.predictor import guard

_WORD_OR_SIGN = re.compile(r"\w+|[^\w\s]")

BATCH_TEXTS = 128
BATCH_BYTES = 1 << 19  # of a batch, each text counted as long as the longest


class PredictError(Exception):
    """What the user can mend: one line that says what is wrong and where."""


class Predictions(NamedTuple):
    """What a model says of some texts.

    Attributes:
      classes: int64[texts], the most probable class of each.
      probability: float32[texts, classes].
    """

    classes: np.ndarray
    probability: np.ndarray


class Predictor:
    """An exported model in this process.

    Args:
      model: a SavedModel's folder, or a folder of numbered versions, whose newest is taken.

    Attributes:
      labels: the label of each class.

    Raises:
      PredictError: there is no model of this project here, or it does more than compute.
    """

    def __init__(self, model: str):
        tf = load_tensorflow(intraop_threads=1)  # cores go to batches, not to single ops
        path = _newest_version(pathlib.Path(model))
        try:
            harmful = guard.find_harmful_op(path)
            if harmful:
                raise PredictError(f"{path}: not loaded, its op {harmful!r} does more than compute")
            self.labels = (path / "assets" / "labels.txt").read_text("utf-8").splitlines()
            self._model = tf.saved_model.load(str(path))
            self._signature = self._model.signatures["serving_default"]
            classes = self._signature.structured_outputs["probability"].shape[-1]
        except PredictError:
            raise
        except Exception as error:  # a damaged model fails in many ways
            reason = " ".join(str(error).split())[:200]
            raise PredictError(f"{path}: not a model of this project ({reason})") from error
        if len(self.labels) != classes:
            raise PredictError(f"{path}: {len(self.labels)} labels, expected {classes}")
        self._to_tensor = tf.constant
        self._threads = concurrent.futures.ThreadPoolExecutor(usable_cores())

    def __call__(self, texts: Sequence[str]) -> Predictions:
        """Classifies texts, in batches of like length, several at a time.

        Args:
          texts: at least one.
        """
        encoded = [text.encode("utf-8", "replace") for text in texts]
        if len(encoded) == 1:
            return self._run(encoded)
        sizes = np.array([len(text) for text in encoded])
        batches = list(_batches(_guess_tokens(texts, sizes), sizes))
        results = self._threads.map(lambda batch: self._run([encoded[i] for i in batch]), batches)
        classes = np.empty(len(texts), np.int64)
        probability = np.empty((len(texts), len(self.labels)), np.float32)
        for batch, result in zip(batches, results, strict=True):
            classes[batch], probability[batch] = result
        return Predictions(classes, probability)

    def _run(self, texts: list[bytes]) -> Predictions:
        outputs = self._signature(text=self._to_tensor(texts))
        return Predictions(outputs["prediction"].numpy(), outputs["probability"].numpy())


def _newest_version(path: pathlib.Path) -> pathlib.Path:
    if (path / "saved_model.pb").is_file():
        return path
    if path.is_dir():
        found = path.glob("*/saved_model.pb")
        versions = [file.parent for file in found if file.parent.name.isdecimal()]
        if versions:
            return max(versions, key=lambda version: int(version.name))
    raise PredictError(f"--model={path}: no saved_model.pb here; expected an exported model")


def _guess_tokens(texts: Sequence[str], sizes: np.ndarray) -> np.ndarray:
    """float64[texts]: what grows with the tokens of texts of these sizes in bytes.

    Words and signs, and what a text has of characters that take more than a byte, as Chinese does.
    """
    words = np.array([len(_WORD_OR_SIGN.findall(text)) for text in texts])
    characters = np.array([len(text) for text in texts])
    return words + (sizes - characters) / 2


def _batches(tokens: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
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
