"""The warm-up requests of an export: what TF Serving takes, with batching and without."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tf_textrnn.exporting import card
from tf_textrnn.exporting.warm_up import WARM_UP_WORDS, warm_up_requests
from tf_textrnn.runs.loaded import load_run


def read_requests(version):
    """The messages of a version's warm-up file, by TF Serving's own declarations."""
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def inputs_of(log):
    """The signature of a request, and the tensors that TF Serving feeds it."""
    if log.HasField("classify_log"):
        request = log.classify_log.request
        examples = [e.SerializeToString() for e in request.input.example_list.examples]
        return request.model_spec.signature_name, {"inputs": np.array(examples)}
    request = log.predict_log.request
    inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    return request.model_spec.signature_name, inputs


@pytest.fixture(scope="module")
def requests(exported):
    return [inputs_of(log) for log in read_requests(exported.export / "1")]


def test_every_request_is_answered(exported, requests):
    model = tf.saved_model.load(str(exported.export / "1"))
    for signature, inputs in requests:
        answer = model.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
        assert np.isfinite(answer["base_scores" if signature == "explain" else "scores"]).all()
    names = ["serving_default", "classify", "embedded_batch_major"]
    assert [signature for signature, _ in requests] == [*names * len(WARM_UP_WORDS), "explain"]
    words = [inputs["text"][0].split() for name, inputs in requests if name == names[0]]
    assert words == [[b"warm"] * count for count in WARM_UP_WORDS]


def test_inputs_are_of_one_batch_size(exported, requests):
    """The rule of ComputeTensorBatchSize: else a server with batching never serves the model."""
    served = {signature for signature, _ in requests}
    model = tf.saved_model.load(str(exported.export / "1"))
    for signature in model.signatures:
        specs = model.signatures[signature].structured_input_signature[1].values()
        assert all(spec.shape.rank >= 1 for spec in specs)
    assert served == set(model.signatures) - {"embedded"}  # whose mask is time-major
    for _, inputs in requests:
        assert len({value.shape[0] for value in inputs.values()}) == 1


def test_a_request_is_written_without_the_package_that_declares_it(exported, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("tensorflow_serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with pytest.raises(ImportError):
        import tensorflow_serving.apis  # noqa: F401
    card.write(tmp_path / "extra", exported, load_run(exported))
    written = (tmp_path / "extra" / "tf_serving_warmup_requests").read_bytes()
    of_export = exported.export / "1" / "assets.extra" / "tf_serving_warmup_requests"
    assert written == of_export.read_bytes()


def test_long_requests_are_whole_messages():
    """Lengths of one, two, three and four bytes on the wire."""
    for embedding_dim in (1, 30, 300, 12_000):
        for request in warm_up_requests(embedding_dim):
            log = prediction_log_pb2.PredictionLog.FromString(request)
            signature, inputs = inputs_of(log)
            assert not log.predict_log.request.output_filter
            if signature == "embedded_batch_major":
                assert inputs["embedded_chars"].shape[2] == embedding_dim
