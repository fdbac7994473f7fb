"""Nodes and constants of an ONNX graph, as they are written; tables and layers as floats or int8.

As int8, a table has a scale a row, or a column; its values are rounded to 1/127 of the largest. Of
an LSTM ONNX Runtime multiplies in int8 too, by an op of its own (`com.microsoft`, docs: Contrib
Operators): there the weights have 7 bits, since on a CPU without VNNI a product of two larger ones
may saturate, and one file would answer differently on two CPUs. The weights of a GRU or RNN become
floats again when the model is loaded.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tf_textrnn.base.version import __version__
from tf_textrnn.predictor.onnx_guard import CONTRIB, OPSET

IR_VERSION = 7  # of the first ONNX that has the opset
_LARGEST, _LARGEST_OF_PRODUCTS = 127, 63


class Graph:
    """Nodes and constants as they are written.

    Each method returns the name of what it makes.

    Args:
      is_int8: whether tables and the weights of layers are written as int8.
    """

    def __init__(self, is_int8: bool) -> None:
        self._is_int8 = is_int8
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any = np.float32, name: str = "") -> str:
        """A constant: an array, a list or a number."""
        name = name or f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node of one output."""
        output = output or f"{kind.lower()}_{len(self._nodes)}"
        return self.ops(kind, inputs, [output], attributes)[0]

    def ops(
        self, kind: str, inputs: Sequence[str], outputs: list[str], attributes: dict[str, Any]
    ) -> list[str]:
        """A node of several outputs."""
        self._nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def column(self, name: str, axis: int = 1) -> str:
        """The same values with one more axis, of size 1."""
        return self.op("Unsqueeze", name, self.constant([axis], np.int64))

    def sum(self, name: str, axis: int, output: str = "") -> str:
        """The sum over an axis, which goes."""
        axes = self.constant([axis], np.int64)
        return self.op("ReduceSum", name, axes, output=output, keepdims=0)

    def rows(self, table: np.ndarray, places: str, name: str) -> str:
        """The rows of a table float[rows, units] at some places: one more axis, of the units."""
        if not self._is_int8:
            return self.op("Gather", self.constant(table, name=name), places, axis=0)
        values, scales = _rounded(table, _LARGEST, axis=1)
        found = self.op("Gather", self.constant(values, np.int8, name), places, axis=0)
        scale = self.op("Gather", self.constant(scales, name=f"{name}/scale"), places, axis=0)
        return self.op("Mul", self.op("Cast", found, to=TensorProto.FLOAT), scale)

    def sums_of_rows(self, table: np.ndarray, places: str, name: str) -> str:
        """The sums of the rows of a table float[rows, units] at places [n, width]: [n, units]."""
        if not self._is_int8:
            rows = self.op("Gather", self.constant(table, name=name), places, axis=0)
            return self.sum(rows, 1)
        values, scales = _rounded(table, _LARGEST, axis=0)
        rows = self.op("Gather", self.constant(values, np.int8, name), places, axis=0)
        total = self.sum(self.op("Cast", rows, to=TensorProto.FLOAT), 1)
        return self.op("Mul", total, self.constant(scales, name=f"{name}/scale"))

    def layer(
        self,
        kind: str,
        inputs: str,
        weights: tuple[np.ndarray, np.ndarray],
        bias: np.ndarray,
        name: str,
        attributes: dict[str, Any],
    ) -> list[str]:
        """A recurrent layer over inputs [time, n, units] of texts of `steps` steps.

        Args:
          kind: LSTM, GRU or RNN.
          inputs: their name.
          weights: float[directions, units, gates * hidden] and
            float[directions, hidden, gates * hidden], in ONNX's order of gates.
          bias: float[directions, 2 * gates * hidden].
          name: of the layer.
          attributes: of the op.

        Returns:
          The names of its outputs [time, directions, n, hidden] and last states
          [directions, n, hidden].
        """
        outputs = [f"{name}/outputs", f"{name}/last"]
        bias_name = self.constant(bias, name=f"{name}/bias")
        names = [f"{name}/kernel", f"{name}/recurrent_kernel"]
        if kind != "LSTM" or not self._is_int8:
            kernels = [
                self._weight(weight.transpose(0, 2, 1), one)
                for weight, one in zip(weights, names, strict=True)
            ]
            return self.ops(kind, [inputs, *kernels, bias_name, "steps"], outputs, attributes)
        kernels, scales = [], []
        for weight, one in zip(weights, names, strict=True):
            values, scale = _rounded(weight, _LARGEST_OF_PRODUCTS, axis=1)
            kernels.append(self.constant(values, np.int8, one))
            scales.append(self.constant(scale[:, 0], name=f"{one}/scale"))
            scales.append(self.constant(np.zeros_like(scale[:, 0]), np.int8, f"{one}/zero"))
        parts = [inputs, *kernels, bias_name, "steps", "", "", "", *scales]
        return self.ops("DynamicQuantizeLSTM", parts, outputs, {**attributes, "domain": CONTRIB})

    def _weight(self, weight: np.ndarray, name: str) -> str:
        """A weight of a layer; as int8 it has a scale for each row of a direction."""
        if not self._is_int8:
            return self.constant(weight, name=name)
        values, scales = _rounded(weight.reshape([-1, weight.shape[-1]]), _LARGEST, axis=1)
        kept = self.constant(values, np.int8, name)
        scale = self.constant(scales[:, 0], name=f"{name}/scale")
        rows = self.op("DequantizeLinear", kept, scale, axis=0)
        return self.op("Reshape", rows, self.constant(weight.shape, np.int64))

    def model(self, has_ngrams: bool, num_classes: int) -> onnx.ModelProto:
        """What was written, as a model, without what no output reads."""
        floats, int32 = TensorProto.FLOAT, TensorProto.INT32
        inputs = {"token_ids": (int32, ["n", "time"]), "lengths": (int32, ["n"])}
        outputs = {"scores": floats, "probability": floats, "accepted": TensorProto.BOOL}
        outputs["network_scores"] = floats
        if has_ngrams:
            inputs["ngram_rows"] = (int32, ["n", "width"])
            outputs["ngram_scores"] = floats
        read = {"prediction", *outputs}
        for node in reversed(self._nodes):
            if read & set(node.output):
                read |= set(node.input)
        nodes = [node for node in self._nodes if read & set(node.output)]
        graph = helper.make_graph(
            nodes,
            "tf_textrnn",
            [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
            [
                helper.make_tensor_value_info("prediction", TensorProto.INT64, ["n"]),
                *(
                    helper.make_tensor_value_info(name, kind, ["n", num_classes])
                    for name, kind in outputs.items()
                ),
            ],
            [constant for constant in self._constants if constant.name in read],
        )
        opsets = [("", OPSET)] + [(CONTRIB, 1)] * any(node.domain for node in nodes)
        model = helper.make_model(
            graph,
            producer_name="tf_textrnn",
            producer_version=__version__,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets],
        )
        model.ir_version = IR_VERSION
        return model


def _rounded(array: np.ndarray, largest: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers within ± `largest`, and their scales, which have size 1 along the axis."""
    scales = np.abs(array).max(axis=axis, keepdims=True).astype(np.float32) / largest
    scales = np.where(scales > 0, scales, np.float32(1))
    return np.rint(array / scales).astype(np.int8), scales
