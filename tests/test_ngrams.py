"""The n-gram branch: keys, log-count ratios and scores, against plain Python."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.batches import Split, ids_of_types
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.network.ngrams import SCALE, NgramScores, choose_ngrams, ngram_keys

VOCAB_SIZE = 9
token_lists = st.lists(st.lists(st.integers(1, VOCAB_SIZE - 1), max_size=12), min_size=1)


def ngrams_of(tokens, order):
    return {
        tuple(tokens[i : i + n])
        for n in range(1, order + 1)
        for i in range(len(tokens) - n + 1)
    }  # fmt: skip


def key_of(ngram):
    key = 0
    for token in ngram:
        key = key * VOCAB_SIZE + token
    return key


def padded(texts):
    return tf.ragged.constant(texts, tf.int32).to_tensor()


@settings(deadline=None)
@given(token_lists, st.integers(1, 4))
def test_a_text_has_the_keys_of_its_ngrams(texts, order):
    keys = ngram_keys(padded(texts), order, VOCAB_SIZE).numpy()
    for text, row in zip(texts, keys, strict=True):
        assert set(row[row >= 0]) == {key_of(ngram) for ngram in ngrams_of(text, order)}
    every = [key_of(ngram) for ngram in {g for text in texts for g in ngrams_of(text, order)}]
    assert len(set(every)) == len(every)


@settings(deadline=None)
@given(token_lists, st.integers(1, 3))
def test_scores_are_the_mean_by_root_of_the_known_ngrams_weights(texts, order):
    known = sorted({key_of(g) for text in texts[::2] for g in ngrams_of(text, order)}) or [1]
    layer = NgramScores(order, len(known), VOCAB_SIZE, 2)
    layer.build()
    weights = np.random.default_rng(0).normal(size=(len(known), 2)).astype(np.float32)
    layer.keys.assign(known)
    layer.kernel.assign(weights)
    layer.bias.assign([1.0, -1.0])
    weight_of = dict(zip(known, weights, strict=True))
    scores = layer(padded(texts)).numpy()
    for text, found in zip(texts, scores, strict=True):
        rows = [weight_of[k] for k in map(key_of, ngrams_of(text, order)) if k in weight_of]
        expected = np.array([1.0, -1.0])
        if rows:
            expected += np.sum(rows, axis=0) * SCALE / math.sqrt(len(rows))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def split_of(examples, tmp_path):
    corpus = open_corpus(examples_source("x", examples), "word", str(tmp_path))
    ids = ids_of_types(corpus, [b"[PAD]", b"[UNK]", b"w", b"x", b"y", b"z"])
    classes = np.array(["ab".index(label) for label in corpus.label_names], np.int32)
    return Split(corpus, np.arange(len(corpus)), ids, classes, 9)


@pytest.fixture
def split(tmp_path):
    examples = [
        Example("a", "x y x y"),
        Example("b", "x z"),
        Example("a", "y x"),
        Example("b", "w"),
    ]
    return split_of(examples, tmp_path)


def test_the_ngrams_start_at_half_their_log_count_ratios(split):
    counts = {
        (2,): (0, 1), (3,): (2, 1), (4,): (2, 0), (5,): (0, 1),
        (3, 4): (1, 0), (3, 5): (0, 1), (4, 3): (2, 0),
    }  # fmt: skip
    chosen = choose_ngrams(split, 2, 6, 2)
    found = {int(key): row for key, row in zip(chosen.keys, chosen.log_count_ratios, strict=True)}
    expected = {
        sum(token * 6 ** (len(ngram) - 1 - i) for i, token in enumerate(ngram)): [
            0.5 * math.log((a + 1) / (b + 1)),
            0.5 * math.log((b + 1) / (a + 1)),
        ]
        for ngram, (a, b) in counts.items()
    }
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        np.testing.assert_allclose(found[key], row, rtol=1e-6)


def test_an_ngram_whose_texts_spread_as_the_classes_do_starts_at_0(tmp_path):
    examples = [Example("a", "x"), Example("a", "x"), Example("a", "y"), Example("b", "x z")]
    start = choose_ngrams(split_of(examples * 2, tmp_path), 1, 6, 2).log_count_ratios
    # 6 of 8 texts are of class a, and so are 1.5 of the 2 added texts.
    ratios = [math.log((a + 1.5) / (b + 0.5)) - math.log(3) for a, b in [(4, 2), (2, 0), (0, 2)]]
    np.testing.assert_allclose(start[:, 0], [0.5 * ratio for ratio in ratios], rtol=1e-5)
    np.testing.assert_allclose(start[:, 1], -start[:, 0], rtol=1e-5)
    examples = [Example("a", "x"), Example("a", "x"), Example("a", "x"), Example("b", "x")]
    start = choose_ngrams(split_of(examples, tmp_path), 1, 6, 2).log_count_ratios
    np.testing.assert_allclose(start, 0, atol=1e-6)


def test_a_class_without_a_text_starts_as_one_of_a_single_text_that_holds_none(tmp_path):
    examples = [Example(name, text) for name, text in ("ax", "ay", "bx")]
    corpus = open_corpus(examples_source("fold", examples), "word", str(tmp_path))
    vocabulary = [b"[PAD]", b"[UNK]", b"x", b"y"]
    types = ids_of_types(corpus, vocabulary)
    fold = Split(corpus, np.arange(3), types, np.arange(2, dtype=np.int32), 9)
    ratios = choose_ngrams(fold, 1, VOCAB_SIZE, 3).log_count_ratios
    share = 1 / 4  # of class 2
    expected = [
        np.log(3 * share / (count + 3 * (1 - share))) - np.log(share / (1 - share))
        for count in (2, 1)  # texts that hold x, and y
    ]
    np.testing.assert_allclose(ratios[:, 2], np.array(expected) / 2, rtol=1e-6)


def test_the_most_frequent_ngrams_are_kept_where_they_are_too_many(split, monkeypatch):
    monkeypatch.setattr("tf_textrnn.network.ngrams.MAX_NGRAMS", 3)
    assert choose_ngrams(split, 2, 6, 2).keys.tolist() == [3, 4, 4 * 6 + 3]


def test_order_0_chooses_none(split):
    assert len(choose_ngrams(split, 0, 6, 2).keys) == 0


def test_keys_that_would_not_fit_are_refused(split):
    with pytest.raises(UserError, match="flag --ngrams=4: "):
        choose_ngrams(split, 4, 60_000, 2)
