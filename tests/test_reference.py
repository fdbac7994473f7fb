"""The NumPy networks against central differences and against TensorFlow."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.network.recurrent import RecurrentStack
from tf_textrnn.study.reference import LSTMWeights, VanillaRNN, lstm_backward, lstm_forward

BATCH, TIME, INPUTS, HIDDEN, WORDS = 3, 9, 4, 5, 6


def central_differences(loss: Callable[[], float], array: np.ndarray) -> np.ndarray:
    """Returns the numerical gradient of a loss by an array, which is changed and restored."""
    step = 1e-5
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = loss()
        array[index] = value - step
        below = loss()
        array[index] = value
        gradient[index] = (above - below) / (2 * step)
    return gradient


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Returns the distance of two arrays, relative to the expected one."""
    assert np.linalg.norm(expected) > 1e-3
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.fixture
def rnn() -> VanillaRNN:
    random = np.random.default_rng(1)
    shapes = {"U": (HIDDEN, WORDS), "V": (WORDS, HIDDEN), "W": (HIDDEN, HIDDEN)}
    return VanillaRNN(**{name: random.normal(0, 0.7, shape) for name, shape in shapes.items()})


@pytest.fixture
def words() -> tuple[np.ndarray, np.ndarray]:
    """Draws words to read and words to predict."""
    random = np.random.default_rng(2)
    return random.integers(0, WORDS, TIME), random.integers(0, WORDS, TIME)


@pytest.fixture
def lstm() -> LSTMWeights:
    random = np.random.default_rng(3)
    shapes = ((INPUTS, 4 * HIDDEN), (HIDDEN, 4 * HIDDEN), (4 * HIDDEN,))
    return LSTMWeights(*(random.normal(0, 0.7, shape) for shape in shapes))


@pytest.fixture
def texts() -> tuple[np.ndarray, np.ndarray]:
    """Draws inputs, and the factors of a loss Σ factors · outputs."""
    random = np.random.default_rng(4)
    return random.normal(size=[BATCH, TIME, INPUTS]), random.normal(size=[BATCH, TIME, HIDDEN])


def test_bptt_equals_central_differences(rnn, words) -> None:
    gradients = rnn.bptt(*words)
    for weight, gradient in zip((rnn.U, rnn.V, rnn.W), gradients, strict=True):
        expected = central_differences(lambda: rnn.loss(*words), weight)
        assert relative_error(gradient, expected) <= 1e-6


def test_bptt_equals_keras(rnn, words) -> None:
    read, targets = words
    layer = keras.layers.SimpleRNN(HIDDEN, return_sequences=True, dtype="float64")
    layer.build((None, None, WORDS))
    layer.set_weights([rnn.U.T, rnn.W.T, np.zeros(HIDDEN)])
    out = tf.Variable(rnn.V.T)
    with tf.GradientTape() as tape:
        scores = layer(tf.one_hot(read[None], WORDS, dtype=tf.float64))[0] @ out
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores))
    kernel, recurrent_kernel, _ = (weight.value for weight in layer.weights)
    d_kernel, d_out, d_recurrent = tape.gradient(loss, [kernel, out, recurrent_kernel])
    assert abs(float(loss) - rnn.loss(read, targets)) < 1e-5
    for found, expected in zip(
        rnn.bptt(read, targets), (d_kernel, d_out, d_recurrent), strict=True
    ):
        assert relative_error(found, expected.numpy().T) <= 1e-5


def test_bptt_truncated_at_the_length_is_whole(rnn, words) -> None:
    whole = rnn.bptt(*words)
    for bptt_truncate, same in ((TIME, True), (TIME - 1, True), (2, False)):
        rnn.bptt_truncate = bptt_truncate
        gradients = rnn.bptt(*words)
        assert np.allclose(gradients[0], whole[0], atol=1e-12) == same
        assert np.allclose(gradients[2], whole[2], atol=1e-12) == same
        np.testing.assert_array_equal(gradients[1], whole[1])


def test_bptt_truncated_counts_the_steps_back(rnn, words) -> None:
    """The gradient is a sum over outputs, each over the last `bptt_truncate + 1` words."""
    read, targets = words
    rnn.bptt_truncate = 2
    expected = np.zeros_like(rnn.U)
    for t in range(TIME):
        first = max(t - 2, 0)
        start = rnn.forward(read[:first])[1][-1] if first else np.zeros(HIDDEN)

        def loss(t=t, first=first, state=start, table=rnn.U) -> float:
            for word in read[first : t + 1]:
                state = np.tanh(table[:, word] + rnn.W @ state)
            scores = rnn.V @ state
            return float(np.log(np.exp(scores).sum()) - scores[targets[t]])

        expected += central_differences(loss, rnn.U)
    assert relative_error(rnn.bptt(read, targets)[0], expected) <= 1e-6


def test_lstm_equals_central_differences(lstm, texts) -> None:
    inputs, factors = texts
    _, steps = lstm_forward(inputs, lstm)
    d_inputs, gradients, _ = lstm_backward(factors, steps, lstm)

    def loss() -> float:
        return float((factors * lstm_forward(inputs, lstm)[0]).sum())

    for array, gradient in zip((inputs, *lstm), (d_inputs, *gradients), strict=True):
        assert relative_error(gradient, central_differences(loss, array)) <= 1e-6


def test_lstm_states_are_differentiated_in_total(lstm, texts) -> None:
    """The gradient by h_t is the effect of a change of h_t on the loss, later steps included."""
    inputs, factors = texts
    outputs, steps = lstm_forward(inputs, lstm)
    _, _, d_states = lstm_backward(factors, steps, lstm)
    t = 4
    hidden, cell = outputs[:, t].copy(), steps[t].cell

    def loss() -> float:
        total, h, c = float((factors[:, t] * hidden).sum()), hidden, cell
        for later in range(t + 1, TIME):
            gates = inputs[:, later] @ lstm.kernel + h @ lstm.recurrent_kernel + lstm.bias
            i, f, g, o = np.split(gates, 4, axis=-1)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
            total += float((factors[:, later] * h).sum())
        return total

    assert relative_error(d_states[:, t], central_differences(loss, hidden)) <= 1e-6


@pytest.mark.parametrize("bptt_truncate", [0, 1, 4, TIME])
def test_lstm_equals_the_stack(lstm, texts, bptt_truncate: int) -> None:
    inputs, factors = texts
    outputs, steps = lstm_forward(inputs, lstm)
    _, expected, _ = lstm_backward(factors, steps, lstm, bptt_truncate)
    stack = RecurrentStack(
        "lstm", HIDDEN, bidirectional=False, bptt_truncate=bptt_truncate, dtype="float32"
    )
    stack.build((None, None, INPUTS))
    weights = list(stack.named_weights().values())
    for weight, value in zip(weights, lstm, strict=True):
        weight.assign(value)
    with tf.GradientTape() as tape:
        found = stack(tf.constant(inputs, tf.float32), tf.fill([BATCH], TIME))
        loss = tf.reduce_sum(found * tf.constant(factors, tf.float32))
    np.testing.assert_allclose(found, outputs, atol=1e-5)
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert relative_error(gradient.numpy(), wanted) <= 1e-5
    whole = lstm_backward(factors, steps, lstm)[1]
    is_whole = relative_error(expected.kernel, whole.kernel) < 1e-12
    assert is_whole == (bptt_truncate in (0, TIME))
