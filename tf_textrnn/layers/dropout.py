"""Dropout whose mask is a pure function of a seed."""

import tensorflow as tf


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
