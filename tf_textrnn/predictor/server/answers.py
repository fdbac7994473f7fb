"""What a model says → JSON: as TF Serving has it, and for people."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_textrnn.predictor.runtime import Array, Predictions, Runtime
from tf_textrnn.predictor.server.bodies import INPUT, METHODS

_DTYPES = {
    "label": ("DT_STRING", False), "prediction": ("DT_INT64", False), "scores": ("DT_FLOAT", True),
    "probability": ("DT_FLOAT", True), "accepted": ("DT_BOOL", True),
    "num_tokens": ("DT_INT32", False), "num_known": ("DT_INT32", False),
    "is_cut": ("DT_BOOL", False),
}  # fmt: skip  # outputs of `serving_default`: type, and whether there is one a class


def encoded(answer: Any) -> bytes:
    """An answer as JSON in UTF-8; what is not finite reads NaN and Infinity, as TF Serving's."""
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")


def predictions(found: Predictions, runtime: Runtime, is_columnar: bool) -> dict[str, Any]:
    """The outputs of `serving_default`, in rows or in columns."""
    classes = found.classes.tolist()
    columns = {
        "label": [runtime.labels[label] for label in classes],
        "prediction": classes,
        "scores": _decimals(found.scores),
        "probability": _decimals(found.probability),
        "accepted": found.accepted.tolist(),
        "num_tokens": found.num_tokens.tolist(),
        "num_known": found.num_known.tolist(),
        "is_cut": found.is_cut.tolist(),
    }
    if is_columnar:
        return {"outputs": columns}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def classifications(found: Predictions, runtime: Runtime) -> dict[str, Any]:
    """The result of `classify`: for each text every label with its probability."""
    rows = _decimals(found.probability)
    return {
        "results": [[[*pair] for pair in zip(runtime.labels, row, strict=True)] for row in rows]
    }


def for_people(found: Predictions, runtime: Runtime, texts: Sequence[str]) -> list[dict[str, Any]]:
    """An object a text: its label, or labels where it has a set; None where the model is unsure."""
    answers, labels = [], runtime.labels
    for text, probability, accepted in zip(texts, found.probability, found.accepted, strict=True):
        names = [labels[label] for label in np.flatnonzero(accepted).tolist()]
        surest = np.argsort(-probability, kind="stable").tolist()
        answers.append({
            "label": names if runtime.has_sets else names[0] if names else None,
            "probability": round(float(probability[surest[0]]), 6),
            "probabilities": {labels[i]: round(float(probability[i]), 6) for i in surest},
            "text": text,
        })  # fmt: skip
    return answers


def status(states: Sequence[tuple[int, str, str]]) -> dict[str, Any]:
    """The state of versions: number, state and error of each."""
    return {
        "model_version_status": [
            {
                "version": str(number),
                "state": state,
                "status": {"error_code": "UNKNOWN" if error else "OK", "error_message": error},
            }
            for number, state, error in states
        ]
    }


def metadata(name: str, version: int, num_classes: int) -> dict[str, Any]:
    """The signatures that are answered here."""
    outputs = {
        output: _tensor_info(f"StatefulPartitionedCall:{index}", dtype, *[num_classes] * by_class)
        for index, (output, (dtype, by_class)) in enumerate(_DTYPES.items())
    }
    signatures = {
        "serving_default": _signature(
            METHODS["serving_default"], INPUT, "serving_default_text:0", outputs
        ),
        "classify": _signature(
            METHODS["classify"],
            "inputs",
            "classify_inputs:0",
            {
                "classes": _tensor_info("StatefulPartitionedCall_1:0", "DT_STRING", num_classes),
                "scores": _tensor_info("StatefulPartitionedCall_1:1", "DT_FLOAT", num_classes),
            },
        ),
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _signature(method: str, name: str, tensor: str, outputs: dict[str, Any]) -> dict[str, Any]:
    inputs = {name: _tensor_info(tensor, "DT_STRING")}
    return {"inputs": inputs, "outputs": outputs, "method_name": method, "defaults": {}}


def _tensor_info(name: str, dtype: str, *sizes: int) -> dict[str, Any]:
    dims = [{"size": str(size), "name": ""} for size in (-1, *sizes)]
    return {
        "dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": name,
    }  # fmt: skip


def _decimals(values: Array) -> list[list[float]]:
    """float32[n, classes] as numbers of nine digits, which tell each float32 from the next."""
    return [[float(f"{value:.9g}") for value in row] for row in values.tolist()]
