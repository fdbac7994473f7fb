"""A SavedModel in this process, by TensorFlow."""

import json
import pathlib
from typing import Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.startup import load_tensorflow
from tf_textrnn.predictor import guard
from tf_textrnn.predictor.explain import NoExplanationsError, Shares
from tf_textrnn.predictor.runtime import Predictions, card_file

EXPLAIN = "explain"  # the signature
VALUES_FILE = "assets.extra/classes.json"  # labels that are numbers, by class, as JSON


class SavedModelRuntime:
    """A `Runtime` of the SavedModel in a folder.

    Raises:
      UserError: it does more than compute, or its labels are not those of its classes; a damaged
        model raises other errors too.
    """

    def __init__(self, path: pathlib.Path):
        tf = load_tensorflow(intraop_threads=1)  # cores go to batches, not to single ops
        guard.check(path)
        self.labels = (path / "assets" / "labels.txt").read_text("utf-8").splitlines()
        self._model = tf.saved_model.load(str(path))
        signature = self._model.signatures["serving_default"]
        classes = signature.structured_outputs["probability"].shape[-1]
        if len(self.labels) != classes:
            raise UserError(f"{path}: {len(self.labels)} labels, expected {classes}")
        self.has_sets = _has_sets(path)
        self.values = _read_values(path)
        self._path = path
        self._to_tensor = tf.constant
        self._graph_error = tf.errors.OpError

    def run(self, texts: list[bytes]) -> Predictions:
        """Classifies texts, all of them together.

        Raises:
          UserError: the graph fails.
        """
        outputs = self._outputs("serving_default", texts)
        none = np.zeros(len(texts), np.int32)
        tells, accepts = "is_cut" in outputs, "accepted" in outputs
        classes = outputs["prediction"].numpy()
        num_tokens = outputs["num_tokens"].numpy() if tells else none
        return Predictions(
            classes,
            outputs["probability"].numpy(),
            num_tokens,
            outputs["is_cut"].numpy() if tells else none.astype(bool),
            outputs["accepted"].numpy()
            if accepts
            else np.eye(len(self.labels), dtype=bool)[classes],
            outputs["scores"].numpy(),
            outputs["num_known"].numpy() if "num_known" in outputs else num_tokens,
        )

    def explain(self, text: bytes) -> Shares:
        """Tells what each token of a text adds.

        Raises:
          NoExplanationsError: the export is of a version that had no explanations.
          UserError: the graph fails.
        """
        if EXPLAIN not in self._model.signatures:
            raise NoExplanationsError(
                f"{self._path}: this export has no explanations; export its run again"
            )
        outputs = self._outputs(EXPLAIN, [text])
        found = {name: value.numpy()[0] for name, value in outputs.items()}
        return Shares(
            [token.decode("utf-8", "replace") for token in found["tokens"].tolist()],
            found["base_scores"],
            found["ngram_shares"],
            found["network_shares"],
        )

    def _outputs(self, signature: str, texts: list[bytes]) -> dict[str, Any]:
        try:
            outputs: dict[str, Any] = self._model.signatures[signature](text=self._to_tensor(texts))
        except self._graph_error as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self._path}: cannot be run ({reason})") from error
        return outputs


def _read_values(path: pathlib.Path) -> list[Any]:
    """The label of each class as `TextClassifier` saved it; none in other exports."""
    file = path / VALUES_FILE
    values: list[Any] = json.loads(file.read_text("utf-8")) if file.is_file() else []
    return values


def _has_sets(path: pathlib.Path) -> bool:
    """Whether an export is of a model of label sets, as its card says; older ones are not."""
    file = card_file(path)
    return file.is_file() and json.loads(file.read_text("utf-8")).get("multi_label") is True
