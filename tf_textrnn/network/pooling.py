"""From the outputs of a text's steps to one vector; a text without a step gets zeros."""

from typing import Any

import keras
import tensorflow as tf

from tf_textrnn.config import POOLINGS


@keras.saving.register_keras_serializable("tf_textrnn")
class MaskedPooling(keras.layers.Layer):
    """Pools over the real steps of each text.

    Sums run in the dtype of the variables, also where the layer computes in a shorter one.

    Args:
      kind: "mean", "max", "last" (the final output of each direction) or "attention" (the mean
        weighted by softmax(outputs · query), with one learned query that starts at zero, as the
        plain mean; Yang 2016 without the layer before the query).
      bidirectional: whether the second half of the units reads backwards, so that its final
        output stands at the first step.

    Raises:
      ValueError: the kind is not one of `config.POOLINGS`.
    """

    def __init__(self, kind: str = "mean", bidirectional: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if kind not in POOLINGS:
            raise ValueError(f"MaskedPooling: expected one of {POOLINGS}, found {kind!r}")
        self.kind = kind
        self.bidirectional = bidirectional
        self.query = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the query of "attention".

        Args:
          input_shape: of the outputs, (batch, time, units).
        """
        if self.kind == "attention":
            self.query = self.add_weight(
                shape=(input_shape[-1],),
                initializer="zeros",
                autocast=False,
                name="attention_query",
            )

    def call(self, outputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Pools.

        Args:
          outputs: float[batch, time, units].
          mask: float[batch, time], 1 at real steps, 0 at padding.

        Returns:
          float[batch, units].
        """
        outputs, mask = (tf.cast(values, self.variable_dtype) for values in (outputs, mask))
        pool = {
            "mean": self._mean,
            "max": self._max,
            "last": self._last,
            "attention": self._attention,
        }[self.kind]
        return tf.cast(pool(outputs, mask), self.compute_dtype)

    def _mean(self, outputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        steps = tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)  # [batch]
        return tf.reduce_sum(outputs * mask[:, :, None], axis=1) / steps[:, None]

    def _max(self, outputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        masked = tf.where(mask[:, :, None] > 0, outputs, outputs.dtype.min)
        has_steps = tf.reduce_max(mask, axis=1, keepdims=True) > 0  # [batch, 1]
        return tf.where(has_steps, tf.reduce_max(masked, axis=1), 0.0)

    def _attention(self, outputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        weights = tf.linalg.matvec(outputs, self.query)  # [batch, time]
        weights = tf.where(mask > 0, weights, outputs.dtype.min)
        weights = tf.nn.softmax(weights, axis=1) * mask
        return tf.einsum("btu,bt->bu", outputs, weights)

    def _last(self, outputs: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        lengths = tf.cast(tf.reduce_sum(mask, axis=1), tf.int32)
        last = tf.gather(outputs, tf.maximum(lengths - 1, 0), axis=1, batch_dims=1)
        if self.bidirectional:
            units = outputs.shape[-1] // 2
            last = tf.concat([last[:, :units], outputs[:, 0, units:]], axis=-1)
        return tf.where(lengths[:, None] > 0, last, 0.0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape (batch, units) for outputs of the shape (batch, time, units)."""
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        return {**super().get_config(), "kind": self.kind, "bidirectional": self.bidirectional}
