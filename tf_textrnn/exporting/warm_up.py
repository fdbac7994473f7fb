"""The requests that TF Serving answers as it loads a model, so that the first user does not wait.

They are `PredictionLog`s (tensorflow_serving/apis/prediction_log.proto), written here field by
field: a message of five fields is no reason to need the package that declares it.
"""

import numpy as np
import tensorflow as tf

from tf_textrnn.exporting.signatures import TEXT_FEATURE

WARM_UP_WORDS = (1, 20, 200)  # of the one text in each request


def warm_up_requests(embedding_dim: int) -> list[bytes]:
    """A request to each signature for each of `WARM_UP_WORDS`, but to `explain` and `embedded`.

    One to `explain`, of one word: an explanation takes as long as some hundred texts.

    A server whose batching is on refuses a request whose inputs differ in their first dimension
    (ComputeTensorBatchSize in its batching_util.h), and a model whose warm-up fails never serves.
    The inputs of `embedded` differ, so it has no request here.

    Args:
      embedding_dim: of the model.

    Returns:
      Serialized messages of the type `PredictionLog`.
    """
    requests = []
    for words in WARM_UP_WORDS:
        text = b"warm " * words
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
        embedded = np.zeros([1, words, embedding_dim], np.float32)
        mask = np.ones([1, words], np.float32)
        requests += [
            _predict_log("serving_default", text=np.array([text])),
            _classify_log(tf.train.Example(features={"feature": {TEXT_FEATURE: feature}})),
            _predict_log("embedded_batch_major", embedded_chars=embedded, mask=mask),
        ]
    return [*requests, _predict_log("explain", text=np.array([b"warm"]))]


def _predict_log(signature: str, **inputs: np.ndarray) -> bytes:
    request = _model_spec(signature)
    for name, value in inputs.items():  # entries of a map
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _classify_log(example: tf.train.Example) -> bytes:
    examples = _field(1, example.SerializeToString())  # of an ExampleList
    request = _model_spec("classify") + _field(2, _field(1, examples))
    return _field(2, _field(1, request))


def _model_spec(signature: str) -> bytes:
    return _field(1, _field(3, signature.encode()))


def _field(number: int, content: bytes) -> bytes:
    """A field of a message on the wire: protobuf.dev/programming-guides/encoding."""
    length, size = len(content), b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content
