"""The n-gram branch: keys, log-count ratios and scores, against plain Python."""

import dataclasses
import math
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.batches import Split, ids_of_types
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.own_counts import OwnCounts
from tf_textrnn.data.sources import Example
from tf_textrnn.network.ngram_counts import count_ngrams, counted_texts
from tf_textrnn.network.ngrams import COUNTED, SCALE, NgramScores, log_count_ratios, ngram_keys
from tf_textrnn.predictor.encoder import TokenIds

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
    ids = ids_of_types(corpus, TokenIds([b"[PAD]", b"[UNK]", b"w", b"x", b"y", b"z"]))
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


COUNTS = {  # texts of a and of b
    (2,): (0, 1), (3,): (2, 1), (4,): (2, 0), (5,): (0, 1),
    (3, 4): (1, 0), (3, 5): (0, 1), (4, 3): (2, 0),
}  # fmt: skip


def test_texts_are_counted_that_hold_an_ngram(split):
    found = count_ngrams(split, 2, 6, 2)
    expected = {
        sum(token * 6 ** (len(ngram) - 1 - i) for i, token in enumerate(ngram)): [a, b, a + b]
        for ngram, (a, b) in COUNTS.items()
    }
    assert dict(zip(found.keys.tolist(), found.counts.tolist(), strict=True)) == expected
    np.testing.assert_allclose(found.shares, [7 / 11, 4 / 11], rtol=1e-6)
    assert found.text_shares.tolist() == [0.5, 0.5]


def ratios(counts, shares):
    return log_count_ratios(tf.constant(counts), tf.constant(shares)).numpy()


def test_ratios_are_those_of_counts_divided_by_their_sum_over_a_class(split):
    """Wang & Manning's, with two texts added that hold what the others do."""
    found = count_ngrams(split, 2, 6, 2)
    sum_a, sum_b, _ = found.counts.sum(axis=0)
    added = 2 * sum_a / (sum_a + sum_b)
    for (a, b, _), row in zip(found.counts, ratios(found.counts, found.shares), strict=True):
        expected = math.log(((a + added) / sum_a) / ((b + 2 - added) / sum_b))
        np.testing.assert_allclose(row, [expected, -expected], rtol=1e-5, atol=1e-6)


def test_what_every_text_holds_speaks_for_the_class_of_short_ones(tmp_path):
    """It is a quarter of what texts of one class hold, and all that those of the other do."""
    examples = [Example("a", "w x y z"), Example("b", "x")] * 3
    counts = count_ngrams(split_of(examples, tmp_path), 1, 6, 2)
    of_each = counts.counts[:, 1] > 0
    found = ratios(counts.counts, counts.shares)[of_each]
    expected = math.log((3 + 1.6) / (3 + 0.4) / 4)
    np.testing.assert_allclose(found, [[expected, -expected]], rtol=1e-5)


def test_an_ngram_that_spreads_as_all_ngrams_do_has_ratio_0(tmp_path):
    examples = [Example("a", "x"), Example("a", "x"), Example("a", "y"), Example("b", "x z")]
    counts = count_ngrams(split_of(examples * 2, tmp_path), 1, 6, 2)
    found = ratios(counts.counts, counts.shares)
    # 6 of 10 counts are of class a, and so are 1.2 of the 2 added texts.
    expected = [math.log((a + 1.2) / (b + 0.8) / 1.5) for a, b in [(4, 2), (2, 0), (0, 2)]]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], -found[:, 0], rtol=1e-5)
    examples = [Example("a", "x"), Example("a", "x"), Example("a", "x"), Example("b", "x")]
    counts = count_ngrams(split_of(examples, tmp_path), 1, 6, 2)
    np.testing.assert_allclose(ratios(counts.counts, counts.shares), 0, atol=1e-6)


def test_a_class_without_a_text_has_finite_ratios(split):
    counts = count_ngrams(split, 2, 6, 3)
    assert np.isfinite(ratios(counts.counts, counts.shares)).all()


def test_texts_that_hold_nothing_have_finite_shares(tmp_path):
    counts = count_ngrams(split_of([Example("a", ""), Example("b", "")], tmp_path), 2, 6, 2)
    assert len(counts.keys) == 0
    assert np.isfinite(counts.shares).all()
    assert counts.text_shares.tolist() == [0.5, 0.5]


def scorer_of(split, num_classes=2):
    """A layer over the texts, whose kernel is 0 and whose trust is 1."""
    ngrams = count_ngrams(split, 2, 6, num_classes)
    layer = NgramScores(2, len(ngrams.keys), 6, num_classes, has_counts=True)
    layer.build()
    for name in ("keys", *COUNTED):
        getattr(layer, name).assign(getattr(ngrams, name))
    layer.trust.assign(1.0)
    return layer


