"""Queries a real TensorBoard over a run that was killed and resumed."""

import dataclasses
import html
import json
import re
import time
import urllib.parse

import numpy as np
import pytest
import tensorflow as tf

from tests.tensorboard_server import serve
from tf_textrnn.config import Config
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.runs.summaries import Summaries
from tf_textrnn.training import runner

LABELS = ["animals", "colours", "numbers"]
WEIGHTS = [
    "embedding",
    *(
        f"lstm_0/{direction}/{weight}"
        for direction in ("forward", "backward")
        for weight in ("kernel", "recurrent_kernel", "bias")
    ),
    "softmax_w",
    "softmax_b",
    "ngrams/kernel",
    "ngrams/bias",
    "ngrams/trust",
]
MEASURES = [  # in TensorBoard's order; it opens on the first five
    *(f"report/{name}" for name in ("accuracy", "log_loss", "macro_f1")),
    *(f"report/{name}" for name in ("valid_accuracy", "valid_loss")),
    *(f"training/{name}" for name in ("best_epoch", "train_examples_per_second")),
]
GROUPS = "plugin/hparams/session_groups"
MISTAKEN = "numbers\tred *green* <b>blue</b> | _white_ & 1. [x](y)"
EVERY_STEP, EVERY_SECOND_STEP, EVERY_EPOCH = [*range(1, 31)], [*range(2, 31, 2)], [10, 20, 30]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def folder(small_options, topics, tmp_path_factory):
    """Makes a run of three epochs, killed in the second after steps that no checkpoint holds."""
    test_file = tmp_path_factory.mktemp("texts") / "test.tsv"
    test_file.write_text((topics / "test.tsv").read_text() + MISTAKEN + "\n")
    options = {**small_options, "bidirectional": True, "gradients_every": 2}
    options["test_file"] = str(test_file)
    run_dir = str(tmp_path_factory.mktemp("runs") / "resumed")
    original = Summaries.step

    def step(self, number, *args):
        original(self, number, *args)
        if number == 17:
            self.flush()
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Summaries, "step", step)
        with pytest.raises(Killed):
            runner.run({**options, "run_dir": run_dir})
    return runner.run({"run_dir": run_dir, "resume": True}).folder


@pytest.fixture(
    scope="module",
    params=["true", pytest.param("false", marks=pytest.mark.slow)],
    ids="fast={}".format,
)
def tensorboard(folder, request, tmp_path_factory):
    log = tmp_path_factory.mktemp("tensorboard") / "log"
    with serve(folder.tensorboard, log, f"--load_fast={request.param}") as server:
        server.wait_until_read()
        yield server


def metrics_of(folder):
    return [json.loads(line) for line in folder.metrics.read_text().splitlines()]


def steps_of(points):
    return [point[1] for point in points]


