"""Every layer as a Keras user expects it, in the manner of keras-hub's `run_layer_test`."""

import copy
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.config import POOLINGS
from tf_textrnn.network.embedding import TokenEmbedding
from tf_textrnn.network.ngrams import NgramScores
from tf_textrnn.network.pooling import MaskedPooling
from tf_textrnn.network.recurrent import RecurrentStack, TruncatedCell

BATCH, TIME, UNITS = 3, 5, 4
DRAWS = np.random.default_rng(1)
STEPS = DRAWS.normal(size=(BATCH, TIME, UNITS)).astype(np.float32)
LENGTHS = np.array([5, 2, 0], np.int32)
MASK = (np.arange(TIME) < LENGTHS[:, None]).astype(np.float32)
TOKEN_IDS = DRAWS.integers(1, 9, (BATCH, TIME)).astype(np.int32)

# Class, arguments, inputs of a call, and how far mixed precision may be from float32.
LAYERS = {
    "embedding": (TokenEmbedding, {"input_dim": 9, "output_dim": 4}, [TOKEN_IDS], 1e-2),
    "ngrams": (
        NgramScores,
        {"order": 1, "num_ngrams": 9, "vocab_size": 9, "num_classes": 3},
        [TOKEN_IDS],
        3e-2,
    ),
    "ngrams-counted": (
        NgramScores,
        {"order": 1, "num_ngrams": 9, "vocab_size": 9, "num_classes": 3, "has_counts": True},
        [TOKEN_IDS, np.zeros((BATCH, 4), np.float32)],
        3e-2,
    ),
    **{
        f"pooling-{kind}": (
            MaskedPooling, {"kind": kind, "bidirectional": True}, [STEPS, MASK], 3e-2
        )
        for kind in POOLINGS
    },
    **{
        f"stack-{cell}-{steps}": (
            RecurrentStack,
            {"cell": cell, "hidden_size": 3, "num_layers": 2, "keep_prob": 0.5,
             "bptt_truncate": steps, "drops_last": False, "init_scale": 0.5, "forget_bias": 0.5},
            [STEPS, LENGTHS],
            3e-2,
        )
        for cell in ("lstm", "gru", "rnn")
        for steps in (0, 2)
    },
    **{
        f"stack-leaky-{steps}": (
            RecurrentStack,
            {"cell": "rnn", "hidden_size": 3, "leak": 0.3, "bptt_truncate": steps},
            [STEPS, LENGTHS],
            3e-2,
        )
        for steps in (0, 2)
    },
}  # fmt: skip


def randomize(layer: keras.Layer) -> None:
    """Gives every weight a value far from zero; keys stay sorted, counts and shares positive."""
    draws = np.random.default_rng(2)
    for weight in layer.weights:
        if weight.dtype == "int64":
            weight.assign(np.arange(weight.shape[0]))
        else:
            weight.assign(draws.uniform(-0.8 if weight.trainable else 0.1, 0.8, weight.shape))


def called(name: str, **options) -> tuple[keras.Layer, np.ndarray]:
    """Returns a layer that a call built, with random weights, and its outputs."""
    layer_class, arguments, inputs, _ = LAYERS[name]
    layer = layer_class(**arguments, **options)
    layer(*inputs)
    randomize(layer)
    return layer, layer(*inputs)


@pytest.mark.parametrize("name", LAYERS)
def test_a_config_makes_the_layer_anew(name: str) -> None:
    layer, outputs = called(name, dtype="mixed_bfloat16", trainable=False)
    _, arguments, inputs, _ = LAYERS[name]
    config = layer.get_config()
    before = copy.deepcopy(config)
    again = type(layer).from_config(config)
    assert config == before
    assert again.get_config() == before
    for key, value in arguments.items():
        assert config[key] == value
    assert (again.compute_dtype, again.trainable) == ("bfloat16", False)
    again(*inputs)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(*inputs), outputs)


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_are_told_before_they_are_computed(name: str) -> None:
    layer, outputs = called(name)
    inputs = LAYERS[name][2]
    assert layer.compute_output_shape(inputs[0].shape) == outputs.shape
    symbols = [keras.KerasTensor(array.shape, array.dtype.name) for array in inputs]
    spec = type(layer).from_config(layer.get_config())(*symbols)
    assert (spec.shape, spec.dtype) == (outputs.shape, outputs.dtype.name)
    unbuilt = type(layer).from_config(layer.get_config())
    unbuilt.build(inputs[0].shape)
    assert [w.shape for w in unbuilt.weights] == [w.shape for w in layer.weights]


@pytest.mark.parametrize("name", LAYERS)
def test_a_graph_gives_the_same_and_every_weight_learns(name: str) -> None:
    layer, outputs = called(name)
    inputs = [tf.constant(array) for array in LAYERS[name][2]]
    np.testing.assert_allclose(tf.function(layer)(*inputs), outputs, atol=1e-6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(*inputs)))
    for weight, gradient in zip(
        layer.trainable_weights, tape.gradient(loss, layer.trainable_weights), strict=True
    ):
        assert np.any(tf.convert_to_tensor(gradient)), weight.path
    layer.trainable = False
    assert layer.trainable_weights == []
    np.testing.assert_array_equal(layer(*inputs), outputs)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_other_dtypes_are_right(name: str, dtype: str) -> None:
    _, expected = called(name)
    layer, outputs = called(name, dtype=dtype)
    assert outputs.dtype == layer.compute_dtype
    assert {w.dtype for w in layer.trainable_weights} <= {layer.variable_dtype}
    tolerance = 1e-6 if dtype == "float64" else LAYERS[name][3]
    real = MASK > 0 if outputs.shape[:2] == MASK.shape else ...
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float64).numpy()[real], expected.numpy()[real], atol=tolerance
    )


@pytest.mark.parametrize("name", ["ngrams", "pooling-attention", "stack-gru-2", "stack-leaky-2"])
def test_a_layer_is_saved_within_a_model(name: str, tmp_path) -> None:
    layer_class, arguments, inputs, _ = LAYERS[name]
    symbols = [keras.Input(array.shape[1:], dtype=array.dtype.name) for array in inputs]
    layer = layer_class(**arguments)
    model = keras.Model(symbols, layer(*symbols))
    randomize(layer)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


def test_the_cell_counts_its_steps_exactly_in_any_precision() -> None:
    """A chunk starts beyond the whole numbers that bfloat16 holds exactly."""
    cell = TruncatedCell(keras.layers.SimpleRNNCell(2, dtype="mixed_bfloat16"), 300)
    config = cell.get_config()
    before = copy.deepcopy(config)
    again = TruncatedCell.from_config(config)
    assert config == before == again.get_config()
    layer = keras.layers.RNN(again, return_state=True, dtype="mixed_bfloat16")
    _, step, state = layer(np.ones((1, 601, 2), np.float32))
    assert float(step[0, 0]) == 600  # 601 as bfloat16; counted in bfloat16 it stops at 256
    assert state.shape == (1, 2)
