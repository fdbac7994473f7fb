"""Parts of the texts in processes side by side; `test_folds.py` has real trainings."""

import sys
import time

import pytest

from tf_textrnn.base import processes
from tf_textrnn.base.errors import DivergedError, UserError
from tf_textrnn.config import Config
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training import side_by_side
from tf_textrnn.training.side_by_side import train_side_by_side

TOLD = "import sys, time; fold, number = sys.argv[1:]; sys.stdin.read();"


@pytest.fixture
def cores(monkeypatch):
    """A machine on which two trainings have room."""
    monkeypatch.setattr(processes, "usable_cores", lambda: 4)
    monkeypatch.setattr(processes, "_LOOK_SECONDS", 0.02)


@pytest.fixture
def train(cores, monkeypatch, tmp_path):
    """Trains three folds by processes that run some Python in place of a training."""

    def run(program, **options):
        monkeypatch.setattr(side_by_side, "PROGRAM", (sys.executable, "-c", TOLD + program))
        config = Config().replace(**{"folds": 3, "run_dir": str(tmp_path)} | options)
        train_side_by_side(config, RunFolder(str(tmp_path)))

    return run


def test_what_processes_print_is_shown_with_their_names(train, capsys):
    train("print(f'fold {number} of 3: done'); print('epoch 1/9 loss', number)")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "trains 2 models side by side"
    expected = [f"fold {k} of 3: done" for k in "123"] + [
        f"fold {k}, epoch 1/9 loss {k}" for k in "123"
    ]
    assert sorted(lines[1:]) == sorted(expected)


def test_a_fold_that_has_ended_is_left_alone(train, tmp_path, capsys):
    folder = RunFolder(str(tmp_path))
    for fold in (0, 2):
        folder.fold(fold).make()
        folder.fold(fold).scores.touch()
    train("print('trained', number)")
    assert capsys.readouterr().out == "trained 2\n"


@pytest.mark.parametrize("status, error", [(2, UserError), (1, DivergedError)])
def test_an_error_of_one_ends_the_others_and_is_that_of_the_run(train, capsys, status, error):
    began = time.monotonic()
    with pytest.raises(error, match=r"^x\.csv:3: expected a label$"):
        train(
            "print('error: x.csv:3: expected a label', file=sys.stderr) or "
            f"sys.exit({status}) if number == '2' else time.sleep(60)"
        )
    assert time.monotonic() - began < 30
    assert "expected a label" not in capsys.readouterr().out


def test_a_process_that_is_killed_leaves_its_fold_to_the_run(train, capsys):
    train("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    warnings = capsys.readouterr().err.splitlines()
    assert sorted(warnings) == [
        f"warning: fold {k}: its process has ended with status -9; the run trains it itself"
        for k in "123"
    ]


def test_standard_input_is_read_by_one_process(train, capsys):
    train("print('trained')", train_file="-")
    assert capsys.readouterr().out == ""
