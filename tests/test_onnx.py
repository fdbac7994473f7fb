"""An ONNX export answers what the SavedModel answers, and needs no TensorFlow for it."""

import json
import os
import pathlib
import runpy
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

import tf_textrnn
from tests.onnx_exports import UntrainedRun
from tests.test_saved_model import hostile_texts
from tf_textrnn import cli
from tf_textrnn.predictor import onnx_guard
from tf_textrnn.predictor.onnx_model import OnnxRuntime
from tf_textrnn.predictor.predictor import Predictor

ROOT = pathlib.Path(__file__).parents[1]
TEXTS = [b"a wolf. red a b c", b"red red red", "d Σσ 狼 e f g h\u0301".encode(), b"unseen words a"]
KINDS = [
    {"cell": "lstm", "pooling": "mean", "num_layers": 2},
    {"cell": "lstm", "pooling": "last", "tokenizer": "char"},
    {"cell": "lstm", "pooling": "max", "ngrams": 0, "bidirectional": False},
    {"cell": "gru", "pooling": "attention", "num_layers": 2, "thresholds": [0.2, 0.4, 0.3]},
    {"cell": "gru", "pooling": "last", "bptt_truncate": 2, "bidirectional": False},
    {"cell": "rnn", "pooling": "mean", "multi_label": True, "thresholds": [0.4, 0.5, 0.6]},
    {"cell": "rnn", "pooling": "last", "num_layers": 2, "ngrams": 3},
    {"cell": "rnn", "pooling": "attention", "bptt_truncate": 2, "tokenizer": "char"},
]


def found_ops(export: pathlib.Path) -> set[str]:
    return {node.op_type for node in onnx.load(export / "model.onnx").graph.node}


@pytest.fixture(scope="module")
def made():
    """The ops of all exports that these tests have made."""
    return set()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_every_kind_of_model_answers_as_the_saved_model(tmp_path, kind, made):
    run = UntrainedRun(tmp_path, **kind)
    texts = TEXTS + hostile_texts(40)
    expected = {
        name: value.numpy() for name, value in run.served().predict(tf.constant(texts)).items()
    }
    export = run.export()
    onnx.checker.check_model(str(export / "model.onnx"), full_check=True)
    made |= found_ops(export)
    model = OnnxRuntime(export)
    found = model.run(texts)
    np.testing.assert_allclose(found.probability, expected["probability"], atol=1e-5)
    for name, values in (("prediction", found.classes), ("accepted", found.accepted),
                         ("num_tokens", found.num_tokens), ("is_cut", found.is_cut)):  # fmt: skip
        np.testing.assert_array_equal(values, expected[name])
    assert 0 < found.accepted.mean() < 1 and found.is_cut.any()
    # Each branch by itself, for a text whose ids and n-grams the runtime looks up.
    inputs, _ = model._model.inputs(TEXTS)
    branches = run.run.model.branch_scores((inputs["token_ids"], inputs["lengths"]))
    names = ["scores", "network_scores", "ngram_scores"][: 1 + len(branches)]
    if "ngram_rows" in inputs:
        assert (inputs["ngram_rows"] < run.run.model.num_ngrams).any()
    session = onnxruntime.InferenceSession(export / "model.onnx")
    for scores, wanted in zip(session.run(names, inputs), [sum(branches), *branches], strict=True):
        np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-5)


def test_the_guard_knows_the_ops_of_our_models_and_no_others(made):
    assert made == onnx_guard.OPS


@pytest.fixture(scope="module")
def run(exported, tmp_path_factory):
    """A run that had ended with a SavedModel, and went on to both kinds of export."""
    path = tmp_path_factory.mktemp("both") / "r"
    shutil.copytree(exported.path, path)
    return tf_textrnn.train(run_dir=str(path), resume=True, export_format="both")


def test_training_exports_what_it_is_asked_for(run):
    assert run.export == run.path / "export" / "2"
    assert {path.name for path in run.path.glob("export_onnx/*")} == {"1"}
    # Then nothing is left to do.
    again = {"run_dir": str(run.path), "resume": True}
    assert tf_textrnn.train(**again).export == run.export
    found = tf_textrnn.train(**again, export_format="onnx")
    assert found.export == run.path / "export_onnx" / "1"
    assert found.classifier.labels == ["animals", "colours", "numbers"]


def test_the_command_exports_what_it_is_asked_for(run, capsys, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "r")
    (copy / "classes.json").write_text("[7, 9, 8]")  # as a TextClassifier leaves it
    assert cli.run(["export", f"--run_dir={copy}", "--export_format=both"]) == 0
    assert capsys.readouterr().out == f"{copy}/export/3\n{copy}/export_onnx/2\n"
    for path in (copy / "export" / "3", copy / "export_onnx" / "2"):
        assert tf_textrnn.load(path).classes_.tolist() == [7, 9, 8]
    card = json.loads((copy / "export_onnx" / "2" / "model_card.json").read_bytes())
    assert card["metrics"]["valid_accuracy"] == run.report["valid_accuracy"]
    for content in ("[7, 9]", '["a", 1, 2]', "{", "1"):
        (copy / "classes.json").write_text(content)
        assert cli.run(["export", f"--run_dir={copy}", "--export_format=onnx"]) == 2
        assert "classes.json: " in capsys.readouterr().err


