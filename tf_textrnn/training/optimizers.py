"""Updates whose cost follows the words of a batch, not the size of the vocabulary."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import keras
import numpy as np
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
    costs as much as the batch has words. Each row must be named once (`sum_rows`).
    """

    def update_step(
        self, gradient: Gradient, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        gradient = sum_rows(gradient)
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


class WeightAverage(tf.Module):
    """A running average of the weights, which generalizes better than the last ones do.

    After step t the average moves by `1 - d` of the way to the weights, d = min(decay,
    (1 + t) / (10 + t)), so that it forgets its start (Polyak & Juditsky 1992; the warm-up is that
    of TensorFlow's ExponentialMovingAverage). A row of a table that steps leave alone is brought
    up to date when it is next used, or read: to stand still for steps a+1 … b is to move by
    1 - exp(Σ log d), and the sums are kept. So the cost follows the rows that a batch uses.

    Args:
      weights: the weights by name.
      tables: the names of those whose gradients come as rows.
      decay: the largest d.
    """

    def __init__(self, weights: Mapping[str, keras.Variable], tables: Sequence[str], decay: float):
        super().__init__()
        self._weights = {name: weight.value for name, weight in weights.items()}
        self._decay = decay
        self._log_decay = tf.Variable(0.0, trainable=False)  # Σ log d over the steps so far
        self._averages = {
            name: tf.Variable(weight, trainable=False) for name, weight in self._weights.items()
        }
        # Σ log d as it stood when a row's average was last brought up to date.
        self._row_log_decay = {
            name: tf.Variable(tf.zeros(self._weights[name].shape[:1]), trainable=False)
            for name in tables
        }

    def restart(self) -> None:
        """Sets every average to its weight, before the first step."""
        for name, average in self._averages.items():
            average.assign(self._weights[name])

    @property
    def state(self) -> dict[str, tf.Variable]:
        """All that the average is, by name."""
        return {
            "log_decay": self._log_decay,
            **{f"average/{name}": variable for name, variable in self._averages.items()},
            **{f"row_log_decay/{name}": variable for name, variable in self._row_log_decay.items()},
        }

    def values(self) -> dict[str, np.ndarray]:
        """The averages, by name, all rows up to date."""
        averages = {name: variable.numpy() for name, variable in self._averages.items()}
        for name, row_log_decay in self._row_log_decay.items():
            weights = self._weights[name].numpy()
            kept = np.exp(self._log_decay.numpy() - row_log_decay.numpy())[:, None]
            averages[name] = weights + (averages[name] - weights) * kept
        return averages

    def before_update(self, gradients: Sequence[Gradient]) -> None:
        """Brings up to date the rows that this step is about to change.

        Args:
          gradients: of the weights, in their order.
        """
        for name, gradient in zip(self._weights, gradients, strict=True):
            if name in self._row_log_decay:
                self._catch_up(name, gradient.indices)

    def after_update(self, gradients: Sequence[Gradient], step: tf.Tensor) -> None:
        """Takes the changed weights into the average.

        Args:
          gradients: of the weights, in their order.
          step: int64[], steps done before this one.
        """
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1.0 + step) / (10.0 + step))
        self._log_decay.assign_add(tf.math.log(decay))
        for name, gradient in zip(self._weights, gradients, strict=True):
            if name in self._row_log_decay:
                self._catch_up(name, gradient.indices)
            else:
                average = self._averages[name]
                average.assign_add((self._weights[name] - average) * (1.0 - decay))

    def _catch_up(self, name: str, rows: tf.Tensor) -> None:
        weights = tf.gather(self._weights[name], rows)
        averages = tf.gather(self._averages[name], rows)
        kept = tf.exp(self._log_decay - tf.gather(self._row_log_decay[name], rows))[:, None]
        updated = tf.IndexedSlices(weights + (averages - weights) * kept, rows)
        self._averages[name].scatter_update(updated)
        stamps = tf.fill(tf.shape(rows), self._log_decay)
        self._row_log_decay[name].scatter_update(tf.IndexedSlices(stamps, rows))
