"""The encoder without TensorFlow is held to the one in the graph, code point by code point."""

import copy
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import write_lines
from tf_textrnn.exporting.encoder_tables import read_tables
from tf_textrnn.exporting.saved_model import write_stems
from tf_textrnn.network.ngrams import NgramScores
from tf_textrnn.predictor.encoder import Encoder, NgramTable, TokenIds
from tf_textrnn.predictor.encoder_tables import check_tables
from tf_textrnn.text import MAX_TEXT_BYTES, SPECIAL_TOKENS, TextEncoder, tokenize

TOKENIZERS = ("word", "char")
# Between letters; before, after and around Σ; with marks; in clusters of letters; with ideographs.
CONTEXTS = [
    *("{}", "a{}b", "{}Σ", "a{}Σ", "aΣ{}", "aΣ{}a", "aΣ\u0301{}", "Σ{}Σ"),
    *("{}\u0301a", "a\u0301{}", "{}\u0307", "{}\u0300", "I{}\u0307"),
    *("ก{}ก", "ក្{}្ក", "က္{}", "ก\u200d{}\u200da", "ก{}\u0e33", "多{}あ"),
]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """New names: TensorFlow shares the tables of one file, whatever it holds by then."""
    folder = tmp_path_factory.mktemp("encoder")
    return (folder / f"vocabulary{number}.txt" for number in itertools.count())


def assert_encoded_alike(paths, texts, tokenizer, max_len=MAX_TEXT_BYTES, every=1, stems=False):
    """Compares the encoders, with each `every`th token that the texts have in the vocabulary."""
    tokens = tokenize(tf.constant(texts, tf.string), tokenizer, None).flat_values.numpy()
    vocabulary = [*SPECIAL_TOKENS, *sorted(set(tokens.tolist()))[::every]]
    path = next(paths)
    write_lines(path, vocabulary)
    stems_file = write_stems(path.with_suffix(".stems"), TokenIds(vocabulary, stems))
    encoder = TextEncoder(str(path), tokenizer, max_len, stems_file)
    in_graph = encoder.encode(tf.constant(texts, tf.string))
    tables = json.loads(json.dumps(read_tables(tokenizer)))
    outside = Encoder(tables, vocabulary, max_len, stems)(texts)
    for ours, expected in zip(outside, in_graph, strict=True):
        np.testing.assert_array_equal(ours, expected)
        assert ours.dtype == expected.dtype.as_numpy_dtype


def characters(codes):
    return [chr(code).encode("utf-8", "surrogatepass") for code in codes]


def in_contexts(codes, contexts):
    """One text for each code point, its contexts apart by spaces, which end a word."""
    pieces = [context.encode().split(b"{}") for context in contexts]
    return [b" ".join(c.join(piece) for piece in pieces) for c in characters(codes)]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_every_code_point_of_the_planes_in_use(paths, tokenizer):
    every = characters([*range(0x40000), *range(0xE0000, 0xF0000)])
    texts = [b" ".join(every[start : start + 64]) for start in range(0, len(every), 64)]
    assert_encoded_alike(paths, texts, tokenizer)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_ends_of_every_range_in_contexts(paths, tokenizer):
    tables = read_tables("word")
    classes = [value for value in tables.values() if isinstance(value, list)]
    bounds = {bound for ranges in classes for bound in ranges}
    letters = {
        code for first, end, step, _ in tables["lower"]["runs"] for code in (first, end - step)
    }
    codes = {code - back for code in bounds | letters for back in (0, 1)} | {0x130, *range(256)}
    codes |= {*range(0x300, 0x370), *range(0xE00, 0xF00), *range(0, 0x110000, 0x400)}
    texts = in_contexts(sorted(codes & {*range(0x110000)}), CONTEXTS)
    assert_encoded_alike(paths, texts, tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_every_code_point_in_contexts(paths, tokenizer):
    for start in range(0, 0x110000, 0x8000):
        texts = in_contexts(range(start, start + 0x8000), CONTEXTS)
        assert_encoded_alike(paths, texts, tokenizer)


HOSTILE = (
    "Σσİ\u0307\u0301ßǄﬁKª\u0345\u00ad'.",  # cases, and what stands beside Σ
    "\0\u0085\u2028\u200b \ufeff\uffff",  # spaces, and what is none
    "\u17d2\u1039\u200c\u200d\u0e33\u0eb3កကက္กລ多あ😀𝐀𐐀\U00016ff0",
)
hostile_pieces = st.sampled_from("".join(HOSTILE)) | st.sampled_from(["aΣ", "aΣ\u0301", "I\u0307"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.text(max_size=3) | hostile_pieces).map("".join), max_size=5),
    st.sampled_from(TOKENIZERS),
    st.integers(1, 12),
    st.booleans(),
)
@example([], "word", 1, True)
@example(["", " "], "char", 1, True)
def test_hostile_texts(paths, texts, tokenizer, max_len, stems):
    texts = [text.encode("utf-8", "replace") for text in texts]
    assert_encoded_alike(paths, texts, tokenizer, max_len, every=2, stems=stems)


words_alike = st.builds(
    lambda stem, ending: stem + ending,
    st.sampled_from(["film", "watch", "беспокой", "ǆenan", "ab1cd", "𐐀𐐀𐐀𐐀𐐀𐐀", "a" * 30]),
    st.text("sǆ𐐨2", max_size=8),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(words_alike, min_size=1, max_size=12), st.integers(2, 3))
def test_words_that_begin_alike(paths, words, every):
    assert_encoded_alike(paths, [" ".join(words).encode()], "word", every=every, stems=True)


