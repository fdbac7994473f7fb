"""The least probability of an accepted label: fitted, kept, exported and reported."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_textrnn import cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config, ThresholdRule
from tf_textrnn.exporting.saved_model import export_run
from tf_textrnn.predictor.predictor import Predictor
from tf_textrnn.runs.coverage import risk_coverage
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.runs.measures import accuracy_interval
from tf_textrnn.runs.thresholds import NEVER, best_threshold, fit_thresholds
from tf_textrnn.training import runner

F1 = ThresholdRule("f1")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(range(11)), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 3),
    st.sampled_from([F1, ThresholdRule("precision", 0.6), ThresholdRule("precision", 0.9)]),
)
def test_no_other_threshold_does_better(pairs, missed, rule):
    probability = np.array([tenth / 10 for tenth, _ in pairs])
    is_right = np.array([right for _, right in pairs])
    support = int(is_right.sum()) + missed

    def worth(threshold):
        accepted = probability >= threshold
        right = (accepted & is_right).sum()
        if rule.kind == "f1":
            return 2 * right / max(accepted.sum() + support, 1)
        return accepted.sum() if right >= rule.value * (accepted.sum() + 1) else 0

    found = best_threshold(rule, probability, is_right, support)
    assert worth(found) >= max(map(worth, np.linspace(0.01, 1, 100))) - 1e-12
    assert found <= 1 or worth(found) == 0


def test_rare_labels_share_the_threshold_that_is_best_for_all():
    random = np.random.default_rng(2)
    probability = random.random([200, 3])
    rows = probability > [0.3, 0.6, 0.97]
    assert rows[:, 2].sum() < 10
    can_have = np.ones(rows.shape, bool)
    thresholds = fit_thresholds(F1, probability, rows, can_have)
    np.testing.assert_allclose(thresholds[:2], [0.3, 0.6], atol=0.03)
    shared = best_threshold(F1, probability.ravel(), rows.ravel(), rows.sum())
    assert thresholds[2] == shared
    fixed = fit_thresholds(ThresholdRule("fixed", 0.25), probability, rows, can_have)
    assert fixed.tolist() == [0.25] * 3


@pytest.mark.parametrize("text", ["", "nan", "2", "-1", "precision", "precision:", "precision:95"])
def test_what_is_no_threshold_is_one_line(text):
    with pytest.raises(UserError, match=f"flag --threshold={text}: expected a number from 0 to 1"):
        Config().replace(threshold=text).settled()


def test_risk_grows_from_the_surest_texts_on():
    found = risk_coverage(np.array([0.5, 0.9, 0.7, 0.6]), np.array([False, True, True, False]))
    np.testing.assert_allclose(found.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.risk, [0, 0, 1 / 3, 1 / 2])


@pytest.fixture(scope="module")
def folder(small_options, tmp_path_factory):
    """A run over texts of one label each whose threshold leaves some unsure."""
    path = tmp_path_factory.mktemp("sure") / "r"
    given = {**small_options, "threshold": "precision:0.97", "num_epochs": 3}
    return runner.run({**given, "run_dir": str(path)}, export=export_run).folder


def test_the_export_accepts_the_predicted_label_where_it_is_sure(folder, small_options):
    thresholds = np.array(load_run(folder).thresholds)
    predictor = Predictor(folder.path)
    with open(small_options["test_file"]) as file:
        pairs = [line.rstrip("\n").split("\t") for line in file]
    said = predictor([text for _, text in pairs])
    best = np.eye(3, dtype=bool)[said.classes]
    np.testing.assert_array_equal(said.accepted, best & (said.probability >= thresholds))
    report = json.loads(folder.report_json.read_text())
    accepted = said.accepted.any(axis=1)
    assert 0 < accepted.mean() == pytest.approx(report["coverage"], abs=1e-12)
    right = [
        predictor.labels[c] == label for c, (label, _) in zip(said.classes, pairs, strict=True)
    ]
    assert np.mean(np.array(right)[accepted]) == pytest.approx(report["precision"], abs=1e-12)
    low, high = report["precision_interval"]
    assert low <= report["precision"] <= high + 1e-12
    assert report["risk_coverage"][-1] == [1.0, pytest.approx(1 - report["accuracy"])]
    assert "--threshold=precision:0.97: a label is accepted for" in folder.report_text.read_text()
    known = predictor(["one two", "one two xyzzy qwert", "one two xyzzy qwert asdf", ""])
    assert known.accepted.any(axis=1).tolist() == [True, True, False, False]


def test_an_evaluation_says_how_many_are_accepted_and_right(folder, tmp_path, capsys):
    lines = ["numbers\tone two", "numbers\tthe cow", "numbers\tone two xyzzy qwert asdf"]
    (tmp_path / "new.tsv").write_text("\n".join(lines))
    command = ["predict", f"--model={folder.path}", "--evaluate", f"--input={tmp_path / 'new.tsv'}"]
    assert cli.run([*command, "--format=jsonl"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["coverage"], found["precision"]) == (pytest.approx(2 / 3), 0.5)
    assert found["precision_interval"] == pytest.approx(accuracy_interval(1, 2))
    assert cli.run(command) == 0
    assert (
        "\na label is accepted for 66.7% of the texts; 0.5000 of the accepted are right (95 % "
    ) in capsys.readouterr().out


def test_a_threshold_that_is_none_in_the_best_file_is_refused(folder, monkeypatch):
    from tf_textrnn.runs import loaded

    read = loaded.read_best
    for wrong in ([0.5], [0.5, 0.5, -1.0], [0.5, 0.5, "x"], [0.5, 0.5, float("nan")], "f1"):
        monkeypatch.setattr(
            loaded,
            "read_best",
            lambda run, wrong=wrong: read(run)._replace(state={"thresholds": wrong}),
        )
        with pytest.raises(UserError, match="expected a threshold for each of 3 labels"):
            load_run(RunFolder(str(folder.path)))


def test_no_probability_reaches_the_threshold_where_none_is_right():
    found = best_threshold(ThresholdRule("precision", 0.5), np.ones(9), np.zeros(9, bool), 9)
    assert found == NEVER
