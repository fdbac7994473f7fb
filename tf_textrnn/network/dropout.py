"""Dropout whose mask is a pure function of a seed."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tf_textrnn.text import PADDING_ID, UNKNOWN_ID

_WORDS = -1  # the place of word dropout


def dropout(inputs: tf.Tensor, keep_prob: float, seed: tf.Tensor, place: int) -> tf.Tensor:
    """Zeroes each unit with probability `1 - keep_prob` and scales the others up (Srivastava 2014).

    Args:
      inputs: float[..., units].
      keep_prob: share of units kept.
      seed: int32[2]; the same seed and place give the same mask.
      place: which dropout of the model this is, so that the masks of two places are independent.

    Returns:
      float[..., units], of the inputs' dtype.
    """
    shape = tf.unstack(tf.shape(inputs))
    return inputs * dropout_mask(shape, keep_prob, seed, place, inputs.dtype)


def dropout_mask(
    shape: Sequence[Any],
    keep_prob: float,
    seed: tf.Tensor,
    place: int,
    dtype: tf.DType = tf.float32,
) -> tf.Tensor:
    """Draws what `dropout` multiplies by.

    Drawing takes longer than everything else in a dropout, so a mask is drawn from 16 bits a unit,
    and depends on its shape alone: TensorFlow draws it while another core computes.

    Args:
      shape: the mask's sizes, numbers or int32[].
      keep_prob: share of units kept.
      seed: int32[2].
      place: which dropout of the model this is.
      dtype: of the mask.

    Returns:
      dtype[shape], 0 or `1 / keep_prob`.
    """
    seed = tf.random.experimental.stateless_fold_in(seed, place)
    *outer, units = shape
    pairs = (units + 1) // 2
    draws = tf.random.stateless_uniform([*outer, pairs], seed, None, None, tf.int32)
    draws = tf.reshape(tf.bitcast(draws, tf.uint16), [*outer, 2 * pairs])[..., :units]
    num_kept = min(max(round(keep_prob * 2**16), 1), 2**16 - 1)  # of the values that a draw has
    is_kept = draws < tf.constant(num_kept, tf.uint16)
    return tf.where(is_kept, tf.constant(1.0 / keep_prob, dtype), tf.constant(0.0, dtype))


def word_dropout(token_ids: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Replaces each token by the unknown one with probability `rate` (Iyyer 2015).

    Args:
      token_ids: int32[batch, time], padded with 0, which stays.
      rate: share of the tokens replaced.
      seed: int32[2]; the same seed gives the same mask.

    Returns:
      int32[batch, time].
    """
    seed = tf.random.experimental.stateless_fold_in(seed, _WORDS)
    drops = tf.random.stateless_uniform(tf.shape(token_ids), seed) < rate
    return tf.where(drops & (token_ids != PADDING_ID), UNKNOWN_ID, token_ids)
