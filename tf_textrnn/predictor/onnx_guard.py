"""Whether an ONNX file does no more than compute, and is no larger than it says.

The file is walked as protobuf (protobuf.dev/programming-guides/encoding) before ONNX Runtime sees
it. What may stand in it are the messages and fields below, which `exporting/onnx_graph.py` writes,
each where it is expected and no more than once where it is no list: so no other reader finds
something else in it. What is missing here is refused: subgraphs, which loops need, functions,
tensors in files of their own, custom ops. Numbers of fields: onnx/onnx.proto.

Needs the standard library.
"""

import math
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from tf_textrnn.base.errors import UserError

OPSET = 13
CONTRIB, CONTRIB_OPS = "com.microsoft", frozenset({"DynamicQuantizeLSTM"})  # of int8 files
OPS = frozenset(
    """
    Add And ArgMax Cast DequantizeLinear Div Equal GRU Gather Gemm Greater GreaterOrEqual Identity
    LSTM Less MatMul Max Mul RNN Range ReduceMax ReduceSum Reshape Shape Sigmoid Softmax Sqrt
    Transpose Unsqueeze Where
    """.split()  # noqa: SIM905
)
MAX_FIELDS = 100_000  # eight layers of two directions have 935
# float32, int8, int32, int64, bool, as TensorProto numbers them.
ITEM_BYTES = {1: 4, 3: 1, 6: 4, 7: 8, 9: 1}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_SIZES = {_FIXED64: 8, _FIXED32: 4}


class Field(NamedTuple):
    """What a message may hold.

    Attributes:
      name: of the field.
      wire: its wire type.
      message: the type of the message that it is; empty for other values.
      is_list: whether it may stand there several times.
    """

    name: str
    wire: int = _BYTES
    message: str = ""
    is_list: bool = False


MESSAGES = {
    "model": {
        1: Field("ir_version", _VARINT),
        2: Field("producer_name"),
        3: Field("producer_version"),
        7: Field("graph", message="graph"),
        8: Field("opset_import", message="opset", is_list=True),
    },
    "opset": {1: Field("domain"), 2: Field("version", _VARINT)},
    "graph": {
        1: Field("node", message="node", is_list=True),
        2: Field("name"),
        5: Field("initializer", message="tensor", is_list=True),
        11: Field("input", message="value", is_list=True),
        12: Field("output", message="value", is_list=True),
    },
    "node": {
        1: Field("input", is_list=True),
        2: Field("output", is_list=True),
        3: Field("name"),
        4: Field("op_type"),
        5: Field("attribute", message="attribute", is_list=True),
        7: Field("domain"),
    },
    "attribute": {
        1: Field("name"),
        2: Field("f", _FIXED32),
        3: Field("i", _VARINT),
        4: Field("s"),
        8: Field("ints", _VARINT, is_list=True),
        9: Field("strings", is_list=True),
        20: Field("type", _VARINT),
    },
    "tensor": {
        1: Field("dims", _VARINT, is_list=True),
        2: Field("data_type", _VARINT),
        8: Field("name"),
        9: Field("raw_data"),
    },
    "value": {1: Field("name"), 2: Field("type", message="type")},
    "type": {1: Field("tensor_type", message="tensor_type")},
    "tensor_type": {1: Field("elem_type", _VARINT), 2: Field("shape", message="shape")},
    "shape": {1: Field("dim", message="dim", is_list=True)},
    "dim": {1: Field("dim_value", _VARINT), 2: Field("dim_param")},
}
# What strangers' files hold that ours never do, for messages.
_FOREIGN = {
    ("model", 25): "functions",
    ("graph", 15): "a sparse tensor",
    ("attribute", 5): "a tensor in an op",
    ("attribute", 6): "a graph in an op, as loops have",
    ("attribute", 11): "graphs in an op, as loops have",
    ("tensor", 13): "a tensor in a file of its own",
    ("tensor", 14): "a tensor in a file of its own",
}


