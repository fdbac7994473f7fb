"""Few texts without a validation file: a share is held out, and learned by a second training."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest

from tests.conftest import options_over, topic_lines, weights
from tf_textrnn import api, cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data.settling import settle
from tf_textrnn.exporting.card import OF_OTHERS
from tf_textrnn.exporting.saved_model import export_run
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.predictor.runtime import SETTINGS
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training import resume, runner
from tf_textrnn.training.distribution import Workers

NUM_TEXTS = 120


class Killed(Exception):  # noqa: N818 - no error
    """In place of a kill."""


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Options of a run over topics; the last word of each text stands in no other."""
    folder = tmp_path_factory.mktemp("few")
    lines = [f"{line} own{i}" for i, line in enumerate(topic_lines(NUM_TEXTS, 1))]
    return {**options_over(folder, lines), "num_epochs": 2, "min_epoch_steps": 10}


@pytest.fixture(scope="module")
def whole(options, tmp_path_factory):
    """A run that nothing disturbs."""
    run_dir = str(tmp_path_factory.mktemp("whole") / "run")
    return runner.run({**options, "run_dir": run_dir}, export=export_run)


def test_what_is_told_of_the_share_is_told_of_the_model_that_has_not_learned_it(whole):
    data = whole.report["data"]
    assert data["splits"]["valid"]["unknown_tokens"] >= 12  # the last words of 12 texts
    page = whole.folder.report_page.read_text("utf-8")
    assert "Words are marked that spoke" not in page  # the model that was wrong is gone


def test_the_model_card_says_that_another_model_was_scored(whole):
    card = json.loads((whole.export / "assets.extra" / "model_card.json").read_text("utf-8"))
    assert card["metrics"]["scored_by"] == OF_OTHERS
    text = (whole.export / "assets.extra" / "model_card.md").read_text("utf-8")
    assert f"| scored by | {OF_OTHERS} |" in text


def test_a_model_that_has_learned_its_validation_texts_is_not_fitted_to_them(
    whole, tmp_path, capsys
):
    run = shutil.copytree(whole.folder.path, tmp_path / "run")
    command = ["export", f"--run_dir={run}", "--export_format=onnx"]

    def export(*flags):
        assert cli.run([*command, *flags]) == 0
        *said, path = capsys.readouterr().out.splitlines()
        return said, pathlib.Path(path)

    capsys.readouterr()
    _, floats = export()
    (said,), smaller = export("--quantize=int8")
    assert re.fullmatch(r"on 12 .*, which the model has learned, accuracy .*", said)
    limit = sum(file.stat().st_size for file in smaller.iterdir()) - 400
    (_, said), small = export(f"--max_megabytes={limit / 1e6}")
    assert "which the model has learned" in said
    found, expected = (json.loads((path / SETTINGS).read_bytes()) for path in (small, floats))
    assert found["temperature"] == expected["temperature"]
    texts = ["own word", "the wolf", "two and red", ""]
    found, expected = Predictor(small)(texts), Predictor(floats)(texts)
    np.testing.assert_allclose(found.probability, expected.probability, atol=0.05)


def test_texts_without_a_word_are_trained_on(tmp_path):
    lines = [f"{label}\t" for label in ("a", "b") * 20]
    run_dir = str(tmp_path / "run")
    done = runner.run({**options_over(tmp_path, lines), "num_epochs": 1, "run_dir": run_dir})
    assert done.report["accuracy"] == 0.5
    assert "ngrams_loss" not in done.report and done.report["words"]["labels"] == {"a": {}, "b": {}}


def history_of(folder):
    return [json.loads(line) for line in folder.metrics.read_text("utf-8").splitlines()]


def test_the_report_is_of_the_model_that_has_not_seen_the_share(whole):
    report, held_out = whole.report, whole.folder.fold(0)
    scores = checkpoints.read(held_out.scores)[0]["scores"]
    assert whole.folder.read_config().data.folds == 1
    assert (report["evaluated_on"], report["texts"]) == ("valid", {"train": 108, "valid": 12})
    told = "valid (by a model that had not learned it; there is no test file): accuracy"
    assert whole.folder.report_text.read_text("utf-8").startswith(told)
    lines = whole.folder.predictions.read_text("utf-8").splitlines()[1:]
    assert len(lines) == len(scores) == 12
    accuracy = np.mean([line.split("\t")[1] == line.split("\t")[2] for line in lines])
    assert report["accuracy"] == report["valid_accuracy"] == pytest.approx(accuracy)
    assert not whole.folder.suspicious.exists()
    page = whole.folder.report_page.read_text("utf-8")
    assert "The exported model has trained for as many epochs on all texts." in page
    for epoch in history_of(held_out):
        assert f">{epoch['valid_loss']:.4g}<" in page


