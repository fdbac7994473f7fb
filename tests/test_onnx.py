"""An ONNX export answers what the SavedModel answers, and needs no TensorFlow for it."""

import inspect
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
from tf_textrnn.exporting import onnx_graph, onnx_nodes
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
    {"cell": "rnn", "pooling": "mean", "activation": "relu"},
    {"cell": "rnn", "pooling": "last", "leak": 0.3, "num_layers": 2},
    {"cell": "rnn", "pooling": "max", "leak": 0.2, "activation": "relu", "bidirectional": False},
]


KNOWN_OPS = {("", op) for op in onnx_guard.OPS}
KNOWN_OPS |= {(onnx_guard.CONTRIB, op) for op in onnx_guard.CONTRIB_OPS}


def found_ops(export: pathlib.Path) -> set[tuple[str, str]]:
    return {(node.domain, node.op_type) for node in onnx.load(export / "model.onnx").graph.node}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_every_kind_of_model_answers_as_the_saved_model(tmp_path, kind):
    run = UntrainedRun(tmp_path, **kind)
    texts = TEXTS + hostile_texts(40)
    expected = {
        name: value.numpy() for name, value in run.served().predict(tf.constant(texts)).items()
    }
    export = run.export()
    onnx.checker.check_model(str(export / "model.onnx"), full_check=True)
    assert found_ops(export) <= KNOWN_OPS
    model = OnnxRuntime(export)
    found = model.run(texts)
    np.testing.assert_allclose(found.probability, expected["probability"], atol=1e-5)
    np.testing.assert_allclose(found.scores, expected["scores"], rtol=1e-4, atol=1e-4)
    for name, values in (("prediction", found.classes), ("accepted", found.accepted),
                         ("num_tokens", found.num_tokens), ("is_cut", found.is_cut),
                         ("num_known", found.num_known)):  # fmt: skip
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
    small = run.export(is_int8=True)  # its weights are far larger than those of trained models
    assert found_ops(small) <= KNOWN_OPS
    np.testing.assert_allclose(
        OnnxRuntime(small).run(texts).probability, found.probability, atol=0.03
    )


def test_the_guard_knows_no_op_that_we_do_not_write():
    source = inspect.getsource(onnx_graph) + inspect.getsource(onnx_nodes)
    for op in onnx_guard.OPS | onnx_guard.CONTRIB_OPS:
        assert f'"{op}"' in source


@pytest.fixture(scope="module")
def run(exported, tmp_path_factory):
    """A run that had ended with a SavedModel, and went on to both kinds of export."""
    path = tmp_path_factory.mktemp("both") / "r"
    shutil.copytree(exported.path, path, ignore=shutil.ignore_patterns("export"))
    shutil.copytree(exported.path / "export" / "1", path / "export" / "1")
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


def test_a_word_that_the_training_texts_lack_is_read_by_its_stem(run):
    assert not {b"yellowish", b"goats"} & set((run.path / "vocabulary.txt").read_bytes().split())
    for export in (run.path / "export" / "2", run.path / "export_onnx" / "1"):
        predictor = tf_textrnn.load(export)
        assert predictor.predict(["yellowish", "goats"]).tolist() == ["colours", "animals"]
        assert predictor(["yellowish", "goats", "fox"]).num_known.tolist() == [1, 1, 0]


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
        "for name in ('tensorflow', 'keras', 'onnx', 'matplotlib', 'babel', 'filelock'):\n"
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