def check(path: pathlib.Path, content: bytes) -> None:
    """Refuses an ONNX file that this project would not write.

    Args:
      path: the file, for errors.
      content: of the file.

    Raises:
      UserError: what was found in it.
    """
    try:
        model = _Reader(content).read("model", 0, len(content))
        _check_model(model)
    except _RefusedError as error:
        raise UserError(f"{path}: not loaded, {error}") from error


class _RefusedError(Exception):
    """Why a file is not loaded."""


def _check_model(model: dict[str, Any]) -> None:
    graph = model.get("graph", {})
    for node in graph.get("node", []):
        domain, op = _text(node.get("domain", b"")), _text(node.get("op_type", b""))
        if op not in {"": OPS, CONTRIB: CONTRIB_OPS}.get(domain, ()):
            name = f"{domain}.{op}" if domain else op
            raise _RefusedError(f"its op {name!r} is none of those that models of this kind have")
    for opset in model.get("opset_import", []):
        name = _text(opset.get("domain", b""))
        if opset.get("version") != {"": OPSET, CONTRIB: 1}.get(name):
            raise _RefusedError(
                f"expected ops of opset {OPSET}, found {name!r} {opset.get('version')}"
            )
    for tensor in graph.get("initializer", []):
        size = ITEM_BYTES.get(tensor.get("data_type", 0))
        held = len(tensor.get("raw_data", b""))
        name = _text(tensor.get("name", b""))
        if size is None:
            raise _RefusedError(
                f"its constant {name!r} is of the type {tensor.get('data_type')}, which models of "
                f"this kind have not"
            )
        claimed = size * math.prod(tensor.get("dims", []))
        if claimed != held:
            raise _RefusedError(f"its constant {name!r} takes {claimed:,} bytes, found {held:,}")


def _text(value: memoryview | bytes) -> str:
    return bytes(value[:80]).decode("utf-8", "replace")


class _Reader:
    """Reads messages, each as a dict of its fields by name."""

    def __init__(self, content: bytes):
        self._content = memoryview(content)
        self._fields = 0

    def read(self, kind: str, start: int, end: int) -> dict[str, Any]:
        """The message of a kind that lies between two places."""
        message: dict[str, Any] = {}
        for number, wire, value in self._values(start, end):
            field = MESSAGES[kind].get(number)
            if field is None:
                found = _FOREIGN.get((kind, number), f"field {number} of a {kind}")
                raise _RefusedError(f"it holds {found}, which models of this kind have not")
            if wire != field.wire:
                raise _RefusedError(f"{field.name} of a {kind} is not of the kind that it should")
            if field.message:
                value = self.read(field.message, *value)
            elif wire == _BYTES:
                value = self._content[slice(*value)]
            if field.is_list:
                message.setdefault(field.name, []).append(value)
            elif field.name in message:
                raise _RefusedError(f"{field.name} of a {kind} stands there twice")
            else:
                message[field.name] = value
        return message

    def _values(self, start: int, end: int) -> Iterator[tuple[int, int, Any]]:
        """Yields each field's number and wire type, and its value, or where that lies."""
        while start < end:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise _RefusedError(f"over {MAX_FIELDS:,} fields")
            tag, start = self._varint(start, end)
            number, wire = tag >> 3, tag & 7
            if wire == _VARINT:
                value, start = self._varint(start, end)
                yield number, wire, value
                continue
            if wire == _BYTES:
                size, start = self._varint(start, end)
            elif wire in _SIZES:
                size = _SIZES[wire]
            else:
                raise _RefusedError(f"damaged at byte {start:,}")
            if size > end - start:
                raise _RefusedError(f"cut, or damaged at byte {start:,}")
            yield number, wire, (start, start + size)
            start += size

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        """A number below 2 ** 64, and the place after it."""
        value = 0
        for index, byte in enumerate(self._content[start : min(end, start + 10)]):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80 and value < 1 << 64:
                return value, start + index + 1
        raise _RefusedError(f"cut, or damaged at byte {start:,}")
