"""The gradient on its way back through time, measured in a model: does it vanish or explode?

The loss enters at one step, the last that a direction reads, and the measure is the norm of
∂loss/∂h_t at the steps before it: the total derivative, through all that follows (Bengio 1994;
Pascanu 2013). A zero is added to the state inside the cell, and the loss differentiated by it.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tf_textrnn.data.batches import Batch, Split
from tf_textrnn.network.model import TextRNN
from tf_textrnn.network.recurrent import DIRECTIONS, TruncatedCell

LONGEST_TEXTS = 64


@dataclasses.dataclass(frozen=True)
class Flow:
    """The gradient on its way back through one layer.

    Attributes:
      name: of the layer, or of the cell.
      norms: float64[distance], ‖∂loss/∂h_t‖ by how many steps t lies before the step where the
        loss enters, averaged over the texts that are long enough.
      grad_norm: the norm of the layer's gradient, all its weights together.
    """

    name: str
    norms: np.ndarray
    grad_norm: float

    def clipped(self, max_grad_norm: float) -> "Flow":
        """The flow after the layer's gradient is clipped at this norm."""
        factor = min(1.0, max_grad_norm / self.grad_norm) if self.grad_norm else 1.0
        name = f"{self.name}, clipped"
        return Flow(name, self.norms * factor, self.grad_norm * factor)


def measure(model: TextRNN, batch: Batch) -> list[Flow]:
    """The gradient flow in the top layer of a model, a `Flow` for each direction.

    The loss is the model's own, through its own pooling, but enters each direction only at the
    step that it reads last.

    Args:
      model: built.
      batch: texts with their classes; those without a step do not count.
    """
    token_ids, lengths, labels, _ = (tf.convert_to_tensor(part) for part in batch)
    time = token_ids.shape[1]
    inputs = model.embedding(token_ids)
    for index in range(model.recurrent.num_layers - 1):
        inputs = model.recurrent.run_layer(index, inputs, lengths)
    top = model.recurrent.recurrent_layers[-1]
    weights = [[weight.value for weight in layer.trainable_variables] for layer in top]
    zeros = [tf.zeros([len(labels), time, model.recurrent.hidden_size]) for _ in top]
    is_last = tf.one_hot(lengths - 1, time)[:, :, None]
    with tf.GradientTape() as tape:
        tape.watch(zeros)
        outputs = []
        for direction, layer in enumerate(top):
            read = tf.reverse_sequence(inputs, lengths, seq_axis=1) if direction else inputs
            states = _perturbed_states(layer, read, zeros[direction])
            states = is_last * states + (1.0 - is_last) * tf.stop_gradient(states)
            if direction:
                states = tf.reverse_sequence(states, lengths, seq_axis=1)
            outputs.append(states)
        mask = tf.sequence_mask(lengths, time, tf.float32)
        scores = model.softmax(model.pooling(tf.concat(outputs, axis=-1), mask))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
        loss = tf.reduce_mean(losses)
    state_gradients, weight_gradients = tape.gradient(loss, [zeros, weights])
    return [
        Flow(
            f"{model.config.cell} {direction}",
            # A text's own loss has len(labels) times its share of the mean's gradient.
            _by_distance(tf.norm(states, axis=-1).numpy() * len(labels), lengths.numpy()),
            float(tf.linalg.global_norm(gradients)),
        )
        for direction, states, gradients in zip(
            DIRECTIONS, state_gradients, weight_gradients, strict=False
        )
    ]


def _perturbed_states(layer: Any, inputs: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
    """The outputs [batch, time, units] of a layer whose h_t is moved by change[:, t] at each t."""
    states = layer.get_initial_state(batch_size=inputs.shape[0])
    place = 1 if isinstance(layer.cell, TruncatedCell) else 0  # of h among the states
    outputs = []
    for t in range(inputs.shape[1]):
        _, states = layer.cell(inputs[:, t], states)
        states = list(states)
        states[place] += change[:, t]
        outputs.append(states[place])
    return tf.stack(outputs, axis=1)


def _by_distance(norms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The mean of norms float[batch, time] at each distance from the last step."""
    longest = int(lengths.max())
    distances = np.arange(longest)
    steps = lengths[:, None] - 1 - distances  # [batch, distance]
    found = np.take_along_axis(norms.astype(np.float64), np.maximum(steps, 0), axis=1)
    return np.average(found, axis=0, weights=steps >= 0)


def measure_longest(model: TextRNN, split: Split) -> list[Flow]:
    """The flow in a model, on the longest texts of a split; none where no text has a step."""
    longest = np.argsort(-split.lengths, kind="stable")[:LONGEST_TEXTS]
    return measure(model, split.batch(longest)) if split.lengths.any() else []
