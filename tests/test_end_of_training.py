"""A training that is done is never lost: what comes after it costs a warning line at most."""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import SILENT, weights
from tf_textrnn import api
from tf_textrnn.base.errors import DivergedError
from tf_textrnn.data.quotes import Quotes
from tf_textrnn.exporting.saved_model import export_run
from tf_textrnn.runs import answered, checkpoints, report
from tf_textrnn.runs.summaries import Summaries
from tf_textrnn.training import ending, runner

ROOT = pathlib.Path(__file__).parents[1]


def test_texts_that_change_while_they_are_trained_on_end_in_a_whole_report(
    small_options, finished, tmp_path
):
    files = {}
    for split in ("train", "valid", "test"):
        files[f"{split}_file"] = tmp_path / f"{split}.tsv"
        content = pathlib.Path(small_options[f"{split}_file"]).read_bytes()
        files[f"{split}_file"].write_bytes(content)

    def change(step):
        if step == 5:
            files["train_file"].unlink()
            files["valid_file"].write_text("numbers\tone more\n", encoding="utf-8")
            os.utime(files["test_file"], (1, 1))

    options = {**small_options, **{name: str(path) for name, path in files.items()}}
    options["run_dir"] = str(tmp_path / "run")
    done = runner.run(options, on_step=change, export=export_run)
    assert weights(done.folder) == weights(finished)
    assert done.folder.mistakes.read_bytes() == finished.mistakes.read_bytes()
    assert (done.export / "saved_model.pb").is_file()


def test_what_fails_after_training_is_left_out_with_a_warning(
    small_options, tmp_path, monkeypatch, capsys
):
    def fail(words):
        def failing(*_args, **_options):
            raise RuntimeError(words)

        return failing

    monkeypatch.setattr(answered, "confusion_figure", fail("no picture"))
    monkeypatch.setattr(ending, "strongest_words", fail("no words"))
    monkeypatch.setattr(ending, "measure_longest", fail("no flow"))
    monkeypatch.setattr(Summaries, "report", fail("no board"))

    def lose_quotes(_step):
        monkeypatch.setattr(Quotes, "of", fail("no quotes"))

    options = {**small_options, "num_epochs": 1, "run_dir": str(tmp_path / "run")}
    done = runner.run(options, export=export_run, on_step=lose_quotes)
    warnings = [x for x in capsys.readouterr().err.splitlines() if x.startswith("warning: ")]
    what_fails = ("quotes", "words", "quotes", "picture", "flow", "board", "quotes")
    for warning, what in zip(warnings, what_fails, strict=True):
        assert warning.endswith(f"left out (RuntimeError: no {what})")
    assert json.loads(done.folder.report_json.read_text("utf-8")) == done.report
    assert (done.export / "saved_model.pb").is_file()


def test_numbers_that_fail_cost_no_export(small_options, tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise RuntimeError("no numbers")

    monkeypatch.setattr(report, "report_values", fail)
    options = {**small_options, "num_epochs": 1, "run_dir": str(tmp_path / "run")}
    with pytest.raises(RuntimeError, match="no numbers"):
        runner.run(options, export=export_run)
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").is_file()


def test_labels_of_dollars_and_other_signs_are_drawn_as_they_are(tmp_path, capsys):
    labels = ["US$ 5 to $ 9", "$x_$", r"\frac{", "a_b^c"]
    lines = [f"{label}\tword{i} of {i}\n" for i, label in enumerate(labels) for _ in range(10)]
    (tmp_path / "train.tsv").write_text("".join(lines), encoding="utf-8")
    options = {"train_file": str(tmp_path / "train.tsv"), "run_dir": str(tmp_path / "run")}
    options["cache_dir"] = str(tmp_path / "cache")
    done = runner.run({**options, "num_epochs": 1, "hidden_size": 4, "embedding_dim": 4})
    assert "warning" not in capsys.readouterr().err
    assert done.folder.confusion_matrix.stat().st_size > 1_000
    assert set(done.report["per_class"]) == set(labels)


@pytest.mark.parametrize("closed", [(1, 2), pytest.param((0, 1), marks=pytest.mark.slow)])
def test_a_terminal_that_is_gone_stops_no_training(small_options, tmp_path, closed):
    options = {**small_options, "num_epochs": 1, "run_dir": tmp_path / "run"}
    command = [sys.executable, "-c", SILENT.format(closed=closed), "train.py"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "no folder")}
    done = subprocess.run(command, cwd=ROOT, env=environment, timeout=120, check=False)
    assert done.returncode == 0
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").is_file()
    assert (tmp_path / "run" / "report.json").is_file()


@pytest.mark.slow
def test_a_reader_that_has_enough_stops_no_training(small_options, tmp_path):
    options = {**small_options, "run_dir": tmp_path / "run"}
    command = [sys.executable, "train.py", *(f"--{k}={v}" for k, v in options.items())]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        process.stdout.readline()
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=120)) == ("", 0)
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").is_file()


def test_a_terminal_of_another_alphabet_is_shown_escapes(capsys, monkeypatch):
    import io

    from tf_textrnn.base import terminal

    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="latin-1"))
    terminal.show("é 中")
    assert buffer.getvalue() == b"\xe9 \\u4e2d\n"


@pytest.mark.slow
def test_the_card_of_an_export_holds_no_older_reports_numbers(small_options, tmp_path):
    options = {**small_options, "num_epochs": 1, "run_dir": str(tmp_path / "run")}
    folder = runner.run(options).folder
    before = json.loads((export_run(str(folder.path)) / "assets.extra/model_card.json").read_text())
    assert before["metrics"]["best_epoch"] == 1

    def export_in_between(step):
        if step == 25:
            # An export takes the best weights that a checkpoint on disk names.
            while checkpoints.own_files(folder.checkpoints)[-1].stem != f"{20:010}":
                time.sleep(0.01)
            version = export_run(str(folder.path))
            card = json.loads((version / "assets.extra/model_card.json").read_text())
            assert card["metrics"] == {}
            assert card["per_class"] is None

    again = {"run_dir": str(folder.path), "resume": True, "num_epochs": 3}
    runner.run(again, on_step=export_in_between)
    after = json.loads((export_run(str(folder.path)) / "assets.extra/model_card.json").read_text())
    assert after["metrics"]["best_epoch"] == 3


def test_a_loss_far_above_guessing_is_a_divergence_though_it_is_finite(small_options, tmp_path):
    options = {**small_options, "learning_rate": 1e30, "run_dir": str(tmp_path / "run")}
    with pytest.raises(DivergedError, match=r"the mean loss of epoch 1 is .*guessing has 1\.10"):
        api.train(**options)
    assert not (tmp_path / "run" / "export").exists()
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        arrays, _ = checkpoints.read(path)
        assert all(np.isfinite(array).all() for array in arrays.values())
