"""The event files hold every value of every gradient, and each step once."""

import html
import json
import math
import pathlib
import re
import shutil
import types
import warnings

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.memory import resident_mebibytes
from tf_textrnn.runs import summaries as summaries_module
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.histograms import HistogramMaker
from tf_textrnn.runs.summaries import Summaries, _escaped
from tf_textrnn.training import ending, loop, runner

ROWS, COLUMNS = 40, 3
MAKER = HistogramMaker([ROWS * COLUMNS])


def read_events(folder: pathlib.Path):
    """Returns step → tag → value of all event files of a folder."""
    values: dict[int, dict[str, tf.compat.v1.Summary.Value]] = {}
    for path in sorted(folder.glob("events.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.tag not in values.setdefault(event.step, {}), "written twice"
                values[event.step][value.tag] = value
    return values


def numpy_counts(values: np.ndarray, proto: tf.compat.v1.HistogramProto) -> list[int]:
    """Counts the values in each bucket of `proto`; a value at an edge is in the next bucket."""
    bucket = np.searchsorted(proto.bucket_limit[:-1], values, side="right")
    return np.bincount(bucket, minlength=len(proto.bucket)).tolist()


def assert_is_histogram_of(proto: tf.compat.v1.HistogramProto, values: np.ndarray):
    exact = values.astype(np.float64).ravel()
    assert proto.num == exact.size
    assert (proto.min, proto.max) == (exact.min(), exact.max())
    np.testing.assert_allclose(proto.sum, exact.sum(), atol=1e-12 * np.abs(exact).sum())
    np.testing.assert_allclose(proto.sum_squares, np.square(exact).sum(), rtol=1e-9)
    assert sum(proto.bucket) == exact.size
    # In float32 a value at an edge may fall on the other side of it.
    nudged = [numpy_counts(exact * factor, proto) for factor in (1 - 1e-4, 1 + 1e-4)]
    exceptions = np.abs(np.subtract(*nudged)).sum()
    found = numpy_counts(exact, proto)
    assert np.abs(np.subtract(found, proto.bucket)).sum() <= exceptions
    assert exceptions <= max(12, 0.02 * exact.size)  # one in 500 is so near, and counts twice


@pytest.mark.parametrize("seed", range(20))
def test_a_histogram_is_that_of_the_dense_values(seed):
    random = np.random.default_rng(seed)
    values = random.choice([-1.0, 1.0], (ROWS, COLUMNS)) * 10 ** random.uniform(-14, 20)
    values *= 10 ** random.uniform(-8, 0, (ROWS, COLUMNS)) * random.integers(0, 2, (ROWS, COLUMNS))
    rows = np.sort(random.permutation(ROWS)[: random.integers(0, ROWS + 1)])
    dense = np.zeros((ROWS, COLUMNS), np.float32)
    dense[rows] = values[rows]
    sparse = tf.IndexedSlices(tf.constant(dense[rows]), tf.constant(rows, tf.int64))
    for tensor in (tf.constant(dense), sparse):
        (histogram,) = MAKER([tensor])
        assert histogram.sparsity == np.mean(dense == 0)
        assert_is_histogram_of(histogram.to_proto(), dense)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_infinity_and_nan_have_no_histogram(tmp_path, bad):
    weight = tf.Variable(np.full((ROWS, COLUMNS), bad, np.float32))
    summaries = Summaries(tmp_path, {"weight": weight}, gradients_every=1)
    summaries.open({})
    summaries.step(1, 0.5, 0.5, 1.0, [weight.value()])
    summaries.flush()
    assert set(read_events(tmp_path / "train")[1]) == {
        "loss",
        "accuracy",
        "gradient_norm",
        "weight/grad/sparsity",
    }


def test_histogram_and_sparsity_are_those_of_the_steps_gradients(
    small_options, tmp_path, monkeypatch
):
    """The embedding counts all of its rows, though its gradient names only some."""
    steps = {}
    original = Summaries.step

    def step(self, number, loss, accuracy, norm, gradients):
        dense = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
        steps[number] = loss, accuracy, norm, dict(zip(self._weights, dense, strict=True))
        assert isinstance(gradients[0], tf.IndexedSlices)
        original(self, number, loss, accuracy, norm, gradients)

    monkeypatch.setattr(Summaries, "step", step)
    options = {"gradients_every": 1, "num_epochs": 1, "max_grad_norm": 0.05}
    folder = runner.run({**small_options, **options, "run_dir": str(tmp_path / "run")}).folder
    events = read_events(folder.tensorboard / "train")
    assert sorted(events) == sorted(steps) == list(range(1, 11))
    vocabulary = len(folder.vocabulary.read_text().splitlines())
    for number, (loss, accuracy, norm, gradients) in steps.items():
        values = events[number]
        assert values["loss"].simple_value == np.float32(loss)
        assert values["accuracy"].simple_value == np.float32(accuracy)
        assert values["gradient_norm"].simple_value == np.float32(norm)
        assert gradients["embedding"].shape == (vocabulary, 8)
        for name, gradient in gradients.items():
            sparsity = values[f"{name}/grad/sparsity"].simple_value
            assert sparsity == np.float32(np.mean(gradient == 0))
            assert_is_histogram_of(values[f"{name}/grad/hist"].histo, gradient)
        assert values["embedding/grad/sparsity"].simple_value > 0
        # The gradients are those after clipping; the norm is that before clipping.
        clipped = np.sqrt(sum(np.square(gradient).sum() for gradient in gradients.values()))
        np.testing.assert_allclose(clipped, min(norm, 0.05), rtol=1e-5)
    norms = np.array([norm for _, _, norm, _ in steps.values()])
    assert events[10]["clipped_fraction"].simple_value == np.float32(np.mean(norms > 0.05))


class Killed(BaseException):
    """Stands for the end of the process."""


TIMED = "examples_per_second"


def serialized(events):
    """Returns the bytes of the values, without the timings."""
    return {
        step: {tag: v.SerializeToString() for tag, v in values.items() if tag != TIMED}
        for step, values in events.items()
    }


@pytest.fixture(scope="module")
def whole(small_options, tmp_path_factory):
    run_dir = str(tmp_path_factory.mktemp("runs") / "whole")
    return runner.run({**small_options, "gradients_every": 2, "run_dir": run_dir}).folder


@pytest.mark.parametrize(
    ("killed_after", "every"),
    [
        pytest.param(3, 0, marks=pytest.mark.slow),
        pytest.param(20, 0, marks=pytest.mark.slow),
        (17, 4),
    ],
)
def test_a_resumed_run_neither_repeats_nor_loses_steps(
    whole, small_options, tmp_path, monkeypatch, killed_after, every
):
    """Dies before the first checkpoint, just before one, and after one inside an epoch."""
    options = {**small_options, "gradients_every": 2}
    original = Summaries.step

    def step(self, number, *args):
        original(self, number, *args)
        if number == killed_after:
            self.flush()  # the worst case: all is on disk, and no checkpoint knows
            raise Killed

    cut = RunFolder(str(tmp_path / "cut"))
    with monkeypatch.context() as patch:
        patch.setattr(Summaries, "step", step)
        if every:
            clock = iter(range(0, 10**9, 60 * 10 // every))
            patch.setattr(loop, "time", types.SimpleNamespace(monotonic=clock.__next__))
        with pytest.raises(Killed):
            runner.run(
                {**options, "run_dir": str(cut.path), "checkpoint_minutes": 10.0 * bool(every)}
            )
    checkpoints = [int(path.stem) for path in cut.checkpoints.iterdir()]
    stale = max(read_events(cut.tensorboard / "train"))
    assert stale == killed_after > max(checkpoints, default=0)
    runner.run({"run_dir": str(cut.path), "resume": True})
    for run in ("train", "valid"):
        resumed = read_events(cut.tensorboard / run)
        assert serialized(resumed) == serialized(read_events(whole.tensorboard / run))
    assert sorted(read_events(cut.tensorboard / "train")) == list(range(1, 31))
    assert sorted(read_events(cut.tensorboard / "run")) == [0, 30]


def test_an_older_checkpoint_cuts_further_back(whole, tmp_path):
    folder = RunFolder(str(shutil.copytree(whole.path, tmp_path / "run")))
    for path in sorted(folder.checkpoints.iterdir())[1:]:
        path.unlink()
    runner.run({"run_dir": str(folder.path), "resume": True})
    resumed = serialized(read_events(folder.tensorboard / "train"))
    assert resumed == serialized(read_events(whole.tensorboard / "train"))


@pytest.mark.parametrize(
    ("every", "steps"), [pytest.param(0, [], marks=pytest.mark.slow), (4, [4, 8])]
)
def test_gradients_every(small_options, tmp_path, every, steps):
    options = {**small_options, "num_epochs": 1, "gradients_every": every}
    folder = runner.run({**options, "run_dir": str(tmp_path / "run")}).folder
    events = read_events(folder.tensorboard / "train")
    assert [step for step, values in events.items() if "embedding/grad/hist" in values] == [*steps]
    assert list(events) == [*range(1, 11)]
    assert all("loss" in values for values in events.values())


def test_labels_beyond_a_few_have_a_picture_of_their_f1_and_no_curves(
    small_options, tmp_path, monkeypatch
):
    for module in (ending, summaries_module):
        monkeypatch.setattr(module, "MOST_CURVES", 2)
    options = {**small_options, "num_epochs": 2, "run_dir": str(tmp_path / "run")}
    folder = runner.run(options).folder
    tags = {tag for values in read_events(folder.tensorboard / "valid").values() for tag in values}
    assert tags == {"loss", "accuracy", "macro_f1"}
    (pictures,) = [
        v for v in read_events(folder.tensorboard / "run").values() if "reliability" in v
    ]
    assert "f1_of_each_label" in pictures
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    per_class = json.loads(folder.report_json.read_text())["per_class"]
    assert {len(line["valid_f1"]) for line in lines} == {len(per_class)} == {3}


@given(st.text(st.sampled_from("ab \\`*_{}[]()#+-.!|<>&\"'1~:/")))
@settings(deadline=None)
def test_a_text_is_shown_as_it_is(text):
    with warnings.catch_warnings():  # TensorBoard's own, when it first makes HTML
        warnings.simplefilter("ignore", DeprecationWarning)
        from tensorboard import plugin_util

        shown = plugin_util.markdown_to_safe_html(f"x {_escaped(text)} x")
    assert html.unescape(re.sub(r"</?p>", "", shown)).split() == f"x {text} x".split()


@pytest.mark.slow
def test_steps_stay_out_of_memory_once_written(tmp_path):
    summaries = Summaries(tmp_path, {}, gradients_every=0)
    summaries.open({})
    for step in range(21_000):
        summaries.step(step, 0.0, 0.0, 0.0, [])
        if step == 1_000:
            before = resident_mebibytes()
    assert resident_mebibytes() - before < 5
