"""The public face: its names, `train`, `load`, and the examples of the docstrings."""

import configparser
import doctest
import importlib
import pathlib
import random
import runpy
import shutil

import numpy as np
import pytest
from tensorflow.python.framework import config as tf_config

import tf_textrnn
from tests.conftest import topic_lines, weights
from tf_textrnn.api import Run
from tf_textrnn.base.errors import UserError
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.runs.folder import RunFolder

ROOT = pathlib.Path(__file__).parents[1]
TEXTS = [line.partition("\t")[2] for line in topic_lines(30, seed=21)]


def test_the_names_are_these():
    assert tf_textrnn.__all__ == [
        "Config", "ModelConfig", "TextClassifier", "TextRNN", "__version__", "load", "train",
    ]  # fmt: skip
    for name in tf_textrnn.__all__:
        assert getattr(tf_textrnn, name)
        assert name in dir(tf_textrnn)
    with pytest.raises(AttributeError, match="module 'tf_textrnn' has no attribute 'trian'"):
        tf_textrnn.trian  # noqa: B018


def test_the_package_has_the_version_of_the_module():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    module, _, name = setup["metadata"]["version"].removeprefix("attr: ").rpartition(".")
    assert getattr(importlib.import_module(module), name) == tf_textrnn.__version__ == "0.2.0.dev0"


def modules_with_examples():
    """Each module with examples; that of what takes longest is slow."""
    for path in sorted((ROOT / "tf_textrnn").rglob("*.py")):
        if " >>> " in path.read_text("utf-8"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            slow = [pytest.mark.slow] if name == "tf_textrnn.api" else []
            yield pytest.param(name, marks=slow)


@pytest.mark.parametrize("module", list(modules_with_examples()))
def test_examples_of_docstrings_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in found:
        test.globs["tf_textrnn"] = tf_textrnn
        runner.run(test)
    assert runner.failures == 0
    assert runner.tries > 0


def test_what_is_public_has_an_example():
    names = ("Config", "TextClassifier", "load", "train")
    for thing in (*(getattr(tf_textrnn, name) for name in names), Run, Predictor):
        assert "\n    Example:\n      >>> " in thing.__doc__


def test_the_documented_reference_is_that_of_the_docstrings(capsys):
    runpy.run_path(str(ROOT / "scripts" / "api.py"), run_name="__main__")
    assert (ROOT / "docs" / "api.md").read_text("utf-8") == capsys.readouterr().out


@pytest.fixture(scope="module")
def run(small_options, tmp_path_factory):
    """A run that `train` made from Python numbers and paths."""
    path = tmp_path_factory.mktemp("trained") / "my run"
    options = {**small_options, "train_file": pathlib.Path(small_options["train_file"])}
    tf_config.disable_op_determinism()  # which other tests leave on
    random.seed(3)
    expected = random.random()
    random.seed(3)
    run = tf_textrnn.train(**{**options, "hidden_size": np.int64(16)}, run_dir=path)
    assert random.random() == expected
    assert not tf_config.is_op_determinism_enabled()
    return run


def test_a_run_tells_what_it_came_to(run, finished):
    assert weights(RunFolder(str(run.path))) == weights(finished)  # as the command's
    assert run.config.model.hidden_size == 16
    assert run.config.run.run_dir == str(run.path)
    assert run.report["epochs"] == 3
    assert run.report["config"] == run.config.options()
    assert run.export == run.path / "export" / "1"
    accuracy = run.report["valid_accuracy"]
    assert repr(run) == (
        f"Run({str(run.path)!r}, valid_accuracy={accuracy:.4f}, "
        f"best_epoch={run.report['best_epoch']}, epochs=3)"
    )


def test_mistakes_in_options_are_told_before_training():
    with pytest.raises(UserError, match="--hiden_size is not an option; did you mean --hidden_s"):
        tf_textrnn.train(hiden_size=3)
    with pytest.raises(UserError, match="flag --cell=elman: expected one of lstm, gru, rnn"):
        tf_textrnn.train(cell="elman")


def test_every_folder_of_a_run_gives_its_predictor(run):
    expected = run.classifier.predict_proba(TEXTS)
    assert run.classifier is run.classifier
    assert (expected.dtype, expected.shape) == (np.float32, (30, 3))
    for path in (run.path, run.path / "export", run.export, str(run.path)):
        predictor = tf_textrnn.load(path)
        assert predictor.classes_.tolist() == predictor.labels == ["animals", "colours", "numbers"]
        assert predictor.predict_proba(TEXTS).tobytes() == expected.tobytes()
    labels = run.classifier.predict(np.array(TEXTS, object))
    assert labels.dtype == object
    assert labels.tolist() == [predictor.labels[c] for c in expected.argmax(axis=1)]


def test_no_texts_give_no_predictions(run):
    assert run.classifier.predict([]).shape == (0,)
    assert run.classifier.predict_proba([]).shape == (0, 3)
    with pytest.raises(TypeError, match="texts: found one string; expected a list of strings"):
        run.classifier.predict("a fine film")


def test_wrong_paths_are_one_line(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "bare run", ignore=lambda *_: ["export"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.keras").write_bytes(b"PK")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"\xff")
    for path, message in (
        (tmp_path / "missing", "missing: found nothing; expected a run, an export or a .keras"),
        (run.path / "config.json", "config.json: found a file; expected a run"),
        (tmp_path / "empty", "empty: found a folder with nothing in it; expected a run"),
        (tmp_path, "found a folder with bare run, damaged, damaged.keras, empty; expected"),
        (tmp_path / "bare run", f"no export; make one with textrnn export '--run_dir={tmp_path}/b"),
        (tmp_path / "damaged.keras", "damaged.keras: not a Keras model that can be loaded"),
        (tmp_path / "damaged", "damaged: not a model of this project"),
    ):
        with pytest.raises(UserError) as error:
            tf_textrnn.load(path)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