def own_counts(split, num_classes=2):
    is_counted = np.zeros(len(split), bool)
    is_counted[counted_texts(split, 2)] = True
    hashes = split.corpus.text_hashes[split.rows]
    return OwnCounts(split.label_sets(num_classes), hashes, is_counted)


some_texts = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.sampled_from("wxyz"), min_size=1, max_size=4)),
    min_size=3,
    max_size=12,
)


@settings(deadline=None, max_examples=12)
@given(some_texts)
def test_a_text_left_out_is_scored_as_if_it_and_its_copies_had_not_been_counted(texts):
    examples = [Example("a", "x"), Example("b", "y")]  # so that both labels are known
    examples += [Example(label, " ".join(words)) for label, words in texts]
    with tempfile.TemporaryDirectory() as folder:
        split = split_of(examples, folder)
        layer, own = scorer_of(split), own_counts(split)
        batch = split.batch(np.arange(len(split)))
        found = layer(batch.token_ids, own.of(np.arange(len(split)))).numpy()
        for index, example in enumerate(examples):
            rest = [i for i, other in enumerate(examples) if other.text != example.text]
            without = dataclasses.replace(split, rows=np.array(rest))
            counts = dict(zip(layer.keys.numpy().tolist(), np.zeros((99, 3)), strict=False))
            if rest:
                counted = count_ngrams(without, 2, 6, 2)
                counts |= dict(zip(counted.keys.tolist(), counted.counts, strict=True))
            keys = np.unique(ngram_keys(batch.token_ids[index : index + 1], 2, 6))
            rows = np.array([counts[key] for key in keys.tolist() if key > 0], np.float32)
            expected = ratios(rows, layer.shares.numpy()).sum(axis=0) / math.sqrt(len(rows))
            np.testing.assert_allclose(found[index], expected, rtol=1e-3, atol=1e-4)


def test_texts_that_are_not_counted_take_nothing_out(split, monkeypatch):
    monkeypatch.setattr("tf_textrnn.network.ngram_counts.MAX_COUNTED", 10)
    assert counted_texts(split, 2).tolist() == [0, 2]
    np.testing.assert_array_equal(
        own_counts(split).of(np.arange(4)), [[1, 0, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0]]
    )


def test_doubled_texts_leave_out_what_single_ones_do(tmp_path):
    """Twice the texts have twice the counts, so ratios are nearer to what they estimate."""
    examples = [Example("a", "x y"), Example("b", "x z"), Example("a", "y"), Example("b", "w z")]
    own = own_counts(split_of(examples * 2, tmp_path))
    np.testing.assert_array_equal(
        own.of(np.arange(8)), [[2, 0, 2], [0, 2, 2], [2, 0, 2], [0, 2, 2]] * 2
    )


def test_with_shuffled_labels_the_trust_falls_to_nothing(tmp_path):
    """Left-out ratios know nothing of such labels; the text's own would tell them all."""
    random = np.random.default_rng(1)
    examples = [
        Example(str(random.choice(["a", "b"])), " ".join(random.choice(list("wxyz"), 6)))
        for _ in range(400)
    ]
    split = split_of(examples, tmp_path)
    layer, own = scorer_of(split), own_counts(split)
    layer.kernel.trainable = False
    batch = split.batch(np.arange(len(split)))
    left_out = own.of(np.arange(len(split)))
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(layer.trainable_variables)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            scores = layer(batch.token_ids, left_out)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch.labels, scores)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
        return loss

    losses = [float(step()) for _ in range(150)]
    assert float(layer.trust.numpy()) <= 0.1
    guessing = -np.mean(np.log(layer.text_shares.numpy()[batch.labels]))
    assert min(losses) > guessing - 0.005  # the bias may learn the shares


def test_the_folded_kernel_scores_the_same(split):
    layer = scorer_of(split)
    layer.kernel.assign(np.random.default_rng(0).normal(size=layer.kernel.shape))
    folded = NgramScores(2, layer.num_ngrams, 6, 2)
    folded.build()
    folded.keys.assign(layer.keys)
    folded.kernel.assign(layer.folded_kernel())
    ids = split.batch(np.arange(4)).token_ids
    np.testing.assert_allclose(folded(ids), layer(ids), rtol=1e-5, atol=1e-6)


def test_the_most_frequent_ngrams_are_kept_where_they_are_too_many(split, monkeypatch):
    monkeypatch.setattr("tf_textrnn.network.ngram_counts.MAX_NGRAMS", 3)
    assert count_ngrams(split, 2, 6, 2).keys.tolist() == [3, 4, 4 * 6 + 3]


def test_order_0_counts_none(split):
    assert len(count_ngrams(split, 0, 6, 2).keys) == 0


def test_keys_that_would_not_fit_are_refused(split):
    with pytest.raises(UserError, match="flag --ngrams=4: "):
        count_ngrams(split, 4, 60_000, 2)
