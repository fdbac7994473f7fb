"""Bodies of requests, as TF Serving's REST interface takes them → texts.

After `FillPredictRequestFromJson` and `FillClassificationRequestFromJson` of TF Serving's
util/json_tensor.cc: the same cases in the same order, with the same beginnings of sentences, since
clients look for them. Standard library only.
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
_INT64 = range(-(1 << 63), 1 << 63)
_MAX_FLOAT32 = 3.4028234663852886e38
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
        raise _invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8-sig", "replace"))
    except RecursionError as error:
        raise _invalid("JSON Parse error: nested too deeply") from error
    except ValueError as error:
        raise _invalid(f"JSON Parse error: Invalid value ({error})") from error
    if not isinstance(document, dict):
        raise _invalid(f"JSON Value: {_shown(document)} Is not object")
    return document


def signature_of(document: Mapping[str, Any]) -> str:
    """The signature that a body names; the default one where it names none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _invalid(
            f"JSON Value: {_shown(document)} not formatted correctly. 'signature_name' key must be "
            f"a string value."
        )
    return name or "serving_default"


def predict_inputs(document: Mapping[str, Any]) -> Inputs:
    """The texts of a body for `predict`, in rows or in columns."""
    if "instances" in document and "inputs" in document:
        raise _invalid(
            f"JSON Value: {_shown(document)} Not formatted correctly expecting only one of "
            f"'inputs' or 'instances' keys to exist"
        )
    if "instances" in document:
        return Inputs(_row_texts(document["instances"]), is_columnar=False)
    if "inputs" not in document:
        raise _invalid("Missing 'inputs' or 'instances' key")
    value = document["inputs"]
    if isinstance(value, dict) and not _is_base64(value):
        if INPUT not in value:
            raise _invalid(f"Missing named input: {INPUT} in 'inputs' object.")
        value = value[INPUT]
    texts, shape = _tensor(value)
    return Inputs(_only_vector(texts, shape), is_columnar=True)


def _row_texts(instances: Any) -> list[bytes]:
    if not isinstance(instances, list):
        raise _invalid(f"JSON Value: {_shown(instances)} Expecting 'instances' to be a list/array")
    if not instances:
        raise _invalid("No values in 'instances' array")
    has_names = _is_named(instances[0])
    texts: list[bytes] = []
    shape: tuple[int, ...] | None = None
    for index, element in enumerate(instances):
        if has_names and not _is_named(element):
            raise _invalid(f"Expecting object but got list at item {index} of input list")
        if not has_names and _is_named(element):
            raise _invalid(f"Expecting value/list but got object at item {index} of input list")
        try:
            value = _named_value(element) if has_names else element
            found, found_shape = _tensor(value)
            shape = found_shape if shape is None else shape
            if _size(shape) != len(found):
                raise _invalid(f"Expecting tensor size: {_size(shape)} but got: {len(found)}")
            if shape != found_shape:
                raise _invalid(f"Expecting shape {_listed(shape)} but got: {_listed(found_shape)}")
        except ApiError as error:
            raise _invalid(
                f"Failed to process element: {index} of 'instances' list. Error: {error}"
            ) from error
        texts += found
    return _only_vector(texts, (len(instances), *(shape or ())))


def _named_value(element: Mapping[str, Any]) -> Any:
    for name in element:
        if name != INPUT:
            raise _invalid(f"JSON object: does not have named input: {_shown(name)}")
    if not element:
        raise _invalid(f"JSON object: {{}} keys must be equal to: {INPUT}")
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
                raise _invalid(
                    f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the "
                    f"JSON DOM. Expected at level: {len(shape)}"
                )
            texts.append(_text(value))
            return
        if level >= len(shape):
            raise _invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        if len(value) != shape[level]:
            raise _invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level} expected "
                f"size: {shape[level]}"
            )
        for element in value:
            fill(element, level + 1)

    try:
        fill(value, 0)
    except RecursionError as error:
        raise _invalid("JSON Parse error: nested too deeply") from error
    return texts, tuple(shape)


