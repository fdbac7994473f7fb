"""An export for ONNX Runtime in this process. Needs onnxruntime, NumPy and `base` alone."""

import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import MAX_LINES_BYTES
from tf_textrnn.base.formats import check_format
from tf_textrnn.predictor import explain, guard, onnx_guard
from tf_textrnn.predictor.encoder_tables import check_tables
from tf_textrnn.predictor.onnx_run import OUTPUTS, TextModel, open_session, unpacked_keys
from tf_textrnn.predictor.runtime import ONNX, SETTINGS, Array, Predictions

FORMAT = 1  # of `model.json`
VOCABULARY, LABELS, NGRAMS = "vocabulary.txt", "labels.txt", "ngrams.bin"
RUNNER = "predict.py"  # `runner.py` with what it needs, for whoever has no tf_textrnn
LIMITS = {ONNX: 1 << 31, VOCABULARY: MAX_LINES_BYTES, LABELS: MAX_LINES_BYTES, NGRAMS: 1 << 30}


class OnnxRuntime:
    """A `Runtime` of the ONNX export in a folder.

    Nobody may change the folder until it is loaded. A session runs on one thread, so that batches
    share the cores.

    Raises:
      UserError: a file is missing, damaged, too large or of another model, the graph does more than
        compute, or onnxruntime is missing; a damaged model raises other errors too.
    """

    def __init__(self, path: pathlib.Path):
        guard.check_files(path, lambda file: LIMITS.get(file.name, guard.MAX_GRAPH_BYTES))
        settings = _read_settings(path / SETTINGS)
        names = [ONNX, VOCABULARY, LABELS] + [NGRAMS] * bool(settings["ngrams"])
        files = {name: _read_file(path / name, settings["sha256"].get(name)) for name in names}
        onnx_guard.check(path / ONNX, files[ONNX])
        self.labels = files[LABELS].decode().removesuffix("\n").split("\n")
        self.values: list[Any] = settings["classes"]
        self.has_sets: bool = settings["multi_label"]
        vocabulary = files[VOCABULARY].removesuffix(b"\n").split(b"\n")
        if len(vocabulary) != settings["vocab_size"]:
            raise UserError(
                f"{path / VOCABULARY}: {len(vocabulary):,} tokens, expected "
                f"{settings['vocab_size']:,}"
            )
        keys = np.zeros(0, np.int64)
        if settings["ngrams"]:
            keys = _read_keys(path / NGRAMS, files[NGRAMS])
        self._path = path
        self._session = _session(path / ONNX, files[ONNX], has_ngrams=len(keys) > 0)
        try:
            check_tables(settings["tokenizer"])
        except UserError as error:
            raise UserError(f"{path / SETTINGS}: {error}") from error
        self._model = TextModel(settings, vocabulary, keys, len(self.labels), self._outputs)
        inputs, _ = self._model.inputs([b""])
        inputs["token_ids"][:] = len(vocabulary) - 1  # which the graph must have a vector for
        _, probability, accepted, _ = self._outputs([*OUTPUTS], inputs)
        if not probability.shape == accepted.shape == (1, len(self.labels)):
            raise UserError(f"{path}: {len(self.labels)} labels, expected {probability.shape[-1]}")

    def run(self, texts: list[bytes]) -> Predictions:
        """Classifies texts, all of them together.

        Raises:
          UserError: the graph fails.
        """
        return Predictions(*self._model(texts))

    def explain(self, text: bytes) -> explain.Shares:
        """Tells what each token of a text adds, by the scores of its parts and of its n-grams.

        Raises:
          UserError: the graph fails.
        """
        ids = self._model.encoder([text]).token_ids[0]
        scores = explain.score_parts(explain.parts_of(ids), self._score)
        shares = explain.network_shares(scores, len(ids))
        base, ngrams = scores[0], np.zeros_like(shares)
        table = self._model.ngrams
        if table:
            places = [rows[0] for rows in table.places(ids[None])]
            ngrams = explain.ngram_shares(
                places, table.num_ngrams, lambda rows: self._weigh(rows) - base
            )
        return explain.Shares(self._model.encoder.tokens(text), base, ngrams, shares)

    def _weigh(self, rows: Array) -> Array:
        """float32[n, classes]: the scores of n texts without a token and with one n-gram each."""
        scores = [np.zeros((0, len(self.labels)), np.float32)]
        for start in range(0, len(rows), explain.BATCH_STEPS):
            part = rows[start : start + explain.BATCH_STEPS]
            lengths = np.zeros(len(part), np.int32)
            scores.append(self._score(lengths[:, None], lengths, part))
        return np.concatenate(scores)

    def _score(self, token_ids: Array, lengths: Array, ngrams: Array | None = None) -> Array:
        """float32[n, classes]: the scores of n texts of these tokens, with one n-gram or none."""
        inputs = {"token_ids": token_ids, "lengths": lengths}
        if self._model.ngrams:
            absent = np.full(len(lengths), self._model.ngrams.num_ngrams)
            rows = absent if ngrams is None else ngrams
            inputs["ngram_rows"] = rows[:, None].astype(np.int32)
        (scores,) = self._outputs(["scores"], inputs)
        if scores.shape != (len(lengths), len(self.labels)):
            raise UserError(f"{self._path}: {len(self.labels)} labels, expected {scores.shape[-1]}")
        return scores

    def _outputs(self, names: list[str], inputs: dict[str, Array]) -> Sequence[Array]:
        try:
            outputs: Sequence[Array] = self._session.run(names, inputs)
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self._path}: cannot be run ({reason})") from error
        return outputs


