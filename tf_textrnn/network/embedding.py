"""Token ids: how they are brought into one form, and their vectors."""

from typing import Any

import keras
import tensorflow as tf

from tf_textrnn.text import PADDING_ID


@keras.saving.register_keras_serializable("tf_textrnn")
class TokenEmbedding(keras.layers.Embedding):
    """Keras's embedding, but it reads the rows that it needs instead of a copy of the table."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The vectors float[..., embedding_dim] of token ids int[...]."""
        return tf.gather(self.embeddings.value, inputs)


def is_pair(inputs: Any) -> bool:
    """Whether inputs, or their shapes, are those of token ids and lengths."""
    return isinstance(inputs, (list, tuple)) and isinstance(inputs[0], (list, tuple))


def pad_ids(inputs: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Brings every kind of input into one.

    Args:
      inputs: token ids int[batch, time], dense or ragged; or those and lengths int[batch]; or both
        and what to leave out, float[batch, classes + 1].

    Returns:
      Token ids int32[batch, time], of at least one step, and lengths int32[batch]; where none are
      given, a dense text ends at its last id that is not 0. Then what to leave out, or None.
    """
    inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    token_ids, lengths, left_out = inputs + [None] * (3 - len(inputs))
    if isinstance(token_ids, tf.RaggedTensor):
        lengths = token_ids.row_lengths() if lengths is None else lengths
        token_ids = token_ids.to_tensor(PADDING_ID)
    token_ids = tf.cast(token_ids, tf.int32)
    # Keras's layers need a step, even where no text of the batch has one.
    missing_steps = tf.cast(tf.equal(tf.shape(token_ids)[1], 0), tf.int32)
    token_ids = tf.pad(token_ids, [[0, 0], [0, missing_steps]])
    if lengths is None:
        places = tf.range(1, tf.shape(token_ids)[1] + 1)
        lengths = tf.reduce_max(tf.where(token_ids != PADDING_ID, places, 0), axis=1)
    return token_ids, tf.cast(lengths, tf.int32), left_out
