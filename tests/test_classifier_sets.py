"""`TextClassifier` on texts that have any number of labels."""

import json

import numpy as np
import pytest
import scipy.sparse
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import get_tags

import tf_textrnn
from tests.conftest import lines_of_sets
from tests.test_classifier import SMALL
from tf_textrnn import TextClassifier
from tf_textrnn.data.memory import as_label_sets

OBJECTS = [json.loads(line) for line in lines_of_sets(200, seed=3)]
TEXTS, SETS = [one["text"] for one in OBJECTS], [one["label"] for one in OBJECTS]
BINARIZER = MultiLabelBinarizer()
MATRIX = BINARIZER.fit_transform(SETS)


@pytest.fixture(scope="module")
def fitted():
    return TextClassifier(**SMALL | {"num_epochs": 4}).fit(TEXTS, SETS)


def test_lists_give_a_matrix_and_the_loaded_model_names_the_labels(fitted, tmp_path):
    assert get_tags(fitted).classifier_tags.multi_label
    assert fitted.classes_.tolist() == BINARIZER.classes_.tolist()
    predicted = fitted.predict(TEXTS)
    assert predicted.shape == MATRIX.shape
    assert predicted.dtype == int
    is_right = (predicted == MATRIX).all(axis=1)
    assert fitted.score(TEXTS, SETS) == fitted.score(TEXTS, map(set, SETS)) == is_right.mean() > 0.8
    fitted.save(tmp_path)
    named = tf_textrnn.load(tmp_path).predict(TEXTS)
    assert named.tolist() == BINARIZER.inverse_transform(predicted)


def test_a_matrix_is_learned_alike_and_a_column_that_no_text_has_is_never_predicted(fitted):
    matrix = np.insert(MATRIX, 1, 0, axis=1)
    again = TextClassifier(**SMALL | {"num_epochs": 4}).fit(TEXTS, scipy.sparse.csr_array(matrix))
    assert again.classes_.tolist() == [0, 1, 2, 3]
    assert again.predict(TEXTS).tolist() == np.insert(fitted.predict(TEXTS), 1, 0, axis=1).tolist()
    assert not again.predict_proba(TEXTS)[:, 1].any()
    assert again.score(TEXTS, matrix) == fitted.score(TEXTS, SETS)


@pytest.mark.slow
def test_cross_validation_takes_a_matrix():
    estimator = TextClassifier(**SMALL | {"num_epochs": 4})
    halves = [(np.arange(150), np.arange(150, 200))]
    assert cross_val_score(estimator, TEXTS, MATRIX, scoring="f1_micro", cv=halves)[0] > 0.7


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        ([[0, 2], [1, 0]], None),
        (np.array([[0, 2], [1, 0]]), "found a ndarray; expected one label .* of 0 and 1"),
        (np.array([["a"], ["b"]], object), "found a ndarray; expected one label"),
        ([["a"]], "found 1 for 2 texts"),
        (np.eye(3), "found 3 for 2 texts"),
        ([["a", 1], []], "found int and str; expected strings"),
    ],
)
def test_what_are_no_sets_is_refused(labels, error):
    if error is None:
        assert as_label_sets(labels, 2).rows.tolist() == [[True, False, True], [True, True, False]]
        return
    with pytest.raises((TypeError, ValueError), match=error):
        as_label_sets(labels, 2)


def test_one_label_a_text_is_no_set(fitted):
    assert as_label_sets(["a", "b"], 2) is None
    with pytest.raises(ValueError, match="expected a list of labels for each"):
        fitted.score(TEXTS, ["a"] * len(TEXTS))


def test_labels_that_no_text_has_are_refused():
    sets = np.zeros((3, 2), int)
    with pytest.raises(ValueError, match="labels: no text with a weight above 0 has one"):
        TextClassifier().fit(["a", "b", "c"], sets)
    sets[0] = 1
    with pytest.raises(ValueError, match="labels: no text with a weight above 0 has one"):
        TextClassifier().fit(["a", "b", "c"], sets, sample_weight=[0, 1, 1])