def _session(path: pathlib.Path, content: bytes, has_ngrams: bool) -> Any:
    """ONNX Runtime's session of a file that `onnx_guard` has passed."""
    try:
        session = open_session(content)
    except ImportError as error:
        raise UserError(
            f"{path}: onnxruntime is not installed; pip install 'tf_textrnn[onnx]'"
        ) from error
    inputs = ["token_ids", "lengths"] + ["ngram_rows"] * has_ngrams
    found = {value.name: value.type for value in session.get_inputs()}
    if found != dict.fromkeys(inputs, "tensor(int32)"):
        raise UserError(f"{path}: expected the inputs {', '.join(inputs)}")
    found = {value.name: value.type for value in session.get_outputs()}
    if not OUTPUTS.items() <= found.items():
        raise UserError(f"{path}: expected the outputs {', '.join(OUTPUTS)}")
    return session


def _read_settings(path: pathlib.Path) -> dict[str, Any]:
    """What `model.json` holds.

    Raises:
      UserError: it is missing, damaged or of a newer format.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; expected an export with all of its files")
    try:
        settings = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error})") from error
    number = settings.get("format") if isinstance(settings, dict) else None
    check_format(str(path), number, newest=FORMAT)
    kinds = {"multi_label": bool, "classes": list, "max_len": int, "ngrams": int, "sha256": dict}
    kinds |= {"tokenizer": dict, "vocab_size": int}
    for name, kind in kinds.items():
        if type(settings.get(name)) is not kind:
            raise UserError(f"{path}: damaged ({name} is {settings.get(name)!r:.40})")
    if type(settings.get("stem_unknown_words", False)) is not bool:
        raise UserError(f"{path}: damaged (stem_unknown_words is neither true nor false)")
    if settings["max_len"] < 1 or not 0 <= settings["ngrams"] <= 4:
        raise UserError(f"{path}: damaged (max_len or ngrams are out of range)")
    return settings


def _read_file(path: pathlib.Path, expected_hash: Any) -> bytes:
    """A file of an export.

    Raises:
      UserError: it is missing, or not the one that `model.json` names.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; expected an export with all of its files")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != expected_hash:
        raise UserError(
            f"{path}: not loaded, it is cut, changed or of another model than {SETTINGS}"
        )
    return content


def _read_keys(path: pathlib.Path, content: bytes) -> Array:
    """int64[n-grams], ascending, of a file.

    Raises:
      UserError: it holds other numbers.
    """
    try:
        keys: Array = unpacked_keys(content)
    except ValueError:
        keys = np.zeros(1, np.int64)
    if (keys <= np.append(0, keys[:-1])).any():
        raise UserError(f"{path}: damaged; expected the keys of n-grams, ascending")
    return keys
