"""Optimizers whose cost follows the words of a batch, not the size of the vocabulary."""

from collections.abc import Iterable
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tf_textrnn.config import TrainingConfig
from tf_textrnn.network.ngrams import SCALE

Gradient: TypeAlias = "tf.Tensor | tf.IndexedSlices"
NGRAM_RATE = 250.0  # times the learning rate: the rate of plain steps on the n-grams' kernel


def make_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a run, at its first learning rate; the train step clips."""
    if config.optimizer == "sgd":
        return GradientDescent(config.learning_rate)
    return RowSparseAdam(config.learning_rate)


def sum_rows(gradient: Gradient) -> Gradient:
    """Sums a row-sparse gradient so that it names each row once; a dense one stays as it is.

    A table's gradient names a row once for each use. Its norm, and any update that is not linear,
    need the sums.

    Args:
      gradient: a dense tensor, or `tf.IndexedSlices` of the rows in use.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, position = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, position, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


class _WithoutAllReduce(keras.optimizers.Optimizer):
    """Applies gradients as they are; inside `tf.distribute` Keras would sum them over replicas."""

    def _backend_update_step(
        self, grads: list[Gradient], trainable_variables: list, learning_rate: tf.Tensor
    ) -> None:
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, learning_rate)


@keras.saving.register_keras_serializable("tf_textrnn")
class GradientDescent(_WithoutAllReduce, keras.optimizers.SGD):
    """Plain gradient descent."""


@keras.saving.register_keras_serializable("tf_textrnn")
class RowSparseAdam(_WithoutAllReduce, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015) that updates only the rows that a table's gradient names.

    For a dense gradient it is Keras's Adam. For `tf.IndexedSlices` the moments of a row decay when
    the row is used, not at every step, and rows outside the batch do not change; so the cost of a
    step follows the words of the batch. `apply` expects a gradient that names each row once
    (`sum_rows`), as the train step passes it; `apply_gradients`, which Keras's `fit` calls, sums
    the rows itself.
    """

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Gradient, tf.Variable]]) -> tf.Tensor:
        """Applies gradients as a tape returns them.

        Args:
          grads_and_vars: pairs of a gradient and its variable.
        """
        return super().apply_gradients((sum_rows(g), variable) for g, variable in grads_and_vars)

    def update_step(
        self, gradient: Gradient, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype)
        rate *= tf.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)

        def moved(moment: keras.Variable, target: tf.Tensor, decay: float) -> tf.Tensor:
            rows = tf.gather(moment.value, gradient.indices)
            rows += (target - rows) * (1.0 - decay)
            self.assign(moment, tf.IndexedSlices(rows, gradient.indices))
            return rows

        momentum = moved(self._momentums[index], gradient.values, self.beta_1)
        velocity = moved(self._velocities[index], tf.square(gradient.values), self.beta_2)
        change = momentum * rate / (tf.sqrt(velocity) + self.epsilon)
        self.assign_sub(variable, tf.IndexedSlices(change, gradient.indices))


class NgramSteps(tf.Module):
    """Takes plain gradient steps on the kernel of the n-grams.

    Adam moves the weight of an n-gram that one text holds as far as that of one that a thousand
    hold; so a linear model learns its texts by heart. Plain steps that stop early stay near the
    solution of a ridge penalty (Friedman & Popescu 2004), which needs no number of its own.

    Among classes of share p the gradient of a score is about p (1 - p) as sensitive to the score,
    so steps grow by 1 / (4 p (1 - p)): as many steps teach 2 classes and 80. They are bounded where
    the loss would not fall. By Gershgorin's theorem the curvature in the weight of an n-gram that a
    share q of a batch's texts holds is at most q SCALE² / 2, and one over that is the largest step.

    Args:
      shares: float32[n-grams], share of the texts that hold each n-gram.
      class_shares: float32[classes], share of each class.
      batch_size: number of texts in a batch.
    """

    def __init__(self, shares: np.ndarray, class_shares: np.ndarray, batch_size: int):
        super().__init__()
        largest = 2.0 / (SCALE**2 * np.maximum(shares, 1.0 / batch_size))
        self._largest = tf.Variable(largest.astype(np.float32), trainable=False)
        factors = 1.0 / (4.0 * class_shares * (1.0 - class_shares))
        self._factors = tf.constant(factors.astype(np.float32))

    def apply(
        self, kernel: tf.Variable, gradient: tf.IndexedSlices, learning_rate: tf.Tensor
    ) -> None:
        """Moves the rows of the kernel that the gradient names, each once.

        Args:
          kernel: float32[n-grams, classes].
          gradient: of the mean loss of the batch.
          learning_rate: float32[], that of the other weights.
        """
        largest = tf.gather(self._largest, gradient.indices)[:, None]
        sizes = tf.minimum(NGRAM_RATE * learning_rate * self._factors, largest)
        kernel.scatter_sub(tf.IndexedSlices(sizes * gradient.values, gradient.indices))
