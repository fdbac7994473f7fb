"""Tokens, vocabularies, and that training and serving see the same ids."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import read_lines, write_lines
from tf_textrnn.data.batches import Split, ids_of_types
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.predictor.encoder import TokenIds
from tf_textrnn.text import MAX_TEXT_BYTES, TextEncoder, build_vocabulary, tokenize


def tokens(text, tokenizer="word", max_tokens=99):
    row = tokenize(tf.constant([text]), tokenizer, max_tokens)[0].numpy()
    return [token.decode() for token in row]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A Fine  film.", ["a", "fine", "film", "."]),
        ("ÉTÉ Straße ΣΑΣ İ", ["été", "straße", "σας", "i̇"]),
        ("it's (not) $5", ["it", "'", "s", "(", "not", ")", "$", "5"]),
        ("多赚69% 最多abc", ["多", "赚", "69", "%", "最", "多", "abc"]),
        ("カタカナ ひらがな 한국어", [*"カタカナひらがな", "한국어"]),
        ("a\u3000b\u00a0c\td\x00e", ["a", "b", "c", "d", "e"]),
        (b"ok \xff\xfe bad", ["ok", "\ufffd", "\ufffd", "bad"]),
        ("", []),
        (" \t\n", []),
    ],
)
def test_word_tokens(text, expected):
    assert tokens(text) == expected


def test_char_tokens_keep_case_and_single_spaces():
    assert tokens("  Ça  va?\n", "char") == ["Ç", "a", " ", "v", "a", "?"]


def test_a_text_is_cut_at_max_tokens_and_at_max_bytes():
    assert tokens("a b c d", max_tokens=2) == ["a", "b"]
    assert len(tokens("x" * (MAX_TEXT_BYTES + 10), max_tokens=3)[0]) == MAX_TEXT_BYTES


def test_vocabulary_is_by_frequency_then_code_point_and_counts_only_what_occurs():
    found = build_vocabulary(
        [b"b", b"\xc3\xa9", b"a", b"zz", b"never"], np.array([2, 2, 2, 5, 0]), 9
    )
    assert found == [b"[PAD]", b"[UNK]", b"zz", b"a", b"b", b"\xc3\xa9"]
    assert build_vocabulary([b"a", b"b", b"c"], np.array([1, 3, 2]), 4)[2:] == [b"b", b"c"]


def test_line_files_give_back_their_lines(tmp_path):
    lines = ["[PAD]", " ", "é", "\u2028", "\x85", "多"]
    path = tmp_path / "vocabulary.txt"
    write_lines(path, [line.encode() for line in lines])
    assert [line.decode() for line in read_lines(path)] == lines


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\nb\na\n", "the same line stands there twice"), (b"\xff\n", "expected UTF-8")],
)
def test_damaged_line_files_are_refused(tmp_path, content, message):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_lines(path)


texts = st.lists(st.text() | st.sampled_from(["", "a b", "!?", "多 赚", "a" * 500]), min_size=1)


@settings(max_examples=50, deadline=None)
@given(texts, st.sampled_from(["word", "char"]), st.integers(1, 12))
@example([""], "word", 1)
def test_training_and_serving_see_the_same_ids(tmp_path_factory, texts, tokenizer, max_len):
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    folder = tmp_path_factory.mktemp("encoder")
    source = examples_source("x", [Example("a", text) for text in texts])
    corpus = open_corpus(source, tokenizer, str(folder))
    counts = np.bincount(corpus.type_ids, minlength=len(corpus.types))
    vocabulary = build_vocabulary(corpus.types, counts, 20)
    write_lines(folder / "vocabulary.txt", vocabulary)

    encoder = TextEncoder(str(folder / "vocabulary.txt"), tokenizer, max_len)
    token_ids, lengths = encoder(tf.constant(texts))
    rows = np.arange(len(texts))
    split = Split(
        corpus, rows, ids_of_types(corpus, TokenIds(vocabulary)), np.zeros(1, np.int32), max_len
    )
    batch = split.batch(rows)
    np.testing.assert_array_equal(lengths, batch.lengths)
    width = token_ids.shape[1]  # the encoder pads to no step at all where every text is empty
    np.testing.assert_array_equal(token_ids, batch.token_ids[:, :width])
    assert not batch.token_ids[:, width:].any()
