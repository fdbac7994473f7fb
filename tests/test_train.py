"""A run from end to end: files, figures, equal bits twice, resuming, and bad input."""

import json
import pathlib
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.base.errors import UserError
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.training import runner

ROOT = pathlib.Path(__file__).parents[1]
TIMINGS = {"examples_per_second", "train_examples_per_second"}
PATHS = {"run_dir", "resume", "cache_dir"}


def without_timings(record):
    return {key: value for key, value in record.items() if key not in TIMINGS}


def results(folder: RunFolder):
    """Returns everything that a run ends with, without timings and paths."""
    weights = read_best(folder).arrays
    newest, _ = checkpoints.read(max(folder.checkpoints.glob("*.npz")))
    metrics = [without_timings(json.loads(x)) for x in folder.metrics.read_text().splitlines()]
    report = without_timings(json.loads(folder.report_json.read_text()))
    report["config"] = {k: v for k, v in report["config"].items() if k not in PATHS}
    arrays = {name: array.tobytes() for name, array in [*weights.items(), *newest.items()]}
    return arrays, metrics, report, folder.mistakes.read_text(), folder.predictions.read_text()


def test_learns_and_leaves_the_files_of_a_run(finished, topics):
    assert {path.name for path in finished.path.iterdir()} == {
        "config.json",
        "vocabulary.txt",
        "labels.txt",
        "checkpoints",
        "best",
        "tensorboard",
        "metrics.jsonl",
        "report.json",
        "report.html",
        "report.txt",
        "confusion_matrix.png",
        "reliability.png",
        "risk_coverage.png",
        "mistakes.tsv",
        "predictions.tsv",
        ".lock",
    }
    report = json.loads(finished.report_json.read_text())
    assert report["test_accuracy"] == report["accuracy"] > 0.9
    assert report["test_macro_f1"] == report["macro_f1"]
    assert report["evaluated_on"] == "test"
    assert report["config"]["train_file"] == str(topics / "train.tsv")
    assert finished.labels.read_text() == "animals\ncolours\nnumbers\n"
    metrics = [json.loads(line) for line in finished.metrics.read_text().splitlines()]
    assert [epoch["step"] for epoch in metrics] == [10, 20, 30]
    best = min(metrics, key=lambda m: m["valid_loss"])
    assert report["best_epoch"] == best["epoch"] + 1
    assert report["valid_accuracy"] == best["valid_accuracy"]
    assert report["temperature"] == best["temperature"]


def test_the_best_model_can_be_loaded(finished):
    run = load_run(finished)
    assert run.labels == ["animals", "colours", "numbers"]
    ids = [run.vocabulary.index(word) for word in (b"horse", b"dog")]
    scores = run.model((np.array([ids]), np.array([2])))
    assert run.labels[int(np.argmax(scores))] == "animals"


def test_nothing_is_traced_twice_whatever_the_lengths(small_options, tmp_path, monkeypatch):
    chooser = random.Random(0)
    lines = [f"{chooser.choice('ab')}\t{'x ' * (n % 61)}\n" for n in range(330)]
    (tmp_path / "train.tsv").write_text("".join(lines))
    functions, function = [], tf.function

    def kept(python_function=None, **options):
        if python_function is None:
            return lambda decorated: kept(decorated, **options)
        functions.append(function(python_function, **options))
        return functions[-1]

    monkeypatch.setattr(tf, "function", kept)
    options = {"train_file": str(tmp_path / "train.tsv"), "run_dir": str(tmp_path / "run")}
    for name in ("cache_dir", "hidden_size", "embedding_dim", "num_epochs"):
        options[name] = small_options[name]
    runner.run({**options, "batch_size": 4, "gradients_every": 1})
    traces = [
        (getattr(f.python_function, "func", f.python_function).__name__,
         f.experimental_get_tracing_count())
        for f in functions
    ]  # fmt: skip
    assert sorted(traces) == [
        ("_gradients", 1), ("_measure", 1), ("_traced_step", 1),
        ("score", 1), ("score", 1), ("split", 1),
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_bits(finished, small_options, tmp_path):
    again = runner.run({**small_options, "run_dir": str(tmp_path / "again")}).folder
    assert results(again) == results(finished)
    other = runner.run({**small_options, "run_dir": str(tmp_path / "other"), "seed": 2}).folder
    assert results(other)[0] != results(finished)[0]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    "steps", [pytest.param(3, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow), 17]
)
def test_a_run_that_was_cut_short_ends_with_the_same_bits(finished, small_options, tmp_path, steps):
    run_dir = str(tmp_path / "cut")

    def kill(step):
        if step == steps:
            raise Killed

    # Checkpoints as often as possible, so that the run resumes inside an epoch too.
    with pytest.raises(Killed):
        runner.run({**small_options, "run_dir": run_dir, "checkpoint_minutes": 1e-9}, on_step=kill)
    again = {"run_dir": run_dir, "resume": True, "checkpoint_minutes": 5.0}
    resumed = runner.run(again).folder
    assert results(resumed) == results(finished)


@pytest.mark.slow
def test_a_finished_run_can_go_on_for_more_epochs(finished, small_options, tmp_path):
    run_dir = str(tmp_path / "short")
    runner.run({**small_options, "num_epochs": 2, "run_dir": run_dir})
    resumed = runner.run({"run_dir": run_dir, "resume": True, "num_epochs": 3}).folder
    assert results(resumed) == results(finished)


def test_patience_stops_a_run_that_no_longer_improves(small_options, tmp_path):
    options = {"learning_rate": 1e-9, "average_decay": 0.0, "patience": 2, "num_epochs": 9}
    folder = runner.run({**small_options, **options, "run_dir": str(tmp_path / "run")}).folder
    metrics = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert len(metrics) == 3


