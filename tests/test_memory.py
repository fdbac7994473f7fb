"""Labeled texts in memory: what reaches the trainer, and what is refused by name."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from tf_textrnn import TextClassifier, classifier
from tf_textrnn.data.memory import as_labels


def reaching_the_trainer(monkeypatch, texts, labels, weights=None):
    """Returns the (label, text) pairs and the options that `fit` passes to the trainer."""
    reached = {}

    def train_on(options, sources, sample_weights):
        reached.update(options=options, source=sources["train"], weights=sample_weights)
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier, "train_on", train_on)
    with pytest.raises(KeyboardInterrupt):
        TextClassifier().fit(texts, labels, weights)
    pairs = [(example.label, example.text) for example in reached["source"].read()]
    return pairs, reached


@pytest.mark.parametrize(
    ("labels", "names", "classes"),
    [
        (["b", "a", "b", "c"], "babc", ["a", "b", "c"]),
        (np.array(["b", "a", "b", "c"]), "babc", ["a", "b", "c"]),
        ([3, 1, 3, 2], "3132", [1, 2, 3]),
        (np.array([3, 1, 3, 2], np.uint8), "3132", [1, 2, 3]),
        ([np.int64(3), 1, 3, 2], "3132", [1, 2, 3]),
        (pd.array([3, 1, 3, 2], "Int64"), "3132", [1, 2, 3]),
        (np.array([True, False, True, True]), ["True", "False", "True", "True"], [False, True]),
        ([np.True_, np.False_] * 2, ["True", "False"] * 2, [False, True]),
        (pd.Series(["b", "a", "b", "c"], dtype="category"), "babc", ["a", "b", "c"]),
    ],
)
def test_labels_reach_the_trainer_as_text(monkeypatch, labels, names, classes):
    pairs, _ = reaching_the_trainer(monkeypatch, ["t0", "t1", "t2", "t3"], labels)
    assert pairs == [(name, f"t{i}") for i, name in enumerate(names)]
    assert np.unique(as_labels(labels, 4)).tolist() == classes


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        lambda column: np.array(column, object),
        lambda column: pd.Series(column, index=[7, 2, 9, 4]),
    ],
)
def test_every_kind_of_column_is_read_in_its_order(monkeypatch, make):
    pairs, _ = reaching_the_trainer(monkeypatch, make(["x", "y", "z", "x"]), make(list("abab")))
    assert pairs == [("a", "x"), ("b", "y"), ("a", "z"), ("b", "x")]


def test_weights_reach_the_trainer_at_a_mean_of_one_and_none_of_zero(monkeypatch):
    texts, labels = ["x", "y", "z", "v"], [2, 1, 3, 1]
    pairs, reached = reaching_the_trainer(monkeypatch, texts, labels, [6, 4, 0, 2])
    assert pairs == [("2", "x"), ("1", "y"), ("1", "v")]
    assert reached["weights"].tolist() == [1.5, 1.0, 0.5]
    assert reaching_the_trainer(monkeypatch, texts, labels)[1]["weights"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("weights", [[1, 2], [[1], [1], [1]], [1, -1, 1], [1, float("nan"), 1]])
def test_weights_that_cannot_be_are_refused(weights):
    with pytest.raises(ValueError, match="sample_weight: expected 3 numbers, each at least 0"):
        TextClassifier().fit(["x", "y", "z"], [1, 2, 1], weights)


def test_a_lone_surrogate_is_read_as_prediction_reads_it(monkeypatch):
    pairs, _ = reaching_the_trainer(monkeypatch, ["x\ud800", "y", "z"], list("aba"))
    assert pairs[0] == ("a", "x?")


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("a fine film", TypeError, "texts: found one string; expected a list"),
        (None, TypeError, "texts: found a NoneType; expected a list of strings"),
        ({"a": 1}, TypeError, "texts: found a dict"),
        ({"a", "b"}, TypeError, "texts: found a set"),
        (pd.DataFrame({"text": ["a", "b"]}), ValueError, "found a DataFrame of 2 dimensions"),
        (np.array([["a"], ["b"]]), ValueError, "found a ndarray of 2 dimensions"),
        (np.array("a"), ValueError, "found a ndarray of 0 dimensions"),
        (scipy.sparse.eye(2).tocsr(), ValueError, "of 2 dimensions"),
        (["a", 3], TypeError, r"texts\[1\]: found 3; expected a string"),
        ([["a"], ["b"]], TypeError, r"texts\[0\]: found \['a'\]; expected a string"),
        (pd.Series(["a", None]), TypeError, r"texts\[1\]: found nan; expected a string"),
    ],
)
def test_what_is_no_column_of_texts_is_refused_by_name(texts, error, message):
    with pytest.raises(error, match=message):
        TextClassifier().fit(texts, ["a", "b"])


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (None, ValueError, "labels: found a NoneType; expected a list"),
        ("abcd", ValueError, "labels: found a str; expected a list"),
        (pd.DataFrame({"y": list("abab")}), ValueError, "labels: found a DataFrame"),
        (np.zeros((4, 1), int), ValueError, "labels: found a ndarray"),
        (["a", "b"], ValueError, "labels: found 2 for 4 texts"),
        (["a", "a", "a", "a"], ValueError, "labels: found only one class, 'a'"),
        (["a", "b", "c", "d"], ValueError, "labels: found 4 classes of one text each"),
        (["a", 1, "a", 1], TypeError, "labels: found int and str; expected strings"),
        (["a", None, "a", "b"], TypeError, "labels: found NoneType and str"),
        ([0.5, 1.25, 0.5, 1.0], ValueError, "Unknown label type: continuous"),
        (["a", "b\n", "a", "a"], ValueError, r"labels: found 'b\\n'; expected at most"),
        (["a", " ", "a", "a"], ValueError, "labels: found ' '; expected at most"),
    ],
)
def test_labels_that_cannot_be_are_refused_by_name(labels, error, message):
    with pytest.raises(error, match=message):
        TextClassifier().fit(["w", "x", "y", "z"], labels)
