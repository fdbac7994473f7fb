"""Raw texts through the graph of an ONNX export. Needs onnxruntime and NumPy alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_textrnn.predictor.encoder import UNKNOWN_ID, Encoder, NgramTable

MAX_GATHERED = 1 << 24  # weights of n-grams, of a batch at a time
OUTPUTS = {"prediction": "tensor(int64)", "probability": "tensor(float)"}
OUTPUTS |= {"accepted": "tensor(bool)", "scores": "tensor(float)"}


def open_session(content: bytes) -> Any:
    """ONNX Runtime's session of a file; on one thread, so that batches share the cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Else the file's first bytes could make it one of another format, which nothing has checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def unpacked_keys(content: bytes) -> np.ndarray:
    """int64[n-grams], ascending: the sums of the differences that a file holds.

    Each is written in base 128, its lowest digit first (LEB128); 128 is added to every digit but
    its last.

    Raises:
      ValueError: the last number has no end, or one has over 63 bits.
    """
    digits = np.frombuffer(content, np.uint8)
    starts = np.flatnonzero(np.concatenate([[True], digits < 128])[:-1])
    place = np.arange(len(digits)) - np.repeat(starts, np.diff(starts, append=len(digits)))
    if not len(digits) or digits[-1] >= 128 or place.max() > 8:
        raise ValueError("expected numbers in LEB128")
    values = (digits & 127).astype(np.int64) << (7 * place)
    return np.cumsum(np.add.reduceat(values, starts))


class TextModel:
    """Encodes texts and runs the graph on them.

    Args:
      settings: what `model.json` holds.
      vocabulary: the token of each id.
      keys: int64, the known n-grams, ascending; empty where the model has none.
      num_classes: number of classes.
      run: gives outputs of the graph, by their names, for its inputs, as a session's method does.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        vocabulary: Sequence[bytes],
        keys: np.ndarray,
        num_classes: int,
        run: Callable[[list[str], dict[str, np.ndarray]], Sequence[np.ndarray]],
    ):
        self.encoder = Encoder(
            settings["tokenizer"],
            vocabulary,
            settings["max_len"],
            settings.get("stem_unknown_words", False),  # older exports do not
        )
        self.ngrams = NgramTable(keys, settings["ngrams"], len(vocabulary)) if len(keys) else None
        self._num_classes = num_classes
        self._run = run

    def __call__(self, texts: Sequence[bytes]) -> tuple[np.ndarray, ...]:
        """Classifies texts, all of them together.

        Returns:
          int64[n], the most probable class of each; float32[n, classes], the probabilities;
          int32[n], the number of tokens that were read; bool[n], whether there are more;
          bool[n, classes], the labels that the text is taken to have; float32[n, classes], the
          scores; and int32[n], the tokens that were not read as unknown.
        """
        inputs, is_cut = self.inputs(texts)
        size = len(texts)
        if self.ngrams:
            size = max(1, MAX_GATHERED // (inputs["ngram_rows"].shape[1] * self._num_classes))
        parts = [
            self._run(
                [*OUTPUTS], {name: array[start : start + size] for name, array in inputs.items()}
            )
            for start in range(0, len(texts), size)
        ]
        whole = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        classes, probability, accepted, scores = whole
        num_known = (inputs["token_ids"] > UNKNOWN_ID).sum(axis=1, dtype=np.int32)
        return classes, probability, inputs["lengths"], is_cut, accepted, scores, num_known

    def inputs(self, texts: Sequence[bytes]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """What the graph takes, by name, and bool[n], whether a text has more tokens."""
        token_ids, lengths, is_cut = self.encoder(texts)
        if not token_ids.shape[1]:  # the graph wants a step
            token_ids = np.zeros((len(texts), 1), np.int32)
        inputs = {"token_ids": token_ids, "lengths": lengths}
        if self.ngrams:
            inputs["ngram_rows"] = self.ngrams(token_ids)
        return inputs, is_cut
