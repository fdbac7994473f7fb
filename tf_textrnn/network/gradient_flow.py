"""The gradient on its way back through time, measured in a model: does it vanish or explode?

The loss enters at one step, the last that a direction reads, and the measure is the norm of
∂loss/∂h_t at the steps before it: the total derivative, through all that follows (Bengio 1994;
Pascanu 2013). A zero is added to the state inside the cell, and the loss differentiated by it.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tf_textrnn.data.batches import Batch, Split
from tf_textrnn.network.model import TextRNN
from tf_textrnn.network.recurrent import DIRECTIONS, TruncatedCell

MAX_DISTANCE = 200  # steps that the gradient is followed back
LONGEST_TEXTS, LONGEST_TOKENS = 64, 25_600  # of a split, padding included


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
    """Measures the gradient flow in the top layer of a model, a `Flow` for each direction.

    The loss is the model's own, through its own pooling, but enters each direction only at the
    step that it reads last. It is followed back over `MAX_DISTANCE` steps, so that time and memory
    have a bound, however long the texts are.

    Args:
      model: built.
      batch: texts with their classes; those without a step do not count.
    """
    labels = batch.label_rows if np.size(batch.label_rows) else batch.labels
    token_ids, lengths, labels = map(tf.convert_to_tensor, (*batch[:2], labels))
    # A partial each: a second trace of one function is a warning of TensorFlow's.
    gradients = tf.function(functools.partial(_gradients, model))(token_ids, lengths, labels)
    return [
        Flow(
            f"{model.config.cell} {direction}",
            # A text's own loss has len(labels) times its share of the mean's gradient.
            _by_distance(norms.numpy() * len(labels), lengths.numpy()),
            float(grad_norm),
        )
        for direction, (norms, grad_norm) in zip(DIRECTIONS, gradients, strict=False)
    ]


def _gradients(
    model: TextRNN, token_ids: tf.Tensor, lengths: tf.Tensor, labels: tf.Tensor
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """‖∂loss/∂h‖ float32[batch, distance] and the gradient's norm float32[], a direction each."""
    time = tf.shape(token_ids)[1]
    inputs = model.embedding(token_ids)
    for index in range(model.recurrent.num_layers - 1):
        inputs = model.recurrent.run_layer(index, inputs, lengths)
    outputs = model.recurrent.run_layer(model.recurrent.num_layers - 1, inputs, lengths)
    units = model.recurrent.hidden_size
    mask = tf.sequence_mask(lengths, time, tf.float32)
    top = model.recurrent.recurrent_layers[-1]
    from_end = tf.reverse_sequence(inputs, lengths, seq_axis=1)
    results = []
    for direction, layer in enumerate(top):
        # The steps as they are read, counted from the last: [batch, distance, units].
        steps = inputs if direction else from_end
        followed = tf.minimum(time, MAX_DISTANCE)
        states = _states_before(layer, steps, lengths, followed)
        zeros = tf.zeros([tf.shape(token_ids)[0], followed, units])
        weights = [weight.value for weight in layer.weights]
        with tf.GradientTape() as tape:
            tape.watch(zeros)
            last = _last_state(layer, steps, lengths, states, followed, zeros)
            # The forward direction's last step is a text's last, the other's is its first.
            place = tf.zeros_like(lengths) if direction else lengths - 1
            at_last = tf.one_hot(place, time)[:, :, None] * (last - tf.stop_gradient(last))[:, None]
            moved = tf.pad(at_last, [[0, 0], [0, 0], [direction * units, 0]])
            moved = tf.pad(moved, [[0, 0], [0, 0], [0, (len(top) - 1 - direction) * units]])
            scores = model.softmax(model.pooling(outputs + moved, mask))
            if labels.shape.rank == 2:  # rows of label sets
                losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, scores)
                losses = tf.reduce_sum(losses, axis=1)
            else:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
            loss = tf.reduce_mean(losses)
        state_gradients, weight_gradients = tape.gradient(loss, [zeros, weights])
        results.append((tf.norm(state_gradients, axis=-1), tf.linalg.global_norm(weight_gradients)))
    return results


def _states_before(
    layer: Any, steps: tf.Tensor, lengths: tf.Tensor, followed: tf.Tensor
) -> list[tf.Tensor]:
    """The states of a layer before the last `followed` steps; arguments as below."""
    initial = list(layer.get_initial_state(batch_size=tf.shape(steps)[0]))

    def body(distance: tf.Tensor, *states: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return distance - 1, *_one_step(layer, steps, lengths, distance, list(states))

    start = tf.shape(steps)[1] - 1
    _, *states = tf.while_loop(lambda distance, *_: distance >= followed, body, (start, *initial))
    return [tf.stop_gradient(state) for state in states]


def _last_state(
    layer: Any,
    steps: tf.Tensor,
    lengths: tf.Tensor,
    states: list[tf.Tensor],
    followed: tf.Tensor,
    changes: tf.Tensor,
) -> tf.Tensor:
    """Runs a layer over its last steps, its state moved by `changes` after each.

    Args:
      layer: a Keras recurrent layer.
      steps: float32[batch, distance, units], its inputs, counted from the last one read.
      lengths: int32[batch], steps of each text.
      states: of the layer before the first of these steps.
      followed: int32[], how many there are.
      changes: float32[batch, followed, hidden], what is added to h at each distance.

    Returns:
      float32[batch, hidden], the last h.
    """
    place = 1 if isinstance(layer.cell, TruncatedCell) else 0  # of h among the states

    def body(distance: tf.Tensor, *states: tf.Tensor) -> tuple[tf.Tensor, ...]:
        moved = _one_step(layer, steps, lengths, distance, list(states))
        moved[place] += changes[:, distance]
        return distance - 1, *moved

    _, *states = tf.while_loop(
        lambda distance, *_: distance >= 0,
        body,
        (followed - 1, *states),
        maximum_iterations=MAX_DISTANCE,
    )
    return states[place]


def _one_step(
    layer: Any,
    steps: tf.Tensor,
    lengths: tf.Tensor,
    distance: tf.Tensor,
    states: list[tf.Tensor],
) -> list[tf.Tensor]:
    """The states after the step at a distance from the last; a text that lacks it stays."""
    _, after = layer.cell(steps[:, distance], states)
    after = after if isinstance(after, (list, tuple)) else [after]
    is_there = (distance < lengths)[:, None]
    return [tf.where(is_there, new, old) for new, old in zip(after, states, strict=True)]


def _by_distance(norms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The mean of norms float[batch, distance] over the texts that are long enough."""
    distances = np.arange(min(int(lengths.max()), norms.shape[1]))
    found = norms[:, distances].astype(np.float64)
    return np.average(found, axis=0, weights=distances < lengths[:, None])


def measure_longest(model: TextRNN, split: Split) -> list[Flow]:
    """Measures the flow in a model on the longest texts of a split; [] where none has a step."""
    lengths = split.lengths
    if not lengths.any():
        return []
    texts = min(LONGEST_TEXTS, max(1, LONGEST_TOKENS // int(lengths.max())))
    return measure(model, split.batch(np.argsort(-lengths, kind="stable")[:texts]))
