"""Splits: the texts that the vocabulary comes from, and bad options."""

import numpy as np
import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.parts import share_of


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


def read_as(data, split, text=0):
    batch = split.batch(np.array([text]))
    return [data.vocabulary[i].decode() for i in batch.token_ids[0]]


def test_words_that_the_vocabulary_lacks_are_read_by_their_stems(tmp_path):
    train, valid = "a\tfilms ride films\nb\tgoing rides\n", "a\tfilm rides fox\n"
    data = load(tmp_path, train, valid, vocab_size=5)  # for films, going and ride
    assert read_as(data, data.valid) == ["films", "ride", "[UNK]"]
    assert read_as(data, data.train, 1) == ["going", "ride"]
    data = load(tmp_path, train, valid, vocab_size=5, stem_unknown_words=False)
    assert read_as(data, data.valid) == ["[UNK]"] * 3
    assert read_as(data, data.train, 1) == ["going", "[UNK]"]


def test_who_trains_on_a_part_reads_by_the_stems_of_its_words(tmp_path):
    data = load(tmp_path, "a\tfilm\nb\tfilms\na\tfilmed\n", "a\tfilms filming\n")
    part = share_of(data, np.array([False, True, True]))
    assert read_as(part, part.train) == ["films"]
    assert read_as(part, part.valid) == ["films", "[UNK]"]
    part = share_of(data, np.array([True, False, False]))
    assert read_as(part, part.valid) == ["film", "[UNK]"]


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
