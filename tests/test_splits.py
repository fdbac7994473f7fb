"""Splits: the texts that the vocabulary comes from, and bad options."""

import numpy as np
import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits


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


def test_a_run_that_goes_on_keeps_the_order_of_its_labels(tmp_path):
    (tmp_path / "train.tsv").write_text("".join(f"{i % 11}\tword{i}\n" for i in range(110)))
    options = {"train_file": str(tmp_path / "train.tsv"), "cache_dir": str(tmp_path / "cache")}
    config = Config().replace(**options).settled()
    assert splits.load(config).labels == [str(i) for i in range(11)]
    saved = sorted(str(i) for i in range(11))
    assert splits.load(config, saved_labels=saved).labels == saved
