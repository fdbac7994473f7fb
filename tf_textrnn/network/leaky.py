"""A cell whose state moves only part of the way: leaky units, a remedy for short memory.

    h_t = (1 - a) h_{t-1} + a f(x_t W + h_{t-1} U + b),    0 < a <= 1

(Jaeger 2007, leaky integrators; Bengio 2013.) The smaller the leak a, the slower the state, and the
longer a step is remembered: after n steps (1 - a)^n of it is left. It is a GRU whose gates stand
still: z = 1 - a and r = 1.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tf_textrnn")
class LeakyCell(keras.layers.SimpleRNNCell):
    """A simple recurrent cell with leaky units.

    Args:
      units: size of the state.
      leak: how far the state moves at each step, above 0 and at most 1; a number for all units, or
        one a unit, which sets fast and slow units side by side. 1 is Keras's simple cell.
      activation: f, as Keras names it.

    Example:
      >>> cell = LeakyCell(2, leak=[1.0, 0.1], kernel_initializer="ones")
      >>> cell.build((None, 1))
      >>> outputs, _ = cell(keras.ops.ones([1, 1]), [keras.ops.zeros([1, 2])])
      >>> outputs.numpy().round(4)
      array([[0.7616, 0.0762]], dtype=float32)
    """

    def __init__(
        self,
        units: int,
        leak: float | Sequence[float] = 1.0,
        activation: str = "tanh",
        **kwargs: Any,
    ):
        super().__init__(units, activation=activation, **kwargs)
        self.leak = leak

    def call(self, sequence: tf.Tensor, states: Any, training: bool = False) -> Any:
        """Runs one step.

        Args:
          sequence: the step's inputs, float[batch, inputs].
          states: the state float[batch, units], alone or in a list.
          training: passed on to Keras's cell.

        Returns:
          The new state float[batch, units], as output and as state.
        """
        state = states[0] if isinstance(states, (list, tuple)) else states
        target, _ = super().call(sequence, [state], training=training)
        new_state = state + tf.convert_to_tensor(self.leak, target.dtype) * (target - state)
        return new_state, [new_state] if isinstance(states, (list, tuple)) else new_state

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        return {**super().get_config(), "leak": self.leak}
