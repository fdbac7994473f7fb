"""Classifies texts with the model beside this file. Needs numpy and onnxruntime alone.

    python predict.py "a fine film"
    python predict.py --input=texts.txt
    python predict.py < texts.txt

It prints label, probability and text of each line of UTF-8, separated by tabs. From Python:

    import predict
    model = predict.Model()
    model.predict(["a fine film"])
    model.predict_proba(["a fine film"])
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.tables import joined_labels, tab_separated
from tf_textrnn.predictor.batches import batches_of
from tf_textrnn.predictor.onnx_run import TextModel, open_session, unpacked_keys

WINDOW_TEXTS = 4_096  # sorted by length together


class Model:
    """The model in a folder.

    Attributes:
      labels: the label of each class.
      has_sets: whether a text has any number of labels, and not exactly one.
    """

    def __init__(self, folder: str | os.PathLike[str] = pathlib.Path(__file__).parent):
        folder = pathlib.Path(folder)
        settings = json.loads((folder / "model.json").read_bytes())
        self.labels = (folder / "labels.txt").read_text("utf-8").removesuffix("\n").split("\n")
        self.has_sets: bool = settings["multi_label"]
        vocabulary = (folder / "vocabulary.txt").read_bytes().removesuffix(b"\n").split(b"\n")
        keys = np.zeros(0, np.int64)
        if settings["ngrams"]:
            keys = unpacked_keys((folder / "ngrams.bin").read_bytes())
        session = open_session((folder / "model.onnx").read_bytes())
        self._model = TextModel(settings, vocabulary, keys, len(self.labels), session.run)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable label of each text."""
        classes: list[int] = self(texts)[0].argmax(axis=1).tolist()
        return [self.labels[label] for label in classes]

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """float32[texts, labels]: the probability of each label."""
        return self(texts)[0]

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Classifies texts.

        Returns:
          The probabilities, and bool[texts, labels], the labels that a text is taken to have.
        """
        encoded = [text.encode("utf-8", "replace") for text in texts]
        probability = np.empty((len(texts), len(self.labels)), np.float32)
        accepted = np.empty(probability.shape, bool)

        def classify(batch: np.ndarray) -> None:
            answers = self._model([encoded[index] for index in batch])
            probability[batch], accepted[batch] = answers[1], answers[4]

        batches = batches_of(texts, encoded)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(classify, batches))
        return probability, accepted


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("texts", nargs="*", help="texts to classify")
    parser.add_argument("--input", help="file of texts, one a line")
    given = parser.parse_args()
    if given.texts and given.input:
        parser.error("texts and --input; expected one of them")
    try:
        model = Model()
        for texts in [given.texts] if given.texts else _windows(given.input):
            found = zip(texts, *model(texts), strict=True)
            for text, probability, accepted in found:
                labels = [model.labels[label] for label in np.flatnonzero(accepted)]
                label = joined_labels(labels) or "?"
                line = tab_separated(label, f"{probability.max():.4f}", text)
                sys.stdout.buffer.write(line.encode() + b"\n")
            sys.stdout.buffer.flush()
    except (OSError, UserError, ImportError) as error:
        sys.exit(f"error: {error}")


def _windows(path: str | None) -> Iterator[list[str]]:
    """The lines of a file or of standard input, some thousand together."""
    with open(path, "rb") if path else sys.stdin.buffer as file:
        is_first = True
        while lines := list(itertools.islice(file, WINDOW_TEXTS)):
            if is_first:
                lines[0], is_first = lines[0].removeprefix(b"\xef\xbb\xbf"), False
            texts = [line.removesuffix(b"\n").decode("utf-8", "replace") for line in lines]
            yield [text.rstrip("\r").replace("\0", "\ufffd") for text in texts]


if __name__ == "__main__":
    main()
