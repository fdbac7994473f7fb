"""Measures against plain NumPy, the report's numbers, and the worst mistakes."""

import json
import pathlib

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from tf_textrnn.data.batches import Split, ids_of_types
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.predictor.encoder import TokenIds
from tf_textrnn.runs import evaluation, measures
from tf_textrnn.runs.answered import answered
from tf_textrnn.runs.evaluation import Evaluation, evaluation_text
from tf_textrnn.runs.folder import RunFolder, read_report
from tf_textrnn.runs.report import worst_mistakes, write_predictions

LABELS = ["a", "b", "c", "d"]


def test_measure_is_mean_cross_entropy_and_share_right():
    scores = np.array([[0.0, np.log(3)], [2.0, 2.0], [800.0, -800.0]], np.float32)
    found = measures.measure(scores, np.array([1, 0, 0]))
    np.testing.assert_allclose(found.loss, (-np.log(0.75) - np.log(0.5) - 0) / 3, rtol=1e-6)
    assert found.accuracy == 1.0
    assert np.isfinite(measures.measure(scores, np.array([0, 0, 1])).loss)


def test_per_class_report_names_every_label_also_one_that_never_occurs():
    report = measures.per_class_report(np.array([0, 0, 1]), np.array([0, 1, 1]), ["a", "b", "c"])
    assert report["a"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert report["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    f1 = sklearn.metrics.f1_score([0, 0, 1], [0, 1, 1], average=None)
    np.testing.assert_allclose([report["a"]["f1"], report["b"]["f1"]], f1)


def test_worst_mistakes_are_the_surest_with_their_own_text(tmp_path):
    examples = [Example("a" if i % 2 else "b", f"text {i}\twith tab") for i in range(10)]
    corpus = open_corpus(examples_source("x", examples), "word", str(tmp_path))
    rows = np.array([1, 4, 6, 7])
    ids = ids_of_types(corpus, TokenIds([b"[PAD]", b"[UNK]"]))
    classes = np.array([corpus.label_names.index(x) for x in corpus.label_names], np.int32)
    split = Split(corpus, rows, ids, classes, 9)
    labels = corpus.label_names  # b, a
    scores = np.array([[3.0, 0], [0, 1], [2, 0], [5, 0]], np.float32)  # b a b b; true a b b a
    found = worst_mistakes(answered(split, scores, 1.0, labels))
    assert [(m.label, m.prediction, m.text) for m in found] == [
        ("a", "b", "text 7 with tab"),
        ("a", "b", "text 1 with tab"),
        ("b", "a", "text 4 with tab"),
    ]
    np.testing.assert_allclose(found[0].probability, 1 / (1 + np.exp(-5)), rtol=1e-6)


def drawn(texts, num_true, seed=0):
    """Draws classes of the first `num_true` labels, and probabilities that tell of them."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, num_true, texts)
    scores = random.normal(size=[texts, len(LABELS)])
    scores[:, :num_true] += np.eye(num_true)[classes]
    return classes, measures.softmax(scores)


def evaluated(classes, probability, labels=LABELS, parts=1):
    found = Evaluation(labels)
    for part in np.array_split(np.arange(len(classes)), parts):
        found.add(classes[part], probability[part].argmax(axis=1), probability[part])
    return found.report()


@pytest.mark.parametrize("num_true", [4, 3])
def test_an_evaluation_measures_as_scikit_learn_does(num_true):
    classes, probability = drawn(200, num_true)
    predictions, tested = probability.argmax(axis=1), list(range(num_true))
    found = evaluated(classes, probability)

    def f1(average, labels):
        return sklearn.metrics.f1_score(classes, predictions, average=average, labels=labels)

    assert found["accuracy"] == sklearn.metrics.accuracy_score(classes, predictions)
    assert found["macro_f1"] == pytest.approx(f1("macro", tested))
    assert found["labels_left_out"] == 4 - num_true
    assert found["weighted_f1"] == pytest.approx(f1("weighted", tested))
    assert found["micro_f1"] == pytest.approx(f1("micro", range(4)))
    loss = sklearn.metrics.log_loss(classes, probability, labels=range(4))
    assert found["log_loss"] == pytest.approx(loss)
    for name, measure in (
        ("roc_auc", sklearn.metrics.roc_auc_score),
        ("average_precision", sklearn.metrics.average_precision_score),
    ):
        ranked = [measure(classes == i, probability[:, i]) for i in tested]
        assert found[name] == pytest.approx(np.mean(ranked))
        assert [found["per_class"][LABELS[i]][name] for i in tested] == pytest.approx(ranked)


def test_parts_are_measured_as_the_whole():
    classes, probability = drawn(100, 4)
    whole, parts = evaluated(classes, probability), evaluated(classes, probability, parts=7)
    assert parts.pop("log_loss") == pytest.approx(whole.pop("log_loss"))
    assert parts == whole


@pytest.mark.parametrize(("num_right", "num_texts"), [(0, 5), (5, 5), (3, 7), (951, 1_000)])
def test_the_interval_is_wilsons(num_right, num_texts):
    expected = scipy.stats.binomtest(num_right, num_texts).proportion_ci(0.95, "wilson")
    assert measures.accuracy_interval(num_right, num_texts) == pytest.approx(tuple(expected))


def test_a_label_that_the_model_lacks_is_wrong_in_every_measure():
    found = Evaluation(["a", "b"])
    classes = np.array([found.class_of(label) for label in ("a", "x\x1b", "b", "x\x1b")])
    probability = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
    found.add(classes, probability.argmax(axis=1), probability)
    report = found.report()
    assert (report["accuracy"], report["unknown_labels"]) == (0.5, ["x\x1b"])
    assert report["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert report["log_loss"] == pytest.approx(-np.log([0.9, 0.8]).mean())
    assert report["per_class"]["x\x1b"] == {"precision": 0, "recall": 0, "f1": 0, "support": 2}
    text = evaluation_text("test", report)
    assert "labels that the model lacks, all mistakes: x\ufffd (2)" in text
    json.dumps(report, allow_nan=False)


def test_texts_of_unknown_labels_alone_have_no_loss():
    found = Evaluation(["a", "b"])
    found.add(np.array([found.class_of("x")]), np.array([0]), np.array([[0.9, 0.1]]))
    report = found.report()
    assert (report["accuracy"], report["macro_f1"]) == (0, 0)
    assert not {"log_loss", "roc_auc", "average_precision"} & report.keys()


@pytest.mark.parametrize("limit", [("RANKED_LABELS", 3), ("RANKED_SCORES", 399)])
def test_too_much_is_not_ranked(monkeypatch, limit):
    monkeypatch.setattr(evaluation, *limit)
    found = evaluated(*drawn(100, 4), parts=3)
    assert not {"roc_auc", "average_precision"} & found.keys()
    assert not {"roc_auc", "average_precision"} & found["per_class"]["a"].keys()


def test_the_text_tells_the_interval_and_names_what_is_not_tested():
    text = evaluation_text("test", evaluated(np.array([0, 0, 1, 1]), np.eye(4)[[0, 0, 1, 0]]))
    assert text.startswith("test: accuracy 0.7500 (95 % interval 0.3006 to 0.9544), macro F1 ")
    assert "over 2 of 4 labels" in text
    assert text.splitlines()[2] == "without a text to test on: c, d"


def test_predictions_hold_every_text_with_its_line(tmp_path):
    examples = [Example("a" if i % 2 else "b", f"text {i}", line=2 * i + 1) for i in range(6)]
    examples[5] = Example("a", "of no file")
    corpus = open_corpus(examples_source("x", examples), "word", str(tmp_path / "cache"))
    ids = ids_of_types(corpus, TokenIds([b"[PAD]", b"[UNK]"]))
    split = Split(corpus, np.array([1, 4, 5]), ids, np.array([0, 1], np.int32), 9)
    folder = RunFolder(str(tmp_path))
    scores = np.array([[3.0, 0], [0, 1], [0, 2]], np.float32)
    write_predictions(folder, answered(split, scores, 2.0, ["b\x1b", "a"]))
    rows = [line.split("\t") for line in folder.predictions.read_text("utf-8").splitlines()]
    assert rows == [
        ["place", "label", "prediction", "probability"],
        ["3", "a", "b\ufffd", f"{1 / (1 + np.exp(-1.5)):.4f}"],
        ["9", "b\ufffd", "a", f"{1 / (1 + np.exp(-0.5)):.4f}"],
        ["6", "a", "a", f"{1 / (1 + np.exp(-1)):.4f}"],
    ]


def test_a_report_of_the_first_release_is_read_by_todays_names(tmp_path):
    data = pathlib.Path(__file__).parent / "data" / "run_0.1" / "run" / "report.json"
    old = json.loads(data.read_text("utf-8"))
    folder = RunFolder(str(tmp_path))
    folder.report_json.write_text(json.dumps(old), "utf-8")
    found = read_report(folder)
    assert (found["accuracy"], found["macro_f1"]) == (old["test_accuracy"], old["test_macro_f1"])
    assert (found["evaluated_on"], found["log_loss"]) == ("valid", old["test_loss"])
    assert not {"test_accuracy", "test_macro_f1"} & found.keys()
    folder.report_json.write_text(json.dumps({**old, "evaluated_on": "test"}), "utf-8")
    found = read_report(folder)
    assert found["test_accuracy"] == found["accuracy"] == old["test_accuracy"]
