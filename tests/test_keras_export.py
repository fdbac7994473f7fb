"""Exports of `TextRNN` itself: their inputs, and that they name no device."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.test_keras_model import LABELS, LENGTHS, TOKEN_IDS, compiled, make, saved_and_loaded


def nodes(path) -> list:
    """Returns every op of a SavedModel."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    return [node for body in (graph.node, *(f.node_def for f in graph.library.function))
            for node in body]  # fmt: skip


@pytest.fixture
def gpu(monkeypatch) -> None:
    """Makes TensorFlow and Keras believe that there is a GPU."""
    original = tf.config.list_physical_devices

    def devices(kind=None):
        found = original(kind)
        return [*found, "a GPU"] if kind == "GPU" else found

    monkeypatch.setattr(tf.config, "list_physical_devices", devices)
    rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")
    monkeypatch.setattr(rnn, "_is_gpu_available", lambda: True)


@pytest.mark.parametrize("has_lengths", [False, True])
def test_an_export_takes_what_the_model_was_called_with(has_lengths: bool, tmp_path) -> None:
    model = make("lstm")
    texts = (tf.constant(TOKEN_IDS), tf.constant(LENGTHS)) if has_lengths else TOKEN_IDS
    built_by_call = type(model).from_config(model.get_config())
    built_by_call(texts)
    built_by_call.set_weights(model.get_weights())
    built_by_call.export(tmp_path / "1", verbose=False)
    served = tf.saved_model.load(tmp_path / "1")
    arguments = texts if has_lengths else tf.constant(texts)
    np.testing.assert_allclose(served.serve(arguments), model(texts), atol=1e-6)
    named = {"token_ids": tf.constant(TOKEN_IDS)}
    if has_lengths:
        named["lengths"] = tf.constant(LENGTHS)
    found = served.signatures["serving_default"](**named)["output_0"]
    np.testing.assert_allclose(found, model(texts), atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru", "truncated"])
def test_no_device_shows_in_what_a_gpu_machine_exports(kind: str, tmp_path, gpu) -> None:
    model = make(kind)
    model.export(tmp_path / "model", verbose=False)
    ids = keras.Input((None,), dtype="int32")
    keras.Model(ids, model(ids)).export(tmp_path / "functional", verbose=False)
    for name in ("model", "functional"):
        found = nodes(tmp_path / name)
        assert not [node.op for node in found if "Cudnn" in node.op]
        # The ops that save and restore are on the CPU, which every machine has.
        assert {node.device for node in found} <= {"", "/device:CPU:0", "/device:CPU:*"}


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_gpu_changes_neither_config_nor_weights(kind: str, tmp_path, request) -> None:
    here = make(kind)
    expected = here(TOKEN_IDS)
    request.getfixturevalue("gpu")
    there = make(kind)
    assert {**there.get_config(), "name": ""} == {**here.get_config(), "name": ""}
    assert list(there.named_weights()) == list(here.named_weights())
    loaded = saved_and_loaded(here, tmp_path)
    np.testing.assert_array_equal(loaded(TOKEN_IDS), expected)
    np.testing.assert_array_equal(there(TOKEN_IDS), expected)
    assert compiled(there).jit_compile is False

    def ops(training: bool) -> set[str]:
        function = tf.function(lambda ids: there(ids, training=training))
        graph = function.get_concrete_function(tf.constant(TOKEN_IDS)).graph.as_graph_def()
        bodies = [graph.node, *(f.node_def for f in graph.library.function)]
        return {node.op for body in bodies for node in body}

    assert "CudnnRNNV3" in ops(training=True)
    assert "CudnnRNNV3" not in ops(training=False)


def test_training_on_a_gpu_leaves_the_export_plain(tmp_path, monkeypatch) -> None:
    """Like `gpu`, but without cuDNN's ops, which this test cannot run."""
    original = tf.config.list_physical_devices
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind=None: original(kind) or ["a GPU"]
    )
    model = compiled(make("lstm"))
    assert model.jit_compile is False
    model.fit((TOKEN_IDS, LENGTHS), LABELS, verbose=0)
    assert model.recurrent.recurrent_layers[0][0].use_cudnn == "auto"
    model.export(tmp_path / "1", verbose=False)
    assert "BlockLSTMV2" in {node.op for node in nodes(tmp_path / "1")}
