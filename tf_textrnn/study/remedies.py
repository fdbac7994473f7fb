"""The article's remedies for vanishing gradients and short memory (its section 4), as cells.

- ReLU, from the identity: h_t = max(0, x_t W + h_{t-1} U + b), U = I at the start, so that a state
  is kept until the inputs change it (Le 2015).
- Leaky units: the state moves only part of the way at each step (`network/leaky.py`). Other time
  scales: half of the units follow the inputs at once, half of them slowly.
- Gates: LSTM and GRU, leaks that the network learns to open and close.
- Regularization of the flow of information: `flow_penalty` (Pascanu 2013).

Clipping and truncation are no cells: they act on the gradient.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_textrnn.network.leaky import LeakyCell
from tf_textrnn.network.recurrent import ForgetBias

LEAK, SLOW_LEAK = 0.1, 0.02
REGULARIZED = "rnn, regularized"
# Every weight starts uniform in ± this, as in the TF1 model, but for the identity.
INIT_SCALE = 0.1


def _weights() -> dict[str, Any]:
    kernels = ("kernel_initializer", "recurrent_initializer")
    return {name: keras.initializers.RandomUniform(-INIT_SCALE, INIT_SCALE) for name in kernels}


def rnn(units: int, **options: Any) -> keras.layers.Layer:
    """The vanilla cell; options of Keras's cell beside."""
    return keras.layers.SimpleRNNCell(units, **{**_weights(), **options})


def leaky(units: int, leak: float | list[float]) -> keras.layers.Layer:
    """The vanilla cell with leaky units."""
    return LeakyCell(units, leak=leak, **_weights())


def gru(units: int) -> keras.layers.Layer:
    """The gated cell of Cho 2014."""
    return keras.layers.GRUCell(units, **_weights())


def lstm(units: int, forget_bias: float) -> keras.layers.Layer:
    """The gated cell of Hochreiter & Schmidhuber 1997, its forget gate's bias starting as told."""
    bias = ForgetBias(forget_bias)
    return keras.layers.LSTMCell(units, unit_forget_bias=False, bias_initializer=bias, **_weights())


# What makes the vanilla cell with a remedy, of so many units.
REMEDIES: dict[str, Callable[[int], keras.layers.Layer]] = {
    "rnn, relu from identity": lambda units: rnn(
        units, activation="relu", recurrent_initializer="identity"
    ),
    f"rnn, leak {LEAK}": lambda units: leaky(units, LEAK),
    "rnn, two time scales": lambda units: leaky(
        units, [1.0] * (units - units // 2) + [SLOW_LEAK] * (units // 2)
    ),
    REGULARIZED: rnn,
}


def flow_penalty(recurrent_kernel: tf.Tensor, states: tf.Tensor, d_last: tf.Tensor) -> tf.Tensor:
    """How far a tanh cell is from keeping the norm of the error signal (Pascanu 2013, eq. 9).

    With e_t = ∂loss/∂a_t, where h_t = tanh(a_t) and a_t = x_t W + h_{t-1} U + b,

        Ω = mean over t of (‖e_{t+1} ∂a_{t+1}/∂a_t‖ / ‖e_{t+1}‖ - 1)²
        e_{t+1} ∂a_{t+1}/∂a_t = (e_{t+1} Uᵀ) (1 - h_t²)

    The paper sums over t. Its gradient is the immediate one (eq. 10): errors and states count as
    constants, U alone does not.

    Args:
      recurrent_kernel: U, float[hidden, hidden].
      states: h, float[batch, time, hidden], at least two steps.
      d_last: ∂loss/∂h of the last step, where alone the loss enters, float[batch, hidden].

    Returns:
      Ω, float[], mean over the texts.
    """
    states, d_last = tf.stop_gradient(states), tf.stop_gradient(d_last)
    slopes = tf.transpose(1.0 - states**2, [1, 0, 2])  # [time, batch, hidden]

    def back(error: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
        # Only directions count; a norm would fade away.
        return tf.math.l2_normalize(
            tf.matmul(error, recurrent_kernel, transpose_b=True) * slope, -1
        )

    last = tf.math.l2_normalize(d_last * slopes[-1], -1)
    before = tf.scan(back, slopes[:-1], last, reverse=True)  # at each step but the last
    errors = tf.stop_gradient(tf.concat([before[1:], last[None]], axis=0))  # but the first
    carried = tf.matmul(errors, recurrent_kernel, transpose_b=True) * slopes[:-1]
    return tf.reduce_mean((tf.norm(carried, axis=-1) - 1.0) ** 2)
