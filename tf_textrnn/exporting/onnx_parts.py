"""The files of an export for ONNX Runtime, made from parts of a model that can be made smaller."""

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_textrnn.predictor.onnx_model import FORMAT, LABELS, NGRAMS, RUNNER, VOCABULARY
from tf_textrnn.predictor.runtime import ONNX, SETTINGS

if TYPE_CHECKING:
    from tf_textrnn.runs.loaded import LoadedRun


@dataclasses.dataclass(frozen=True)
class Parts:
    """What of a model is as large as its words and n-grams are many.

    Attributes:
      vocabulary: the token of each id.
      keys: int64[n-grams], ascending.
      weights: by name, without the keys.
      worth: float[n-grams], by which n-grams are kept.
    """

    vocabulary: list[bytes]
    keys: np.ndarray
    weights: dict[str, np.ndarray]
    worth: np.ndarray

    def with_words(self, count: int) -> "Parts":
        """The parts with the first `count` ids; n-grams of other tokens go."""
        size, rest = len(self.vocabulary), self.keys
        digits: list[np.ndarray] = []
        while rest.any():
            digits.append(rest % size)
            rest = rest // size
        is_kept = np.all([digit < count for digit in digits], axis=0)
        keys = np.zeros_like(self.keys)
        for digit in reversed(digits):
            keys = keys * count + digit
        fewer = dataclasses.replace(self, keys=keys).with_ngrams(np.flatnonzero(is_kept))
        embedding = self.weights["embedding"][:count]
        return dataclasses.replace(
            fewer,
            vocabulary=self.vocabulary[:count],
            weights={**fewer.weights, "embedding": embedding},
        )

    def with_ngrams(self, places: np.ndarray) -> "Parts":
        """The parts with the n-grams at these places, ascending."""
        if not len(self.keys):
            return self
        weights = {**self.weights, "ngrams/kernel": self.weights["ngrams/kernel"][places]}
        return Parts(self.vocabulary, self.keys[places], weights, self.worth[places])


def parts_of(run: "LoadedRun") -> Parts:
    """The parts of a run's model; an n-gram's worth is how far apart its weights are."""
    weights = {name: weight.numpy() for name, weight in run.model.saved_weights().items()}
    keys = weights.pop("ngrams/keys", np.zeros(0, np.int64))
    worth = np.ptp(weights["ngrams/kernel"], axis=1) if len(keys) else np.zeros(0)
    return Parts(run.vocabulary, keys, weights, worth)


def file_contents(run: "LoadedRun", parts: Parts, is_int8: bool) -> dict[str, bytes]:
    """The content of each file.

    Args:
      run: whose settings, labels and thresholds they have.
      parts: of its model.
      is_int8: whether tables and the weights of layers are written as int8.

    Raises:
      UserError: the weights are too large for ONNX.
    """
    from tf_textrnn.exporting.onnx_graph import make_graph
    from tf_textrnn.exporting.runner_source import runner_source

    graph = make_graph(
        run.config.model, parts.weights, run.temperature, run.thresholds,
        run.config.has_label_sets, is_int8,
    )  # fmt: skip
    contents = {
        ONNX: graph.SerializeToString(),
        VOCABULARY: b"".join(token + b"\n" for token in parts.vocabulary),
        LABELS: "".join(f"{label}\n" for label in run.labels).encode(),
        RUNNER: runner_source().encode(),
    }
    if len(parts.keys):
        contents[NGRAMS] = packed_keys(parts.keys)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    entries = _settings(run, parts, hashes).items()
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in entries)
    return {**contents, SETTINGS: f"{{\n{lines}\n}}\n".encode()}


def _settings(run: "LoadedRun", parts: Parts, hashes: dict[str, str]) -> dict[str, Any]:
    """What `model.json` holds."""
    from tf_textrnn.exporting.encoder_tables import read_tables

    return {
        "format": FORMAT,
        "multi_label": run.config.has_label_sets,
        "classes": run.values,
        "max_len": run.config.text.max_len,
        "stem_unknown_words": run.config.text.reads_stems,
        "vocab_size": len(parts.vocabulary),
        "ngrams": run.config.model.ngrams if len(parts.keys) else 0,
        "temperature": run.temperature,
        "thresholds": run.thresholds,
        "sha256": hashes,
        "tokenizer": read_tables(run.config.text.tokenizer),
    }


def packed_keys(keys: np.ndarray) -> bytes:
    """The differences of ascending keys in LEB128, as `unpacked_keys` reads them."""
    lengths = sizes_of_keys(keys)
    place = np.arange(lengths.max())
    table = np.diff(keys, prepend=0)[:, None] >> 7 * place  # [keys, digits], the lowest first
    table = (table & 127).astype(np.uint8)
    table[place < lengths[:, None] - 1] |= 128
    return table[place < lengths[:, None]].tobytes()


def sizes_of_keys(keys: np.ndarray) -> np.ndarray:
    """int64[keys]: the bytes that each takes among the packed ones."""
    differences = np.diff(keys, prepend=0)
    return 1 + np.sum([differences >> 7 * digit > 0 for digit in range(1, 9)], axis=0)
