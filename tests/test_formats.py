"""Run folders of released versions: they predict and export, and a newer one is refused.

`data/run_<version>/run` is what that version left of

    python train.py --train_file=topics.tsv --valid_fraction=0.25 --run_dir=run --cache_dir=cache
        --hidden_size=4 --embedding_dim=4 --batch_size=16 --num_epochs=2 --learning_rate=0.05
        --gradients_every=0 --noexport

without the plots and the event file of the run as a whole, for their size. Beside it lie the texts
and what that version answered to eight of them.
"""

import json
import pathlib
import shutil

import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.version import __version__
from tf_textrnn.exporting.saved_model import export_run
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.training import runner

DATA = pathlib.Path(__file__).parent / "data"
RELEASES = ["0.1"]


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


def test_a_released_run_of_another_recipe_is_not_gone_on_with(released):
    before = {path: path.read_bytes() for path in released.path.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as error:
        runner.run({"run_dir": "run", "resume": True, "num_epochs": 4})
    assert str(error.value) == (
        "run/config.json: its format is 1, that of tf_textrnn 0.1, and "
        f"{__version__} trains by another recipe; expected a new run (predict and export still "
        "read this one)"
    )
    assert {path: path.read_bytes() for path in before} == before


def test_a_newer_checkpoint_is_refused_not_passed_over(released, monkeypatch):
    newest = checkpoints.own_files(released.checkpoints)[-1]
    arrays, state = checkpoints.read(newest)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "FORMAT", 3)
        checkpoints.write(newest, arrays, state)
    with pytest.raises(UserError, match=r"0010\.npz: its format is 3, which a newer tf_text"):
        load_run(released)
