"""The train step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_textrnn.data.batches import Batch
from tf_textrnn.network.model import TextRNN
from tf_textrnn.training.optimizers import Gradient, WeightAverage, sum_rows


class StepResult(NamedTuple):
    """What one step tells.

    Attributes:
      loss: float32[], mean softmax cross-entropy of the scores.
      correct: int32[], examples whose highest score is their label's.
      grad_norm: float32[], the gradient's global norm before clipping.
      gradients: those applied, in the order of `model.named_weights()`.
    """

    loss: tf.Tensor
    correct: tf.Tensor
    grad_norm: tf.Tensor
    gradients: list[Gradient]


def train_step(
    model: TextRNN,
    optimizer: keras.optimizers.Optimizer,
    average: WeightAverage | None,
    batch: Batch,
    max_grad_norm: float,
    dropout_seed: tf.Tensor,
    label_smoothing: float = 0.0,
    class_weights: tf.Tensor | None = None,
    embedding_rate: tf.Tensor | None = None,
    batch_size: tf.Tensor | None = None,
    all_reduce: Callable[[Any], Any] | None = None,
) -> StepResult:
    """One gradient step on one batch, or this replica's part of it.

    Args:
      model: a built `TextRNN`.
      optimizer: built on `model.named_weights().values()`; its learning rate is a variable.
      average: takes the changed weights in; None = no average is kept.
      batch: `Batch(token_ids int32[batch, time], lengths int32[batch], labels int32[batch])`.
      max_grad_norm: clip the gradient's global norm at this value (Pascanu 2013); 0 leaves it.
      dropout_seed: int32[2], decides the dropout masks.
      label_smoothing: share of the network's target that goes to all classes alike.
      class_weights: float32[num_classes], of a text's loss by its label; None = all alike.
      embedding_rate: float32[], factor of the embedding's gradient; None = 1.
      batch_size: float32[], examples of the whole batch; None = `batch` is the whole.
      all_reduce: sums (loss, correct, gradients) over the replicas; None = this is the only one.
    """
    weights = [weight.value for weight in model.named_weights().values()]
    if batch_size is None:
        batch_size = tf.cast(tf.size(batch.labels), tf.float32)
    losses, scores = [], []
    with tf.GradientTape() as tape:
        for place, part in enumerate(_parts(batch)):
            inputs = (part.token_ids, part.lengths)
            seed = tf.random.experimental.stateless_fold_in(dropout_seed, place)
            branches = model.branch_scores(inputs, training=True, dropout_seed=seed)
            # Each branch learns by itself; what is served is their sum.
            network, *linear = branches
            losses.append(
                mean_loss(network, part.labels, batch_size, label_smoothing, class_weights)
            )
            losses += [
                mean_loss(branch, part.labels, batch_size, 0.0, class_weights) for branch in linear
            ]
            scores.append(tf.add_n(branches))
        objective = tf.add_n(losses)
    gradients = [sum_rows(gradient) for gradient in tape.gradient(objective, weights)]
    if embedding_rate is not None:
        rows = gradients[0]
        values = rows.values * embedding_rate
        gradients[0] = tf.IndexedSlices(values, rows.indices, rows.dense_shape)
    scores = tf.concat(scores, axis=0)
    loss = mean_loss(scores, batch.labels, batch_size)
    predictions = tf.argmax(scores, axis=1, output_type=tf.int32)
    correct = tf.math.count_nonzero(predictions == batch.labels, dtype=tf.int32)
    if all_reduce:
        loss, correct, gradients = all_reduce((loss, correct, gradients))
    grad_norm = tf.linalg.global_norm(gradients)
    if max_grad_norm:
        gradients, _ = tf.clip_by_global_norm(gradients, max_grad_norm, use_norm=grad_norm)

    step = tf.identity(optimizer.iterations.value)
    if average:
        average.before_update(gradients)
    optimizer.apply(gradients, weights)
    if average:
        average.after_update(gradients, step)
    return StepResult(loss, correct, grad_norm, gradients)


def _parts(batch: Batch) -> list[Batch]:
    """The halves of a batch, each as wide as its longest text; where there is a GPU, the whole.

    What is made of one half waits for nothing of the other: from the words to the gradient, two
    cores have work each.
    """
    if tf.config.list_physical_devices("GPU"):
        return [batch]
    middle = tf.size(batch.labels) // 2
    halves = [Batch(*(values[:middle] for values in batch)),
              Batch(*(values[middle:] for values in batch))]  # fmt: skip
    return [
        half._replace(token_ids=half.token_ids[:, : tf.reduce_max(tf.pad(half.lengths, [[0, 1]]))])
        for half in halves
    ]


def mean_loss(
    scores: tf.Tensor,
    labels: tf.Tensor,
    batch_size: tf.Tensor | float,
    smoothing: float = 0.0,
    class_weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """float32[]: what texts add to the mean softmax cross-entropy of a batch of `batch_size`.

    Scores are float32[n, classes], labels int32[n]; n can be 0, or the whole batch.
    With smoothing, that share of each target is spread over all classes (Szegedy 2016). Each
    text's loss is multiplied by its label's weight where there are weights float32[classes].
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
    if smoothing:
        uniform = -tf.reduce_mean(tf.nn.log_softmax(scores), axis=1)
        losses = (1.0 - smoothing) * losses + smoothing * uniform
    if class_weights is not None:
        losses *= tf.gather(class_weights, labels)
    return tf.reduce_sum(losses) / batch_size
