"""What each token adds to the network's scores, in the graph: `predictor/explain.py` in TensorFlow.

Texts are explained one after the other, and their parts in batches of like length, so that memory
does not grow with either.
"""

import tensorflow as tf

from tf_textrnn.network.model import TextRNN
from tf_textrnn.predictor.explain import BATCH_STEPS, MAX_SPANS, MAX_STEPS


def explain(
    model: TextRNN, token_ids: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Explains texts.

    Args:
      model: without counts.
      token_ids: int32[n, time], padded on the right with 0.
      lengths: int32[n], number of tokens of each text.

    Returns:
      float32[n, classes], the scores of an empty text; and float32[n, time, classes] each, the
      shares of n-grams and of the network, 0 in the padding's places.
    """
    time = tf.shape(token_ids)[1]

    def of_text(text: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        ids, length = text
        base, network = _network_shares(model, ids[:length])
        network = tf.pad(network, [[0, time - length], [0, 0]])
        if model.ngrams is None:
            return base, tf.zeros_like(network), network
        return base + model.ngrams.bias.value, model.ngrams.token_shares(ids[None])[0], network

    shape = [None, model.num_classes]
    spec = tf.TensorSpec(shape[1:]), tf.TensorSpec(shape), tf.TensorSpec(shape)
    return tf.map_fn(of_text, (token_ids, lengths), fn_output_signature=spec, parallel_iterations=1)


def _network_shares(model: TextRNN, token_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """float32[classes], the scores of no token; float32[tokens, classes], what each adds."""
    length = tf.size(token_ids)
    steps = tf.maximum(length, 1)
    most = tf.clip_by_value(MAX_STEPS // (2 * steps), 1, MAX_SPANS)
    span = -(-steps // most)
    edges = tf.minimum(tf.range(-(-length // span) + 1) * span, length)
    # The first 0 spans, the last 0, the first 1, the last 1, …: their lengths ascend.
    starts = tf.reshape(tf.stack([tf.zeros_like(edges), edges[::-1]], axis=1), [-1])
    ends = tf.reshape(tf.stack([edges, tf.fill(tf.shape(edges), length)], axis=1), [-1])
    num_parts = tf.size(starts)
    size = tf.clip_by_value(BATCH_STEPS // steps, 1, num_parts)
    num_batches = -(-num_parts // size)
    rest = [[0, num_batches * size - num_parts]]
    starts, ends = (tf.reshape(tf.pad(x, rest), [num_batches, size]) for x in (starts, ends))

    padded = tf.pad(token_ids, [[0, 1]])

    def score(part: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        first, end = part  # int32[size]
        places = first[:, None] + tf.range(tf.maximum(tf.reduce_max(end - first), 1))
        is_token = places < end[:, None]
        ids = tf.where(is_token, tf.gather(padded, tf.where(is_token, places, length)), 0)
        return model.score_embedded(model.embedding(ids), tf.cast(is_token, tf.float32))

    spec = tf.TensorSpec([None, model.num_classes])
    scores = tf.map_fn(score, (starts, ends), fn_output_signature=spec, parallel_iterations=2)
    scores = tf.reshape(scores, [-1, model.num_classes])[:num_parts]
    scores = tf.reshape(scores, [-1, 2, model.num_classes])
    added = scores[1:] - scores[:-1]
    of_span = (added[:, 0] + added[::-1, 1]) / 2.0
    of_span /= tf.cast(edges[1:] - edges[:-1], tf.float32)[:, None]
    return scores[0, 0], tf.gather(of_span, tf.range(length) // span)
