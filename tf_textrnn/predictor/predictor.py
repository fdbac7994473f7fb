"""An exported model in this process. Needs its runtime, NumPy and `tf_textrnn.base` alone."""

import concurrent.futures
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

from tf_textrnn.base import invocation
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.startup import usable_cores
from tf_textrnn.predictor.batches import batches_of
from tf_textrnn.predictor.explain import Explanation, locate, span_of
from tf_textrnn.predictor.runtime import Array, Predictions, Runtime, is_onnx, newest_version

EXPLAINED_TEXTS = 32  # at a time, since an explanation has a number a word and label


class Predictor:
    """An exported model in this process.

    Args:
      model: the folder of a SavedModel or of an export for ONNX Runtime, a folder of numbered
        versions, whose newest is taken, or the folder of a run that has one, a SavedModel first.

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
        path = find_export(model)
        self._runtime = open_runtime(path)
        self.labels = self._runtime.labels
        self.has_sets = self._runtime.has_sets
        self.classes_: Array = np.array(self._runtime.values or self.labels, object)
        if len(self.classes_) != len(self.labels):
            raise UserError(f"{path}: {len(self.classes_)} values, expected {len(self.labels)}")
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

    def explain(self, text: str) -> Explanation:
        """Tells what each word of a text adds to the score of each label.

        Returns:
          Numbers, with the words that speak most for the answer and against it when it is printed.

        Raises:
          TypeError: it is no string.
          UserError: the export is of a version that had no explanations.
        """
        if not isinstance(text, str):
            raise TypeError(f"text: found a {type(text).__name__}; expected one string")
        found = self._runtime.run([text.encode("utf-8", "replace")])
        return explanation_of(self._runtime, self.classes_.tolist(), text, found)

    def explain_all(self, texts: Sequence[str]) -> Iterator[Explanation]:
        """Explains texts in their order, several at a time."""
        for start in range(0, len(texts), EXPLAINED_TEXTS):
            yield from self._threads.map(self.explain, texts[start : start + EXPLAINED_TEXTS])

    def __call__(self, texts: Sequence[str]) -> Predictions:
        """Classifies texts, in batches of like length, several at a time."""
        encoded = [text.encode("utf-8", "replace") for text in texts]
        if len(encoded) == 1:
            return self._runtime.run(encoded)
        batches = list(batches_of(texts, encoded))
        results = self._threads.map(
            lambda batch: self._runtime.run([encoded[i] for i in batch]), batches
        )
        found = Predictions.empty(len(texts), len(self.labels))
        for batch, result in zip(batches, results, strict=True):
            found.put(batch, result)
        return found


def explanation_of(
    runtime: Runtime, labels: list[Any], text: str, found: Predictions
) -> Explanation:
    """Tells what each word of a text adds.

    Args:
      runtime: that explains it.
      labels: the label of each class.
      text: to be explained.
      found: what the model says of it, and of no other.

    Raises:
      NoExplanationsError: the export is of a version that had no explanations.
      UserError: the graph fails.
    """
    shares = runtime.explain(text.encode("utf-8", "replace"))
    return Explanation(
        text=text,
        labels=labels,
        probability=found.probability[0],
        accepted=found.accepted[0],
        places=locate(text, shares.tokens),
        span=span_of(len(shares.tokens)),
        is_cut=bool(found.is_cut[0]),
        **shares._asdict(),
    )


def find_export(model: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of the export that `Predictor` loads of a folder.

    Raises:
      UserError: there is none.
    """
    folder = pathlib.Path(model)
    if path := newest_version(folder):
        return path
    if (folder / "config.json").is_file():
        if any(folder.glob("best/*.npz")):
            export = invocation.command_line("export", f"--run_dir={model}")
            raise UserError(f"--model={model}: this run has no export; make one with {export}")
        train = invocation.command_line("train", "--resume", f"--run_dir={model}")
        raise UserError(f"--model={model}: this run has no model yet; go on with {train}")
    found = "another folder" if folder.is_dir() else "a file" if folder.exists() else "nothing"
    raise UserError(
        f"--model={model}: found {found}; expected the folder of a run (config.json) or of an "
        f"exported model (saved_model.pb or model.onnx)"
    )


def open_runtime(path: pathlib.Path) -> Runtime:
    """Loads an export; only the library that runs it is imported.

    Raises:
      UserError: it is damaged, does more than compute, or its library is missing.
    """
    try:
        if is_onnx(path):
            from tf_textrnn.predictor.onnx_model import OnnxRuntime

            return OnnxRuntime(path)
        from tf_textrnn.predictor.saved_model import SavedModelRuntime

        return SavedModelRuntime(path)
    except (UserError, ImportError):
        raise
    except Exception as error:  # a damaged model fails in many ways
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a model of this project ({reason})") from error


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
