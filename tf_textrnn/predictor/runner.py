"""Classifies texts with the model beside this file. Needs numpy and onnxruntime alone.

    python predict.py "a fine film"
    python predict.py --input=texts.txt  (- = standard input)

It prints label, probability and text of each line of UTF-8, separated by tabs; several labels are
joined by |, and ? stands where none is accepted. From Python:

    from predict import Model
    Model().predict(["a fine film"])  # also predict_proba

A text becomes tokens, and these the numbers of their lines in vocabulary.txt (Encoder); ngrams.bin
says which neighbors the model knows together (NgramTable); the graph model.onnx makes
probabilities of both (TextModel).
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from tf_textrnn.base.errors import UserError, printable
from tf_textrnn.base.tables import tab_separated
from tf_textrnn.predictor.onnx_run import TextModel, open_session, unpacked_keys
from tf_textrnn.predictor.texts import MAX_LINE, decode_line, given_texts

BLOCK_BYTES, BATCH_TEXTS = 1 << 18, 128  # read at once; of like length, answered together


class Model:
    """The model in a folder.

    Attributes:
      labels: the label of each class, as text.
      classes: the same labels; numbers or truth values where the model was fitted to such.

    Raises:
      UserError: a file is missing or damaged, or onnxruntime is missing.
    """

    def __init__(self, folder: str | os.PathLike[str] = pathlib.Path(__file__).parent):
        folder = pathlib.Path(folder)
        try:
            settings = json.loads((folder / "model.json").read_bytes())
            files = {name: (folder / name).read_bytes() for name in settings["sha256"]}
            for name, content in files.items():
                if hashlib.sha256(content).hexdigest() != settings["sha256"][name]:
                    raise ValueError(f"{name} is cut, changed or of another model")
            self.labels = files["labels.txt"].decode().removesuffix("\n").split("\n")
            self.classes: list[Any] = settings["classes"] or self.labels
            self.has_sets: bool = settings["multi_label"]
            vocabulary = files["vocabulary.txt"].removesuffix(b"\n").split(b"\n")
            keys = unpacked_keys(files["ngrams.bin"]) if settings["ngrams"] else np.zeros(0)
            run = open_session(files["model.onnx"]).run
            self._model = TextModel(settings, vocabulary, keys, len(self.labels), run)
        except ImportError as error:
            raise UserError(f"{error}; pip install onnxruntime") from error
        except Exception as error:  # a damaged file fails in many ways
            raise UserError(f"{folder}: not a whole export ({error!s:.200})") from error

    def predict(self, texts: Sequence[str]) -> list[Any]:
        """The most probable label of each text, of `classes`; of sets all accepted, in a tuple."""
        found, _, accepted = self(texts)
        if self.has_sets:
            return [tuple(self.classes[place] for place in np.flatnonzero(row)) for row in accepted]
        return [self.classes[label] for label in found.tolist()]

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """float32[texts, labels]: the probability of each label."""
        return self(texts)[1]

    def __call__(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Classes, probabilities, and bool[texts, labels], what a text is taken to have.

        Raises:
          TypeError: there is one string alone.
        """
        if isinstance(texts, str):
            raise TypeError("expected a list of strings, even for one text")
        encoded = [text.encode("utf-8", "replace") for text in texts]
        classes = np.empty(len(texts), np.int64)
        probability = np.empty((len(texts), len(self.labels)), np.float32)
        accepted = np.empty(probability.shape, bool)

        def classify(batch: list[int]) -> None:
            found = self._model([encoded[index] for index in batch])
            classes[batch], probability[batch], accepted[batch] = found[0], found[1], found[4]

        order = sorted(range(len(texts)), key=lambda index: -len(encoded[index]))
        batches = (order[i : i + BATCH_TEXTS] for i in range(0, len(order), BATCH_TEXTS))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(classify, batches))
        return classes, probability, accepted


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message}; --help shows what is expected")


def main() -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0], allow_abbrev=False)
    parser.error = _refuse  # type: ignore[method-assign]
    source = parser.add_mutually_exclusive_group()
    source.add_argument("texts", nargs="*", default=[], help="texts to classify")
    source.add_argument("--input", help="file of texts, one a line; - = standard input")
    try:
        given = parser.parse_args()
        model = Model()
        for texts in [given_texts(given.texts)] if given.texts else _windows(given.input or "-"):
            for text, _, probability, accepted in zip(texts, *model(texts), strict=True):
                label = "|".join(model.labels[label] for label in np.flatnonzero(accepted)) or "?"
                line = tab_separated(label, f"{probability.max():.4f}", text) + "\n"
                sys.stdout.buffer.write(line.encode())
            sys.stdout.buffer.flush()
    except BrokenPipeError:  # the reader has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except (OSError, UserError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def _windows(path: str) -> Iterator[list[str]]:
    """The lines of a file or of standard input, as many together as come at once."""
    rest = b""
    with open(0 if path == "-" else path, "rb") as file:
        if file.peek(3).startswith(b"\xef\xbb\xbf"):
            file.read(3)
        while block := file.read1(BLOCK_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            if len(rest) > MAX_LINE:
                raise UserError(f"a line is over {MAX_LINE:,} bytes")
            yield [decode_line(line) for line in lines]
    if rest:
        yield [decode_line(rest)]


if __name__ == "__main__":
    sys.exit(main())
