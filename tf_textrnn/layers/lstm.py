"""The LSTM of training on CPUs, with its gradient written out.

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
    backward: bool = False,
) -> tf.Tensor:
    """Runs an LSTM over texts from a zero state, from their first step or from their last.

    Args:
      inputs: float32[batch, time, units], padded on the right.
      lengths: int32[batch], steps of each text.
      kernel: float32[units, 4 * hidden], the gates in the order i, f, g, o.
      recurrent_kernel: float32[hidden, 4 * hidden].
      bias: float32[4 * hidden].
      backward: whether each text is read from its end.

    Returns:
      float32[batch, time, hidden].
    """
    batch, time = tf.unstack(tf.shape(inputs)[:2])
    hidden_size = recurrent_kernel.shape[0]
    order = tf.tile(tf.range(time)[:, None], [1, batch])  # [time, batch], the step read at a time
    if backward:
        order = tf.where(order < lengths, lengths - 1 - order, order)
    texts = tf.range(batch)
    by_time = order + time * texts  # where in [batch * time] what is read at a time stands
    by_text = tf.transpose(order * batch + texts)  # where in [time * batch] a text's steps stand
    steps = _rearrange(inputs, by_time, by_text)
    padding = -time % BLOCK_STEPS
    steps = tf.pad(steps, [[0, padding], [0, 0], [0, 0]])
    # The candidate g comes from a logistic function of twice its input.
    doubled = tf.repeat(tf.constant([1.0, 1.0, 2.0, 1.0]), hidden_size)
    weights = (kernel * doubled, recurrent_kernel * doubled, bias * doubled)
    halves = tf.split(steps, [batch // 2, batch - batch // 2], axis=1)
    outputs = tf.concat([_run(half, *weights) for half in halves], axis=1)
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
def _run(
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

    def in_blocks(steps: tf.Tensor) -> tf.Tensor:
        return tf.reshape(steps, [blocks, BLOCK_STEPS, batch, steps.shape[-1]])

    def array(width: int) -> tf.TensorArray:
        return tf.TensorArray(tf.float32, blocks, element_shape=[BLOCK_STEPS, None, width])

    flat_inputs = tf.reshape(inputs, [-1, units])
    gate_inputs = tf.reshape(tf.matmul(flat_inputs, kernel) + bias, [time, batch, 4 * hidden_size])
    gate_inputs = array(4 * hidden_size).unstack(in_blocks(gate_inputs))

    def forward(block: tf.Tensor, output: tf.Tensor, state: tf.Tensor, *kept: Any) -> Any:
        steps = []
        for gate_input in tf.unstack(gate_inputs.read(block), BLOCK_STEPS):
            gates = tf.sigmoid(gate_input + tf.matmul(output, recurrent_kernel))
            i, f, g, o = tf.split(gates, 4, axis=1)
            state = f * state + i * (2.0 * g - 1.0)
            tanh_state = tf.tanh(state)
            output = o * tanh_state
            steps.append((gates, state, tanh_state, output))
        stacked = [tf.stack(step) for step in zip(*steps, strict=True)]
        written = [array.write(block, value) for array, value in zip(kept, stacked, strict=True)]
        return block + 1, output, state, *written

    widths = (4 * hidden_size, hidden_size, hidden_size, hidden_size)
    _, _, _, *kept = tf.while_loop(
        lambda block, *_: block < blocks,
        forward,
        (0, zeros, zeros, *map(array, widths)),
        parallel_iterations=1,
        maximum_iterations=blocks,
    )
    gates, states, tanh_states, outputs = [array.stack() for array in kept]
    outputs = tf.reshape(outputs, [time, batch, hidden_size])

    def gradient(output_gradients: tf.Tensor) -> tuple[tf.Tensor, ...]:
        flat_states = tf.reshape(states, [time, batch, hidden_size])
        states_before = tf.concat([zeros[None], flat_states[:-1]], axis=0)
        transposed = tf.transpose(recurrent_kernel)  # once, not a step
        outputs_before = tf.concat([zeros[None], outputs[:-1]], axis=0)
        arrays = [
            array(values.shape[-1]).unstack(values)
            for values in (gates, in_blocks(states_before), tanh_states,
                           in_blocks(output_gradients))
        ]  # fmt: skip

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
            (blocks - 1, zeros, zeros, array(4 * hidden_size)),
            parallel_iterations=1,
            maximum_iterations=blocks,
        )
        flat = tf.reshape(d_gate_inputs.stack(), [-1, 4 * hidden_size])
        return (
            tf.reshape(tf.matmul(flat, tf.transpose(kernel)), tf.shape(inputs)),
            tf.matmul(flat_inputs, flat, transpose_a=True),
            tf.matmul(tf.reshape(outputs_before, [-1, hidden_size]), flat, transpose_a=True),
            tf.reduce_sum(flat, axis=0),
        )

    return outputs, gradient
