"""Examples, as TF Serving's `classify` takes them in JSON → texts.

After `FillClassificationRequestFromJson` of its util/json_tensor.cc. Standard library only.
"""

from collections.abc import Mapping
from typing import Any

from tf_textrnn.predictor.server.bodies import (
    INPUT,
    from_base64,
    invalid,
    is_base64,
    shown,
    type_name,
    utf8,
)

_INT64 = range(-(1 << 63), 1 << 63)
_MAX_FLOAT32 = 3.4028234663852886e38


def example_texts(document: Mapping[str, Any]) -> list[bytes]:
    """The texts of the examples of a body for `classify`; a context holds for all of them.

    The sentences of `_required_text` are those of the op ParseExample, which the graph has.
    """
    context: dict[str, list[Any]] = {}
    if "context" in document:
        context = _example(document["context"])
    examples = document.get("examples")
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is expected "
            f"and was not found"
        )
    if not isinstance(examples, list):
        raise invalid(f"JSON Value: {shown(examples)} Expecting 'examples' value to be a "
                       f"list/array")  # fmt: skip
    if not examples:
        raise invalid("'examples' value is an empty array")
    return [_required_text(context | _example(example)) for example in examples]


def _example(value: Any) -> dict[str, list[Any]]:
    """The features of an example, each of values of one kind."""
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    features: dict[str, list[Any]] = {}
    for name, content in value.items():
        values = [_feature(name, item) for item in
                  (content if isinstance(content, list) else [content])]  # fmt: skip
        kinds = [type(item) for item in values]
        for kind in kinds:
            if kind is not kinds[0]:
                expected = {bytes: "bytes", int: "int64", float: "float"}[kinds[0]]
                raise invalid(
                    f"Unexpected element type in feature: {shown(name)} expecting type: {expected}"
                )
        features[name] = values
    return features


def _feature(name: str, value: Any) -> bytes | int | float:
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, dict) and is_base64(value):
        return from_base64(value["b64"])
    if isinstance(value, int):  # truth values are numbers here
        if value not in _INT64:
            raise invalid(f"Feature: {shown(name)} has uint64 element. Only int64 is supported.")
        return int(value)
    if isinstance(value, float):
        if _MAX_FLOAT32 < abs(value) < float("inf"):
            raise invalid(f"Cannot convert JSON value: {value} to float without loss of precision.")
        return value
    raise invalid(
        f"Feature: {shown(name)} has element with unexpected JSON type: {type_name(value)}"
    )


def _required_text(features: Mapping[str, list[Any]]) -> bytes:
    values = features.get(INPUT, [])
    if not values:
        raise invalid(f"Feature: {INPUT} (data type: string) is required but could not be found.")
    if not isinstance(values[0], bytes):
        found = "float" if isinstance(values[0], float) else "int64"
        raise invalid(
            f"Key: {INPUT}. Data types don't match. Expected type: string, Data type: {found}"
        )
    if len(values) != 1:
        raise invalid(
            f"Key: {INPUT}. Number of bytes values != expected. values size: {len(values)} but "
            f"output shape: []"
        )
    return values[0]
