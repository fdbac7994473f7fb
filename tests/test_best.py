"""The best weights and the checkpoints that name them: never of two different trainings."""

import json
import shutil

import numpy as np
import pytest

from tests.conftest import weights
from tf_textrnn.base.errors import UserError
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.training import runner
from tf_textrnn.training.loop import Trainer


class Killed(BaseException):
    """Stands for the end of the process."""


def kill_between_best_and_checkpoint(monkeypatch, epoch):
    """Ends a run once this epoch's best weights are on disk, and before a checkpoint names them."""
    save_best = Trainer._save_best

    def then_die(self, metrics, arrays):
        save_best(self, metrics, arrays)
        if metrics["epoch"] == epoch:
            raise Killed

    monkeypatch.setattr(Trainer, "_save_best", then_die)


def check_best(folder: RunFolder) -> dict:
    """The report, once it is found to tell of the best epoch that `metrics.jsonl` has."""
    metrics = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    best = min(metrics, key=lambda epoch: epoch["valid_loss"])
    report = json.loads(folder.report_json.read_text())
    assert report["best_epoch"] == best["epoch"] + 1
    assert report["valid_accuracy"] == best["valid_accuracy"]
    assert report["temperature"] == best["temperature"]
    assert read_best(folder).state == best == load_run(folder).best
    return report


@pytest.mark.slow
def test_killed_between_best_and_checkpoint_the_report_tells_of_what_was_trained(
    small_options, tmp_path, monkeypatch
):
    folder = RunFolder(str(tmp_path / "run"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_between_best_and_checkpoint(patch, 1)
        runner.run({**small_options, "ngrams": 0, "run_dir": str(folder.path)})
    assert [path.stem for path in checkpoints.own_files(folder.best)] == [f"{10:010}", f"{20:010}"]
    first_best = read_best(folder)  # what is exported now
    assert first_best.state["epoch"] == 0
    # So high that the weights of no later epoch are as good.
    monkeypatch.setattr("tf_textrnn.training.loop.FAR_ABOVE_GUESSING", np.inf)
    runner.run({"run_dir": str(folder.path), "resume": True, "learning_rate": 50.0})
    assert check_best(folder)["best_epoch"] == 1
    assert weights(folder) == {name: a.tobytes() for name, a in first_best.arrays.items()}
    assert [path.stem for path in checkpoints.own_files(folder.best)] == [f"{10:010}"]


@pytest.mark.slow
def test_best_weights_stay_until_no_checkpoint_names_them(small_options, tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    runner.run({**small_options, "run_dir": str(folder.path), "num_epochs": 5})
    best = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [epoch["valid_loss"] for epoch in best] == sorted(
        (epoch["valid_loss"] for epoch in best), reverse=True
    )  # each is a new best
    steps = ["0000000030.npz", "0000000040.npz", "0000000050.npz"]
    for owned in (folder.best, folder.checkpoints):
        assert sorted(path.name for path in owned.iterdir()) == steps
    check_best(folder)
    # The newest checkpoint damaged: the run goes on from the one before and finds its weights.
    expected = weights(folder)
    (folder.checkpoints / steps[-1]).write_bytes(b"")
    runner.run({"run_dir": str(folder.path), "resume": True})
    assert weights(folder) == expected
    check_best(folder)


@pytest.fixture(scope="module")
def four_epochs(small_options, tmp_path_factory) -> RunFolder:
    path = tmp_path_factory.mktemp("best") / "run"
    return runner.run({**small_options, "run_dir": str(path), "num_epochs": 4}).folder


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        (None, "No such file or directory"),
        ("0000000020.npz", "it is whole, but another one"),
        (b"", "File is not a zip file"),
    ],
)
def test_missing_or_other_best_weights_are_told_before_anything_is_trained(
    four_epochs, tmp_path, replacement, message
):
    folder = RunFolder(str(tmp_path / "run"))
    shutil.copytree(four_epochs.path, folder.path)
    best = folder.best / "0000000040.npz"
    if replacement is None:
        best.unlink()
    elif replacement == b"":
        best.write_bytes(replacement)
    else:
        shutil.copy(folder.best / replacement, best)
    before = {path: path.read_bytes() for path in folder.checkpoints.iterdir()}
    steps = []
    for action in (
        lambda: runner.run(
            {"run_dir": str(folder.path), "resume": True, "num_epochs": 9}, steps.append
        ),
        lambda: load_run(folder),
    ):
        with pytest.raises(UserError) as error:
            action()
        assert f"{best}: cannot be read (" in str(error.value)
        assert message in str(error.value)
        assert f"that {folder.checkpoints / best.name} names" in str(error.value)
    assert steps == []
    assert {path: path.read_bytes() for path in folder.checkpoints.iterdir()} == before
    # Without the checkpoint that names it, the run goes on from the one before.
    (folder.checkpoints / best.name).unlink()
    if replacement is None:  # one is enough
        runner.run({"run_dir": str(folder.path), "resume": True, "num_epochs": 4})
        assert weights(folder) == weights(four_epochs)


def test_without_checkpoints_the_newest_best_weights_are_the_runs(four_epochs, tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    shutil.copytree(four_epochs.path, folder.path)
    shutil.rmtree(folder.checkpoints)
    (folder.best / "mine.npz").write_bytes(b"a backup")
    assert read_best(folder).path.name == "0000000040.npz"
    for path in checkpoints.own_files(folder.best):
        path.unlink()
    with pytest.raises(UserError, match="best: holds no weights; expected a run of at least one"):
        load_run(folder)
