"""An LSTM of ops that every machine has, with its gradient written out.

It computes what `keras.layers.LSTM` computes. On a CPU it costs less because

- one op of TensorFlow, BlockLSTM, runs over all steps of a text, and keeps what the gradient
  reads; only the gradient loops, with one op a step for all gates;
- the gradients of the weights are one product each over all steps, after the loop. BlockLSTM's own
  gradient adds up a product a step.

Figures in docs/notes.md. Equations and gradient: Hochreiter & Schmidhuber 1997, Gers 2000;
`tf_textrnn.study.reference` has them in NumPy.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def lstm(
    inputs: tf.Tensor,
    lengths: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor,
    backward: bool,
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

    def read_order(times: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """The step that is read at each time; also the time at which each step is read."""
        return tf.where(times < lengths, lengths - 1 - times, times) if backward else times

    times, texts = tf.range(time), tf.range(batch)
    # Places in [batch * time] of what is read at each time, and in [time * batch] of each step.
    by_time = read_order(times[:, None], lengths) + time * texts  # [time, batch]
    by_text = read_order(times, lengths[:, None]) * batch + texts[:, None]  # [batch, time]
    steps = _rearrange(inputs, by_time, by_text)
    outputs = _lstm_by_time(steps, kernel, recurrent_kernel, bias)
    return _rearrange(outputs, by_text, by_time)


@tf.custom_gradient
def _rearrange(
    values: tf.Tensor, places: tf.Tensor, inverse: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Puts the vectors of values float32[m, n, units] at other places.

    Args:
      values: what to rearrange.
      places: int32[n, m], the index of the vector that goes there, each of the m * n once.
      inverse: int32[m, n], the places that put them back.

    Returns:
      float32[n, m, units], and the gradient's function.
    """

    def take(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.reshape(values, [-1, values.shape[-1]]), places)

    return take(values, places), lambda gradient: (take(gradient, inverse), None, None)


@tf.custom_gradient
def _lstm_by_time(
    inputs: tf.Tensor, kernel: tf.Tensor, recurrent_kernel: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Runs over inputs float32[time, batch, units]; the weights as in `lstm`.

    Returns:
      float32[time, batch, hidden], and the gradient's function.
    """
    time, batch = tf.unstack(tf.shape(inputs)[:2])
    units, hidden_size = inputs.shape[-1], recurrent_kernel.shape[0]
    start, no_peephole = tf.zeros([batch, hidden_size]), tf.zeros([hidden_size])
    weights = {
        "w": tf.concat([kernel, recurrent_kernel], axis=0), "b": bias,
        "wci": no_peephole, "wcf": no_peephole, "wco": no_peephole, "use_peephole": False,
    }  # fmt: skip
    kept = tf.raw_ops.BlockLSTMV2(
        x=inputs, seq_len_max=tf.cast(time, tf.int64), cs_prev=start, h_prev=start, cell_clip=0.0,
        **weights,
    )  # fmt: skip

    def gradient(output_gradients: tf.Tensor) -> tuple[tf.Tensor, ...]:
        states_before = tf.concat([start[None], kept.cs[:-1]], axis=0)
        arrays = (states_before, kept.i, kept.f, kept.o, kept.ci, kept.co, output_gradients)
        # Transposed once, not at each step.
        first, transposed = inputs[0], tf.transpose(_swap_f_and_g(recurrent_kernel))

        def backward(
            step: tf.Tensor, d_output: tf.Tensor, d_state: tf.Tensor, d_gates: tf.TensorArray
        ) -> tuple[Any, ...]:
            state_before, i, f, o, g, tanh_state, d_out = [values[step] for values in arrays]
            cell = tf.raw_ops.LSTMBlockCellGrad(
                i=i, f=f, o=o, ci=g, co=tanh_state, cs_prev=state_before,
                cs_grad=d_state, h_grad=d_output + d_out,
                x=first, h_prev=start, cs=start, **weights,  # read for their shapes
            )  # fmt: skip
            d_output = tf.matmul(cell.dicfo, transposed)
            return step - 1, d_output, cell.cs_prev_grad, d_gates.write(step, cell.dicfo)

        *_, d_gates = tf.while_loop(
            lambda step, *_: step >= 0,
            backward,
            (
                time - 1,
                start,
                start,
                tf.TensorArray(tf.float32, time, element_shape=[None, 4 * hidden_size]),
            ),
            parallel_iterations=1,
        )
        flat = tf.reshape(d_gates.stack(), [-1, 4 * hidden_size])
        d_kernel = tf.matmul(tf.reshape(inputs, [-1, units]), flat, transpose_a=True)
        outputs_before = tf.reshape(kept.h[:-1], [-1, hidden_size])  # none before the first step
        d_recurrent = tf.matmul(outputs_before, flat[batch:], transpose_a=True)
        d_inputs = tf.matmul(flat, _swap_f_and_g(kernel), transpose_b=True)
        return (
            tf.reshape(d_inputs, tf.shape(inputs)),
            _swap_f_and_g(d_kernel),
            _swap_f_and_g(d_recurrent),
            _swap_f_and_g(tf.reduce_sum(flat, axis=0)),
        )

    return kept.h, gradient


def _swap_f_and_g(values: tf.Tensor) -> tf.Tensor:
    """Reorders gates from i, f, g, o to i, g, f, o, the order of LSTMBlockCellGrad, or back."""
    i, f, g, o = tf.split(values, 4, axis=-1)
    return tf.concat([i, g, f, o], axis=-1)
