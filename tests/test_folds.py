"""`--folds`: each text is scored by a model that has not seen it, and no kill loses a bit."""

import json
import math
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, special

from tests.conftest import options_over, topic_lines, weights
from tests.train_process import HOOK, Run
from tf_textrnn import api, cli
from tf_textrnn.base import locks
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.memory import memory_source
from tf_textrnn.data.parts import fold_of
from tf_textrnn.exporting.saved_model import export_run
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training import folds, runner
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.loop import Trainer
from tf_textrnn.training.validation import weigh_on

NUM_TOPICS, NUM_OWN = 90, 30
WRONG = 9  # the text whose label is, counted from 0


class Killed(Exception):  # noqa: N818 - no error
    """In place of a kill."""


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Options of a run of two folds, over texts of topics and texts that share no word.

    One label is wrong.
    """
    folder = tmp_path_factory.mktemp("folds")
    labels = np.random.default_rng(1).choice(["animals", "colours", "numbers"], NUM_OWN)
    own = [f"{label}\t{' '.join(f'own{i}x{j}' for j in 'abc')}" for i, label in enumerate(labels)]
    lines = topic_lines(NUM_TOPICS, 1) + own
    lines[WRONG] = "animals\t" + lines[WRONG].split("\t")[1]
    return {**options_over(folder, lines), "folds": 2, "batch_size": 32, "num_epochs": 3}


@pytest.fixture(scope="module")
def whole(options, tmp_path_factory):
    """A run that nothing disturbs."""
    run_dir = str(tmp_path_factory.mktemp("whole") / "run")
    return runner.run({**options, "run_dir": run_dir}, export=export_run)


def load(**options):
    return splits.load(Config().replace(**options).settled())


def test_a_text_is_in_one_fold_whose_model_knows_none_of_its_own_words(options):
    data = load(**options)
    assert data.splits.keys() == {"train"}
    parts = [fold_of(data, fold) for fold in range(2)]
    rows = np.concatenate([part.valid.rows for part in parts])
    assert sorted(rows) == list(range(NUM_TOPICS + NUM_OWN))
    for part, other in zip(parts, parts[::-1], strict=True):
        np.testing.assert_array_equal(part.train.rows, other.valid.rows)
        assert np.ptp(np.bincount(part.train.classes) - np.bincount(part.valid.classes)) <= 2
        is_own = part.valid.rows >= NUM_TOPICS
        assert (part.valid.batch(np.flatnonzero(is_own)).token_ids == 1).all()
        assert (part.train.batch(np.arange(len(part.train))).token_ids != 1).all()
    assert len({data.fingerprint, *(part.fingerprint for part in parts)}) == 3


def test_the_report_is_of_models_that_have_not_seen_a_text(whole):
    report = whole.report
    assert (report["evaluated_on"], report["texts"]) == ("folds", {"train": NUM_TOPICS + NUM_OWN})
    assert report["accuracy"] == report["valid_accuracy"]
    assert "folds (each text by a model" in whole.folder.report_text.read_text("utf-8")
    lines = whole.folder.predictions.read_text("utf-8").splitlines()[1:]
    cells = np.array([line.split("\t") for line in lines])
    is_right = cells[:, 1] == cells[:, 2]
    assert cells[:, 0].astype(int).tolist() == list(range(1, NUM_TOPICS + NUM_OWN + 1))
    assert is_right[:NUM_TOPICS].mean() > 0.8
    # Texts of three unknown words have one score for each fold.
    assert len(set(cells[NUM_TOPICS:, 3])) <= 2
    assert is_right[NUM_TOPICS:].mean() < 0.7


def test_a_wrong_label_is_the_first_suspicious_one_of_known_texts(whole):
    lines = whole.folder.suspicious.read_text("utf-8").splitlines()
    names = ["place", "label", "suggested", "probability", "suggested_probability", "words", "text"]
    assert lines[0].split("\t") == names
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]
    first = next(row for row in rows if int(row["place"]) <= NUM_TOPICS)
    topic, text = topic_lines(NUM_TOPICS, 1)[WRONG].split("\t")
    assert (int(first["place"]), first["label"]) == (WRONG + 1, "animals")
    assert (first["suggested"], first["text"]) == (topic, text)
    word = first["words"].split()[0]
    assert word in first["text"].split()
    margins = [float(r["suggested_probability"]) - float(r["probability"]) for r in rows]
    assert (np.diff(margins) <= 2e-4).all()
    assert whole.report["suspicious_labels"] == len(rows)
    assert f"labels that may be wrong ({len(rows)}," in whole.folder.report_text.read_text("utf-8")
    assert "Labels that may be wrong</h2>" in whole.folder.report_page.read_text("utf-8")


def test_a_deep_check_trains_in_folds_and_exports_nothing(options, monkeypatch, capsys):
    flags = [f"--{name}={options[name]}" for name in ("train_file", "cache_dir")]
    asked = []
    monkeypatch.setattr(cli, "train", asked.append)
    assert cli.run(["check", "--deep", *flags]) == 0
    assert (asked[0]["folds"], asked[0]["export"]) == (5, False)
    assert "in 5 folds (--folds=5)" in capsys.readouterr().out
    assert cli.run(["check", "--deep", "--folds=3", *flags]) == 0
    assert asked[1]["folds"] == 3
    assert cli.run(["check", "--deep", "--valid_file=v.tsv", *flags]) == 2
    assert "--deep and --valid_file=v.tsv: expected one of the two" in capsys.readouterr().err


def test_the_exported_model_has_seen_every_text_for_the_median_of_the_best_epochs(whole, options):
    with open(options["train_file"], encoding="utf-8") as file:
        labels, texts = zip(*(line.rstrip().split("\t") for line in file), strict=True)
    predictor = api.load(whole.export)
    assert (predictor.predict(texts) == labels)[NUM_TOPICS:].all()
    best_epochs = []
    for fold in (1, 2):
        folder = whole.folder.folds / str(fold)
        history = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
        best_epochs.append(1 + int(np.argmin([epoch["valid_loss"] for epoch in history])))
        # Nothing goes on from a fold that has ended.
        assert not list(folder.glob("checkpoints")) + list(folder.glob("best"))
    assert whole.report["epochs"] == whole.report["best_epoch"] == max(best_epochs)
    assert whole.report["config"]["num_epochs"] == 3


def test_the_weights_of_the_branches_are_fitted_on_all_texts_together(whole, options):
    data = load(**options)
    branches = np.zeros((len(data.train), 2, 3))
    for fold in range(2):
        ended = checkpoints.read(whole.folder.fold(fold).scores)[0]
        branches[data.folds == fold] = ended["scores"]

    def loss(weights):
        log = special.log_softmax(np.einsum("b,tbc->tc", weights, branches), axis=1)
        prior = (np.log(weights / [0.2, 0.8]) / 0.5) ** 2 / 2
        return -log[np.arange(len(log)), data.train.classes].sum() + prior.sum()

    found = optimize.minimize(loss, [0.2, 0.8], method="Nelder-Mead", options={"xatol": 1e-6}).x
    assert whole.report["temperature"] == pytest.approx(1 / found[0], rel=1e-3)
    average = checkpoints.newest(whole.folder.checkpoints).arrays["average/average/ngrams/bias"]
    kept = read_best(whole.folder).arrays["ngrams/bias"]
    np.testing.assert_allclose(kept, average * found[1] / found[0], rtol=1e-3)


@pytest.fixture
def side_by_side(options, tmp_path):
    """Starts a run of the options, on a machine where its two folds have room side by side."""
    program = (
        "from tf_textrnn.base import processes\nprocesses.usable_cores = lambda: 4\n"
        "from tf_textrnn.cli import main\nmain('train')"
    )
    flags = [f"--{name}={value}" for name, value in options.items()]
    words = [*flags, f"--run_dir={tmp_path / 'run'}", "--noexport", "--resume=auto"]
    return lambda *more: subprocess.Popen(
        [sys.executable, "-c", program, *words, *more], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )  # fmt: skip


def is_whole(path, whole):
    """Whether a run has the bits of one that nothing disturbed."""
    folder = RunFolder(str(path))
    return (
        weights(folder) == weights(whole.folder)
        and folder.predictions.read_bytes() == whole.folder.predictions.read_bytes()
    )


@pytest.mark.slow
def test_folds_side_by_side_come_to_the_same_bits(whole, side_by_side, tmp_path):
    run = side_by_side()
    shown, _ = run.communicate()
    assert run.returncode == 0
    assert "trains 2 models side by side" in shown
    assert re.search("^fold 2, epoch   3/3 .* examples/s", shown, re.MULTILINE)
    assert shown.count("of 2: done\n") == 2
    assert is_whole(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_with_two_folds_under_way_a_run_goes_on_in_both(
    whole, side_by_side, tmp_path, number
):
    run = side_by_side()
    begun = set()
    while len(begun) < 2:
        begun |= set(re.findall(r"^fold \d, epoch", run.stdout.readline()))
    run.send_signal(number)
    run.communicate()
    assert run.returncode == (143 if number == signal.SIGTERM else -9)
    folder = RunFolder(str(tmp_path / "run"))
    if number == signal.SIGTERM:  # both have saved, and nothing goes on
        for part in map(folder.fold, range(2)):
            with locks.take(part.lock, wait=False):
                assert checkpoints.own_files(part.checkpoints) or part.scores.exists()
    again = side_by_side("--checkpoint_minutes=1e-8")
    next(line for line in again.stdout if line.startswith("fold "))
    again.send_signal(signal.SIGTERM)
    again.communicate()
    assert folder.read_config().run.checkpoint_minutes == 1e-8
    again = side_by_side()
    again.communicate()
    assert again.returncode == 0
    assert is_whole(tmp_path / "run", whole)


@pytest.mark.slow
def test_a_loop_by_hand_comes_to_the_same_bits(whole, options, tmp_path):
    """An ordinary training of each fold, whose best epoch is chosen here."""
    tf.config.experimental.enable_op_determinism()
    data = load(**options)
    config = Config().replace(**options).settled()
    batches, batches_of_all = math.ceil(60 / 16), math.ceil(120 / 16)
    passes = math.ceil(config.training.min_epoch_steps / batches_of_all)
    config = config.replace(folds=0, batch_size=16, min_epoch_steps=passes * batches)
    branches = np.zeros((len(data.train), 2, 3), np.float32)
    for fold in range(2):
        part, folder = fold_of(data, fold), RunFolder(str(tmp_path / str(fold)))
        assert (len(part.train), len(part.valid)) == (60, 60)
        folder.make()
        trainer = Trainer(config, part, folder, Workers())
        found, weigh = [], trainer.weigh

        def kept(weigh=weigh, found=found):
            found.append(weigh())
            return found[-1]

        trainer.weigh = kept
        trainer.restore()
        trainer.train()
        trainer.close()
        history = [json.loads(x) for x in folder.metrics.read_text().splitlines()]
        best = int(np.argmin([epoch["valid_loss"] for epoch in history]))
        branches[data.folds == fold] = found[best].branches
    for fold in range(2):
        kept_scores = checkpoints.read(whole.folder.fold(fold).scores)[0]["scores"]
        np.testing.assert_array_equal(branches[data.folds == fold], kept_scores)
    answers = weigh_on(branches, data.train, None).scores.argmax(axis=1)
    assert np.mean(answers == data.train.classes) == whole.report["accuracy"]


@pytest.fixture
def two_cores():
    """Takes all cores but two from this process, and from those that it starts."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:2])
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has it")
def test_kills_inside_a_fold_and_after_it_lose_nothing(whole, options, tmp_path, two_cores):
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    run = Run(tmp_path / "run", options, tmp_path)

    def kill(step):
        if step == 3:  # in the second epoch of the first fold
            raise Killed

    with pytest.raises(Killed):
        runner.run({**options, "run_dir": str(run.folder.path)}, on_step=kill)
    assert checkpoints.own_files(run.folder.fold(0).checkpoints)
    run.kill_in(("folder.py", "remove_checkpoints"), call=1, delay=0)
    assert checkpoints.own_files(run.folder.fold(0).checkpoints)
    assert not run.folder.fold(1).path.exists()
    resumed = {"run_dir": str(run.folder.path), "resume": True}
    runner.run(resumed)
    assert weights(run.folder) == weights(whole.folder)
    assert run.folder.predictions.read_bytes() == whole.folder.predictions.read_bytes()
    for fold in range(2):
        found, expected = (
            checkpoints.read(folder.fold(fold).scores)[0]["scores"].tobytes()
            for folder in (run.folder, whole.folder)
        )
        assert found == expected
    before = run.folder.report_json.stat().st_mtime_ns
    again = runner.run({**resumed, "export": False})  # nothing is left to do
    assert again.report["evaluated_on"] == "folds"
    assert run.folder.report_json.stat().st_mtime_ns == before


