"""Dropout whose mask is a pure function of a seed."""

import tensorflow as tf

from tf_textrnn.text import PADDING_ID, UNKNOWN_ID

_WORDS = -1  # the place of word dropout


def dropout(inputs: tf.Tensor, keep_prob: float, seed: tf.Tensor, place: int) -> tf.Tensor:
    """Zeroes each unit with probability `1 - keep_prob` and scales the others up (Srivastava 2014).

    Args:
      inputs: float32[...].
      keep_prob: share of units kept.
      seed: int32[2]; the same seed and place give the same mask.
      place: which dropout of the model this is, so that the masks of two places are independent.
    """
    seed = tf.random.experimental.stateless_fold_in(seed, place)
    return tf.nn.experimental.stateless_dropout(inputs, rate=1.0 - keep_prob, seed=seed)


def word_dropout(token_ids: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Takes each token for an unknown one with probability `rate` (Iyyer 2015).

    Args:
      token_ids: int32[batch, time], padded with 0, which stays.
      rate: share of the tokens.
      seed: int32[2]; the same seed gives the same mask.
    """
    seed = tf.random.experimental.stateless_fold_in(seed, _WORDS)
    drops = tf.random.stateless_uniform(tf.shape(token_ids), seed) < rate
    return tf.where(drops & (token_ids != PADDING_ID), UNKNOWN_ID, token_ids)