@pytest.mark.parametrize(
    ("word", "read_as"),
    [
        ("filmed", "film"),  # six characters, of which four are two thirds
        ("filming", None),  # seven, of which four are fewer
        ("watch", "watched"),  # the shortest of those that go on, not the more frequent one
        ("watches", "watched"),  # by watche-
        ("watchings", None),  # watch- is five of nine
        ("unfilmed", None),
        ("car", None),  # a stem has four characters
        ("route66", None),
        ("internationalisations", None),  # lacks six of internationalis-
        ("internationalism", "international"),
    ],
)
def test_an_unknown_word_is_read_by_its_longest_stem(word, read_as):
    known = ["[PAD]", "[UNK]", "watchings2", "watcheding", "watched", "film", "filter", "cars"]
    known += ["route6", "international"]
    ids = TokenIds([name.encode() for name in known], stem_unknown_words=True)
    assert ids[word] == (known.index(read_as) if read_as else 1)
    assert TokenIds([name.encode() for name in known])[word] == 1


def test_who_knows_fewer_words_reads_by_their_stems():
    ids = TokenIds([b"[PAD]", b"[UNK]", b"film", b"filmed"], stem_unknown_words=True)
    fewer = ids.among(np.array([True, True, False, True]))
    assert [fewer[word] for word in ("film", "films", "filmed")] == [3, 3, 3]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.sampled_from(TOKENIZERS))
def test_any_bytes(paths, texts, tokenizer):
    assert_encoded_alike(paths, texts, tokenizer)


def test_ill_formed_utf8(paths):
    # One byte of each kind that Unicode's table 3-7 tells apart.
    kinds = [0x41, 0x80, 0x90, 0xA0, 0xC1, 0xC2, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5]
    quads = np.stack(np.meshgrid(*[np.array(kinds, np.uint8)] * 4), -1).reshape(-1, 4)
    assert_encoded_alike(paths, [b"a" + quad.tobytes() for quad in quads], "char")


def test_a_text_is_cut_at_max_text_bytes(paths):
    texts = [b"a" * (MAX_TEXT_BYTES - cut) + "多 b".encode() for cut in range(6)]
    assert_encoded_alike(paths, texts, "word")


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        {"LC_ALL": "tr_TR.UTF-8"},
        {"LANG": "lt_LT.UTF-8", "LC_CTYPE": "lt_LT.UTF-8"},
        {"LANG": "tr_TR.UTF-8", "LC_CTYPE": "tr_TR.UTF-8"},
        {"LC_ALL": "lt_LT.UTF-8"},
        {"LC_ALL": "C"},
    ],
)
def test_no_answer_moves_with_the_locale(place):
    script = """
import json, sys, tensorflow as tf
from tf_textrnn.text import tokenize
print(ascii(tokenize(tf.constant(json.load(sys.stdin)), "word", None).to_list()))
"""
    letters, marks = "IİJĮÌÍĨAΣi", "\u0307\u0300\u0301\u0328."
    products = itertools.product(letters, marks, marks + letters)
    texts = [*map(chr, range(0x3000)), *map("".join, products)]
    usual = {key: value for key, value in os.environ.items() if key[:3] not in ("LC_", "LAN")}
    process = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(texts).encode(),
        env=usual | place,
        check=True,
        stdout=subprocess.PIPE,
    )
    expected = ascii(tokenize(tf.constant(texts), "word", None).to_list())
    assert process.stdout.decode().strip() == expected


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (["name"], "words"),
        (["spaces"], None),
        (["spaces"], [32]),
        (["alone"], [5, 5]),
        (["alone"], [-1, 5]),
        (["marks"], [0, 0x110001]),
        (["letters"], ["a", "b"]),
        (["lower"], {}),
        (["lower", "runs"], [[65, 91, 0, 32]]),
        (["lower", "runs"], [[0, 0x110000, 1, 0]] * 9),
        (["lower", "others"], {"!": "é"}),
        (["lower", "others"], {"ab": "c"}),
    ],
)
def test_damaged_tables_are_refused(place, value):
    tables = copy.deepcopy(read_tables("word"))
    part = tables
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    with pytest.raises(UserError, match=f"tokenizer.* {place[0]}|expected word or char"):
        check_tables(tables)


def test_whole_tables_are_not_refused():
    for tokenizer in TOKENIZERS:
        check_tables(read_tables(tokenizer))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_table_finds_the_n_grams_that_the_network_counts(data):
    vocab_size, order = data.draw(st.integers(3, 4)), data.draw(st.integers(1, 3))
    unknown = data.draw(st.sets(st.integers(2, vocab_size**order - 1), max_size=40))
    known = {*range(1, vocab_size**order)} - unknown
    token_id = st.integers(1, vocab_size - 1)
    texts = data.draw(st.lists(st.lists(token_id, max_size=9), min_size=1, max_size=4))
    token_ids = np.zeros((len(texts), max(map(len, texts))), np.int32)
    for row, text in zip(token_ids, texts, strict=True):
        row[: len(text)] = text

    num = len(known)
    layer = NgramScores(order, num, vocab_size, num)
    layer.build()
    layer.keys.assign(sorted(known))
    layer.kernel.assign(np.eye(num))  # an n-gram that is counted scores for its own class alone
    expected = [np.flatnonzero(scores).tolist() for scores in layer(token_ids).numpy()]

    found = NgramTable(np.array(sorted(known)), order, vocab_size)(token_ids)
    width = max(1, *map(len, expected))
    assert found.tolist() == [row + [num] * (width - len(row)) for row in expected]
    assert found.dtype == np.int32
