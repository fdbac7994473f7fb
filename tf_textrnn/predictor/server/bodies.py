"""Bodies of requests, as TF Serving's REST interface takes them → texts.

After `FillPredictRequestFromJson` of TF Serving's util/json_tensor.cc: the same cases in the same
order, with the same beginnings of sentences, since clients look for them. Standard library only.
"""

import base64
import json
import re
import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from tf_textrnn.predictor.server.errors import ApiError

INPUT = "text"  # of `serving_default`, and the feature that `classify` reads
PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD = (
    f"tensorflow/serving/{verb}" for verb in ("predict", "classify", "regress")
)
METHODS = {"serving_default": PREDICT_METHOD, "classify": CLASSIFY_METHOD}  # of the signatures
_NAMES: dict[type, str] = {type(None): "Null", dict: "Object", list: "Array", str: "String"}


class Inputs(NamedTuple):
    """Texts to predict, and whether the answer is to hold columns."""

    texts: list[bytes]
    is_columnar: bool


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
      ApiError: there is none.
    """
    if not body.strip():
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8-sig", "replace"))
    except RecursionError as error:
        raise invalid("JSON Parse error: nested too deeply") from error
    except ValueError as error:
        raise invalid(f"JSON Parse error: Invalid value ({error})") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def signature_of(document: Mapping[str, Any]) -> str:
    """The signature that a body names; the default one where it names none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be "
            f"a string value."
        )
    return name or "serving_default"


def predict_inputs(document: Mapping[str, Any]) -> Inputs:
    """The texts of a body for `predict`, in rows or in columns."""
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of "
            f"'inputs' or 'instances' keys to exist"
        )
    if "instances" in document:
        return Inputs(_row_texts(document["instances"]), is_columnar=False)
    if "inputs" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    value = document["inputs"]
    if isinstance(value, dict) and not is_base64(value):
        if INPUT not in value:
            raise invalid(f"Missing named input: {INPUT} in 'inputs' object.")
        value = value[INPUT]
    texts, shape = _tensor(value)
    return Inputs(_only_vector(texts, shape), is_columnar=True)


def _row_texts(instances: Any) -> list[bytes]:
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {shown(instances)} Expecting 'instances' to be a list/array")
    if not instances:
        raise invalid("No values in 'instances' array")
    has_names = _is_named(instances[0])
    texts: list[bytes] = []
    shape: tuple[int, ...] | None = None
    for index, element in enumerate(instances):
        if has_names and not _is_named(element):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if not has_names and _is_named(element):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        try:
            value = _named_value(element) if has_names else element
            found, found_shape = _tensor(value)
            shape = found_shape if shape is None else shape
            if _size(shape) != len(found):
                raise invalid(f"Expecting tensor size: {_size(shape)} but got: {len(found)}")
            if shape != found_shape:
                raise invalid(f"Expecting shape {_listed(shape)} but got: {_listed(found_shape)}")
        except ApiError as error:
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. Error: {error}"
            ) from error
        texts += found
    return _only_vector(texts, (len(instances), *(shape or ())))


def _named_value(element: Mapping[str, Any]) -> Any:
    for name in element:
        if name != INPUT:
            raise invalid(f"JSON object: does not have named input: {shown(name)}")
    if not element:
        raise invalid(f"JSON object: {{}} keys must be equal to: {INPUT}")
    return element[INPUT]


def _tensor(value: Any) -> tuple[list[bytes], tuple[int, ...]]:
    """The texts of a tensor of strings, and its shape, which its first elements tell."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    texts: list[bytes] = []

    def fill(value: Any, level: int) -> None:
        if not isinstance(value, list):
            if level != len(shape):
                raise invalid(
                    f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the "
                    f"JSON DOM. Expected at level: {len(shape)}"
                )
            texts.append(_text(value))
            return
        if level >= len(shape):
            raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        if len(value) != shape[level]:
            raise invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level} expected "
                f"size: {shape[level]}"
            )
        for element in value:
            fill(element, level + 1)

    try:
        fill(value, 0)
    except RecursionError as error:
        raise invalid("JSON Parse error: nested too deeply") from error
    return texts, tuple(shape)


def _only_vector(texts: list[bytes], shape: tuple[int, ...]) -> list[bytes]:
    if len(shape) != 1:
        raise invalid(f"input {INPUT}: expected a tensor of shape [n], found {_listed(shape)}")
    return texts


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, dict):
        if not is_base64(value):
            raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
        return from_base64(value["b64"])
    raise invalid(
        f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: string"
    )


def utf8(text: str) -> bytes:
    """A text of JSON in UTF-8, which has no lone surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid") from error


def from_base64(text: str) -> bytes:
    """The bytes of a text in base64, with or without its padding."""
    packed = re.sub(r"\s", "", text).rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except ValueError as error:
        raise invalid("Unable to base64 decode") from error


def is_base64(value: Any) -> bool:
    """Whether a value of JSON stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def type_name(value: Any) -> str:
    """What TF Serving calls the type of a value of JSON."""
    if isinstance(value, bool):
        return str(value)
    return _NAMES.get(type(value), "Number")


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _listed(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def shown(value: Any) -> str:
    """A value of JSON in a sentence, shortened."""
    return value[:100] if isinstance(value, str) else reprlib.repr(value)


def invalid(message: str) -> ApiError:
    """TF Serving's INVALID_ARGUMENT."""
    return ApiError(400, message)
