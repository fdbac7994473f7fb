"""An export for ONNX Runtime in this process. Needs onnxruntime, NumPy and `base` alone."""

import hashlib
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import MAX_LINES_BYTES
from tf_textrnn.base.version import __version__
from tf_textrnn.predictor import guard, onnx_guard
from tf_textrnn.predictor.encoder import Encoder, NgramTable
from tf_textrnn.predictor.runtime import ONNX, SETTINGS, Array, Predictions

FORMAT = 1  # of `model.json`
VOCABULARY, LABELS, NGRAMS = "vocabulary.txt", "labels.txt", "ngrams.npy"
LIMITS = {ONNX: 1 << 31, VOCABULARY: MAX_LINES_BYTES, LABELS: MAX_LINES_BYTES, NGRAMS: 1 << 30}
MAX_GATHERED = 1 << 24  # weights of n-grams, of a batch at a time
_OUTPUTS = {"prediction": "tensor(int64)", "probability": "tensor(float)"}
_OUTPUTS |= {"accepted": "tensor(bool)"}


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
        try:
            self._encoder = Encoder(settings["tokenizer"], vocabulary, settings["max_len"])
        except UserError as error:
            raise UserError(f"{path / SETTINGS}: {error}") from error
        self._path = path
        self._ngrams = None
        first = {"token_ids": [[len(vocabulary) - 1]], "lengths": [1]}
        if settings["ngrams"]:
            keys = _read_keys(path / NGRAMS, files[NGRAMS])
            self._ngrams = NgramTable(keys, settings["ngrams"], len(vocabulary))
            first["ngram_rows"] = [[len(keys)]]
        self._session = _session(path / ONNX, files[ONNX], {*first})
        found = self._scores({name: np.array(value, np.int32) for name, value in first.items()})
        shapes = [array.shape for array in found]
        if shapes != [(1,), (1, len(self.labels)), (1, len(self.labels))]:
            raise UserError(f"{path}: {len(self.labels)} labels, expected {shapes[1][-1]}")

    def run(self, texts: list[bytes]) -> Predictions:
        """Classifies texts, all of them together."""
        token_ids, lengths, is_cut = self._encoder(texts)
        if not token_ids.shape[1]:  # the graph wants a step
            token_ids = np.zeros((len(texts), 1), np.int32)
        inputs = {"token_ids": token_ids, "lengths": lengths}
        size = len(texts)
        if self._ngrams:
            inputs["ngram_rows"] = self._ngrams(token_ids)
            width = inputs["ngram_rows"].shape[1] * len(self.labels)
            size = max(1, MAX_GATHERED // max(width, 1))
        parts = [
            self._scores({name: array[start : start + size] for name, array in inputs.items()})
            for start in range(0, len(texts), size)
        ]
        whole = (
            parts[0]
            if len(parts) == 1
            else [np.concatenate(part) for part in zip(*parts, strict=True)]
        )
        classes, probability, accepted = whole
        return Predictions(classes, probability, lengths, is_cut, accepted)

    def _scores(self, inputs: dict[str, Array]) -> Sequence[Array]:
        try:
            outputs: Sequence[Array] = self._session.run([*_OUTPUTS], inputs)
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self._path}: cannot be run ({reason})") from error
        return outputs


def _session(path: pathlib.Path, content: bytes, inputs: set[str]) -> Any:
    """ONNX Runtime's session of a file that `onnx_guard` has passed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"{path}: onnxruntime is not installed; pip install 'tf_textrnn[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Else the file's first bytes could make it one of another format, which nothing has checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = {value.name: value.type for value in session.get_inputs()}
    if found != dict.fromkeys(inputs, "tensor(int32)"):
        raise UserError(f"{path}: expected the inputs {', '.join(sorted(inputs))}")
    found = {value.name: value.type for value in session.get_outputs()}
    if not _OUTPUTS.items() <= found.items():
        raise UserError(f"{path}: expected the outputs {', '.join(_OUTPUTS)}")
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
    if type(number) is not int or number < 1:
        raise UserError(f"{path}: expected a format from 1 to {FORMAT}, found {number!r:.40}")
    if number > FORMAT:
        raise UserError(
            f"{path}: its format is {number:,}, which a newer tf_textrnn wrote; this is "
            f"{__version__} and reads up to {FORMAT}; expected a newer tf_textrnn"
        )
    kinds = {"multi_label": bool, "classes": list, "max_len": int, "ngrams": int, "sha256": dict}
    kinds |= {"tokenizer": dict, "vocab_size": int}
    for name, kind in kinds.items():
        if type(settings.get(name)) is not kind:
            raise UserError(f"{path}: damaged ({name} is {settings.get(name)!r:.40})")
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
    """int64[n-grams], ascending, of a file that claims no more than it holds."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0(file)
    keys = np.frombuffer(content[file.tell() :], "<i8")
    is_whole = (version, *header) == ((1, 0), keys.shape, False, np.dtype("<i8"))
    if not is_whole or (np.diff(keys) <= 0).any():
        raise UserError(f"{path}: damaged; expected the keys of n-grams, ascending")
    return keys.astype(np.int64)