def _only_vector(texts: list[bytes], shape: tuple[int, ...]) -> list[bytes]:
    if len(shape) != 1:
        raise _invalid(f"input {INPUT}: expected a tensor of shape [n], found {_listed(shape)}")
    return texts


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, dict):
        if not _is_base64(value):
            raise _invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
        return _from_base64(value["b64"])
    raise _invalid(
        f"JSON Value: {_shown(value)} Type: {_type_name(value)} is not of expected type: string"
    )


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _invalid("JSON Parse error: The surrogate pair in string is invalid") from error


def _from_base64(text: str) -> bytes:
    packed = re.sub(r"\s", "", text).rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except ValueError as error:
        raise _invalid("Unable to base64 decode") from error


def classify_texts(document: Mapping[str, Any]) -> list[bytes]:
    """The texts of the examples of a body for `classify`; a context holds for all of them.

    The sentences of `required_text` are those of the op ParseExample, which the graph has.
    """
    context: dict[str, list[Any]] = {}
    if "context" in document:
        context = _example(document["context"])
    examples = document.get("examples")
    if "examples" not in document:
        raise _invalid(
            f"JSON Value: {_shown(document)} When method is classify, key 'examples' is expected "
            f"and was not found"
        )
    if not isinstance(examples, list):
        raise _invalid(f"JSON Value: {_shown(examples)} Expecting 'examples' value to be a "
                       f"list/array")  # fmt: skip
    if not examples:
        raise _invalid("'examples' value is an empty array")
    return [_required_text(context | _example(example)) for example in examples]


def _example(value: Any) -> dict[str, list[Any]]:
    """The features of an example, each of values of one kind."""
    if not isinstance(value, dict):
        raise _invalid(f"Example must be JSON object but got JSON {_type_name(value)}")
    features: dict[str, list[Any]] = {}
    for name, content in value.items():
        values = [_feature(name, item) for item in
                  (content if isinstance(content, list) else [content])]  # fmt: skip
        kinds = [type(item) for item in values]
        for kind in kinds:
            if kind is not kinds[0]:
                expected = {bytes: "bytes", int: "int64", float: "float"}[kinds[0]]
                raise _invalid(
                    f"Unexpected element type in feature: {_shown(name)} expecting type: {expected}"
                )
        features[name] = values
    return features


def _feature(name: str, value: Any) -> bytes | int | float:
    if isinstance(value, str):
        return _utf8(value)
    if isinstance(value, dict) and _is_base64(value):
        return _from_base64(value["b64"])
    if isinstance(value, int):  # truth values are numbers here
        if value not in _INT64:
            raise _invalid(f"Feature: {_shown(name)} has uint64 element. Only int64 is supported.")
        return int(value)
    if isinstance(value, float):
        if _MAX_FLOAT32 < abs(value) < float("inf"):
            raise _invalid(
                f"Cannot convert JSON value: {value} to float without loss of precision."
            )
        return value
    raise _invalid(
        f"Feature: {_shown(name)} has element with unexpected JSON type: {_type_name(value)}"
    )


def _required_text(features: Mapping[str, list[Any]]) -> bytes:
    values = features.get(INPUT, [])
    if not values:
        raise _invalid(f"Feature: {INPUT} (data type: string) is required but could not be found.")
    if not isinstance(values[0], bytes):
        found = "float" if isinstance(values[0], float) else "int64"
        raise _invalid(
            f"Key: {INPUT}. Data types don't match. Expected type: string, Data type: {found}"
        )
    if len(values) != 1:
        raise _invalid(
            f"Key: {INPUT}. Number of bytes values != expected. values size: {len(values)} but "
            f"output shape: []"
        )
    return values[0]


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _type_name(value: Any) -> str:
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


def _shown(value: Any) -> str:
    return value[:100] if isinstance(value, str) else reprlib.repr(value)


def _invalid(message: str) -> ApiError:
    return ApiError(400, message)
