"""Run folders of released versions: they predict, export and go on, and a newer one is refused.

`data/run_<version>/run` is what that version left of

    python train.py --train_file=topics.tsv --valid_fraction=0.25 --run_dir=run --cache_dir=cache
        --hidden_size=4 --embedding_dim=4 --batch_size=16 --num_epochs=2 --learning_rate=0.05
        --gradients_every=0 --noexport

without the plots and the event file of the run as a whole, for their size. Beside it lie the texts,
what that version answered to eight of them, and its `metrics.jsonl` when it resumed a copy of the
run for two more epochs.
"""

import json
import pathlib
import shutil

import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.exporting.saved_model import export_run
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.folder import RunFolder, load_run
from tf_textrnn.training import runner

DATA = pathlib.Path(__file__).parent / "data"
RELEASES = ["0.1"]
MEASURED = ["train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "temperature"]


@pytest.fixture(params=RELEASES)
def released(request, tmp_path, monkeypatch) -> RunFolder:
    """A copy of the run, at the path that it began at."""
    shutil.copytree(DATA / f"run_{request.param}", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return RunFolder("run")


def lines(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_released_run_predicts_what_it_did(released):
    predictor = Predictor(str(export_run("run")))
    for expected in lines(pathlib.Path("predictions.jsonl")):
        (probability,) = predictor.predict_proba([expected["text"]])
        found = dict(zip(predictor.labels, map(float, probability), strict=True))
        assert found == pytest.approx(expected["probabilities"], abs=1e-5)
    card = json.loads(pathlib.Path("run/export/1/assets.extra/model_card.json").read_text())
    report = json.loads(released.report_json.read_text())
    assert card["metrics"]["valid_accuracy"] == report["valid_accuracy"]


def test_a_released_run_goes_on_as_it_did(released):
    before = lines(released.metrics)
    runner.run({"run_dir": "run", "resume": True, "num_epochs": 4})
    found, expected = lines(released.metrics), lines(pathlib.Path("resumed_metrics.jsonl"))
    assert found[:2] == before
    for name in MEASURED:
        assert [epoch[name] for epoch in found] == pytest.approx(
            [epoch[name] for epoch in expected], rel=1e-3
        )
    # Its files are now of today's format; the old ones go as new ones come.
    assert json.loads(released.config.read_text())["format"] == 2
    steps = [f"{step:010}.npz" for step in (10, 15, 20)]
    assert sorted(path.name for path in released.checkpoints.iterdir()) == steps
    assert sorted(path.name for path in released.best.iterdir()) == [*steps[1:], "model.npz"]
    assert read_best(released).path.name == steps[-1]
    assert load_run(released).best["epoch"] == 3


def test_a_released_run_with_other_best_weights_is_told_at_the_start(released):
    path = released.best / checkpoints.LONE_BEST
    arrays, metrics = checkpoints.read(path)
    checkpoints.write(path, arrays, {**metrics, "epoch": 0, "step": 5})
    with pytest.raises(UserError, match=r"model\.npz: holds the weights of another epoch than"):
        runner.run({"run_dir": "run", "resume": True, "num_epochs": 4})


def test_a_newer_checkpoint_is_refused_not_passed_over(released, monkeypatch):
    newest = checkpoints.own_files(released.checkpoints)[-1]
    arrays, state = checkpoints.read(newest)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "FORMAT", 3)
        checkpoints.write(newest, arrays, state)
    for action in (
        lambda: runner.run({"run_dir": "run", "resume": True, "num_epochs": 4}),
        lambda: load_run(released),
    ):
        with pytest.raises(UserError, match=r"0010\.npz: its format is 3, which a newer tf_text"):
            action()
