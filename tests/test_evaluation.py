"""Measures against plain NumPy, the report's numbers, and the worst mistakes."""

import numpy as np
import sklearn.metrics

from tf_textrnn.data.batches import Split, ids_of_types
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.runs import measures
from tf_textrnn.runs.report import worst_mistakes


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
    ids = ids_of_types(corpus, [b"[PAD]", b"[UNK]"])
    classes = np.array([corpus.label_names.index(x) for x in corpus.label_names], np.int32)
    split = Split(corpus, rows, ids, classes, 9)
    labels = corpus.label_names  # b, a
    scores = np.array([[3.0, 0], [0, 1], [2, 0], [5, 0]], np.float32)  # b a b b; true a b b a
    found = worst_mistakes(split, scores, labels)
    assert [(m.label, m.prediction, m.text) for m in found] == [
        ("a", "b", "text 7 with tab"),
        ("a", "b", "text 1 with tab"),
        ("b", "a", "text 4 with tab"),
    ]
    np.testing.assert_allclose(found[0].probability, 1 / (1 + np.exp(-5)), rtol=1e-6)
