"""Exports: stock ops, a model card, versions, and either all files or none."""

import importlib
import json
import os

import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tf_textrnn import cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import ModelConfig
from tf_textrnn.exporting import card as extras
from tf_textrnn.exporting.saved_model import export_run, write_stems
from tf_textrnn.exporting.signatures import ServedTextRNN
from tf_textrnn.network.model import TextRNN
from tf_textrnn.predictor import guard
from tf_textrnn.predictor.encoder import TokenIds
from tf_textrnn.text import SPECIAL_TOKENS


@pytest.fixture(scope="module")
def path(exported):
    return exported.export / "1"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Writes a vocabulary and a labels file."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "vocabulary.txt").write_text("[PAD]\n[UNK]\na\n")
    (folder / "labels.txt").write_text("x\ny\n")
    return str(folder / "vocabulary.txt"), str(folder / "labels.txt")


def traced_ops(served):
    """Returns every op of every signature, with its attributes."""
    for function in served.signatures.values():
        graph = function.graph.as_graph_def()
        for body in [graph.node, *(f.node_def for f in graph.library.function)]:
            yield from body


@pytest.mark.parametrize(
    ("cell", "pooling", "bptt_truncate", "bidirectional", "tokenizer"),
    [
        ("leaky", "last", 0, True, "word"),
        ("lstm", "mean", 0, True, "word"),
        ("lstm", "last", 3, False, "char"),
        ("gru", "attention", 0, True, "char"),
        ("gru", "max", 3, False, "word"),
        ("rnn", "last", 0, True, "word"),
        ("rnn", "attention", 3, False, "char"),
    ],
)
def test_every_kind_of_model_is_of_stock_ops(
    monkeypatch, tmp_path, files, cell, pooling, bptt_truncate, bidirectional, tokenizer
):
    # As on a host with a GPU, where Keras uses cuDNN's ops if it can.
    keras_rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")
    monkeypatch.setattr(keras_rnn, "_is_gpu_available", lambda: True)
    cells = {"leaky": {"cell": "rnn", "activation": "relu", "leak": 0.5}}
    config = ModelConfig(
        **cells.get(cell, {"cell": cell}), pooling=pooling, bptt_truncate=bptt_truncate,
        bidirectional=bidirectional, hidden_size=4, embedding_dim=4, ngrams=2,
    )  # fmt: skip
    network = TextRNN(config, 3, 2, num_ngrams=5)
    network.build()
    stems = TokenIds([*SPECIAL_TOKENS, b"film"], tokenizer == "word")
    stems_file = write_stems(tmp_path / "stems.txt", stems)
    served = ServedTextRNN(network, *files, tokenizer, 10, stems_file=stems_file)
    nodes = list(traced_ops(served))
    for node in nodes:
        assert op_def_registry.get(node.op) is not None
        assert not node.attr["_XlaMustCompile"].b
    ops = {node.op for node in nodes}
    assert not {op for op in ops if "Xla" in op or "Cudnn" in op}
    assert ops <= guard.COMPUTING_OPS | {"StatefulPartitionedCall"}


def test_model_card_tells_what_the_run_was(exported, path):
    card = json.loads((path / "assets.extra" / "model_card.json").read_text())
    report = json.loads(exported.report_json.read_text())
    assert card["data"]["texts"] == {"train": 300, "valid": 60, "test": 60}
    assert card["metrics"]["test_accuracy"] == report["test_accuracy"]
    assert card["per_class"] == report["per_class"]
    assert card["sizes"]["parameters"] == report["parameters"]
    assert card["versions"]["tensorflow"] == tf.__version__
    config = exported.read_config()
    assert card["train_again"].split() == [
        "textrnn", "train", f"--train_file={config.data.train_file}",
        f"--valid_file={config.data.valid_file}", f"--test_file={config.data.test_file}",
        "--folds=0", "--nomulti_label", "--tokenizer=word", "--hidden_size=16", "--nobidirectional",
        "--embedding_dim=8", "--ngrams=2", "--batch_size=32", "--num_epochs=3",
        "--min_epoch_steps=1", "--learning_rate=0.01",
    ]  # fmt: skip
    text = (path / "assets.extra" / "model_card.md").read_text()
    assert f"| test accuracy | {report['test_accuracy']:.4f} |" in text
    assert card["train_again"] in text


def test_versions_count_up_and_nothing_half_written_stays(exported, monkeypatch):
    (exported.export / "7").mkdir()
    assert export_run(str(exported.path)).name == "8"
    seen = []

    def fail(folder, *_):
        seen.extend(path.name for path in exported.export.iterdir())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(extras, "write", fail)
    with pytest.raises(UserError, match="No space left"):
        export_run(str(exported.path))
    assert {path.name for path in exported.export.iterdir()} == {"1", "7", "8"}
    # To a server every whole number is a version; there was none while the model was written.
    assert {name for name in seen if name.isdecimal()} == {"1", "7", "8"}
    (exported.export / "7").rmdir()


def test_a_folder_without_a_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        export_run(str(tmp_path))


@pytest.mark.slow
def test_training_ends_with_an_export_unless_told_not_to(small_options, tmp_path, capsys):
    for export, files in ((True, {"assets", "assets.extra", "fingerprint.pb"}), (False, set())):
        run_dir = tmp_path / str(export)
        cli.train({**small_options, "num_epochs": 1, "run_dir": str(run_dir), "export": export})
        out = capsys.readouterr().out
        assert {path.name for path in run_dir.glob("export/1/*")} >= files
        assert f"tensorboard --logdir {run_dir}\n" in out
        command = f"textrnn predict --model={run_dir}/export/1 'your text'"
        assert (command in out) is export
        assert (run_dir / "export").exists() is export


class WritesAFile(tf.Module):
    """Makes a SavedModel that looks like ours but writes a file."""

    def __init__(self, target):
        super().__init__()
        self._target = target

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def predict(self, text):
        probability = tf.ones([tf.size(text), 2]) / 2
        if tf.size(text) > 0:
            tf.io.write_file(self._target, "gotcha")
        return {"probability": probability, "prediction": tf.argmax(probability, 1)}


def test_guard_finds_what_writes_files(tmp_path, path):
    guard.check(path)
    module = WritesAFile(os.fspath(tmp_path / "written"))
    model_path = tmp_path / "model"
    tf.saved_model.save(module, str(model_path), signatures={"serving_default": module.predict})
    with pytest.raises(UserError, match="its op 'WriteFile' does more than compute"):
        guard.check(model_path)
