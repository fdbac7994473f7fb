"""The hand-written gradient of the training LSTM, against Keras's layer and autodiff."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_textrnn.network.lstm import lstm

UNITS, HIDDEN = 3, 5


@pytest.fixture(scope="module")
def layer() -> keras.layers.LSTM:
    keras.utils.set_random_seed(3)
    layer = keras.layers.LSTM(HIDDEN, return_sequences=True, bias_initializer="glorot_normal")
    layer.build((None, None, UNITS))
    layer.cell.bias.assign(np.random.default_rng(0).normal(size=4 * HIDDEN))
    return layer


@pytest.fixture(scope="module")
def both(layer: keras.layers.LSTM) -> dict:
    """Returns, by direction, a function that computes the outputs and gradients of both."""
    weights = [weight.value for weight in layer.trainable_variables]

    def compare(backward: bool) -> tf.types.experimental.GenericFunction:
        def ours(inputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
            return lstm(inputs, lengths, *weights, backward=backward)

        def keras_(inputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
            if not backward:
                return layer(inputs)
            outputs = layer(tf.reverse_sequence(inputs, lengths, seq_axis=1))
            return tf.reverse_sequence(outputs, lengths, seq_axis=1)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None, UNITS]),
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None, None, HIDDEN]),
            ]
        )
        def run(inputs: tf.Tensor, lengths: tf.Tensor, target: tf.Tensor) -> list:
            results = []
            for recurrent in (ours, keras_):
                with tf.GradientTape() as tape:
                    tape.watch(inputs)
                    outputs = recurrent(inputs, lengths)
                    loss = tf.reduce_sum(outputs * target)
                results.append([outputs, *tape.gradient(loss, [inputs, *weights])])
            return results

        return run

    return {backward: compare(backward) for backward in (False, True)}


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 5),
    time=st.integers(1, 9),
    backward=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_outputs_and_gradients_are_those_of_keras(
    both: dict, batch: int, time: int, backward: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(batch, time, UNITS)).astype(np.float32)
    lengths = random.integers(0, time, batch, dtype=np.int32, endpoint=True)
    target = random.normal(size=(batch, time, HIDDEN)).astype(np.float32)
    ours, expected = both[backward](inputs, lengths, target)
    for value, by_keras in zip(ours, expected, strict=True):
        np.testing.assert_allclose(value, by_keras, atol=1e-5)
