"""`textrnn serve` with a stock Keras model in place of the export: `benchmarks.serve --keras`.

The model is that of `benchmarks.prediction`, exported by Keras and loaded as a SavedModel. It is
not trained, which does not change its speed. Flags are those of `textrnn serve`.
"""

import pathlib
import tempfile
from typing import Any

import numpy as np

from benchmarks.prediction import keras_classifier
from tf_textrnn import cli
from tf_textrnn.predictor.explain import NoExplanationsError, Shares
from tf_textrnn.predictor.predictor import open_runtime
from tf_textrnn.predictor.runtime import Predictions
from tf_textrnn.predictor.server import versions


class KerasRuntime:
    """The Keras model, with the labels and the vocabulary's texts of an export.

    Args:
      path: the export.
    """

    def __init__(self, path: pathlib.Path):
        import tensorflow as tf

        self.labels = open_runtime(path).labels
        self.values: list[Any] = []
        self.has_sets = False
        words = (path / "assets" / "vocabulary.txt").read_text("utf-8").splitlines()
        with tempfile.TemporaryDirectory() as folder:
            keras_classifier(words, len(self.labels)).export(folder, verbose=False)
            self._loaded = tf.saved_model.load(folder)
        self._constant = tf.constant

    def run(self, texts: list[bytes]) -> Predictions:
        probability = self._loaded.serve(self._constant(texts)).numpy()
        classes = probability.argmax(axis=1)
        ones = np.ones(len(texts), np.int32)
        accepted = np.eye(len(self.labels), dtype=bool)[classes]
        scores = np.log(probability)
        return Predictions(classes, probability, ones, ones == 0, accepted, scores, ones)

    def explain(self, text: bytes) -> Shares:
        raise NoExplanationsError("a stock Keras model has no explanations")


if __name__ == "__main__":
    versions.open_runtime = KerasRuntime
    cli.main("serve")
