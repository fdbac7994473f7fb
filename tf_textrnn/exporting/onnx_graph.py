"""The ONNX graph of a model: token ids → scores, written op by op from the weights.

Inputs: `token_ids` int32[n, time], padded on the right with 0, of at least one step; `lengths`
int32[n], the tokens of each text; where the model has n-grams `ngram_rows` int32[n, width], the
rows of the known n-grams of each text, each once, padded with the number of all n-grams.

Outputs: `scores`, `probability`, `accepted` and `prediction`, as `exporting/signatures.py` has
them, and the parts of the scores, float32[n, classes]: `network_scores`, and `ngram_scores` where
there are n-grams.

Recurrent layers are ONNX's own ops, which take the lengths, so that a direction needs no reversal.
All ops are those of opset 13 (ONNX 1.8, of 2020).
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import ModelConfig
from tf_textrnn.exporting.onnx_nodes import Graph
from tf_textrnn.network.ngrams import SCALE
from tf_textrnn.network.recurrent import DIRECTIONS
from tf_textrnn.text import UNKNOWN_ID

MAX_BYTES = (1 << 31) - (1 << 20)  # of the weights: a protobuf message ends at 2 GiB
_LOWEST = np.finfo(np.float32).min
# Where ONNX has each of Keras's gates: i, f, g, o → i, o, f, c; z, r, h → z, r, h.
_GATES = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2), "rnn": (0,)}
_ALL_OPEN = 40.0  # the logistic function of it is 1 in float32
_OPS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def make_graph(
    config: ModelConfig,
    weights: dict[str, np.ndarray],
    temperature: float,
    thresholds: Sequence[float] | None,
    has_sets: bool,
    is_int8: bool = False,
) -> onnx.ModelProto:
    """Writes the graph.

    Args:
      config: of the model.
      weights: of a model without counts, by the names of `TextRNN.saved_weights`.
      temperature: what scores are divided by before they become probabilities.
      thresholds: least probability of an accepted label of each class; None = none.
      has_sets: whether a text has a set of labels.
      is_int8: whether tables and the weights of layers are written as int8.

    Raises:
      UserError: the weights are too large for a message of ONNX.
    """
    if sum(array.nbytes for array in weights.values()) > MAX_BYTES:
        raise UserError(f"the weights take over {MAX_BYTES:,} bytes, the most that ONNX holds")
    graph = Graph(is_int8)
    num_classes = len(weights["softmax_b"])
    _write_network(graph, config, weights)
    scores = "network_scores"
    if "ngrams/kernel" in weights:
        _write_ngrams(graph, weights["ngrams/kernel"], weights["ngrams/bias"])
        scores = graph.op("Add", scores, "ngram_scores", output="scores")
    else:
        graph.op("Identity", scores, output="scores")
    _write_answers(graph, num_classes, temperature, thresholds, has_sets)
    return graph.model("ngrams/kernel" in weights, num_classes)


def _write_network(graph: Graph, config: ModelConfig, weights: dict[str, np.ndarray]) -> None:
    """Writes `network_scores`, and beside it `mask` bool[time, n] and `has_steps` bool[n, 1]."""
    ids = graph.op("Transpose", "token_ids", perm=[1, 0])  # [time, n]
    shape = graph.op("Shape", ids)
    time = graph.op("Gather", shape, graph.constant(0, np.int64), axis=0)
    time = graph.op("Cast", time, to=TensorProto.INT32)
    places = graph.op("Range", graph.constant(0, np.int32), time, graph.constant(1, np.int32))
    graph.op("Less", graph.column(places), "lengths", output="mask")
    zero = graph.constant(0, np.int32)
    graph.op("Greater", graph.column("lengths"), zero, output="has_steps")
    # ONNX's layers need a step; of a text without one nothing is read.
    graph.op("Max", "lengths", graph.constant(1, np.int32), output="steps")
    known = graph.op("Greater", ids, graph.constant(UNKNOWN_ID, np.int32))
    known = graph.op("Cast", graph.op("And", known, "mask"), to=TensorProto.INT32)
    graph.sum(known, 0, output="num_known")
    outputs = graph.rows(weights["embedding"], ids, "embedding")  # [time, n, embedding_dim]
    for index in range(config.num_layers):
        outputs, last = _write_layer(graph, config, weights, index, outputs)
    pooled = _write_pooling(graph, config, weights, outputs, last)
    kernel, bias = (graph.constant(weights[name], name=name) for name in ("softmax_w", "softmax_b"))
    graph.op("Gemm", pooled, kernel, bias, output="network_scores")


def _write_layer(
    graph: Graph, config: ModelConfig, weights: dict[str, np.ndarray], index: int, inputs: str
) -> tuple[str, str]:
    """Writes a recurrent layer over `inputs` [time, n, units].

    Returns:
      Its outputs [time, n, units of all directions], and the final ones [n, the same].
    """
    name = f"{config.cell}_{index}"
    directions = DIRECTIONS if config.bidirectional else DIRECTIONS[:1]

    def gates(weight: str) -> np.ndarray:
        """A weight of all directions, [directions, ..., gates * hidden], in ONNX's order."""
        array = np.stack([weights[f"{name}/{direction}/{weight}"] for direction in directions])
        parts = np.split(array, len(_GATES[config.cell]), axis=-1)
        return np.concatenate([parts[gate] for gate in _GATES[config.cell]], axis=-1)

    kernel, recurrent = gates("kernel"), gates("recurrent_kernel")
    bias = gates("bias")
    if config.cell == "gru":  # [directions, 2, gates * hidden], of inputs and of the state
        bias = bias.reshape([len(directions), -1])
    else:
        bias = np.concatenate([bias, np.zeros_like(bias)], axis=-1)
    attributes: dict[str, Any] = {
        "hidden_size": config.hidden_size,
        "direction": "bidirectional" if config.bidirectional else "forward",
    }
    op = _OPS[config.cell]
    if config.cell == "rnn":
        attributes["activations"] = [config.activation.title()] * len(directions)
    if config.leak < 1:
        op = "GRU"
        kernel, recurrent, bias = _gated(kernel, recurrent, bias, config.leak)
        attributes["activations"] = ["Sigmoid", config.activation.title()] * len(directions)
    if op == "GRU":
        attributes["linear_before_reset"] = 1
    outputs, last = graph.layer(op, inputs, (kernel, recurrent), bias, name, attributes)
    units = config.hidden_size * len(directions)
    outputs = graph.op("Transpose", outputs, perm=[0, 2, 1, 3])
    outputs = graph.op("Reshape", outputs, graph.constant([0, 0, units], np.int64))
    last = graph.op("Transpose", last, perm=[1, 0, 2])
    return outputs, graph.op("Reshape", last, graph.constant([0, units], np.int64))


