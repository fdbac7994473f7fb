"""keras.datasets and TFDS: the conversion, on small local copies, and a missing network."""

import types

import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.data import datasets
from tf_textrnn.data.sources import Example


def test_keras_ids_become_words_without_the_marks():
    ranks = {"the": 1, "film": 2, "fine": 3}
    texts = [[1, 4, 5, 2, 6], [1]]
    assert datasets.words_of_ids(texts, [1, 0], ranks, ["negative", "positive"]) == [
        Example("positive", "the film fine"),
        Example("negative", ""),
    ]


class Text:
    """Stands in for `tfds.features.Text`, which is recognized by the name of its class."""


class ClassLabel:
    """Stands in for `tfds.features.ClassLabel`."""

    def int2str(self, index):
        return ["world", "sports"][index]


def test_tfds_records_become_examples():
    info = types.SimpleNamespace(features={"title": Text(), "body": Text(), "label": ClassLabel()})
    records = [{"title": b"Cup", "body": b"won \xff", "label": 1}]
    assert list(datasets.examples_of_tfds(records, info, "tfds:x")) == [
        Example("sports", "Cup won \ufffd")
    ]


def test_tfds_sets_without_a_class_label_are_refused():
    info = types.SimpleNamespace(features={"text": Text(), "score": object()})
    with pytest.raises(UserError, match="expected a text and one class label, found the features"):
        list(datasets.examples_of_tfds([], info, "tfds:x"))


def test_no_network_is_one_line(monkeypatch):
    import keras

    def unreachable(*args, **kwargs):
        raise Exception("URL fetch failure\non x")

    monkeypatch.setattr(keras.datasets.imdb, "get_word_index", unreachable)
    with pytest.raises(UserError) as error:
        datasets.splits("imdb")
    assert "flag --dataset=imdb: cannot be loaded; is there a network?" in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_names_are_told_the_known_ones():
    with pytest.raises(UserError, match="expected one of languages, imdb, reuters, tfds:<name>"):
        datasets.splits("imdbb")
