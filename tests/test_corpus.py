"""The cache of tokenized sources: made once, checked when opened, made again when damaged."""

import numpy as np
import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.data import corpus as corpus_module
from tf_textrnn.data import tokens
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.sources import Example, Source

EXAMPLES = [Example("b", "One two one", 2), Example("a", "", 3), Example("b", "two, three", 7)]


def counting_source(passes, examples=EXAMPLES, fingerprint="x"):
    def read():
        passes.append(1)
        return iter(examples)

    return Source("examples", fingerprint, read)


def words(corpus):
    tokens = [corpus.types[i].decode() for i in corpus.type_ids]
    return [tokens[a:b] for a, b in zip(corpus.offsets, corpus.offsets[1:], strict=False)]


def test_holds_every_token_label_and_place(tmp_path):
    corpus = open_corpus(counting_source([]), "word", str(tmp_path))
    assert words(corpus) == [["one", "two", "one"], [], ["two", ",", "three"]]
    assert [corpus.label_names[i] for i in corpus.labels] == ["b", "a", "b"]
    assert corpus.places.tolist() == [2, 3, 7]


def test_reads_the_source_once_and_apart_for_each_tokenizer_and_content(tmp_path):
    passes = []
    first = open_corpus(counting_source(passes), "word", str(tmp_path))
    again = open_corpus(counting_source(passes), "word", str(tmp_path))
    assert len(passes) == 1
    assert words(again) == words(first)
    open_corpus(counting_source(passes), "char", str(tmp_path))
    open_corpus(counting_source(passes, fingerprint="y"), "word", str(tmp_path))
    assert len(passes) == 3


def test_many_chunks_keep_their_order(tmp_path):
    examples = [Example(str(i % 7), f"word{i} " * (i % 5)) for i in range(10_000)]
    corpus = open_corpus(counting_source([], examples), "word", str(tmp_path))
    assert words(corpus) == [[f"word{i}"] * (i % 5) for i in range(10_000)]
    assert [corpus.label_names[i] for i in corpus.labels] == [e.label for e in examples]


@pytest.mark.parametrize(
    "name", ["type_ids", "lengths", "labels", "places", "files", "types.txt", "label_names.txt"]
)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_seen_and_mended(tmp_path, name, damage):
    passes = []
    expected = words(open_corpus(counting_source(passes), "word", str(tmp_path)))
    (folder,) = tmp_path.glob("[!.]*")
    content = bytearray((folder / name).read_bytes())
    if damage == "remove":
        (folder / name).unlink()
    else:
        content[1] ^= 1
        (folder / name).write_bytes(content if damage == "flip" else content[:-1])
    assert words(open_corpus(counting_source(passes), "word", str(tmp_path))) == expected
    assert len(passes) == 2


def test_a_mistake_in_the_source_leaves_nothing_behind(tmp_path):
    def read():
        yield EXAMPLES[0]
        raise UserError("x.tsv:2: expected label<TAB>text, found no tab")

    with pytest.raises(UserError, match=r"x\.tsv:2"):
        open_corpus(Source("x.tsv", "x", read), "word", str(tmp_path))
    (lock,) = tmp_path.iterdir()
    assert lock.name.startswith(".lock-")


def test_types_past_the_limit_are_one(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "MAX_TYPES", 2)
    monkeypatch.setattr(tokens, "_CHUNK_TEXTS", 1)
    examples = [Example("a", "one"), Example("a", "two one"), Example("a", "three two one")]
    corpus = open_corpus(counting_source([], examples), "word", str(tmp_path))
    np.testing.assert_array_equal(corpus.type_ids, [1, 0, 1, 0, 0, 1])
