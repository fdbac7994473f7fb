"""Takes the train step: loss, gradients, clipping, update."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_textrnn.data.batches import Batch
from tf_textrnn.network.model import TextRNN
from tf_textrnn.training.average import WeightAverage
from tf_textrnn.training.optimizers import Gradient, NgramSteps, sum_rows


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """Settings of a step, beside the batch, the model and the optimizer.

    Attributes:
      dropout_seed: int32[2], seed of the dropout masks.
      max_grad_norm: clip the gradient's global norm at this value (Pascanu 2013); 0 = off.
      label_smoothing: fraction of the network's target that is spread over all classes.
      has_sets: whether each text has a set of labels, `batch.label_rows`, and not one of them.
      gradient_scales: float32[] factor of the gradient of each weight named here.
      num_texts: float32[], number of texts in the whole batch; None = those of the step's batch.
      ngram_steps: takes the steps on the kernel of the n-grams; None = the optimizer does.
      average: running average of the weights, which the step updates; None = no average.
      all_reduce: sums (loss, correct, gradients) over the replicas; None = there is one replica.
    """

    dropout_seed: tf.Tensor
    max_grad_norm: float = 0.0
    label_smoothing: float = 0.0
    has_sets: bool = False
    gradient_scales: Mapping[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    num_texts: tf.Tensor | None = None
    ngram_steps: NgramSteps | None = None
    average: WeightAverage | None = None
    all_reduce: Callable[[Any], Any] | None = None


class StepResult(NamedTuple):
    """Results of a step.

    Attributes:
      loss: float32[], mean cross-entropy of the scores.
      correct: int32[], number of texts whose highest score is that of their label; of sets, those
        whose labels, and no others, have scores above 0.
      grad_norm: float32[], global norm of the gradient before clipping.
      gradients: the gradients applied, in the order of `model.named_trainable_weights()`.
    """

    loss: tf.Tensor
    correct: tf.Tensor
    grad_norm: tf.Tensor
    gradients: list[Gradient]


def train_step(
    model: TextRNN, optimizer: keras.optimizers.Optimizer, batch: Batch, settings: StepSettings
) -> StepResult:
    """Takes one gradient step on one batch, or on this replica's share of it.

    Args:
      model: a built `TextRNN`.
      optimizer: built on `model.named_trainable_weights()`, without the kernel of the n-grams where
        `settings.ngram_steps` moves it; its learning rate is a variable.
      batch: `Batch(token_ids int32[batch, time], lengths int32[batch], labels int32[batch],
        weights float32[batch], left_out float32[batch, classes + 1],
        label_rows float32[batch, classes])`.
      settings: everything else that the step depends on.

    Returns:
      Loss, number of correct predictions, gradient norm and gradients of the whole batch.
    """
    weights = {name: weight.value for name, weight in model.named_trainable_weights().items()}
    num_texts = settings.num_texts
    if num_texts is None:
        num_texts = tf.cast(tf.size(batch.labels), tf.float32)
    with tf.GradientTape() as tape:
        objective, scores = _objective(model, batch, num_texts, settings)
    with tf.name_scope("gradient_tape/"):  # beside what the tape itself puts there
        gradients = [sum_rows(g) for g in tape.gradient(objective, list(weights.values()))]
        gradients = [
            scaled(gradient, settings.gradient_scales[name])
            if name in settings.gradient_scales
            else gradient
            for name, gradient in zip(weights, gradients, strict=True)
        ]
    loss_of, target = _loss_and_target(batch, settings)
    with tf.name_scope("loss/"):
        loss = loss_of(scores, target, num_texts)
    with tf.name_scope("accuracy"):
        if settings.has_sets:
            is_right = tf.reduce_all((scores > 0) == (target > 0), axis=1)
        else:
            is_right = tf.argmax(scores, axis=1, output_type=tf.int32) == target
        correct = tf.math.count_nonzero(is_right, dtype=tf.int32)
    if settings.all_reduce:
        loss, correct, gradients = settings.all_reduce((loss, correct, gradients))
    with tf.name_scope("clip_by_global_norm"):
        norm = tf.linalg.global_norm(gradients)
        if settings.max_grad_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, settings.max_grad_norm, use_norm=norm)
    with tf.name_scope("train_op"):
        _update(model, optimizer, weights, gradients, settings)
    return StepResult(loss, correct, norm, gradients)


def _update(
    model: TextRNN,
    optimizer: keras.optimizers.Optimizer,
    weights: Mapping[str, tf.Variable],
    gradients: list[Gradient],
    settings: StepSettings,
) -> None:
    """Applies the gradients to the weights, and moves their average."""
    step = tf.identity(optimizer.iterations.value)
    if settings.average:
        settings.average.before_update(gradients)
    updates = dict(zip(weights, gradients, strict=True))
    if settings.ngram_steps:
        kernel = "ngrams/kernel"
        settings.ngram_steps.apply(weights[kernel], updates.pop(kernel), optimizer.learning_rate)
    optimizer.apply(list(updates.values()), [weights[name] for name in updates])
    for weight in model.trainable_weights:
        if weight.constraint:
            weight.assign(weight.constraint(weight.value))
    if settings.average:
        settings.average.after_update(gradients, step)


def _objective(
    model: TextRNN, batch: Batch, num_texts: tf.Tensor, settings: StepSettings
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the objective float32[] and the scores float32[batch, classes].

    Each branch of the model has a loss of its own, and the objective is their sum; the scores are
    the sum of the branches' scores, of sets their mean, since each branch has the log-odds of every
    label in its scores.
    """
    losses, scores = [], []
    with tf.name_scope("parts"):
        parts = _parts(batch)
    for place, part in enumerate(parts):
        with tf.name_scope("dropout_seed/"):
            seed = tf.random.experimental.stateless_fold_in(settings.dropout_seed, place)
        inputs = (part.token_ids, part.lengths, part.left_out if model.has_counts else None)
        branches = model.branch_scores(inputs, training=True, dropout_seed=seed)
        loss_of, target = _loss_and_target(part, settings)
        with tf.name_scope("loss/"):
            for index, branch in enumerate(branches):
                smoothing = 0.0 if index else settings.label_smoothing  # the network comes first
                losses.append(loss_of(branch, target, num_texts, smoothing, part.weights))
            joined = tf.add_n(branches)
            scores.append(joined / len(branches) if settings.has_sets else joined)
    with tf.name_scope("loss/"):
        return tf.add_n(losses), tf.concat(scores, axis=0)


