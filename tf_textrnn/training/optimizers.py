"""Updates whose cost follows the words of a batch, not the size of the vocabulary."""

from collections.abc import Iterable
from typing import TypeAlias

import keras
import tensorflow as tf

from tf_textrnn.config import TrainingConfig

Gradient: TypeAlias = "tf.Tensor | tf.IndexedSlices"


def make_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """The optimizer of a run, at its starting learning rate. Clipping is the train step's work."""
    if config.optimizer == "sgd":
        return GradientDescent(config.learning_rate)
    return RowSparseAdam(config.learning_rate)


def sum_rows(gradient: Gradient) -> Gradient:
    """The same gradient with each row named once; a dense one as it is.

    A table's gradient names a row once for each use. Its norm, and any update that is not linear,
    need the sum.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, position = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, position, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


class _TakesGradientsAsTheyAre(keras.optimizers.Optimizer):
    """Inside `tf.distribute`, Keras's optimizers sum gradients over the replicas once more."""

    def _backend_update_step(
        self, grads: list[Gradient], trainable_variables: list, learning_rate: tf.Tensor
    ) -> None:
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, learning_rate)


@keras.saving.register_keras_serializable("tf_textrnn")
class GradientDescent(_TakesGradientsAsTheyAre, keras.optimizers.SGD):
    """Plain gradient descent."""


@keras.saving.register_keras_serializable("tf_textrnn")
class RowSparseAdam(_TakesGradientsAsTheyAre, keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015) that moves only the rows a table's gradient names.

    For a dense gradient it is Keras's Adam. For `tf.IndexedSlices` the moments of a row decay when
    the row is used, not at every step, and rows that a batch lacks stay where they are; so a step
    costs as much as the batch has words. `apply` wants each row named once (`sum_rows`), as the
    train step has them; `apply_gradients`, which Keras's `fit` calls, sums them itself.
    """

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Gradient, tf.Variable]]) -> tf.Tensor:
        """Applies gradients as they come from a tape."""
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
