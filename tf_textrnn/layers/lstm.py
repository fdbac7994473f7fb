"""The LSTM of CPUs, with its gradient written out.

What it computes is what `keras.layers.LSTM` computes. It costs less because

- the loop over time makes four steps an iteration, so that TensorFlow's bookkeeping is paid once
  for four;
- one logistic function makes all four gates, as tanh(z) = 2σ(2z) - 1, and the gradient reads what
  the loop has kept of them;
- the gradients of the weights are one product each over all steps, after the loop;
- each half of the batch is a graph of its own, so that two cores work on one direction, and what a
  half keeps fits a core's cache better.

Figures in docs/performance.md. Equations and gradient: Hochreiter & Schmidhuber 1997, Gers 2000;
`tf_textrnn.reference` has them in NumPy.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

BLOCK_STEPS = 4


def lstm(
    inputs: tf.Tensor,
    lengths: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor,
    backward: bool,
    training: bool,
) -> tf.Tensor:
    """Runs an LSTM over texts from a zero state, from their first step or from their last.

    Args:
      inputs: float32[batch, time, units], padded on the right.
      lengths: int32[batch], steps of each text.
      kernel: float32[units, 4 * hidden], the gates in the order i, f, g, o.
      recurrent_kernel: float32[hidden, 4 * hidden].
      bias: float32[4 * hidden].
      backward: whether each text is read from its end.
      training: whether there will be a gradient.

    Returns:
      float32[batch, time, hidden].
    """
    batch, time = tf.unstack(tf.shape(inputs)[:2])
    hidden_size = recurrent_kernel.shape[0]

    def read_order(times: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Which step of a text is read at these times; also when a step is read."""
        return tf.where(times < lengths, lengths - 1 - times, times) if backward else times

    times, texts = tf.range(time), tf.range(batch)
    # Where in [batch * time] what is read at a time stands, and where in [time * batch] a step.
    by_time = read_order(times[:, None], lengths) + time * texts  # [time, batch]
    by_text = read_order(times, lengths[:, None]) * batch + texts[:, None]  # [batch, time]
    steps = _rearrange(inputs, by_time, by_text)
    padding = -time % BLOCK_STEPS
    steps = tf.pad(steps, [[0, padding], [0, 0], [0, 0]])
    # The candidate g comes from a logistic function of twice its input.
    doubled = tf.repeat(tf.constant([1.0, 1.0, 2.0, 1.0]), hidden_size)
    weights = (kernel * doubled, recurrent_kernel * doubled, bias * doubled)
    if training:
        halves = tf.split(steps, [batch // 2, batch - batch // 2], axis=1)
        outputs = tf.concat([_train(half, *weights) for half in halves], axis=1)
    else:
        (outputs,) = _forward(steps, *weights, keeps_all=False)
    outputs, _ = tf.split(outputs, [time, padding])
    return _rearrange(outputs, by_text, by_time)


@tf.custom_gradient
def _rearrange(
    values: tf.Tensor, places: tf.Tensor, inverse: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Puts the vectors of values float32[m, n, units] at other places.

    Args:
      values: what to rearrange.
      places: int32[n, m], which of the m * n vectors goes there, each once.
      inverse: int32[m, n], the way back.

    Returns:
      float32[n, m, units], and the gradient's function.
    """

    def take(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.reshape(values, [-1, values.shape[-1]]), places)

    return take(values, places), lambda gradient: (take(gradient, inverse), None, None)


@tf.custom_gradient
def _train(
    inputs: tf.Tensor, kernel: tf.Tensor, recurrent_kernel: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Runs over inputs float32[time, batch, units], time a multiple of `BLOCK_STEPS`.

    Returns:
      float32[time, batch, hidden], and the gradient's function.
    """
    time, batch = tf.unstack(tf.shape(inputs)[:2])
    units, hidden_size = inputs.shape[-1], recurrent_kernel.shape[0]
    blocks = time // BLOCK_STEPS
    zeros = tf.zeros([batch, hidden_size])
    kept = _forward(inputs, kernel, recurrent_kernel, bias, keeps_all=True)
    outputs, gates, states, tanh_states = kept

    def gradient(output_gradients: tf.Tensor) -> tuple[tf.Tensor, ...]:
        states_before = tf.concat([zeros[None], states[:-1]], axis=0)
        transposed = tf.transpose(recurrent_kernel)  # once, not a step
        outputs_before = tf.concat([zeros[None], outputs[:-1]], axis=0)
        arrays = [
            _in_blocks(values) for values in (gates, states_before, tanh_states, output_gradients)
        ]

        def backward(block: tf.Tensor, d_output: tf.Tensor, d_state: tf.Tensor, kept: Any) -> Any:
            gates, state_before, tanh_state, d_outputs = [array.read(block) for array in arrays]
            i, f, g, o = tf.split(gates, 4, axis=2)
            per_step = [
                tf.unstack(values, BLOCK_STEPS)
                for values in (gates, 2.0 * i, f, 2.0 * g - 1.0, o, state_before, tanh_state,
                               d_outputs)
            ]  # fmt: skip
            d_gate_inputs = []
            for gate, i2, f, g, o, before, tanh, d_out in reversed(
                list(zip(*per_step, strict=True))
            ):
                d_output += d_out
                d_state += tf.raw_ops.TanhGrad(y=tanh, dy=d_output * o)
                d_gates = tf.concat(
                    [d_state * g, d_state * before, d_state * i2, d_output * tanh], axis=1
                )
                d_gate_inputs.append(tf.raw_ops.SigmoidGrad(y=gate, dy=d_gates))
                d_output = tf.matmul(d_gate_inputs[-1], transposed)
                d_state *= f
            kept = kept.write(block, tf.stack(d_gate_inputs[::-1]))
            return block - 1, d_output, d_state, kept

        *_, d_gate_inputs = tf.while_loop(
            lambda block, *_: block >= 0,
            backward,
            (blocks - 1, zeros, zeros, _blocks_of(4 * hidden_size, blocks)),
            parallel_iterations=1,
            maximum_iterations=blocks,
        )
        flat = tf.reshape(d_gate_inputs.stack(), [-1, 4 * hidden_size])
        return (
            tf.reshape(tf.matmul(flat, kernel, transpose_b=True), tf.shape(inputs)),
            tf.matmul(tf.reshape(inputs, [-1, units]), flat, transpose_a=True),
            tf.matmul(tf.reshape(outputs_before, [-1, hidden_size]), flat, transpose_a=True),
            tf.reduce_sum(flat, axis=0),
        )

    return outputs, gradient


def _forward(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor,
    keeps_all: bool,
) -> list[tf.Tensor]:
    """The outputs float32[time, batch, hidden] and, where all is kept, what the gradient reads.

    That is the gates i, f, (g + 1) / 2, o float32[time, batch, 4 * hidden], the states, and the
    states' tanh, both as the outputs. Arguments as `_train`'s.
    """
    time, batch = tf.unstack(tf.shape(inputs)[:2])
    units, hidden_size = inputs.shape[-1], recurrent_kernel.shape[0]
    blocks = time // BLOCK_STEPS
    zeros = tf.zeros([batch, hidden_size])
    block_inputs = _in_blocks(inputs)

    def forward(block: tf.Tensor, output: tf.Tensor, state: tf.Tensor, *kept: Any) -> Any:
        gate_inputs = tf.matmul(tf.reshape(block_inputs.read(block), [-1, units]), kernel) + bias
        steps = []
        for gate_input in tf.split(gate_inputs, BLOCK_STEPS):
            gates = tf.sigmoid(gate_input + tf.matmul(output, recurrent_kernel))
            i, f, g, o = tf.split(gates, 4, axis=1)
            state = f * state + i * (2.0 * g - 1.0)
            tanh_state = tf.tanh(state)
            output = o * tanh_state
            steps.append((output, gates, state, tanh_state))
        written = [
            array.write(block, tf.stack(values))
            for array, values in zip(kept, zip(*steps, strict=True), strict=False)
        ]
        return block + 1, output, state, *written

    widths = (hidden_size, 4 * hidden_size, hidden_size, hidden_size)[: 4 if keeps_all else 1]
    _, _, _, *kept = tf.while_loop(
        lambda block, *_: block < blocks,
        forward,
        (0, zeros, zeros, *(_blocks_of(width, blocks) for width in widths)),
        parallel_iterations=1,
        maximum_iterations=blocks,
    )
    return [
        tf.reshape(array.stack(), [time, batch, width])
        for array, width in zip(kept, widths, strict=True)
    ]


def _in_blocks(steps: tf.Tensor) -> tf.TensorArray:
    time, batch = tf.unstack(tf.shape(steps)[:2])
    blocks, width = time // BLOCK_STEPS, steps.shape[-1]
    return _blocks_of(width, blocks).unstack(tf.reshape(steps, [blocks, BLOCK_STEPS, batch, width]))


def _blocks_of(width: int, blocks: tf.Tensor) -> tf.TensorArray:
    return tf.TensorArray(tf.float32, blocks, element_shape=[BLOCK_STEPS, None, width])