def test_scalars(tensorboard, folder):
    every_epoch = ["learning_rate", "examples_per_second", "trust", "clipped_fraction"]
    of_valid = ["loss", "accuracy", "macro_f1", *(f"f1/{label}" for label in LABELS)]
    expected = {
        ("train", tag): steps
        for tags, steps in (
            (["loss", "accuracy", "gradient_norm"], EVERY_STEP),
            ([f"{name}/grad/sparsity" for name in WEIGHTS], EVERY_SECOND_STEP),
            (every_epoch, EVERY_EPOCH),
        )
        for tag in tags
    }
    expected |= {("valid", tag): EVERY_EPOCH for tag in of_valid}
    report = json.loads(folder.report_json.read_text())
    expected |= {("run", tag): [30] for tag in MEASURES}

    tags = tensorboard.get("plugin/scalars/tags")
    assert {(run, tag) for run in tags for tag in tags[run]} == expected.keys()
    points = {
        (run, tag): tensorboard.get("plugin/scalars/scalars", run=run, tag=tag)
        for run, tag in expected
    }
    assert {key: steps_of(series) for key, series in points.items()} == expected

    def values(run, tag):
        return np.array([value for _, _, value in points[run, tag]])

    metrics = metrics_of(folder)
    for run, tag, name in (
        ("valid", "loss", "valid_loss"),
        ("valid", "accuracy", "valid_accuracy"),
        ("train", "learning_rate", "learning_rate"),
        ("train", "examples_per_second", "examples_per_second"),
    ):
        np.testing.assert_allclose(values(run, tag), [line[name] for line in metrics], rtol=1e-6)
    for tag in MEASURES:
        name = tag.partition("/")[2]
        np.testing.assert_allclose(values("run", tag), report[name], rtol=1e-6)
    # An epoch has 300 texts in batches of 32; one batch, anywhere, has the remaining 12.
    for tag in ("loss", "accuracy"):
        for line, batches in zip(metrics, values("train", tag).reshape(3, 10), strict=True):
            candidates = (32 * batches.sum() - 20 * batches) / 300
            assert np.isclose(candidates, line[f"train_{tag}"], rtol=1e-6).any()
    f1 = [values("valid", f"f1/{label}") for label in LABELS]
    np.testing.assert_allclose(values("valid", "macro_f1"), np.mean(f1, axis=0), rtol=1e-6)
    of_lines = [line["valid_f1"] for line in metrics]
    np.testing.assert_allclose(np.transpose(f1), of_lines, atol=6e-5)


def test_histograms(tensorboard, folder):
    expected = {f"{name}/grad/hist": EVERY_SECOND_STEP for name in WEIGHTS}
    expected |= {f"{name}/hist": EVERY_EPOCH for name in WEIGHTS}
    tags = tensorboard.get("plugin/histograms/tags")
    assert {run: set(names) for run, names in tags.items()} == {"train": set(expected)}
    vocabulary = len(folder.vocabulary.read_text().splitlines())
    for tag, steps in expected.items():
        points = tensorboard.get("plugin/histograms/histograms", run="train", tag=tag)
        assert steps_of(points) == steps
        if tag.startswith("embedding/"):
            for _, _, buckets in points:
                assert sum(count for _, _, count in buckets) == vocabulary * 8


def test_images(tensorboard):
    assert tensorboard.get("plugin/images/tags")["run"].keys() == {
        "confusion_matrix",
        "gradient_flow",
        "reliability",
        "risk_coverage",
    }
    (image,) = tensorboard.get(
        "plugin/images/images", run="run", tag="confusion_matrix", sample="0"
    )
    assert image["step"] == 30
    query = dict(urllib.parse.parse_qsl(image["query"]))
    png = tensorboard.get("plugin/images/individualImage", **query)
    assert png.startswith(b"\x89PNG")


def test_text(tensorboard, folder):
    (shown,) = tensorboard.get("plugin/text/text", run="run", tag="worst_mistakes")
    cells = [
        html.unescape(re.sub(r"<[^>]*>", "", cell)).strip()
        for cell in re.findall(r"<td>(.*?)</td>", shown["text"], re.S)
    ]
    rows = [line.split("\t") for line in folder.mistakes.read_text().splitlines()]
    assert MISTAKEN.split("\t") in [[row[0], row[3]] for row in rows]
    assert np.reshape(cells, (-1, 4)).tolist() == rows


def test_hparams(tensorboard, folder):
    body = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "startIndex": 0}
    answer = tensorboard.post(GROUPS, {**body, "sliceSize": 10})
    (group,) = answer["sessionGroups"]
    assert group["name"] == folder.path.name
    options = folder.read_config().options()
    aside = {"valid_file", "test_file", *dataclasses.asdict(folder.read_config().run)}
    assert group["hparams"] == {name: options[name] for name in options.keys() - aside}
    opens_on = tensorboard.post("plugin/hparams/experiment", {"experimentName": ""})
    assert [info["name"]["tag"] for info in opens_on["metricInfos"]] == MEASURES
    report = json.loads(folder.report_json.read_text())
    values = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
    for name in ("accuracy", "macro_f1", "valid_accuracy"):
        np.testing.assert_allclose(values[f"report/{name}"], report[name], rtol=1e-6)