def _loss_and_target(
    batch: Batch, settings: StepSettings
) -> tuple[Callable[..., tf.Tensor], tf.Tensor]:
    """Returns the loss of texts with one label or with sets, and what it compares scores with."""
    if settings.has_sets:
        return mean_set_loss, batch.label_rows
    return mean_loss, batch.labels


def _parts(batch: Batch) -> list[Batch]:
    """Returns the halves of a batch, each as wide as its longest text; with a GPU, the whole batch.

    Neither half waits for the other, so two cores work in parallel from the words to the gradient.
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
    num_texts: tf.Tensor | float,
    smoothing: float = 0.0,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns float32[], what n texts add to the mean softmax cross-entropy of their batch.

    Args:
      scores: float32[n, classes]; n is between 0 and the size of the batch.
      labels: int32[n], class of each text.
      num_texts: number of texts in the whole batch.
      smoothing: fraction of each target that is spread over all classes (Szegedy 2016).
      weights: float32[n], factor of each text's loss; None = 1 for every text.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
    if smoothing:
        uniform = -tf.reduce_mean(tf.nn.log_softmax(scores), axis=1)
        losses = (1.0 - smoothing) * losses + smoothing * uniform
    return _mean(losses, num_texts, weights)


def mean_set_loss(
    scores: tf.Tensor,
    label_rows: tf.Tensor,
    num_texts: tf.Tensor | float,
    smoothing: float = 0.0,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns float32[], what n texts add to the mean sigmoid cross-entropy, summed over labels.

    Args:
      scores: float32[n, classes]; n is between 0 and the size of the batch.
      label_rows: float32[n, classes], 1 for each label of a text.
      num_texts: number of texts in the whole batch.
      smoothing: fraction of each text's targets that is spread over all classes, so that their sum
        stays the number of its labels.
      weights: float32[n], factor of each text's loss; None = 1 for every text.
    """
    if smoothing:
        spread = tf.reduce_mean(label_rows, axis=1, keepdims=True)
        label_rows = (1.0 - smoothing) * label_rows + smoothing * spread
    losses = tf.nn.sigmoid_cross_entropy_with_logits(label_rows, scores)
    losses = tf.reduce_sum(losses, axis=1)
    return _mean(losses, num_texts, weights)


def _mean(losses: tf.Tensor, num_texts: tf.Tensor | float, weights: tf.Tensor | None) -> tf.Tensor:
    """Returns float32[], what the losses float32[n] of n texts add to the mean of their batch."""
    if weights is not None:
        losses *= weights
    return tf.reduce_sum(losses) / num_texts


def scaled(gradient: Gradient, factor: tf.Tensor) -> Gradient:
    """Returns a gradient times a factor float32[]; a row-sparse one stays row-sparse."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * factor, gradient.indices, gradient.dense_shape)
    return gradient * factor
