"""Parts of the texts in processes side by side; `test_folds.py` has real trainings."""

import sys

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
    for module in (processes, side_by_side):
        monkeypatch.setattr(module, "usable_cores", lambda: 4)
    monkeypatch.setattr(processes, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(side_by_side.tf.config, "list_physical_devices", lambda kind: [])


@pytest.fixture
def train(cores, monkeypatch, tmp_path):
    """Trains three folds by processes that run some Python in place of a training."""

    def run(program, **options):
        monkeypatch.setattr(side_by_side, "PROGRAM", (sys.executable, "-c", TOLD + program))
        config = Config().replace(**{"folds": 3, "run_dir": str(tmp_path)} | options)
        train_side_by_side(config, RunFolder(str(tmp_path)))

    return run


def test_epochs_and_warnings_are_shown_and_the_rest_is_in_the_log(train, tmp_path, capsys):
    train(
        "print('fold', number); print('epoch 1/9 loss', number);"
        "print('warning: it is', number, file=sys.stderr)"
    )
    shown = capsys.readouterr()
    assert shown.out.startswith("trains 2 models side by side\n")
    epochs = [f"fold {k}, epoch 1/9 loss {k}" for k in "123"]
    assert sorted(shown.out.splitlines()[1:]) == epochs
    assert sorted(shown.err.splitlines()) == [f"warning: it is {k}" for k in "123"]
    for k in "123":
        log = (tmp_path / "folds" / k / "train.log").read_text()
        assert sorted(log.splitlines()) == sorted(
            [f"fold {k}", f"epoch 1/9 loss {k}", f"warning: it is {k}"]
        )


def test_a_fold_that_has_ended_is_left_alone(train, tmp_path):
    folder = RunFolder(str(tmp_path))
    for fold in (0, 2):
        folder.fold(fold).make()
        folder.fold(fold).scores.touch()
    train("print('trained')")
    logs = [(tmp_path / "folds" / k / "train.log").exists() for k in "123"]
    assert logs == [False, True, False]


def test_the_threads_of_a_process_do_not_depend_on_how_many_folds_are_left(
    train, tmp_path, monkeypatch
):
    for name in ("TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    told = "import os; print([os.environ[f'TF_NUM_{x}_THREADS'] for x in ('INTEROP', 'INTRAOP')])"
    train(told)
    folder = RunFolder(str(tmp_path))
    for fold in (0, 2):
        folder.fold(fold).scores.touch()
    train(told)
    assert (folder.fold(1).path / "train.log").read_text() == "['2', '1']\n" * 2


def test_options_of_any_script_reach_a_process(tmp_path):
    told = "import json, sys; print(json.loads(sys.stdin.buffer.read())['files']['label_column'])"
    process = processes.OwnProcess(
        [sys.executable, "-c", told], tmp_path / "log",
        told=Config().replace(label_column="标题").to_json(),
    )  # fmt: skip
    process.wait()
    assert (tmp_path / "log").read_text("utf-8") == "标题\n"


@pytest.mark.parametrize("status, error", [(2, UserError), (1, DivergedError)])
def test_an_error_of_one_ends_the_others_and_is_that_of_the_run(
    train, tmp_path, capsys, status, error
):
    end = tmp_path / "end"
    with pytest.raises(error, match=r"^x\.csv:3: expected a label$"):
        train(
            "print('error: x.csv:3: expected a label', file=sys.stderr) or "
            f"sys.exit({status}) if number == '2' else time.sleep(60) or open({str(end)!r}, 'w')"
        )
    assert not end.exists()
    assert "expected a label" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "end, status", [("os.kill(os.getpid(), signal.SIGKILL)", -9), ("raise MemoryError", 1)]
)
def test_a_process_that_ends_without_a_word_leaves_its_fold_to_the_run(train, capsys, end, status):
    train(f"import os, signal\n{end}")
    warnings = capsys.readouterr().err.splitlines()
    assert sorted(warnings) == [
        f"warning: fold {k}: its process has ended with status {status}; the run trains it itself"
        for k in "123"
    ]


@pytest.mark.parametrize("path", ["-", "a.csv,-", "/dev/stdin"])
def test_standard_input_is_read_by_one_process(train, tmp_path, path):
    train("", train_file=path)
    assert not (tmp_path / "folds").exists()


WORK = """
import time
from tf_textrnn.base import exits, signals

def work():
    with signals.deferred():
        print("begun", flush=True)
        while not signals.received():
            time.sleep(0.01)
        print("signalled", flush=True)
        time.sleep(0.3)
        print("saved", flush=True)

exits.end_with(work)
"""


def test_a_second_signal_does_not_keep_a_process_from_saving(tmp_path):
    """As where a system sends one to all of a group, and the parent sends its own."""
    process, lines = processes.OwnProcess([sys.executable, "-c", WORK], tmp_path / "log"), []
    for said in ("begun", "signalled"):
        while said not in lines:
            lines += process.new_lines()
        process.stop()
    process.wait()
    assert process.status == 143
    assert process.new_lines()[0] == "saved"
