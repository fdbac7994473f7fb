"""`--folds`: each text is scored by a model that has not seen it."""

import json

import numpy as np
import pytest
from scipy import optimize, special

from tests.conftest import NUM_OWN_TEXTS, NUM_TOPIC_TEXTS, WRONG_TEXT, topic_lines
from tf_textrnn import api, cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.memory import memory_source
from tf_textrnn.data.parts import fold_of
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training import folds, runner
from tf_textrnn.training.distribution import Workers


def load(**options):
    return splits.load(Config().replace(**options).settled())


def test_a_text_is_in_one_fold_whose_model_knows_none_of_its_own_words(folds_options):
    data = load(**folds_options)
    assert data.splits.keys() == {"train"}
    parts = [fold_of(data, fold) for fold in range(2)]
    rows = np.concatenate([part.valid.rows for part in parts])
    assert sorted(rows) == list(range(NUM_TOPIC_TEXTS + NUM_OWN_TEXTS))
    for part, other in zip(parts, parts[::-1], strict=True):
        np.testing.assert_array_equal(part.train.rows, other.valid.rows)
        assert np.ptp(np.bincount(part.train.classes) - np.bincount(part.valid.classes)) <= 2
        is_own = part.valid.rows >= NUM_TOPIC_TEXTS
        assert (part.valid.batch(np.flatnonzero(is_own)).token_ids == 1).all()
        assert (part.train.batch(np.arange(len(part.train))).token_ids != 1).all()
    assert len({data.fingerprint, *(part.fingerprint for part in parts)}) == 3


def test_the_report_is_of_models_that_have_not_seen_a_text(folds_run):
    report = folds_run.report
    assert (report["evaluated_on"], report["texts"]) == (
        "folds",
        {"train": NUM_TOPIC_TEXTS + NUM_OWN_TEXTS},
    )
    assert report["accuracy"] == report["valid_accuracy"]
    assert "folds (each text by a model" in folds_run.folder.report_text.read_text("utf-8")
    lines = folds_run.folder.predictions.read_text("utf-8").splitlines()[1:]
    cells = np.array([line.split("\t") for line in lines])
    is_right = cells[:, 1] == cells[:, 2]
    assert cells[:, 0].astype(int).tolist() == list(range(1, NUM_TOPIC_TEXTS + NUM_OWN_TEXTS + 1))
    assert is_right[:NUM_TOPIC_TEXTS].mean() > 0.8
    # Texts of three unknown words have one score for each fold.
    assert len(set(cells[NUM_TOPIC_TEXTS:, 3])) <= 2
    assert is_right[NUM_TOPIC_TEXTS:].mean() < 0.7


def test_a_wrong_label_is_the_first_suspicious_one_of_known_texts(folds_run):
    lines = folds_run.folder.suspicious.read_text("utf-8").splitlines()
    names = ["place", "label", "suggested", "probability", "suggested_probability", "words", "text"]
    assert lines[0].split("\t") == names
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]
    first = next(row for row in rows if int(row["place"]) <= NUM_TOPIC_TEXTS)
    topic, text = topic_lines(NUM_TOPIC_TEXTS, 1)[WRONG_TEXT].split("\t")
    assert (int(first["place"]), first["label"]) == (WRONG_TEXT + 1, "animals")
    assert (first["suggested"], first["text"]) == (topic, text)
    word = first["words"].split()[0]
    assert word in first["text"].split()
    margins = [float(r["suggested_probability"]) - float(r["probability"]) for r in rows]
    assert (np.diff(margins) <= 2e-4).all()
    assert folds_run.report["suspicious_labels"] == len(rows)
    assert f"labels that may be wrong ({len(rows)}," in folds_run.folder.report_text.read_text(
        "utf-8"
    )
    assert "Labels that may be wrong</h2>" in folds_run.folder.report_page.read_text("utf-8")


def test_a_deep_check_trains_in_folds_and_exports_nothing(folds_options, monkeypatch, capsys):
    flags = [f"--{name}={folds_options[name]}" for name in ("train_file", "cache_dir")]
    asked = []
    monkeypatch.setattr(cli, "train", asked.append)
    assert cli.run(["check", "--deep", *flags]) == 0
    assert (asked[0]["folds"], asked[0]["export"]) == (5, False)
    assert "in 5 folds (--folds=5)" in capsys.readouterr().out
    assert cli.run(["check", "--deep", "--folds=3", *flags]) == 0
    assert asked[1]["folds"] == 3
    assert cli.run(["check", "--deep", "--valid_file=v.tsv", *flags]) == 2
    assert "--deep and --valid_file=v.tsv: expected one of the two" in capsys.readouterr().err