def test_the_learning_rate_follows_the_sources_schedule(small_options, tmp_path):
    options = {"learning_rate": 0.5, "lr_decay": 0.5, "max_decay_epoch": 1, "num_epochs": 4}
    options |= {"optimizer": "sgd", "patience": 0}
    folder = runner.run({**small_options, **options, "run_dir": str(tmp_path / "run")}).folder
    rates = [json.loads(line)["learning_rate"] for line in folder.metrics.read_text().splitlines()]
    assert rates == [0.5, 0.5, 0.25, 0.125]


def test_without_a_test_file_the_report_is_on_valid_and_says_so(small_options, tmp_path):
    options = {**small_options, "valid_file": "", "test_file": "", "num_epochs": 1}
    folder = runner.run({**options, "run_dir": str(tmp_path / "run")}).folder
    report = json.loads(folder.report_json.read_text())
    assert report["evaluated_on"] == "valid"
    assert report["accuracy"] == report["valid_accuracy"]
    assert not {"test_accuracy", "test_macro_f1"} & report.keys()
    assert folder.report_text.read_text().startswith("valid (there is no test file): accuracy")


def test_dirty_texts_are_trained_on(small_options, tmp_path):
    dirty = [
        b"a\t",
        b"b\t   ",
        b"a\t\xff\xfe\xfd",
        b"b\tnul \0 byte",
        b"a\t" + b"word " * 1_000_000,
        b"b\t\xe2\x80\x8b\xe2\x80\x8f",
        b"a\tnever seen again",
    ]
    train = b"\xef\xbb\xbf" + b"\r\n".join(dirty * 3) + b"\r\n"
    (tmp_path / "train.tsv").write_bytes(train)
    (tmp_path / "test.tsv").write_bytes(b"a\t\nb\tunknown words only\n")
    options = {**small_options, "train_file": str(tmp_path / "train.tsv"), "valid_file": ""}
    options |= {"valid_fraction": 0.3, "test_file": str(tmp_path / "test.tsv")}
    folder = runner.run({**options, "run_dir": str(tmp_path / "run")}).folder
    for line in folder.metrics.read_text().splitlines():
        assert all(np.isfinite(value).all() for value in json.loads(line).values())
    assert np.isfinite(json.loads(folder.report_json.read_text())["log_loss"])


GOOD = b"a\tone\nb\ttwo\n" * 10


@pytest.mark.parametrize(
    ("options", "content", "message"),
    [
        ({"train_file": "nowhere.tsv"}, None, "--train_file=nowhere.tsv: No such file"),
        ({}, b"", "no labeled texts; the file is empty"),
        ({}, b"a\tone\ntwo\n", ":2: expected label<TAB>text"),
        ({}, b"a\tone\n\ttwo\n", ":2: a text without a label"),
        ({}, b"a\tone\na\ttwo\n", "expected at least two labels, found only 'a'"),
        ({"format": "csv"}, b"kind,text\na,one\n", "no column 'label' (--label_column)"),
        ({"format": "csv"}, b'label,text\na,"one\n', ":2: a quote that opens here is never"),
        ({"format": "jsonl"}, b'{"label": "a"', ":1: broken JSON"),
        ({"valid_content": b"c\tone\n"}, GOOD, ":1: no label of this file is in"),
        (
            {"test_content": b"a\tone\nc\tone\n", "strict_labels": True},
            GOOD,
            ":2: the label 'c' is not in",
        ),
        ({"run_dir": "/proc/run"}, GOOD, "--run_dir=/proc/run: /proc cannot be written"),
        ({"run_dir": "."}, GOOD, "already holds a run; expected a new folder, or --resume"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing_behind(
    tmp_path, monkeypatch, options, content, message
):
    monkeypatch.chdir(tmp_path)
    options = {"run_dir": "run", "cache_dir": "cache", "train_file": "train.tsv", **options}
    for split in ("valid", "test"):
        if f"{split}_content" in options:
            pathlib.Path(f"{split}.tsv").write_bytes(options.pop(f"{split}_content"))
            options[f"{split}_file"] = f"{split}.tsv"
    if content is not None:
        pathlib.Path("train.tsv").write_bytes(content)
    if options["run_dir"] == ".":
        pathlib.Path("config.json").write_text("{}")
    before = {path.name for path in tmp_path.iterdir()} | {"cache"}
    with pytest.raises(UserError) as error:
        runner.run(options)
    assert message in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} <= before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 8}, "flag --hidden_size=8: the run to resume has 16"),
        ({"max_len": 7}, "flag --max_len=7: the run to resume has 400"),
        ({"run_dir": ""}, "--resume: expected --run_dir"),
        ({"run_dir": "nowhere"}, "--run_dir=nowhere: holds no run"),
    ],
)
def test_a_resume_that_is_none(finished, options, message):
    with pytest.raises(UserError, match=message):
        runner.run({"run_dir": str(finished.path), "resume": True, **options})


def test_the_command_exits_with_2_and_one_line(tmp_path):
    (tmp_path / "train.tsv").write_text("a\tone\nno tab\n")
    arguments = [f"--train_file={tmp_path / 'train.tsv'}", f"--cache_dir={tmp_path / 'cache'}"]
    command = [sys.executable, "train.py", *arguments, f"--run_dir={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {tmp_path / 'train.tsv'}:2: expected label<TAB>text, found no tab ('no tab')\n"
    )
    assert not (tmp_path / "run").exists()
