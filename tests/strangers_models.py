"""SavedModels that a stranger could send, made for real and then edited."""

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tf_textrnn.base.errors import UserError
from tf_textrnn.predictor import guard
from tf_textrnn.predictor.predictor import Predictor


class edited:  # noqa: N801 - a context manager
    """The MetaGraphDef of a model, written back after the block."""

    def __init__(self, model):
        self._path = model / "saved_model.pb"
        self._proto = saved_model_pb2.SavedModel()

    def __enter__(self):
        self._proto.ParseFromString(self._path.read_bytes())
        return self._proto.meta_graphs[0]

    def __exit__(self, *_):
        self._path.write_bytes(self._proto.SerializeToString())


def refusal(model):
    """What the guard says; the same comes from the command's way in."""
    with pytest.raises(UserError) as refused:
        guard.check(model)
    with pytest.raises(UserError) as at_load:
        Predictor(model)
    assert str(at_load.value) == str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


class Text(tf.Module):
    """Looks like a model of ours."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def predict(self, text):
        probability = tf.ones([tf.size(text), 2]) / 2
        return {"probability": probability, "prediction": tf.argmax(probability, 1)}

    def save(self, path):
        tf.saved_model.save(self, str(path), signatures={"serving_default": self.predict})
        return path


class Starting(tf.saved_model.experimental.TrackableResource):
    """A resource that does something as it is loaded."""

    def __init__(self, start):
        self._start = start
        super().__init__()

    def _create_resource(self):
        return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

    def _initialize(self):
        self._start(self.resource_handle)


def starting(start, path):
    """The SavedModel of a module that calls `start(table)` as it is loaded."""
    module = Text()
    module.resource = Starting(start)
    return module.save(path)
