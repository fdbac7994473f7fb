"""Runs of every kind of model, never trained, and their ONNX exports, to be edited."""

import hashlib
import json
import pathlib

import numpy as np
import onnx

from tf_textrnn.config import Config
from tf_textrnn.exporting import onnx as onnx_export
from tf_textrnn.exporting.saved_model import write_stems
from tf_textrnn.exporting.signatures import ServedTextRNN
from tf_textrnn.network.model import TextRNN
from tf_textrnn.network.ngrams import ngram_keys
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.loaded import LoadedRun
from tf_textrnn.text import SPECIAL_TOKENS

WORDS = [*"abcdefgh ", "wolf", "red", "狼", "σ", "word", "\ufffd", "."]
LABELS = ["1", "2", "10"]


class UntrainedRun:
    """A run with weights far from zero, served by TensorFlow and exported for ONNX Runtime."""

    def __init__(self, path: pathlib.Path, thresholds: list[float] | None = None, **options):
        options = {"tokenizer": "word", "hidden_size": 5, "embedding_dim": 4, **options}
        config = Config().replace(max_len=40, **options)
        config = config.settled(file_multi_label=bool(options.get("multi_label")))
        vocabulary = [*SPECIAL_TOKENS, *(word.encode() for word in WORDS)]
        ids, order, num_ngrams = len(vocabulary), config.model.ngrams, 30
        random = np.random.default_rng(3)
        keys = np.zeros(0, np.int64)
        if order:
            tokens = random.integers(1, ids, [20, 9]).astype(np.int32)
            keys = np.unique(ngram_keys(tokens, order, ids))[:: -(-9 * 20 * order // num_ngrams)]
        model = TextRNN(config.model, ids, len(LABELS), len(keys))
        model.build()
        for name, weight in model.saved_weights().items():
            drawn = random.uniform(-0.8, 0.8, weight.shape)
            weight.assign(keys if name == "ngrams/keys" else drawn)
        best = {"temperature": 1.7, "thresholds": thresholds}
        self.path = path
        self.folder = RunFolder(str(path / "run"))
        self.folder.path.mkdir()
        self.folder.vocabulary.write_bytes(b"".join(token + b"\n" for token in vocabulary))
        self.folder.labels.write_text("".join(f"{label}\n" for label in LABELS))
        self.run = LoadedRun(config, LABELS, vocabulary, model, best, [], path / "none.npz")

    def served(self) -> ServedTextRNN:
        """What a SavedModel of the run computes."""
        return ServedTextRNN(
            self.run.model,
            str(self.folder.vocabulary),
            str(self.folder.labels),
            self.run.config.text.tokenizer,
            self.run.config.text.max_len,
            self.run.temperature,
            self.run.thresholds,
            self.run.config.has_label_sets,
            write_stems(self.path / "stems.txt", self.run.token_ids),
        )

    def export(self, is_int8: bool = False) -> pathlib.Path:
        """The folder of its ONNX export."""
        path = self.path / ("int8" if is_int8 else "export")
        path.mkdir()
        onnx_export.write(path, self.folder, self.run, is_int8)
        return path


class edited_settings:  # noqa: N801 - a context manager
    """What `model.json` holds, written back after the block with today's hashes."""

    def __init__(self, export: pathlib.Path):
        self._export = export
        self._settings = json.loads((export / "model.json").read_bytes())

    def __enter__(self):
        return self._settings

    def __exit__(self, *_):
        for name in self._settings["sha256"]:
            content = (self._export / name).read_bytes()
            self._settings["sha256"][name] = hashlib.sha256(content).hexdigest()
        (self._export / "model.json").write_text(json.dumps(self._settings))


class edited_graph:  # noqa: N801 - a context manager
    """The ONNX model of an export, written back after the block, with its hash."""

    def __init__(self, export: pathlib.Path):
        self._export = export
        self._model = onnx.load(export / "model.onnx")

    def __enter__(self):
        return self._model

    def __exit__(self, *_):
        (self._export / "model.onnx").write_bytes(self._model.SerializeToString())
        with edited_settings(self._export):
            pass