def test_the_exported_model_has_learned_every_text_for_the_epochs_of_the_best(whole, options):
    best = min(history_of(whole.folder.fold(0)), key=lambda epoch: epoch["valid_loss"])
    assert whole.report["epochs"] == whole.report["best_epoch"] == best["epoch"] + 1
    with open(options["train_file"], encoding="utf-8") as file:
        labels, texts = zip(*(line.rstrip().split("\t") for line in file), strict=True)
    own_words = [text.split()[-1] for text in texts]
    np.testing.assert_array_equal(api.load(whole.export).predict(own_words), labels)


@pytest.mark.parametrize(
    ("changes", "folds"),
    [
        ({}, 1),
        ({"folds": 0}, 0),
        ({"folds": 3}, 3),
        ({"batch_size": NUM_TEXTS // 10}, 0),
        ({"batch_size": NUM_TEXTS // 10 + 1}, 1),
        ({"learning_curve": True}, 0),
        ({"init_from": "runs/old"}, 0),
        ({"valid_file": "train"}, 0),
    ],
)
def test_a_share_is_held_out_where_texts_are_few_and_nothing_speaks_against_it(
    options, changes, folds
):
    if "valid_file" in changes:
        changes = {"valid_file": options["train_file"]}
    settled, _ = settle(Config().replace(**options, **changes), None)
    assert settled.data.folds == folds


def test_several_devices_train_once_and_do_not_go_on_with_two_trainings(whole, options):
    workers = Workers()
    workers.num_replicas = 2
    for given in (options, {**options, "folds": -1}):
        assert resume.open_run(given, workers, None)[0].data.folds == 0
    going_on = {"run_dir": str(whole.folder.path), "resume": True}
    assert resume.open_run(going_on, workers, None)[0].data.folds == 1  # which `run` refuses


def test_what_a_run_that_has_chosen_its_epochs_goes_on_with(whole, options, capsys):
    going_on = {"run_dir": str(whole.folder.path), "resume": True}
    with pytest.raises(UserError, match=r"--valid_file=v\.tsv: the run to resume"):
        runner.run({**going_on, "valid_file": "v.tsv"})
    assert runner.run({**going_on, "num_epochs": 9}).report == whole.report
    assert "as its first training has chosen; a new run with --folds=0" in capsys.readouterr().out


def test_check_says_that_the_share_is_trained_on_too(options, capsys):
    flags = [f"--{name}={options[name]}" for name in ("train_file", "cache_dir")]
    assert cli.run(["check", "--deep", "--folds=1", *flags]) == 2
    assert "--deep and --folds=1: expected at least 2 folds" in capsys.readouterr().err
    assert cli.run(["check", *flags]) == 0
    assert (
        "valid: 10% of the texts to train on (--valid_fraction=0.1); the last model trains on them "
        "too (--folds=1)"
    ) in capsys.readouterr().out.splitlines()


def test_kills_in_both_trainings_lose_nothing(whole, options, tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    resumed = {"run_dir": run_dir, "resume": True}

    def kill_at(number):
        def kill(step):
            calls.append(step)
            if len(calls) == number:
                raise Killed

        calls = []
        return kill

    steps = [line["step"] for line in history_of(whole.folder.fold(0))]
    with pytest.raises(Killed):  # in the second epoch
        runner.run({**options, "run_dir": run_dir}, on_step=kill_at(steps[0] + 2))
    with pytest.raises(Killed):  # in the first of the last training
        runner.run(resumed, on_step=kill_at(steps[-1] - steps[0] + 3))
    assert RunFolder(run_dir).fold(0).scores.exists()
    (RunFolder(run_dir).fold(0).path / "metrics.jsonl").write_bytes(b"\xff")  # for curves alone
    finished = runner.run({**resumed, "folds": -1})
    assert "report.html: left out" in capsys.readouterr().err
    assert weights(finished.folder) == weights(whole.folder)
    assert finished.folder.predictions.read_bytes() == whole.folder.predictions.read_bytes()