def _gated(
    kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, leak: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weights of a leaky cell as those of a GRU whose gates stand still: z = 1 - leak, r = 1.

    Args:
      kernel: float[directions, units, hidden].
      recurrent: float[directions, hidden, hidden].
      bias: float[directions, 2 * hidden], of inputs and of the state.
      leak: how far the state moves at each step, above 0 and below 1.

    Returns:
      The same of a GRU: with 3 * hidden for hidden, the gates in ONNX's order z, r, h.
    """
    kernel, recurrent = (
        np.concatenate([np.zeros_like(weight)] * 2 + [weight], axis=-1)
        for weight in (kernel, recurrent)
    )
    of_inputs, of_state = np.split(bias, 2, axis=-1)
    update = np.full_like(of_inputs, np.log(1 - leak) - np.log(leak))
    reset = np.full_like(of_inputs, _ALL_OPEN)
    zeros = np.zeros_like(of_inputs)
    bias = np.concatenate([update, reset, of_inputs, zeros, zeros, of_state], axis=-1)
    return kernel, recurrent, bias


def _write_pooling(
    graph: Graph, config: ModelConfig, weights: dict[str, np.ndarray], outputs: str, last: str
) -> str:
    """Pools outputs [time, n, units] over the steps of each text; returns [n, units]."""
    mask = graph.column("mask", 2)  # [time, n, 1]
    zero, lowest = graph.constant(0.0), graph.constant(_LOWEST)
    if config.pooling == "last":
        return graph.op("Where", "has_steps", last, zero)
    if config.pooling == "max":
        outputs = graph.op("Where", mask, outputs, lowest)
        outputs = graph.op("ReduceMax", outputs, axes=[0], keepdims=0)
        return graph.op("Where", "has_steps", outputs, zero)
    ones = graph.op("Cast", mask, to=TensorProto.FLOAT)
    if config.pooling == "mean":
        steps = graph.op("Cast", graph.column("steps"), to=TensorProto.FLOAT)
        total = graph.sum(graph.op("Mul", outputs, ones), 0)
        return graph.op("Div", total, steps)
    query = graph.constant(weights["attention_query"][:, None], name="attention_query")
    attention = graph.op("Where", mask, graph.op("MatMul", outputs, query), lowest)
    attention = graph.op("Mul", graph.op("Softmax", attention, axis=0), ones)
    return graph.sum(graph.op("Mul", outputs, attention), 0)


def _write_ngrams(graph: Graph, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Writes `ngram_scores`: bias + 5 / √m · the sum of the rows of a text's m n-grams."""
    padded = np.concatenate([SCALE * kernel, np.zeros_like(kernel[:1])]).astype(np.float32)
    is_known = graph.op("Less", "ngram_rows", graph.constant(len(kernel), np.int32))
    found = graph.sum(graph.op("Cast", is_known, to=TensorProto.FLOAT), 1)
    length = graph.column(graph.op("Sqrt", graph.op("Max", found, graph.constant(1.0))))
    total = graph.sums_of_rows(padded, "ngram_rows", "ngrams/kernel")
    scores = graph.op("Div", total, length)
    graph.op("Add", scores, graph.constant(bias, name="ngrams/bias"), output="ngram_scores")


def _write_answers(
    graph: Graph,
    num_classes: int,
    temperature: float,
    thresholds: Sequence[float] | None,
    has_sets: bool,
) -> None:
    """Writes what is told of `scores`, by the rules of `ServedTextRNN`."""
    scaled = graph.op("Div", "scores", graph.constant(temperature))
    options = {} if has_sets else {"axis": 1}
    graph.op("Sigmoid" if has_sets else "Softmax", scaled, output="probability", **options)
    graph.op("ArgMax", "scores", output="prediction", axis=1, keepdims=0)
    conditions = [graph.column(graph.op("Greater", "num_known", graph.constant(0, np.int32)))]
    if thresholds is not None:
        twice = graph.op("Add", "num_known", "num_known")
        conditions.append(graph.column(graph.op("GreaterOrEqual", twice, "lengths")))
        least = graph.constant(list(thresholds))
        conditions.append(graph.op("GreaterOrEqual", "probability", least))
    if not has_sets:
        classes = graph.constant(np.arange(num_classes)[None], np.int64)
        conditions.append(graph.op("Equal", graph.column("prediction"), classes))
    *first, last = conditions
    graph.op("And", functools.reduce(lambda a, b: graph.op("And", a, b), first), last,
             output="accepted")  # fmt: skip