@pytest.fixture
def runner(tmp_path):
    """Runs the `predict.py` of a folder where there are numpy and onnxruntime and no more."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for library in (np, onnxruntime):
        folder = pathlib.Path(library.__file__).parent
        for path in (folder, folder.with_name(f"{folder.name}.libs")):  # of wheels
            if path.is_dir():
                (libraries / path.name).symlink_to(path)
    script = (
        "import runpy, sys\n"
        "sys.path.append(sys.argv.pop(1))\n"
        "runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
    )

    def run_it(folder, *arguments, stdin=b""):
        alone = ("-I", "-S", "-c", script, libraries, folder / "predict.py")
        return python(*alone, *arguments, stdin=stdin)

    for name in ("tensorflow", "tf_textrnn"):
        found = python("-I", "-S", "-c", f"import sys; sys.path.append({str(libraries)!r})\n"
                       f"import {name}")  # fmt: skip
        assert b"ModuleNotFoundError" in found.stderr
    return run_it


def test_an_export_carries_what_runs_it(run, tmp_path, runner):
    folder = shutil.copytree(run.path / "export_onnx" / "1", tmp_path / "model")
    assert len((folder / "predict.py").read_text("utf-8").splitlines()) < 450
    lines = [b"\xef\xbb\xbfa wolf\r", b"nothing known", b"", *hostile_texts(300)[:300], b"seven"]
    texts = b"\n".join(lines)
    (tmp_path / "texts.txt").write_bytes(texts)
    expected = python("-m", "tf_textrnn.cli", "predict", f"--model={folder}", stdin=texts)
    assert expected.stdout.count(b"\n") > 300 and expected.stderr == b""
    for given in ({"stdin": texts}, {"input": "-", "stdin": texts}, {"input": "texts.txt"}):
        where = given.pop("input", "")
        arguments = [f"--input={where if where == '-' else tmp_path / where}"] if where else []
        found = runner(folder, *arguments, **given)
        assert (found.stdout, found.stderr, found.returncode) == (expected.stdout, b"", 0)
    given = ["wolf and dog", "马\tseven \x1b[2J", os.fsdecode(b"\xff\xe9 seven")]
    found = runner(folder, *given)
    expected = python("-m", "tf_textrnn.cli", "predict", f"--model={folder}", *given)
    assert found.stdout == expected.stdout and found.stdout.count("\ufffd".encode()) == 3


@pytest.mark.parametrize(
    "kind",
    [
        {"multi_label": True, "thresholds": [0.4, 0.5, 0.6]},
        {"cell": "gru", "tokenizer": "char", "thresholds": [0.2, 0.4, 0.3]},
        {"cell": "rnn", "ngrams": 0},
    ],
    ids=lambda kind: "-".join(kind),
)
def test_the_carried_runner_answers_as_the_package(tmp_path, kind):
    run = UntrainedRun(tmp_path, **kind)
    run.run.values[:] = [1, 2, 10]
    export = run.export()
    model, predictor = (
        runpy.run_path(str(export / "predict.py"))["Model"](export),
        Predictor(export),
    )
    texts = [text.decode("utf-8", "replace") for text in TEXTS + hostile_texts(200)]
    expected = predictor(texts)
    for found, wanted in zip(
        model(texts), (expected.classes, expected.probability, expected.accepted), strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert model.predict(texts) == predictor.predict(texts).tolist()
    assert {*map(type, model.predict(texts))} == {tuple if "multi_label" in kind else int}
    assert model.predict_proba([]).shape == (0, 3) and model.predict([]) == []
    with pytest.raises(TypeError, match="a list of strings"):
        model.predict("a")


def test_a_mistake_of_who_runs_it_is_one_line(run, tmp_path, runner):
    folder = shutil.copytree(run.path / "export_onnx" / "1", tmp_path / "model")

    def refusal(*arguments, **options):
        found = runner(folder, *arguments, **options)
        assert (found.returncode, found.stdout) == (2, b"")
        assert found.stderr.count(b"\n") == 1 and b"\x1b" not in found.stderr
        return found.stderr.decode().removeprefix("error: ")

    assert "No such file or directory: '/no/\\x1b[2J'" in refusal("--input=/no/\x1b[2J")
    assert refusal("--inputs=x").startswith("unrecognized arguments: --inputs=x; --help")
    assert refusal("--input=x", "a wolf").startswith("argument texts: not allowed")
    for name in ("vocabulary.txt", "model.onnx"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1])
        assert refusal("a") == (
            f"{folder}: not a whole export ({name} is cut, changed or of another model)\n"
        )
        (folder / name).write_bytes(content)
    (folder / "model.json").write_text('{"sha256": {}, "\x1b": 1')
    assert "not a whole export (" in refusal("a")
    (folder / "labels.txt").unlink()
    (folder / "model.json").unlink()
    assert f"{folder}: not a whole export ([Errno 2] No such file" in refusal("a")


def test_the_carried_runner_says_what_is_not_installed(run):
    found = python("-c", "import runpy, sys\nsys.modules['onnxruntime'] = None\n"
                   "runpy.run_path(sys.argv.pop(1), run_name='__main__')",
                   run.path / "export_onnx" / "1" / "predict.py", "a wolf")  # fmt: skip
    assert found.returncode == 2 and found.stderr.count(b"\n") == 1
    assert found.stderr.endswith(b"; pip install onnxruntime\n")


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
