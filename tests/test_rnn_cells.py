"""Vanilla cells with a ReLU and leaky units, against NumPy, forward and back through time."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.network.recurrent import RecurrentStack

INPUTS, HIDDEN, TIME = 3, 4, 6
LENGTHS = np.array([6, 3, 1])
KINDS = [("relu", 1.0), ("tanh", 0.3), ("relu", 0.2)]


def numpy_forward(inputs, weights, activation, leak):
    """The states float64[steps + 1, hidden] of one text, and what the activation is given."""
    kernel, recurrent, bias = weights
    function = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}[activation]
    states, sums = [np.zeros(HIDDEN)], []
    for step in inputs:
        sums.append(step @ kernel + states[-1] @ recurrent + bias)
        states.append((1 - leak) * states[-1] + leak * function(sums[-1]))
    return np.array(states), np.array(sums)


def numpy_backward(inputs, weights, activation, leak, d_outputs, truncate):
    """The gradients of the weights and of the inputs, by back-propagation through time."""
    kernel, recurrent, _ = weights
    states, sums = numpy_forward(inputs, weights, activation, leak)
    slopes = {"tanh": 1 - np.tanh(sums) ** 2, "relu": (sums > 0) * 1.0}[activation]
    gradients = [np.zeros_like(weight) for weight in weights]
    d_inputs, d_state = np.zeros_like(inputs), np.zeros(HIDDEN)
    for t in reversed(range(len(inputs))):
        d_state = d_state + d_outputs[t]
        d_sum = leak * slopes[t] * d_state
        for gradient, change in zip(
            gradients, (np.outer(inputs[t], d_sum), np.outer(states[t], d_sum), d_sum), strict=True
        ):
            gradient += change
        d_inputs[t] = d_sum @ kernel.T
        is_cut = truncate and t % truncate == 0
        d_state = np.zeros(HIDDEN) if is_cut else (1 - leak) * d_state + d_sum @ recurrent.T
    return gradients, d_inputs


@pytest.mark.parametrize("truncate", [0, 2])
@pytest.mark.parametrize(("activation", "leak"), KINDS)
def test_states_and_gradients_are_numpys(activation: str, leak: float, truncate: int) -> None:
    random = np.random.default_rng(4)
    stack = RecurrentStack("rnn", HIDDEN, activation=activation, leak=leak,
                           bptt_truncate=truncate, dtype="float64")  # fmt: skip
    stack.build((None, None, INPUTS))
    inputs, d_outputs = (random.normal(size=[3, TIME, size]) for size in (INPUTS, 2 * HIDDEN))
    d_outputs *= (np.arange(TIME) < LENGTHS[:, None])[:, :, None]  # padding is never read
    weights = [random.uniform(-0.8, 0.8, weight.shape) for weight in stack.weights]
    stack.set_weights(weights)
    watched = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs = stack(watched, tf.constant(LENGTHS))
        loss = tf.reduce_sum(outputs * d_outputs)
    variables = [weight.value for weight in stack.weights]
    *found, found_inputs = tape.gradient(loss, [*variables, watched])
    expected = [np.zeros_like(weight) for weight in weights]
    for (text, length), direction in itertools.product(enumerate(LENGTHS), range(2)):
        of_direction = slice(3 * direction, 3 * direction + 3)
        units = slice(HIDDEN * direction, HIDDEN * (direction + 1))
        order = np.arange(length)[:: -1 if direction else 1]  # in which the text is read
        case = (inputs[text, order], weights[of_direction], activation, leak)
        states, _ = numpy_forward(*case)
        np.testing.assert_allclose(outputs[text].numpy()[order, units], states[1:], atol=1e-12)
        gradients, d_inputs = numpy_backward(*case, d_outputs[text][order, units], truncate)
        for total, gradient in zip(expected[of_direction], gradients, strict=True):
            total += gradient
        if direction == 0:
            of_inputs = np.zeros([TIME, INPUTS])
        of_inputs[order] += d_inputs
        if direction == 1:
            np.testing.assert_allclose(found_inputs[text], of_inputs, atol=1e-12)
    for gradient, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-12)


@pytest.mark.parametrize(("activation", "leak"), KINDS)
def test_numpys_gradients_are_central_differences(activation: str, leak: float) -> None:
    random = np.random.default_rng(5)
    shapes = ([INPUTS, HIDDEN], [HIDDEN, HIDDEN], [HIDDEN])
    weights = [random.uniform(-0.8, 0.8, shape) for shape in shapes]
    inputs, d_outputs = random.normal(size=[TIME, INPUTS]), random.normal(size=[TIME, HIDDEN])
    gradients, d_inputs = numpy_backward(inputs, weights, activation, leak, d_outputs, 0)
    for array, gradient in zip([*weights, inputs], [*gradients, d_inputs], strict=True):
        for place in np.ndindex(array.shape):
            before, losses = array[place], []
            for change in (1e-6, -1e-6):
                array[place] = before + change
                states, _ = numpy_forward(inputs, weights, activation, leak)
                losses.append(np.sum(states[1:] * d_outputs))
            array[place] = before
            assert abs((losses[0] - losses[1]) / 2e-6 - gradient[place]) < 1e-6


@pytest.mark.parametrize("init_scale", [0.0, 0.2])
def test_a_relu_starts_at_the_identity_unless_the_scale_is_given(init_scale: float) -> None:
    keras.utils.set_random_seed(1)
    for activation in ("relu", "tanh"):
        stack = RecurrentStack("rnn", HIDDEN, activation=activation, init_scale=init_scale)
        stack.build((None, None, INPUTS))
        kernel = stack.named_weights()["rnn_0/backward/recurrent_kernel"].numpy()
        is_identity = activation == "relu" and not init_scale
        assert np.array_equal(kernel, np.eye(HIDDEN)) == is_identity
        assert not init_scale or np.abs(kernel).max() <= init_scale


@pytest.mark.parametrize(
    ("options", "flag"),
    [({"activation": "relu"}, "--activation=relu"), ({"leak": 0.5, "cell": "gru"}, "--leak=0.5")],
)
def test_other_cells_refuse_what_is_the_vanilla_ones(options: dict, flag: str) -> None:
    with pytest.raises(UserError) as error:
        Config().replace(**options)
    cell = options.get("cell", "lstm")
    assert str(error.value) == f"{flag} and --cell={cell}: expected --cell=rnn"
    assert Config().replace(**options | {"cell": "rnn"}).model.cell == "rnn"
