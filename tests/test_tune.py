"""`textrnn tune`: what it leaves, how it goes on, what it refuses."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.tune_trainer import EPOCH_SECONDS, loss
from tf_textrnn import cli
from tf_textrnn.base import processes
from tf_textrnn.runs.history import read_history
from tf_textrnn.tuning import process
from tf_textrnn.tuning.trials import FAILURES

ROOT = pathlib.Path(__file__).parents[1]
TRAINER = (sys.executable, "-m", "tests.tune_trainer")
TUNE = (
    f"from tf_textrnn.tuning import process\nprocess.PROGRAM = {TRAINER}\n"
    "from tf_textrnn.cli import main\nmain()"
)  # for `python -c`


def flags(folder, minutes, *more):
    return ["tune", "--train_file=texts.tsv", "--test_file=test.tsv", f"--minutes={minutes}",
            "--num_epochs=8", f"--run_dir={folder}", *more]  # fmt: skip


def options_of(run):
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    return {name: value for section in config.values() if isinstance(section, dict)
            for name, value in section.items()}  # fmt: skip


@pytest.fixture
def quick(monkeypatch):
    """Makes trainings of milliseconds."""
    monkeypatch.setattr(process, "PROGRAM", TRAINER)
    monkeypatch.setattr(processes, "_LOOK_SECONDS", 0.02)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_tuning_keeps_what_is_best_on_validation_and_reads_the_test_file_once(
    quick, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("tf_textrnn.base.processes.usable_cores", lambda: 4)
    assert cli.run(flags(tmp_path / "t", 0.12)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    root = tmp_path / "t"
    for run in [file.parent for file in root.rglob("config.json")]:
        assert (options_of(run)["test_file"] == "test.tsv") is (run.name == "final")
        assert options_of(run)["folds"] == (1 if run.name == "final" else 0)
        assert options_of(run)["seed"] == int((re.findall(r"-(\d+)$", run.name) or ["1"])[0])
    state = json.loads((root / "state.json").read_text(encoding="utf-8"))
    trained = [run for run in (root / "trials").iterdir() if len(read_history(run)) == 8]
    # Of trials that are as good, the earliest.
    best = min(trained, key=lambda run: (read_history(run)[-1]["valid_loss"], int(run.name)))
    assert state["kept"] == state["chosen"] == int(best.name) != 0
    assert loss(options_of(best), 7) < loss({}, 7)
    assert read_history(root / "final") == read_history(best)

    table = (root / "tune.txt").read_text(encoding="utf-8")
    assert table in out
    assert re.search(rf"^{best.name} \* +0\.\d{{4}} ", table, re.MULTILINE)
    assert re.search(r"^0 .* trained  as given$", table, re.MULTILINE)
    pairs = re.findall(r"^(\d+) +(0\.\d{4}) +(0\.\d{4})$", table, re.MULTILINE)
    assert [int(seed) for seed, *_ in pairs] == [*range(2, 2 + len(pairs))]
    assert len(pairs) >= 2
    assert "in the mean of" in table.splitlines()[-1]
    assert "claimed" not in table  # each seed gives the same difference

    tuned = (root / "best.flags").read_text("utf-8").splitlines()[1:]
    assert tuned[:2] == ["--train_file=texts.tsv", "--test_file=test.tsv"]
    again = cli.train_options([f"--flagfile={root / 'best.flags'}"])
    assert {name: options_of(root / "final")[name] for name in again} == again

    assert cli.run(flags(root, 0.12)) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        f"nothing is left to do: the tuning in {root} has ended\n{table}\n{root}/final (test): "
    )


def test_a_tuning_that_is_killed_goes_on_by_the_same_command(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), EPOCH_SECONDS: "0.1"}
    root = tmp_path / "t"
    command = [sys.executable, "-c", TUNE, *flags(root, 0.2)]

    def start():
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_for(run, epochs):
        deadline = time.monotonic() + 60
        while len(read_history(root / run)) < epochs:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    first = start()
    wait_for("trials/1", 2)
    first.kill()
    first.communicate()
    kept = read_history(root / "trials/1")
    second = start()
    wait_for("trials/2", 2)
    second.send_signal(signal.SIGTERM)
    _, err = second.communicate()
    assert second.returncode == 143
    assert err.startswith("stopped by SIGTERM; to go on: ")
    assert " tune --minutes=0.2 --train_file=texts.tsv --test_file=test.tsv --num_epochs=8" in err
    spent = json.loads((root / "state.json").read_text(encoding="utf-8"))["spent"]
    third = start()
    out, err = third.communicate()
    assert (third.returncode, err) == (0, "")
    assert read_history(root / "trials/1")[: len(kept)] == kept
    total = json.loads((root / "state.json").read_text(encoding="utf-8"))["spent"]
    assert spent < total < 20
    assert "trial   0" not in out  # it had ended


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--metric=f2", "flag --metric=f2: expected loss, accuracy, macro_f1, f1:LABEL"),
        ("--minutes=0", "flag --minutes=0.0: expected a number, above 0"),
        ("--folds=5", "--folds=5: expected --valid_file or a share of the texts"),
        ("--learning_curve", "--learning_curve: expected no such flag, as each trial would train"),
        ("--resume", "--resume: expected no such flag; the same command goes on"),
        ("--train_file=-", "--train_file=-: expected a file, as each trial reads it"),
        ("--dataset=imdb", "--dataset=imdb and --train_file=texts.tsv: expected one of the two"),
        ("--train_file=bad.tsv", "bad.tsv:3: expected a label"),
        ("--minutes=0.001", "--minutes=0.001: no time for a single trial: half of it is over, and "
                            "the default has trained 0 epochs; expected more minutes"),
        ("--minutes=0.0001", "the default has trained 0 epochs; expected more minutes"),
        ("--valid_file=/dev/stdin", "--valid_file=/dev/stdin: expected a file, as each trial"),
        ("--learning_rate=0.01 --keep_prob=0.5 --word_dropout=0 --label_smoothing=0 --ngrams=1",
         "--ngrams: all that tuning varies is given; expected at least one of them"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(line, message, quick, tmp_path, capsys):
    assert cli.run([*flags(tmp_path / "runs" / "t", 1), *line.split()]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), err.startswith("error: ")) == (1, True)
    assert message in err
    assert not list(tmp_path.iterdir())


def test_trials_that_diverge_are_told_and_end_the_search(quick, tmp_path, capsys):
    assert cli.run([*flags(tmp_path / "t", 0.2), "--train_file=diverging.tsv"]) == 0
    out, err = capsys.readouterr()
    lines = [f"warning: trial {k} failed: the loss is nan" for k in range(1, 1 + FAILURES)]
    assert err.splitlines() == lines
    assert "no trial is better than the default, which is kept" in out
    assert (tmp_path / "t" / "final" / "report.txt").exists()


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert cli.run(flags(tmp_path / "t", 1)) == 2
    message = "error: optuna is not installed; pip install 'tf_textrnn[tune]'\n"
    assert capsys.readouterr() == ("", message)


def test_a_folder_of_something_else_is_refused(quick, tmp_path, capsys):
    root = tmp_path / "t"
    given = ["--train_file=diverging.tsv"]  # the search ends at once
    assert cli.run(flags(root, 0.2, *given)) == 0
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    capsys.readouterr()
    for changed, message in (
        ("--keep_prob=0.5", "--keep_prob=0.5: the tuning in --run_dir=%s has no --keep_prob"),
        ("--test_file=", "--test_file=: the tuning in --run_dir=%s has --test_file=test.tsv"),
    ):
        assert cli.run([*flags(root, 0.2, *given), changed]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {message % root}; expected the same command, or a new")
    (root / "tune.json").write_text("[]", encoding="utf-8")
    assert cli.run(flags(root, 0.2, *given)) == 2
    assert f"{root}/tune.json: damaged" in capsys.readouterr().err
    (root / "tune.json").write_bytes(before[root / "tune.json"])
    assert cli.run(flags(root / "final", 0.2)) == 2
    assert f"--run_dir={root / 'final'} already holds a run" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert before == after


def test_folders_of_somebody_else_are_neither_used_nor_removed(quick, tmp_path, capsys):
    work = tmp_path / "trials" / "work.txt"
    work.parent.mkdir()
    work.write_text("mine")
    assert cli.run([*flags(tmp_path, 1), "--train_file=bad.tsv"]) == 2
    assert "already holds trials; expected a new folder" in capsys.readouterr().err
    assert work.read_text() == "mine"


def test_a_command_without_a_folder_has_one_of_its_own(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for more in ([], [], ["--hidden_size=5"]):
        line = ["tune", "--train_file=diverging.tsv", "--minutes=0.2", "--num_epochs=8", *more]
        assert cli.run(line) == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2