def test_runs_are_compared_first_by_the_flags_that_differ(tmp_path):
    for name, options in (("plain", {}), ("large", {"hidden_size": 256, "word_dropout": 0.0})):
        summaries = Summaries(tmp_path / name / "tensorboard", {}, gradients_every=0)
        summaries.open({})
        summaries.start(Config().replace(**options).settled(), tf.Graph())
        summaries.close()
    statuses = ["STATUS_UNKNOWN", "STATUS_RUNNING"]
    body = {"experimentName": "", "allowedStatuses": statuses, "startIndex": 0, "sliceSize": 9}
    with serve(tmp_path, tmp_path / "log") as server:
        deadline = time.monotonic() + 60
        while len(groups := server.post(GROUPS, body).get("sessionGroups", [])) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        experiment = server.post("plugin/hparams/experiment", {"experimentName": ""})
    differing = ["hidden_size", "word_dropout"]
    assert [info["name"] for info in experiment["hparamInfos"][:2]] == differing
    found = {group["name"]: [group["hparams"][name] for name in differing] for group in groups}
    assert found == {"plain": [128, 0.2], "large": [256, 0.0]}


def test_projector(tensorboard, folder):
    deadline = time.monotonic() + 60
    while tensorboard.get("plugin/projector/runs") != ["run"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (embedding,) = tensorboard.get("plugin/projector/info", run="run")["embeddings"]
    query = {"run": "run", "name": embedding["tensorName"]}
    words = tensorboard.get("plugin/projector/metadata", **query)
    tensor = tensorboard.get("plugin/projector/tensor", **query)
    run = load_run(folder)
    assert words.splitlines() == run.vocabulary[2:]
    vectors = np.frombuffer(tensor, np.float32).reshape(embedding["tensorShape"])
    np.testing.assert_array_equal(vectors, run.model.embedding.embeddings.numpy()[2:])


def test_custom_scalars(tensorboard):
    layout = tensorboard.get("plugin/custom_scalars/layout")
    patterns = {
        (category["title"], chart["title"]): chart["multiline"]["tag"]
        for category in layout["category"]
        for chart in category["chart"]
    }
    scalars = tensorboard.get("plugin/scalars/tags")

    def on_chart(*chart):
        return {
            (run, tag)
            for pattern in patterns[chart]
            for run in ("train", "valid", "run")
            for tag in tensorboard.get("plugin/custom_scalars/scalars", run=run, tag=pattern)[
                "tag_to_events"
            ]
        }

    assert on_chart("loss and accuracy", "loss") == {("train", "loss"), ("valid", "loss")}
    assert on_chart("loss and accuracy", "accuracy") == {
        ("train", "accuracy"),
        ("valid", "accuracy"),
    }
    sparsities = {("train", tag) for tag in scalars["train"] if tag.endswith("/grad/sparsity")}
    assert len(sparsities) == len(WEIGHTS)
    category = "sparsity of the gradients"
    assert (
        on_chart(category, "embedding and n-grams") | on_chart(category, "other weights")
        == sparsities
    )
    charted = set().union(*(on_chart(*chart) for chart in patterns))
    everything = {(run, tag) for run in ("train", "valid") for tag in scalars[run]}
    assert charted == everything


def test_graph(tensorboard):
    assert tensorboard.get("plugin/graphs/info")["run"]["run_graph"]
    graph = tensorboard.get(
        "plugin/graphs/graph", run="run", limit_attr_size="1024", large_attrs_key="large"
    )
    assert b"SparseSoftmaxCrossEntropyWithLogits" in graph
    names = re.findall(r'^  name: "(.*?)"', graph.decode(), re.M)
    scopes = {name.partition("/")[0] for name in names}
    # Those of the source among them, and what it opens on fits one screen.
    assert scopes >= {"LSTM_layer", "mean_pooling_layer", "Softmax_layer_and_output", "loss"}
    assert scopes >= {"accuracy", "gradient_tape", "train_op"}
    assert len({scope.rstrip("_0123456789") for scope in scopes}) < 25
