"""A linear classifier over the n-grams of tokens that a text holds, beside the network.

`choose_ngrams` takes the n-grams and the start of their weights from the training texts,
`NgramScores` scores texts, and `ngram_keys` numbers the n-grams for both.
"""

import itertools
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.batches import Split
from tf_textrnn.text import PADDING_ID

# Scores are this times features · kernel. Adam moves every weight by about the learning rate, so
# this makes the linear part learn five times as fast as the network.
SCALE = 5.0
MAX_NGRAMS = 500_000
MAX_WEIGHTS = 100_000_000  # n-grams × classes; fewer n-grams where the classes are many
MAX_COUNTED = 20_000_000  # n-grams counted; of a larger split, evenly spaced texts are
PRIOR_WEIGHT = 0.5  # factor of the log-count ratios that the weights start at
_TEXTS = 1_024  # counted at a time


def ngram_keys(token_ids: tf.Tensor, order: int, vocab_size: int) -> tf.Tensor:
    """Numbers each n-gram of 1 to `order` tokens, different n-grams differently.

    Args:
      token_ids: int32[batch, time], padded on the right with 0.
      order: tokens of the longest n-gram; vocab_size ** order must be below 2 ** 63.
      vocab_size: different token ids.

    Returns:
      int64[batch, n-grams], -1 in the padding's places.
    """
    token_ids = tf.cast(token_ids, tf.int64)
    keys, orders = token_ids, []
    for last in range(order):
        if last:
            keys = keys[:, :-1] * vocab_size + token_ids[:, last:]
        orders.append(tf.where(token_ids[:, last:] > PADDING_ID, keys, -1))
    return tf.concat(orders, axis=1)


@keras.saving.register_keras_serializable("tf_textrnn")
class NgramScores(keras.layers.Layer):
    """Scores texts by which n-grams they hold, each text's features scaled to unit length.

    The kernel starts at log-count ratios of the training texts (Wang & Manning 2012, NBSVM); see
    `choose_ngrams`.

    All of it runs in the dtype of the variables, also where the layer's policy is a shorter one.

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
        self.supports_jit = False  # XLA has no kernel for tf.unique

    def build(self, input_shape: Any = None) -> None:
        """Makes the keys and the weights; their shapes do not depend on the input's."""
        self.keys = self.add_weight(
            shape=(self.num_ngrams,),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            name="keys",
        )
        shape = (self.num_ngrams, self.num_classes)
        self.kernel = self.add_weight(
            shape=shape, initializer="zeros", autocast=False, name="kernel"
        )
        self.bias = self.add_weight(
            shape=(self.num_classes,), initializer="zeros", autocast=False, name="bias"
        )

    def call(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Scores texts.

        Args:
          token_ids: int32[batch, time], padded on the right with 0.

        Returns:
          float[batch, num_classes]: the bias for a text without a known n-gram.
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
        ones = tf.ones_like(rows, self.variable_dtype)
        counts = tf.math.unsorted_segment_sum(ones, rows, batch)
        weights = (
            tf.gather(self.kernel.value, place) * tf.gather(tf.math.rsqrt(counts), rows)[:, None]
        )
        scores = self.bias + SCALE * tf.math.unsorted_segment_sum(weights, rows, batch)
        return tf.cast(scores, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape (batch, num_classes) for token ids of the shape (batch, time)."""
        return (input_shape[0], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        names = ("order", "num_ngrams", "vocab_size", "num_classes")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class Ngrams(NamedTuple):
    """N-grams and their weights.

    Attributes:
      keys: int64[n-grams], ascending.
      log_count_ratios: float32[n-grams, classes], the weights' start.
    """

    keys: np.ndarray
    log_count_ratios: np.ndarray


def choose_ngrams(split: Split, order: int, vocab_size: int, num_classes: int) -> Ngrams:
    """Takes the n-grams of the texts, the most frequent ones where there are too many.

    With n_fc the texts of class c that hold n-gram f, n_f those of all C classes and p_c the share
    of class c, the weight of f for c starts at half of

        log((n_fc + C p_c) / (n_f - n_fc + C (1 - p_c))) - log(p_c / (1 - p_c)).

    This counts each n-gram in C more texts, spread over the classes as the texts are. An n-gram
    whose texts are spread likewise starts at 0, and a class gains nothing from its size. For two
    classes of one size it is the ratio of Wang & Manning (2012) with one text added to each.

    Args:
      split: the training texts.
      order: tokens of the longest n-gram; 0 chooses none.
      vocab_size: different token ids.
      num_classes: classes.

    Returns:
      The n-grams and the start of their weights.

    Raises:
      UserError: the n-grams are too many for 64-bit keys.
    """
    if vocab_size**order >= 2**63:
        raise UserError(
            f"flag --ngrams={order}: expected less with {vocab_size:,} token ids, or a smaller "
            f"--vocab_size"
        )
    if not order:
        return Ngrams(np.zeros(0, np.int64), np.zeros((0, num_classes), np.float32))
    stride = max(1, -(-int(split.lengths.sum()) * order // MAX_COUNTED))
    examples = np.arange(0, len(split), stride)
    found = []
    for start in range(0, len(examples), _TEXTS):
        batch = split.batch(examples[start : start + _TEXTS])
        keys = ngram_keys(batch.token_ids, order, vocab_size).numpy()
        found.append([np.unique(text[text > 0]) for text in keys])
    keys, texts = np.unique(np.concatenate(list(itertools.chain(*found))), return_counts=True)
    most = min(MAX_NGRAMS, MAX_WEIGHTS // num_classes)
    frequent = np.sort(np.argsort(-texts, kind="stable")[:most])
    keys, texts = keys[frequent], texts[frequent]

    counts = np.zeros((len(keys), num_classes), np.float32)
    classes = split.classes
    classes_looked_at = classes[examples]
    for part, start in zip(found, range(0, len(examples), _TEXTS), strict=True):
        part_keys = np.concatenate(part)
        place = np.minimum(np.searchsorted(keys, part_keys), len(keys) - 1)
        is_known = keys[place] == part_keys
        part_classes = classes_looked_at[start : start + len(part)]
        part_classes = np.repeat(part_classes, [len(text) for text in part])
        np.add.at(counts, (place[is_known], part_classes[is_known]), 1)
    # A class without a text, which only a fold can hold, counts as one.
    texts_of_class = np.maximum(np.bincount(classes, minlength=num_classes), 1)
    share = texts_of_class.astype(np.float32) / int(texts_of_class.sum())
    added = num_classes * share
    ratios = np.log((counts + added) / (texts[:, None] - counts + num_classes - added))
    ratios -= np.log(share / (1 - share))
    return Ngrams(keys, (PRIOR_WEIGHT * ratios).astype(np.float32))
