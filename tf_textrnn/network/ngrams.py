"""A linear classifier over the n-grams of tokens that a text holds, beside the network.

`NgramScores` scores texts, and `ngram_keys` numbers the n-grams, also for `ngram_counts`, which
takes them and their counts from the training texts.
"""

from typing import Any

import keras
import tensorflow as tf

from tf_textrnn.text import PADDING_ID

SCALE = 5.0  # scores are this times features · kernel, so that the kernel's steps are large
COUNTED = ("counts", "shares", "text_shares")  # weights that come from counting texts
FIRST_TRUST = 0.5  # factor of the log-count ratios before training


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


def log_count_ratios(counts: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Tells for each class how much more often n-grams stand in its texts than in others.

    With n_fc the texts of class c that hold n-gram f, n_f all texts that hold it and p_c the share
    of class c among C classes, by the sum of n_fc over all n-grams, the ratio of f for c is

        log((n_fc + C p_c) / (n_f - n_fc + C (1 - p_c))) - log(p_c / (1 - p_c)).

    This counts each n-gram in C more texts, spread over the classes as all n-grams are. An n-gram
    that is spread likewise has 0, and a class gains nothing from its texts, many or long ones. For
    two classes it is the ratio of Wang & Manning (2012, NBSVM), whose counts are divided by their
    sum over a class too, with one text added to each of two classes of one size.

    Args:
      counts: float[n-grams, classes + 1], the texts of each class that hold an n-gram, then all.
      shares: float[classes], share of each class among what the texts hold.

    Returns:
      float[n-grams, classes].
    """
    of_class, all_texts = counts[:, :-1], counts[:, -1:]
    num_classes = of_class.shape[1]
    of_class = tf.math.log(of_class + num_classes * shares)
    others = tf.math.log(all_texts - counts[:, :-1] + num_classes * (1.0 - shares))
    return of_class - others - tf.math.log(shares / (1.0 - shares))


@keras.saving.register_keras_serializable("tf_textrnn")
class NgramScores(keras.layers.Layer):
    """Scores texts by which n-grams they hold, each text's features scaled to unit length.

    Scores are bias + features · (5 kernel + trust · ratios). The ratios are the log-count ratios of
    the training texts. A text on which the layer is trained is left out of the counts first, with
    its copies: with it they would be right about it by construction, and nothing could be learned
    from them (Prokhorenkova 2018, of target statistics). Left-out ratios tell a text's own label
    backwards, since just that one is missing; so all they have is one trust, never negative.

    All of it runs in the dtype of the variables, also where the layer's policy is a shorter one.

    Args:
      order: tokens of the longest n-gram.
      num_ngrams: n-grams that have a weight.
      vocab_size: different token ids.
      num_classes: classes.
      has_counts: whether the layer holds counts and a trust; else the kernel is all.
    """

    def __init__(
        self,
        order: int,
        num_ngrams: int,
        vocab_size: int,
        num_classes: int,
        has_counts: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.order = order
        self.num_ngrams = num_ngrams
        self.vocab_size = vocab_size
        self.num_classes = num_classes
        self.has_counts = has_counts
        self.autocast = False  # counts would lose digits
        self.supports_jit = False  # XLA has no kernel for tf.unique

    def build(self, input_shape: Any = None) -> None:
        """Makes the keys and the weights; their shapes do not depend on the input's."""

        def add(name: str, shape: tuple[int, ...], **options: Any) -> keras.Variable:
            options = {"initializer": "zeros", "autocast": False, **options}
            return self.add_weight(shape=shape, name=name, **options)

        rows, classes = self.num_ngrams, self.num_classes
        self.keys = add("keys", (rows,), dtype="int64", trainable=False)
        self.kernel = add("kernel", (rows, classes))
        self.bias = add("bias", (classes,))
        if self.has_counts:
            self.counts = add("counts", (rows, classes + 1), trainable=False)
            even = keras.initializers.Constant(1.0 / classes)
            self.shares = add("shares", (classes,), trainable=False, initializer=even)
            self.text_shares = add("text_shares", (classes,), trainable=False, initializer=even)
            first = keras.initializers.Constant(FIRST_TRUST)
            self.trust = add("trust", (), initializer=first, constraint="non_neg")

    def call(self, token_ids: tf.Tensor, left_out: tf.Tensor | None = None) -> tf.Tensor:
        """Scores texts.

        Args:
          token_ids: int32[batch, time], padded on the right with 0.
          left_out: float[batch, classes + 1], what to take from the counts of each text's n-grams;
            None = nothing.

        Returns:
          float[batch, num_classes]: the bias for a text without a known n-gram.
        """
        rows, weights, _, _ = self._find(token_ids, left_out)
        batch = tf.shape(token_ids)[0]
        scores = self.bias.value + tf.math.unsorted_segment_sum(weights, rows, batch)
        return tf.cast(scores, self.compute_dtype)

    def token_shares(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Tells what each token adds to the scores of its text.

        An n-gram's weight is shared evenly among the places where it stands, and at each of them
        among its tokens: with the bias the shares sum to the scores.

        Args:
          token_ids: int32[batch, time], padded on the right with 0.

        Returns:
          float[batch, time, num_classes].
        """
        _, weights, occurrences, index = self._find(token_ids)
        batch, time = tf.unstack(tf.shape(token_ids))
        sizes = [tf.maximum(time - last, 0) for last in range(self.order)]
        ones = tf.ones_like(index, self.variable_dtype)
        counts = tf.math.unsorted_segment_sum(ones, index, tf.shape(weights)[0])
        of_each = tf.gather(weights / counts[:, None], index)
        width = tf.add_n(sizes)
        of_each = tf.math.unsorted_segment_sum(of_each, occurrences, batch * width)
        of_each = tf.reshape(of_each, [batch, width, self.num_classes])
        shares = []
        for last, of_order in enumerate(tf.split(of_each, sizes, axis=1, num=self.order)):
            for place in range(last + 1):
                padding = [[0, 0], [place, last - place], [0, 0]]
                shares.append(tf.pad(of_order / (last + 1.0), padding)[:, :time])
        return tf.add_n(shares)

    def _find(
        self, token_ids: tf.Tensor, left_out: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Finds the known n-grams of texts; arguments as `call`'s.

        Returns:
          Of each n-gram that a text holds, once however often it stands there: int64[found], the
          text; float[found, classes], the weight, at the text's unit length. Of each place where
          one stands: int64[places], which of all `ngram_keys`, text by text; int32[places], the
          index of what was found.
        """
        keys = ngram_keys(token_ids, self.order, self.vocab_size)  # [batch, n-grams of a text]
        batch, width = tf.unstack(tf.shape(keys))
        flat = tf.reshape(keys, [-1])
        known = tf.convert_to_tensor(self.keys)
        place = tf.minimum(tf.searchsorted(known, flat, out_type=tf.int64), self.num_ngrams - 1)
        is_known = tf.gather(known, place) == flat
        rows = tf.cast(tf.repeat(tf.range(batch), width), tf.int64)
        # An n-gram counts once a text, however often it occurs.
        pairs, index = tf.unique((rows * self.num_ngrams + place)[is_known])
        rows, place = pairs // self.num_ngrams, pairs % self.num_ngrams
        weights = SCALE * tf.gather(self.kernel.value, place)
        if self.has_counts:
            counts = tf.gather(self.counts.value, place)
            if left_out is not None:
                left_out = tf.cast(left_out, counts.dtype)
                counts = tf.maximum(counts - tf.gather(left_out, rows), 0.0)
            weights += self.trust.value * log_count_ratios(counts, self.shares.value)
        ones = tf.ones_like(rows, self.variable_dtype)
        lengths = tf.math.rsqrt(tf.math.unsorted_segment_sum(ones, rows, batch))
        weights *= tf.gather(lengths, rows)[:, None]
        return rows, weights, tf.where(is_known)[:, 0], index

    def folded_kernel(self) -> tf.Tensor:
        """float[n-grams, classes]: the kernel with which a layer without counts scores the same."""
        ratios = log_count_ratios(self.counts.value, self.shares.value)
        return self.kernel.value + self.trust.value / SCALE * ratios

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape (batch, num_classes) for token ids of the shape (batch, time)."""
        return (input_shape[0], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        names = ("order", "num_ngrams", "vocab_size", "num_classes", "has_counts")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