def test_a_predictor_takes_either_kind(run, monkeypatch):
    texts = [text.decode("utf-8", "replace") for text in hostile_texts(300)] + ["a wolf", "seven"]
    saved, exported = Predictor(run.path), Predictor(run.path / "export_onnx")
    assert "saved_model" in type(saved._runtime).__module__  # of a run a SavedModel goes first
    expected = saved(texts)
    for predictor in (exported, Predictor(run.path / "export_onnx" / "1")):
        found = predictor(texts)
        np.testing.assert_allclose(found.probability, expected.probability, atol=1e-5)
        for name in ("classes", "num_tokens", "is_cut", "accepted"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert exported.predict(["wolf and dog", "seven"]).tolist() == ["animals", "numbers"]
    # A batch of many classes and n-grams is run in parts.
    monkeypatch.setattr("tf_textrnn.predictor.onnx_run.MAX_GATHERED", 1)
    assert exported(texts[:200]).probability.tobytes() == found.probability[:200].tobytes()


def python(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess:
    """Runs a fresh process, which finds this package."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, *map(str, arguments)], input=stdin, capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip


def test_nothing_of_tensorflow_is_needed(run, tmp_path):
    (tmp_path / "texts.csv").write_text("text,label\nwolf and dog,animals\nseven,numbers\n")
    script = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'onnx', 'matplotlib', 'babel'):\n"
        "    sys.modules[name] = None\n"
        "import tf_textrnn\n"
        "from tf_textrnn import cli\n"
        "export, texts = sys.argv[1:]\n"
        "print(*tf_textrnn.load(export).predict(['wolf and dog', 'seven']))\n"
        "assert cli.run(['predict', '--model=' + export, 'a wolf']) == 0\n"
        "assert 'scipy' not in sys.modules  # takes as long as all the rest\n"
        "for given in (['--evaluate'], ['--all_probabilities'], []):\n"
        "    where = ['--input=' + texts] if given else ['a wolf']\n"
        "    assert cli.run(['predict', '--model=' + export, *where, *given]) == 0\n"
        "loaded = {name.partition('.')[0] for name, module in sys.modules.items() if module}\n"
        "assert not loaded & {'tensorflow', 'keras', 'onnx', 'h5py'}, loaded\n"
    )
    done = python("-c", script, run.path / "export_onnx", tmp_path / "texts.csv")
    assert (done.returncode, done.stderr) == (0, b"")
    out = done.stdout.decode()
    lines = out.splitlines()
    assert lines[0] == "animals numbers" and lines[-1].startswith("animals\t")
    assert "2 texts: accuracy 1.0000" in out
    assert "wolf and dog,animals,animals," in out


def test_an_export_carries_what_runs_it(run, tmp_path):
    folder = shutil.copytree(run.path / "export_onnx" / "1", tmp_path / "model")
    assert len((folder / "predict.py").read_text("utf-8").splitlines()) < 400
    # Numpy and onnxruntime bring what they need, which is nothing of ours or of the trainer's.
    alone = (
        "import runpy, sys\n"
        "for name in ('tf_textrnn', 'tensorflow', 'keras', 'onnx', 'sklearn', 'scipy', 'absl'):\n"
        "    sys.modules[name] = None\n"
        "runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
    )
    lines = [b"\xef\xbb\xbfa wolf\r", b"nothing known", b"", *hostile_texts(300)[:300], b"seven"]
    texts = b"\n".join(lines)
    (tmp_path / "texts.txt").write_bytes(texts)
    expected = python("-m", "tf_textrnn.cli", "predict", f"--model={folder}", stdin=texts)
    assert expected.stdout.count(b"\n") > 300 and expected.stderr == b""
    runner = ("-c", alone, folder / "predict.py")
    for found in (python(*runner, stdin=texts), python(*runner, f"--input={tmp_path}/texts.txt")):
        assert (found.stdout, found.stderr) == (expected.stdout, b"")
    found = python(*runner, "wolf and dog", "马\tseven")
    assert [line.split("\t")[0] for line in found.stdout.decode().splitlines()] == [
        "animals", "numbers",
    ]  # fmt: skip
    missing = python(*runner, "--input=/no/such/file")
    assert missing.returncode == 1 and missing.stderr.startswith(b"error: ")
    # From Python.
    module = runpy.run_path(str(folder / "predict.py"))
    model, predictor = module["Model"](folder), Predictor(folder)
    texts = ["a wolf", "seven", ""]
    assert model.predict(texts) == predictor.predict(texts).tolist()
    assert model.predict_proba(texts).tobytes() == predictor.predict_proba(texts).tobytes()


def test_a_missing_library_is_one_line(run, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert cli.run(["predict", f"--model={run.path}/export_onnx/1", "wolf"]) == 2
    assert capsys.readouterr().err == (
        f"error: {run.path}/export_onnx/1/model.onnx: onnxruntime is not installed; pip install "
        f"'tf_textrnn[onnx]'\n"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for command in ("export", "train"):
        assert cli.run([command, f"--run_dir={run.path}", "--export_format=both"]) == 2
        assert capsys.readouterr().err == (
            "error: --export_format=both: onnx is not installed; pip install 'tf_textrnn[onnx]'\n"
        )
