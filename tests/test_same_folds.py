"""`--folds` side by side, stopped, killed or done by hand: the same bits."""

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

from tests.conftest import weights
from tests.train_process import HOOK, Run
from tf_textrnn.base import locks
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.parts import fold_of
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training import runner
from tf_textrnn.training.distribution import Workers
from tf_textrnn.training.loop import Trainer
from tf_textrnn.training.validation import weigh_on

pytestmark = pytest.mark.slow


class Killed(Exception):  # noqa: N818 - no error
    """In place of a kill."""


@pytest.fixture
def side_by_side(folds_options, tmp_path):
    """Starts a run of two folds, on a machine where they have room side by side."""
    program = (
        "from tf_textrnn.base import processes\nprocesses.usable_cores = lambda: 4\n"
        "from tf_textrnn.cli import main\nmain('train')"
    )
    flags = [f"--{name}={value}" for name, value in folds_options.items()]
    words = [*flags, f"--run_dir={tmp_path / 'run'}", "--noexport", "--resume=auto"]
    return lambda *more: subprocess.Popen(
        [sys.executable, "-c", program, *words, *more], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )  # fmt: skip


def is_whole(path, folds_run):
    """Whether a run has the bits of one that nothing disturbed."""
    folder = RunFolder(str(path))
    return (
        weights(folder) == weights(folds_run.folder)
        and folder.predictions.read_bytes() == folds_run.folder.predictions.read_bytes()
    )


def test_folds_side_by_side_come_to_the_same_bits(folds_run, side_by_side, tmp_path):
    run = side_by_side()
    shown, _ = run.communicate()
    assert run.returncode == 0
    assert "trains 2 models side by side" in shown
    assert re.search("^fold 2, epoch   3/3 .* examples/s", shown, re.MULTILINE)
    assert shown.count("of 2: done\n") == 2
    assert is_whole(tmp_path / "run", folds_run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_with_two_folds_under_way_a_run_goes_on_in_both(
    folds_run, side_by_side, tmp_path, number
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
    assert is_whole(tmp_path / "run", folds_run)


def test_a_loop_by_hand_comes_to_the_same_bits(folds_run, folds_options, tmp_path):
    """An ordinary training of each fold, whose best epoch is chosen here."""
    tf.config.experimental.enable_op_determinism()
    config = Config().replace(**folds_options).settled()
    data = splits.load(config)
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
        kept_scores = checkpoints.read(folds_run.folder.fold(fold).scores)[0]["scores"]
        np.testing.assert_array_equal(branches[data.folds == fold], kept_scores)
    answers = weigh_on(branches, data.train, None).scores.argmax(axis=1)
    assert np.mean(answers == data.train.classes) == folds_run.report["accuracy"]


@pytest.fixture
def two_cores():
    """Takes all cores but two from this process, and from those that it starts."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:2])
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has it")
def test_kills_inside_a_fold_and_after_it_lose_nothing(
    folds_run, folds_options, tmp_path, two_cores
):
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    run = Run(tmp_path / "run", folds_options, tmp_path)

    def kill(step):
        if step == 3:  # in the second epoch of the first fold
            raise Killed

    with pytest.raises(Killed):
        runner.run({**folds_options, "run_dir": str(run.folder.path)}, on_step=kill)
    assert checkpoints.own_files(run.folder.fold(0).checkpoints)
    run.kill_in(("folder.py", "remove_checkpoints"), call=1, delay=0)
    assert checkpoints.own_files(run.folder.fold(0).checkpoints)
    assert not run.folder.fold(1).path.exists()
    resumed = {"run_dir": str(run.folder.path), "resume": True}
    runner.run(resumed)
    assert weights(run.folder) == weights(folds_run.folder)
    assert run.folder.predictions.read_bytes() == folds_run.folder.predictions.read_bytes()
    for fold in range(2):
        found, expected = (
            checkpoints.read(folder.fold(fold).scores)[0]["scores"].tobytes()
            for folder in (run.folder, folds_run.folder)
        )
        assert found == expected
    before = run.folder.report_json.stat().st_mtime_ns
    again = runner.run({**resumed, "export": False})  # nothing is left to do
    assert again.report["evaluated_on"] == "folds"
    assert run.folder.report_json.stat().st_mtime_ns == before
