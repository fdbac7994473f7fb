"""Keeps a running average of the weights, at a cost that follows the rows that a batch uses."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_textrnn.training.optimizers import Gradient


class WeightAverage(tf.Module):
    """A running average of the weights, which generalizes better than the last weights do.

    After step t the average moves by `1 - d` of the way to the weights, d = min(decay,
    (1 + t) / (10 + t)), so that it forgets its start (Polyak & Juditsky 1992; the warm-up is that
    of TensorFlow's ExponentialMovingAverage). A row of a table that steps do not change is brought
    up to date when it is next used or read: over steps a+1 … b its average moves by
    1 - exp(Σ log d) of the way, and the sums are kept. So the cost follows the rows of a batch.

    Args:
      weights: weights by name.
      tables: names of the weights with row-sparse gradients.
      decay: maximum of d.
    """

    def __init__(self, weights: Mapping[str, keras.Variable], tables: Sequence[str], decay: float):
        super().__init__()
        self._weights = {name: weight.value for name, weight in weights.items()}
        self._decay = decay
        self._log_decay = tf.Variable(0.0, trainable=False)  # Σ log d over the steps so far
        self._averages = {
            name: tf.Variable(weight, trainable=False) for name, weight in self._weights.items()
        }
        # Σ log d at the time when a row's average was last brought up to date.
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
        """Every variable of the average, by name."""
        return {
            "log_decay": self._log_decay,
            **{f"average/{name}": variable for name, variable in self._averages.items()},
            **{f"row_log_decay/{name}": variable for name, variable in self._row_log_decay.items()},
        }

    def values(self) -> dict[str, np.ndarray]:
        """Returns the averages by name, with every row up to date."""
        averages = {name: variable.numpy() for name, variable in self._averages.items()}
        for name, row_log_decay in self._row_log_decay.items():
            weights = self._weights[name].numpy()
            kept = np.exp(self._log_decay.numpy() - row_log_decay.numpy())[:, None]
            averages[name] = weights + (averages[name] - weights) * kept
        return averages

    def before_update(self, gradients: Sequence[Gradient]) -> None:
        """Brings the rows up to date that this step is about to change.

        Args:
          gradients: gradients of the weights, in their order.
        """
        for name, gradient in zip(self._weights, gradients, strict=True):
            if name in self._row_log_decay:
                self._catch_up(name, gradient.indices)

    def after_update(self, gradients: Sequence[Gradient], step: tf.Tensor) -> None:
        """Moves the average towards the changed weights.

        Args:
          gradients: gradients of the weights, in their order.
          step: int64[], number of steps done before this one.
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