def test_the_exported_model_has_seen_every_text_for_the_median_of_the_best_epochs(
    folds_run, folds_options
):
    with open(folds_options["train_file"], encoding="utf-8") as file:
        labels, texts = zip(*(line.rstrip().split("\t") for line in file), strict=True)
    predictor = api.load(folds_run.export)
    assert (predictor.predict(texts) == labels)[NUM_TOPIC_TEXTS:].all()
    best_epochs = []
    for fold in (1, 2):
        folder = folds_run.folder.folds / str(fold)
        history = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
        best_epochs.append(1 + int(np.argmin([epoch["valid_loss"] for epoch in history])))
        # Nothing goes on from a fold that has ended.
        assert not list(folder.glob("checkpoints")) + list(folder.glob("best"))
    assert folds_run.report["epochs"] == folds_run.report["best_epoch"] == max(best_epochs)
    assert folds_run.report["config"]["num_epochs"] == 3


def test_the_weights_of_the_branches_are_fitted_on_all_texts_together(folds_run, folds_options):
    data = load(**folds_options)
    branches = np.zeros((len(data.train), 2, 3))
    for fold in range(2):
        ended = checkpoints.read(folds_run.folder.fold(fold).scores)[0]
        branches[data.folds == fold] = ended["scores"]

    def loss(weights):
        log = special.log_softmax(np.einsum("b,tbc->tc", weights, branches), axis=1)
        prior = (np.log(weights / [0.2, 0.8]) / 0.5) ** 2 / 2
        return -log[np.arange(len(log)), data.train.classes].sum() + prior.sum()

    found = optimize.minimize(loss, [0.2, 0.8], method="Nelder-Mead", options={"xatol": 1e-6}).x
    assert folds_run.report["temperature"] == pytest.approx(1 / found.sum(), rel=1e-3)
    averages = checkpoints.newest(folds_run.folder.checkpoints).arrays
    kept = read_best(folds_run.folder).arrays
    for name, weight in zip(("softmax_b", "ngrams/bias"), found / found.sum(), strict=True):
        expected = averages[f"average/average/{name}"] * weight
        np.testing.assert_allclose(kept[name], expected, rtol=1e-3)


def test_what_a_fold_has_left_is_taken_if_it_is_whole_and_of_these_texts(
    folds_run, folds_options, tmp_path
):
    part, folder = fold_of(load(**folds_options), 0), RunFolder(str(tmp_path))
    shape = (len(part.valid), 2, 3)

    def read(scores, state, shape=shape):
        checkpoints.write(folder.scores, {"scores": scores}, state)
        return folds.read_ended(folder, part, shape)

    assert folds.read_ended(folder, part, shape) is None
    arrays, state = checkpoints.read(folds_run.folder.fold(0).scores)
    scores = arrays["scores"]
    ended = read(scores, state)
    assert (ended.scores.tobytes(), ended.best) == (scores.tobytes(), state["best"])
    with pytest.raises(UserError, match="the texts are not those that this run began with"):
        read(scores, {**state, "data": "other"})
    for damaged in (scores[1:], scores.astype(np.float64), scores * np.float32(np.nan)):
        assert read(damaged, state) is None
    assert read(scores, {**state, "best": {"epoch": 1}}) is None
    folder.scores.write_bytes(folds_run.folder.fold(0).scores.read_bytes()[:-9])
    assert folds.read_ended(folder, part, shape) is None


def test_check_says_that_no_text_is_set_apart(folds_options, capsys):
    flags = [f"--{name}={folds_options[name]}" for name in ("train_file", "cache_dir", "folds")]
    assert cli.run(["check", *flags]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "valid: each text to train on, in 2 folds (--folds=2)" in shown
    assert "of the tokens to validate on are read as unknown" in shown[-1]
    assert "all                 120" in shown


def test_what_folds_do_not_go_with(folds_options, monkeypatch, tmp_path):
    def refused(**changes):
        with pytest.raises(UserError) as error:
            runner.run({**folds_options, "run_dir": str(tmp_path / "run"), **changes})
        assert not (tmp_path / "run").exists()
        return str(error.value)

    assert (
        refused(valid_file="v.tsv") == "--folds=2 and --valid_file=v.tsv: expected one of the two"
    )
    of_train = (
        f"--folds=999 of {folds_options['train_file']}: expected at least 999 different texts, "
    )
    assert refused(folds=999) == f"{of_train}found {NUM_TOPIC_TEXTS + NUM_OWN_TEXTS}"
    both = {split: memory_source(split, ["a", "b"], ["x", "y"]) for split in ("train", "valid")}
    with pytest.raises(UserError, match="--folds=2: expected no texts to validate on, found those"):
        splits.load(Config().replace(folds=2, cache_dir=str(tmp_path)).settled(), both)
    workers = Workers()
    workers.num_replicas = 2
    monkeypatch.setattr(runner, "connect", lambda config: workers)
    assert refused() == (
        "--folds=2: expected one device, found 2; --strategy=one takes one of this machine's"
    )
