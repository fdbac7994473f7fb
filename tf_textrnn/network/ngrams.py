"""A linear classifier over the n-grams of tokens that a text holds, beside the network."""

from typing import Any

import keras
import tensorflow as tf

from tf_textrnn.text import ngram_keys

# Scores are this times features · kernel. Under Adam, which moves every weight by about the
# learning rate, the linear part so learns five times as fast as the network.
SCALE = 5.0


@keras.saving.register_keras_serializable("tf_textrnn")
class NgramScores(keras.layers.Layer):
    """Scores from which n-grams are there, each text's features scaled to unit length.

    The kernel starts at log-count ratios of the training texts (Wang & Manning 2012, NBSVM); see
    `data.ngrams.choose_ngrams`.

    Args:
      order: tokens of the longest n-gram.
      num_ngrams: n-grams that have a weight.
      vocab_size: different token ids.
      num_classes: classes.
    """

    def __init__(
        self, order: int, num_ngrams: int, vocab_size: int, num_classes: int, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.order = order
        self.num_ngrams = num_ngrams
        self.vocab_size = vocab_size
        self.num_classes = num_classes

    def build(self, input_shape: Any = None) -> None:
        self.keys = self.add_weight(
            shape=(self.num_ngrams,),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            name="keys",
        )
        shape = (self.num_ngrams, self.num_classes)
        self.kernel = self.add_weight(shape=shape, initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(self.num_classes,), initializer="zeros", name="bias")
        self.built = True

    def call(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Scores texts.

        Args:
          token_ids: int32[batch, time], padded on the right with 0.

        Returns:
          float32[batch, num_classes]: the bias for a text without a known n-gram.
        """
        keys = ngram_keys(token_ids, self.order, self.vocab_size)  # [batch, n-grams of a text]
        batch, width = tf.unstack(tf.shape(keys))
        flat = tf.reshape(keys, [-1])
        known = tf.convert_to_tensor(self.keys)
        place = tf.minimum(tf.searchsorted(known, flat, out_type=tf.int64), self.num_ngrams - 1)
        is_known = tf.gather(known, place) == flat
        rows = tf.cast(tf.repeat(tf.range(batch), width), tf.int64)
        # An n-gram counts once a text, however often it occurs.
        pairs, _ = tf.unique((rows * self.num_ngrams + place)[is_known])
        rows, place = pairs // self.num_ngrams, pairs % self.num_ngrams
        counts = tf.math.unsorted_segment_sum(tf.ones_like(rows, tf.float32), rows, batch)
        weights = (
            tf.gather(self.kernel.value, place) * tf.gather(tf.math.rsqrt(counts), rows)[:, None]
        )
        return self.bias + SCALE * tf.math.unsorted_segment_sum(weights, rows, batch)

    def get_config(self) -> dict[str, Any]:
        names = ("order", "num_ngrams", "vocab_size", "num_classes")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
