"""Texts that are held out: a share of each label, or each in one of K folds; copies together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_textrnn.data import holdout


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array),
    st.floats(0.01, 0.5),
    st.integers(0, 2**31 - 1),
)
def test_a_share_of_each_label_is_set_apart(labels, fraction, seed):
    stay, apart = holdout.stratified_split(labels, fraction, seed)
    assert sorted([*stay, *apart]) == list(range(len(labels)))
    for label in set(labels.tolist()):
        count, taken = np.sum(labels == label), np.sum(labels[apart] == label)
        assert taken == min(int(count * fraction + 0.5), count - 1)


def test_the_seed_decides_which_are_set_apart():
    labels = np.arange(1_000) % 4
    first, again, other = (holdout.stratified_split(labels, 0.1, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array),
    st.integers(0, 2**31 - 1),
)
def test_without_copies_the_split_is_what_it_was(labels, seed):
    hashes = np.arange(len(labels)).astype(np.uint64)
    for was, now in zip(
        holdout.stratified_split(labels, 0.2, seed),
        holdout.stratified_split(labels, 0.2, seed, hashes),
        strict=True,
    ):
        np.testing.assert_array_equal(was, now)


@given(st.lists(st.integers(0, 60), min_size=150, max_size=300), st.integers(0, 2**31 - 1))
def test_copies_stay_on_one_side(texts, seed):
    hashes = np.array(texts, np.uint64)
    labels = np.zeros(len(texts), np.int64)
    if np.unique(hashes, return_counts=True)[1].min() > len(texts) * 0.2:
        return
    stay, apart = holdout.stratified_split(labels, 0.2, seed, hashes)
    assert not set(hashes[stay].tolist()) & set(hashes[apart].tolist())
    assert 0 < len(apart) <= len(texts) * 0.2 + 0.5


@pytest.mark.parametrize("copies", [[12, 9, 9], [15, 15]])
def test_copies_of_a_few_texts_stay_on_one_side_too(copies):
    hashes = np.repeat(np.arange(len(copies), dtype=np.uint64), copies)
    apart = holdout.stratified_split(np.zeros(30, np.int64), 0.1, 1, hashes)[1]
    assert len(apart) == min(copies)
    assert len(set(hashes[apart].tolist())) == 1


def test_where_most_texts_are_copies_of_one_a_share_of_them_is_set_apart():
    hashes = np.zeros(30, np.uint64)
    assert len(holdout.stratified_split(np.zeros(30, np.int64), 0.1, 1, hashes)[1]) == 3


def test_a_text_under_two_labels_is_not_set_apart():
    labels = np.arange(100) % 2
    hashes = np.arange(100) // np.array(2, np.uint64)  # pairs, a label each
    hashes[50:] = np.arange(1_000, 1_050)
    apart = holdout.stratified_split(labels, 0.2, 3, hashes)[1]
    assert len(apart)
    assert apart.min() >= 50


@given(
    st.lists(st.integers(0, 80), min_size=1, max_size=200),
    st.integers(2, 7),
    st.integers(0, 2**31 - 1),
)
def test_copies_share_a_fold_and_the_texts_of_a_label_lie_evenly(texts, num_folds, seed):
    hashes = np.array(texts, np.uint64)
    labels = np.array(texts) % 4  # a text has one label
    folds = holdout.assign_folds(labels, num_folds, seed, hashes)
    assert set(folds.tolist()) <= set(range(num_folds))
    for text in set(hashes.tolist()):
        assert len(set(folds[hashes == text].tolist())) == 1
    for label in set(labels.tolist()):
        sizes = np.bincount(folds[labels == label], minlength=num_folds)
        _, copies = np.unique(hashes[labels == label], return_counts=True)
        assert np.ptp(sizes) <= copies.max()


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array),
    st.integers(2, 7),
    st.integers(0, 2**31 - 1),
)
def test_folds_of_different_texts_are_of_one_size_and_the_seed_decides(labels, num_folds, seed):
    folds = holdout.assign_folds(labels, num_folds, seed)
    assert np.ptp(np.bincount(folds, minlength=num_folds)) <= 1
    np.testing.assert_array_equal(folds, holdout.assign_folds(labels, num_folds, seed))
    if len(labels) > 100:
        assert folds.tolist() != holdout.assign_folds(labels, num_folds, seed + 1).tolist()
