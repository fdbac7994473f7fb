"""`--metric`: what it names, and what an epoch measures by it."""

import json

import numpy as np
import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config, Metric, read_metric
from tf_textrnn.runs.metric import recall_at_precision
from tf_textrnn.training import runner


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("loss", Metric("loss")),
        ("f1:a label: with colons", Metric("f1", "a label: with colons")),
        ("recall_at_precision:a:b:0.9", Metric("recall_at_precision", "a:b", 0.9)),
    ],
)
def test_what_a_metric_names(text, metric):
    assert read_metric(text) == metric


@pytest.mark.parametrize(
    "text",
    ["", "recall", "f1", "f1:", "loss:spam", "recall_at_precision:spam",
     "recall_at_precision:0.9", "recall_at_precision:spam:", "recall_at_precision:spam:nan",
     "recall_at_precision:spam:0", "recall_at_precision:spam:90"],
)  # fmt: skip
def test_what_is_no_metric_is_one_line(text):
    with pytest.raises(UserError, match=f"^flag --metric={text}: expected loss, accuracy, macro_f"):
        Config().replace(metric=text).settled()


def test_no_threshold_of_that_precision_finds_more():
    random = np.random.default_rng(1)
    for precision in (0.5, 0.8, 1.0):
        is_label = random.random(60) < 0.4
        probability = np.round(0.3 * is_label + random.random(60), 1)  # with ties
        recalls = [0.0]
        for threshold in np.unique(probability):
            accepted = probability >= threshold
            if is_label[accepted].mean() >= precision:
                recalls.append(is_label[accepted].sum() / is_label.sum())
        assert recall_at_precision(is_label, probability, precision) == pytest.approx(max(recalls))


@pytest.mark.parametrize(
    ("options", "metric"),
    [("small_options", "f1:colours"), ("set_options", "recall_at_precision:colours:0.95"),
     pytest.param("small_options", "macro_f1", marks=pytest.mark.slow)],
)  # fmt: skip
def test_each_epoch_is_measured_by_the_metric(options, metric, request, tmp_path):
    given = {**request.getfixturevalue(options), "test_file": "", "num_epochs": 1}
    finished = runner.run({**given, "metric": metric, "run_dir": str(tmp_path / "r")})
    folder, report = finished.folder, finished.report
    (line,) = folder.metrics.read_text(encoding="utf-8").splitlines()
    value = json.loads(line)["valid_metric"]
    if metric == "macro_f1":
        assert value == pytest.approx(report["macro_f1"])
    elif metric == "f1:colours":
        assert value == pytest.approx(report["per_class"]["colours"]["f1"])
    else:
        assert 0 < value <= 1


@pytest.mark.parametrize("metric", ["f1:plants", "recall_at_precision:plants:0.5"])
def test_a_metric_of_a_label_that_is_not_there_is_one_line(metric, small_options, tmp_path):
    given = {**small_options, "metric": metric, "run_dir": str(tmp_path / "r")}
    message = r"^--metric=\w+:plants: .*train\.tsv has no label 'plants'; expected one of animals"
    with pytest.raises(UserError, match=message):
        runner.run(given)
    assert not (tmp_path / "r").exists()


def test_a_metric_of_a_label_that_no_validation_text_has_is_one_line(small_options, tmp_path):
    valid_file = tmp_path / "valid.tsv"
    valid_file.write_text("animals\tthe cat\ncolours\tthe red\n", encoding="utf-8")
    given = {**small_options, "valid_file": str(valid_file), "metric": "f1:numbers"}
    with pytest.raises(UserError, match="none of the 2 validation texts has the label 'numbers'"):
        runner.run({**given, "run_dir": str(tmp_path / "r")})
