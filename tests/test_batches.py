"""Batches: a pure function of (seed, epoch), every example once, little padding."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_textrnn.config import TrainingConfig
from tf_textrnn.data.batches import (
    EVALUATION_TOKENS,
    Split,
    evaluation_batches,
    ids_of_types,
    pass_batches,
    plan_epoch,
    training_batches,
)
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.predictor.encoder import TokenIds

lengths = st.lists(st.integers(0, 400), min_size=1, max_size=300).map(np.array)


@given(lengths, st.integers(1, 70), st.integers(0, 2**31 - 1), st.integers(0, 1000))
def test_every_example_once_a_pass_and_one_short_batch_at_most(lengths, size, seed, index):
    batches = pass_batches(lengths, size, seed, index)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(len(lengths)))
    sizes = sorted(map(len, batches), reverse=True)
    assert sizes[:-1] == [size] * (len(sizes) - 1)
    assert sizes[-1] == (len(lengths) % size or size)
    again = pass_batches(lengths, size, seed, index)
    assert all(map(np.array_equal, batches, again))


def test_passes_and_seeds_have_orders_of_their_own():
    lengths = np.full(1_000, 7)
    orders = [
        np.concatenate(pass_batches(lengths, 10, seed, index)).tolist()
        for seed, index in itertools.product(range(3), range(3))
    ]
    assert len(set(map(tuple, orders))) == 9


def test_texts_of_like_length_meet_and_batches_come_in_no_order_of_length():
    lengths = np.random.default_rng(0).integers(1, 100, 6_400)
    batches = pass_batches(lengths, 64, seed=1, index=0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded / lengths.sum() < 1.05
    longest = [lengths[batch].max() for batch in batches]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    random = np.random.default_rng(0)
    examples = [
        Example(str(i % 3), " ".join(f"w{j}" for j in random.integers(0, 50, i % 20)))
        for i in range(500)
    ]
    corpus = open_corpus(
        examples_source("x", examples), "word", str(tmp_path_factory.mktemp("cache"))
    )
    vocabulary = [b"[PAD]", b"[UNK]", *(f"w{i}".encode() for i in range(40))]
    class_of_label = np.array([2, 0, 1], np.int32)
    return Split(
        corpus, np.arange(7, 500), ids_of_types(corpus, TokenIds(vocabulary)), class_of_label, 12
    )


def test_a_batch_holds_its_examples_cut_and_padded(split):
    batch = split.batch(np.array([0, 5, 13]))  # rows 7, 12 and 20: 7, 12 and 0 words
    assert batch.lengths.tolist() == [7, 12, 0]
    assert batch.labels.tolist() == [int(split.class_of_label[i % 3]) for i in (7, 12, 20)]
    for row, ids in zip((7, 12, 20), batch.token_ids, strict=True):
        start, end = split.corpus.offsets[row : row + 2]
        words = [split.corpus.types[i].decode() for i in split.corpus.type_ids[start:end]]
        expected = [int(w[1:]) + 2 if int(w[1:]) < 40 else 1 for w in words][:12]
        assert ids.tolist() == expected + [0] * (12 - len(expected))


def test_an_epoch_can_be_entered_in_the_middle(split):
    whole = list(training_batches(split, 32, seed=3, epoch=2, passes=1, first_batch=0))
    rest = list(training_batches(split, 32, seed=3, epoch=2, passes=1, first_batch=5))
    assert len(rest) == len(whole) - 5
    for (size, (expected,)), (found_size, (found,)) in zip(whole[5:], rest, strict=True):
        assert found_size == size == len(expected.labels)
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)


def plan(num_texts, batch_size, least):
    return plan_epoch(num_texts, TrainingConfig(batch_size=batch_size, min_epoch_steps=least))


@given(st.integers(1, 10_000), st.integers(1, 300), st.integers(1, 200))
def test_an_epoch_has_no_more_passes_than_its_least_steps_need(num_texts, size, least):
    batch_size, passes = plan(num_texts, size, least)
    steps = math.ceil(num_texts / batch_size)
    assert passes * steps >= least
    assert passes == 1 or (passes - 1) * steps < least


@given(st.integers(1, 10_000), st.integers(1, 300), st.integers(1, 200))
def test_batches_are_as_large_as_asked_where_the_steps_are_enough(num_texts, size, least):
    batch_size, passes = plan(num_texts, size, least)
    assert min(size, 16) <= batch_size <= size
    assert passes == 1 or batch_size == min(size, 16)
    if num_texts >= size * least:
        assert (batch_size, passes) == (size, 1)


@given(st.integers(2, 10_000), st.integers(1, 300), st.integers(1, 200), st.floats(0.5, 1))
def test_an_epoch_of_fewer_texts_can_have_the_same_plan(num_texts, size, least, share):
    planned = plan(num_texts, size, least)
    fewer = math.ceil(num_texts * share)
    assert planned.min_steps(fewer) <= least
    found = plan(fewer, planned.batch_size, planned.min_steps(fewer))
    assert found.passes == planned.passes
    assert min(found.batch_size, fewer) == min(planned.batch_size, fewer)


def test_an_epoch_of_several_passes_is_those_passes_one_after_another(split):
    epoch = list(training_batches(split, 100, seed=3, epoch=1, passes=2, first_batch=0))
    passes = [
        list(training_batches(split, 100, seed=3, epoch=index, passes=1, first_batch=0))
        for index in (2, 3)
    ]
    expected = [batch.labels.tolist() for _, (batch,) in itertools.chain(*passes)]
    assert [batch.labels.tolist() for _, (batch,) in epoch] == expected


@pytest.mark.parametrize("num_replicas", [2, 3, 8])
def test_replicas_share_the_batches_of_one(split, num_replicas):
    whole = list(training_batches(split, 30, seed=3, epoch=2, passes=1, first_batch=0))
    order = pass_batches(split.lengths, 30, seed=3, index=2)
    assert {len(examples) for examples in order} == {30, 13}
    halves = [
        training_batches(split, 30, 3, 2, 1, 0, range(0, 1), num_replicas),
        training_batches(split, 30, 3, 2, 1, 0, range(1, num_replicas), num_replicas),
    ]
    for examples, (size, _), *parts in zip(order, whole, *halves, strict=True):
        assert [part[0] for part in parts] == [size, size]
        shares = [share for _, shares in parts for share in shares]
        assert len(shares) == num_replicas
        for replica, share in enumerate(shares):
            expected = split.batch(examples[replica::num_replicas])
            for a, b in zip(expected, share, strict=True):
                np.testing.assert_array_equal(a, b)
        sizes = [len(share.labels) for share in shares]
        assert sum(sizes) == size
        assert max(sizes) - min(sizes) <= 1


def test_an_empty_share_has_a_step_and_no_text(split):
    batch = split.batch(np.array([], int))
    assert [array.shape for array in batch] == [(0, 1), (0,), (0,), (0,), (0, 0), (0, 0)]


def test_workers_share_the_texts_to_evaluate(split):
    seen = [i for worker in range(3) for i, _ in evaluation_batches(split, worker, 3)]
    assert sorted(np.concatenate(seen)) == list(range(len(split)))


def test_evaluation_reads_every_example_once_in_bounded_batches(split):
    seen = []
    for examples, batch in evaluation_batches(split):
        np.testing.assert_array_equal(batch.lengths, split.lengths[examples])
        assert np.size(batch.token_ids) <= EVALUATION_TOKENS
        seen.extend(examples)
    assert sorted(seen) == list(range(len(split)))