def test_what_a_fold_has_left_is_taken_if_it_is_whole_and_of_these_texts(whole, options, tmp_path):
    part, folder = fold_of(load(**options), 0), RunFolder(str(tmp_path))
    shape = (len(part.valid), 2, 3)

    def read(scores, state, shape=shape):
        checkpoints.write(folder.scores, {"scores": scores}, state)
        return folds.read_ended(folder, part, shape)

    assert folds.read_ended(folder, part, shape) is None
    arrays, state = checkpoints.read(whole.folder.fold(0).scores)
    scores = arrays["scores"]
    ended = read(scores, state)
    assert (ended.scores.tobytes(), ended.best) == (scores.tobytes(), state["best"])
    with pytest.raises(UserError, match="the texts are not those that this run began with"):
        read(scores, {**state, "data": "other"})
    for damaged in (scores[1:], scores.astype(np.float64), scores * np.float32(np.nan)):
        assert read(damaged, state) is None
    assert read(scores, {**state, "best": {"epoch": 1}}) is None
    folder.scores.write_bytes(whole.folder.fold(0).scores.read_bytes()[:-9])
    assert folds.read_ended(folder, part, shape) is None


def test_check_says_that_no_text_is_set_apart(options, capsys):
    flags = [f"--{name}={options[name]}" for name in ("train_file", "cache_dir", "folds")]
    assert cli.run(["check", *flags]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "valid: each text to train on, in 2 folds (--folds=2)" in shown
    assert "of the tokens to validate on are read as unknown" in shown[-1]
    assert "all                 120" in shown


def test_what_folds_do_not_go_with(options, monkeypatch, tmp_path):
    def refused(**changes):
        with pytest.raises(UserError) as error:
            runner.run({**options, "run_dir": str(tmp_path / "run"), **changes})
        assert not (tmp_path / "run").exists()
        return str(error.value)

    assert (
        refused(valid_file="v.tsv") == "--folds=2 and --valid_file=v.tsv: expected one of the two"
    )
    of_train = f"--folds=999 of {options['train_file']}: expected at least 999 different texts, "
    assert refused(folds=999) == f"{of_train}found {NUM_TOPICS + NUM_OWN}"
    both = {split: memory_source(split, ["a", "b"], ["x", "y"]) for split in ("train", "valid")}
    with pytest.raises(UserError, match="--folds=2: expected no texts to validate on, found those"):
        splits.load(Config().replace(folds=2, cache_dir=str(tmp_path)).settled(), both)
    workers = Workers()
    workers.num_replicas = 2
    monkeypatch.setattr(runner, "connect", lambda config: workers)
    assert refused() == (
        "--folds=2: expected one device, found 2; --strategy=one takes one of this machine's"
    )
