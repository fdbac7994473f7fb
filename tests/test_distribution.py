"""Many replicas train like one: processes on loopback, and devices of one process."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.cluster import ROOT, Cluster, flags
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import RunConfig
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training import distribution, runner

# Three logical devices in a process that has one CPU.
MIRRORED = """
import json, sys
from tf_textrnn.base.startup import load_tensorflow
import tensorflow as tf
device = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [device] * 3)
load_tensorflow()
from tf_textrnn.training import runner
runner.run(json.loads(sys.argv[1]))
"""


def assert_same(found: RunFolder, expected: RunFolder, weights: float, loss: float) -> None:
    """Compares all variables of the last step and of the best epoch, and the losses.

    The n-grams of the best epoch are multiplied by a fitted ratio, which has no limit of its own;
    they are compared as they are served, divided by the temperature.
    """
    for path in ("checkpoints", "best"):
        newest = [max((folder.path / path).glob("*.npz")) for folder in (found, expected)]
        assert newest[0].name == newest[1].name
        (arrays, state), (expected_arrays, _) = map(checkpoints.read, newest)
        assert arrays.keys() == expected_arrays.keys()
        for name, array in arrays.items():
            divisor = state["temperature"] if name.startswith("ngrams/") else 1.0
            np.testing.assert_allclose(
                array / divisor, expected_arrays[name] / divisor, rtol=0, atol=weights, err_msg=name
            )
    epochs = [
        [json.loads(line) for line in folder.metrics.read_text().splitlines()]
        for folder in (found, expected)
    ]
    assert len(epochs[0]) == len(epochs[1])
    for ours, theirs in zip(*epochs, strict=True):
        for name in ("train_loss", "valid_loss"):
            assert ours[name] == pytest.approx(theirs[name], abs=loss)


@pytest.fixture(scope="module")
def options(small_options):
    """Options without dropout; gradients are clipped, and the last batch has only one text."""
    return {
        **small_options, "bidirectional": True, "keep_prob": 1.0, "word_dropout": 0.0,
        "max_grad_norm": 0.1, "batch_size": 23, "learning_rate": 0.002, "num_epochs": 2,
        "export": False,
    }  # fmt: skip


@pytest.fixture(scope="module")
def alone(options, tmp_path_factory):
    """The run of one process."""
    return runner.run({**options, "run_dir": str(tmp_path_factory.mktemp("runs") / "alone")}).folder


def test_two_processes_train_as_one(alone, options, tmp_path):
    run_dir = tmp_path / "two"
    ended = Cluster(2, flags({**options, "run_dir": run_dir})).finish()
    assert ended == [(0, ""), (0, "")]
    assert_same(RunFolder(str(run_dir)), alone, weights=1e-5, loss=1e-6)


@pytest.mark.slow
def test_three_devices_train_as_one(alone, options, tmp_path):
    run_dir = tmp_path / "three"
    mirrored = json.dumps({**options, "run_dir": str(run_dir), "strategy": "mirrored"})
    subprocess.run([sys.executable, "-c", MIRRORED, mirrored], cwd=ROOT, check=True)
    assert_same(RunFolder(str(run_dir)), alone, weights=1e-5, loss=1e-6)


def test_multiworker_needs_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="--strategy=multiworker: expected a cluster"):
        distribution.connect(RunConfig(strategy="multiworker"))


@pytest.mark.slow
def test_a_mistake_of_the_chief_ends_all_with_its_line(options, tmp_path):
    (tmp_path / "bad.tsv").write_text("a\tone\nno tab\n")
    arguments = flags({**options, "train_file": tmp_path / "bad.tsv", "run_dir": tmp_path / "r"})
    line = f"error: {tmp_path / 'bad.tsv'}:2: expected label<TAB>text, found no tab ('no tab')\n"
    assert Cluster(2, arguments).finish() == [(2, line), (2, line)]
