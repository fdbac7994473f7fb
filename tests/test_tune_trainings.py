"""`textrnn tune` over real trainings: kills, what TensorBoard shows, a label that is not there."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from tests.tensorboard_server import serve
from tf_textrnn.base import locks
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.history import read_history
from tf_textrnn.tuning.process import flags

ROOT = pathlib.Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def start(options, root, minutes, *more):
    """Starts a tuning in a process."""
    words = flags({**options, "run_dir": root, "minutes": minutes})
    return subprocess.Popen(
        [sys.executable, "-m", "tf_textrnn.cli", "tune", *words, *more], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_free(run):
    with contextlib.suppress(BlockingIOError), locks.take(run / ".lock", wait=False):
        return True
    return False


@pytest.fixture(scope="module")
def tuned(small_options, tmp_path_factory):
    """The folder of a tuning that was killed in its second trial, and went on."""
    root = tmp_path_factory.mktemp("tuned") / "t"
    options = {**small_options, "num_epochs": 8, "min_epoch_steps": 50}
    killed = start(options, root, 2)
    wait_for(lambda: len(read_history(root / "trials/1")) > 1)
    killed.kill()
    killed.communicate()
    wait_for(lambda: is_free(root / "trials/1"))  # it ends with its parent
    kept = read_history(root / "trials/1")
    assert len(kept) < 8
    again = start(options, root, 2)
    out, err = again.communicate()
    assert (again.returncode, err) == (0, "")
    assert read_history(root / "trials/1")[: len(kept)] == kept
    assert (root / "tune.txt").read_text(encoding="utf-8") in out
    return root


def test_the_last_run_is_the_best_trial_with_the_test_file(tuned):
    state = json.loads((tuned / "state.json").read_text(encoding="utf-8"))
    final = RunFolder(str(tuned / "final"))
    best = read_history(tuned / "trials" / str(state["kept"]))
    speed = {"examples_per_second": 0.0}
    assert [line | speed for line in read_history(final.path)] == [line | speed for line in best]
    report = json.loads(final.report_json.read_text(encoding="utf-8"))
    assert report["evaluated_on"] == "test"
    assert (final.export / "1" / "saved_model.pb").exists()


def test_all_trials_are_judged_on_the_same_texts(tuned):
    ended = [path.parent for path in tuned.glob("trials/*/report.txt")]
    lines = [(run / "predictions.tsv").read_text(encoding="utf-8").splitlines() for run in ended]
    judged = {tuple(tuple(line.split("\t")[:2]) for line in of_run) for of_run in lines}
    assert len(lines) > 1
    assert len(judged) == 1


def test_only_the_default_and_the_last_run_keep_weights(tuned):
    kept = {path.parents[1].relative_to(tuned).as_posix() for path in tuned.rglob("*.npz")}
    assert kept == {"trials/0", "final"}


def test_tensorboard_compares_the_trials(tuned, tmp_path):
    statuses = [f"STATUS_{name}" for name in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]
    body = {"experimentName": "", "allowedStatuses": statuses, "startIndex": 0, "sliceSize": 99}
    names = {run.name for run in [*(tuned / "trials").iterdir(), tuned / "final"]}
    with serve(tuned, tmp_path / "log") as server:

        def groups():
            answer = server.post("plugin/hparams/session_groups", body)
            return {group["name"]: group for group in answer.get("sessionGroups", [])}

        wait_for(lambda: names <= groups().keys() and all(map(values, groups().values())))
        found = groups()
        experiment = server.post("plugin/hparams/experiment", {"experimentName": ""})
    assert {info["name"] for info in experiment["hparamInfos"]} == {
        "keep_prob", "word_dropout", "label_smoothing", "ngrams",
    }  # fmt: skip
    for name in names - {"final"}:
        line = min(read_history(tuned / "trials" / name), key=lambda epoch: epoch["valid_loss"])
        assert values(found[name])["loss"] == pytest.approx(line["valid_loss"], rel=1e-5)
        config = RunFolder(str(tuned / "trials" / name)).read_config().options()
        assert found[name]["hparams"]["keep_prob"] == config["keep_prob"]


def values(group):
    return {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}


def test_a_label_that_is_not_there_is_one_line_and_leaves_nothing(small_options, tmp_path):
    process = start(small_options, tmp_path / "runs" / "t", 5, "--metric=f1:plants")
    _, err = process.communicate()
    assert process.returncode == 2
    assert err.startswith("error: --metric=f1:plants: ")
    assert "train.tsv has no label 'plants'; expected one of animals, colours, numbers\n" in err
    assert not list(tmp_path.iterdir())
