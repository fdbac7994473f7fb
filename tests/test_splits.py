"""Splits: stratification, the texts that the vocabulary comes from, and bad options."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array),
    st.floats(0.01, 0.5),
    st.integers(0, 2**31 - 1),
)
def test_a_share_of_each_label_is_set_apart(labels, fraction, seed):
    stay, apart = splits.stratified_split(labels, fraction, seed)
    assert sorted([*stay, *apart]) == list(range(len(labels)))
    for label in set(labels.tolist()):
        count, taken = np.sum(labels == label), np.sum(labels[apart] == label)
        assert taken == min(int(count * fraction + 0.5), count - 1)


def test_the_seed_decides_which_are_set_apart():
    labels = np.arange(1_000) % 4
    first, again, other = (splits.stratified_split(labels, 0.1, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


def load(tmp_path, train, valid=None, **options):
    (tmp_path / "train.tsv").write_text(train)
    options["train_file"] = str(tmp_path / "train.tsv")
    if valid is not None:
        (tmp_path / "valid.tsv").write_text(valid)
        options["valid_file"] = str(tmp_path / "valid.tsv")
    return splits.load(Config().replace(cache_dir=str(tmp_path / "cache"), **options).settled())


def test_the_vocabulary_is_that_of_the_training_texts_as_far_as_they_are_read(tmp_path):
    data = load(tmp_path, "a\tone two\nb\ttwo three four\n", "a\tfive\n", max_len=2)
    assert data.vocabulary == [b"[PAD]", b"[UNK]", b"two", b"one", b"three"]
    assert data.labels == ["a", "b"]
    assert data.valid.batch(np.array([0])).token_ids.tolist() == [[1]]


def test_a_validation_split_is_no_part_of_the_vocabulary(tmp_path):
    lines = "".join(f"{'ab'[i % 2]}\tword{i}\n" for i in range(40))
    data = load(tmp_path, lines, valid_fraction=0.25)
    assert (len(data.train), len(data.valid), data.test) == (30, 10, None)
    held_out = {data.valid.corpus.types[i] for i in data.valid.corpus.type_ids[data.valid.rows]}
    assert len(held_out) == 10
    assert not held_out & set(data.vocabulary)


def test_a_class_is_the_labels_place_in_labels_txt_in_every_split(tmp_path):
    data = load(tmp_path, "zebra\tx\nant\ty\nant\tz\nzebra\tw\n", "ant\tx\nzebra\ty\n")
    assert [data.labels[i] for i in data.train.classes] == ["zebra", "ant", "ant", "zebra"]
    assert [data.labels[i] for i in data.valid.classes] == ["ant", "zebra"]


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        ("a\tx\na\ty\n", None, "train.tsv: expected at least two labels, found only 'a'"),
        ("a\tx\nb\ty\n", "c\tx\nc\ty\n", "valid.tsv:1: no label of this file is in "),
        ("a\tx\nb\ty\n", None, "--valid_fraction=0.1 of "),
        ("a\tx\nb\ty\n", "", "valid.tsv: no labeled texts; the file is empty"),
    ],
)
def test_files_that_cannot_be_learnt_from(tmp_path, train, valid, message):
    with pytest.raises(UserError) as error:
        load(tmp_path, train, valid)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "imdb", "train_file": "x.tsv"}, "--dataset=imdb and --train_file=x.tsv"),
        ({"test_file": "x.tsv"}, "--test_file=x.tsv: expected --train_file beside it"),
        ({"valid_file": "x.tsv"}, "--valid_file=x.tsv: expected --train_file beside it"),
    ],
)
def test_flags_that_contradict(options, message):
    with pytest.raises(UserError, match=message):
        Config().replace(**options).settled()


def test_the_built_in_set_is_read_as_characters():
    assert Config().settled().text.tokenizer == "char"
    assert Config().replace(tokenizer="word").settled().text.tokenizer == "word"


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200).map(np.array),
    st.integers(0, 2**31 - 1),
)
def test_without_copies_the_split_is_what_it_was(labels, seed):
    hashes = np.arange(len(labels)).astype(np.uint64)
    for was, now in zip(
        splits.stratified_split(labels, 0.2, seed),
        splits.stratified_split(labels, 0.2, seed, hashes),
        strict=True,
    ):
        np.testing.assert_array_equal(was, now)


@given(st.lists(st.integers(0, 60), min_size=150, max_size=300), st.integers(0, 2**31 - 1))
def test_copies_stay_on_one_side(texts, seed):
    hashes = np.array(texts, np.uint64)
    labels = np.zeros(len(texts), np.int64)
    if np.unique(hashes, return_counts=True)[1].min() > len(texts) * 0.2:
        return
    stay, apart = splits.stratified_split(labels, 0.2, seed, hashes)
    assert not set(hashes[stay].tolist()) & set(hashes[apart].tolist())
    assert 0 < len(apart) <= len(texts) * 0.2 + 0.5


@pytest.mark.parametrize("copies", [[12, 9, 9], [15, 15]])
def test_copies_of_a_few_texts_stay_on_one_side_too(copies):
    hashes = np.repeat(np.arange(len(copies), dtype=np.uint64), copies)
    apart = splits.stratified_split(np.zeros(30, np.int64), 0.1, 1, hashes)[1]
    assert len(apart) == min(copies)
    assert len(set(hashes[apart].tolist())) == 1


def test_where_most_texts_are_copies_of_one_a_share_of_them_is_set_apart():
    hashes = np.zeros(30, np.uint64)
    assert len(splits.stratified_split(np.zeros(30, np.int64), 0.1, 1, hashes)[1]) == 3


def test_a_text_under_two_labels_is_not_set_apart():
    labels = np.arange(100) % 2
    hashes = np.arange(100) // np.array(2, np.uint64)  # pairs, a label each
    hashes[50:] = np.arange(1_000, 1_050)
    apart = splits.stratified_split(labels, 0.2, 3, hashes)[1]
    assert len(apart)
    assert apart.min() >= 50


def test_a_run_that_goes_on_keeps_the_order_of_its_labels(tmp_path):
    (tmp_path / "train.tsv").write_text("".join(f"{i % 11}\tword{i}\n" for i in range(110)))
    options = {"train_file": str(tmp_path / "train.tsv"), "cache_dir": str(tmp_path / "cache")}
    config = Config().replace(**options).settled()
    assert splits.load(config).labels == [str(i) for i in range(11)]
    saved = sorted(str(i) for i in range(11))
    assert splits.load(config, saved_labels=saved).labels == saved
