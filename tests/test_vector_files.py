"""Files of word vectors: formats, sizes, words, and bad files."""

import gzip
import json
import struct

import numpy as np
import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.data.embeddings import checksum, read_vectors, vector_size, vector_words
from tf_textrnn.data.pieces import Pieces

VOCABULARY = [b"[PAD]", b"[UNK]", b"cat", b"dog", "köln".encode(), b". ."]
LINES = "dog 1 2.5 -3e-1\nzebra 0 0 0\nköln 4 5 6\n. . 7 8 9\ndog 9 9 9\n"


@pytest.mark.parametrize("header", ["", "5 3\n"])
@pytest.mark.parametrize("ending", ["txt", "vec.gz"])
def test_the_vectors_of_the_vocabulary_are_found(tmp_path, header, ending):
    path = tmp_path / f"vectors.{ending}"
    content = (header + LINES).encode()
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    assert vector_size(str(path)) == 3
    found = read_vectors(str(path), VOCABULARY, 3)
    assert found.token_ids.tolist() == [3, 4, 5]
    np.testing.assert_allclose(found.values, [[1, 2.5, -0.3], [4, 5, 6], [7, 8, 9]], rtol=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cat 1 2", ":2: expected a word and 3 numbers, as the first line says; found 2"),
        ("cat 1 2 3 4", ":2: expected a word and 3 numbers, as the first line says; found 4"),
        ("cat 1 2 x", ":2: not a vector"),
        ("cat 1 2 nan", ":2: expected finite numbers"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "vectors.txt"
    path.write_text(f"dog 1 2 3\n{line}\n")
    with pytest.raises(UserError) as error:
        read_vectors(str(path), VOCABULARY, 3)
    assert str(error.value).startswith(f"{path}{message}")


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"nowhere\.vec: No such file"):
        read_vectors("nowhere.vec", VOCABULARY, 3)
    with pytest.raises(UserError, match=r"^--pretrained_embeddings=nowhere\.npy: No such file"):
        vector_size("nowhere.npy")


@pytest.mark.parametrize(
    ("content", "size"),
    [("2 1\ndog 5\n", 1), ("dog 5\n", 1), ("3 .5 1e-3\n", 2), ("\n. . 1 2\n", 2)],
)
def test_the_first_line_of_a_text_says_the_size(tmp_path, content, size):
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    assert vector_size(str(path)) == size


WORDS = ["dog", "zebra", "köln", ". .", "dog"]
ROWS = np.array([[1, 2.5, -0.25], [0, 0, 0], [4, 5, 6], [7, 8, 9], [9, 9, 9]])


def word2vec(words, rows, line_end=b"\n"):
    parts = [f"{len(rows)} {rows.shape[1]}\n".encode()]
    for word, row in zip(words, rows, strict=True):
        parts += [word.encode(), b" ", row.astype("<f4").tobytes(), line_end]
    return b"".join(parts)


def safetensors(rows, dtype="F32", **changes):
    data = rows.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}.get(dtype, "<f4")).tobytes()
    entry = {"dtype": dtype, "shape": rows.shape, "data_offsets": [8, 8 + len(data)], **changes}
    tensors = {"scale": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "weight": entry}
    header = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8) + data


@pytest.mark.parametrize("line_end", [b"\n", b""])
@pytest.mark.parametrize("ending", ["bin", "bin.gz"])
def test_the_binary_format_of_word2vec(tmp_path, ending, line_end):
    path = tmp_path / f"vectors.{ending}"
    many = 5_000  # words before those of the vocabulary: more than is read at once
    words, rows = [f"w{n}" for n in range(many)], np.zeros((many, 100))
    rows[0, 0] = np.nan  # of no word that is asked for
    wanted = np.arange(300.0).reshape(3, 100)
    content = word2vec([*words, "köln", "dog", "köln"], np.vstack([rows, wanted]), line_end)
    path.write_bytes(gzip.compress(content, 1) if ending.endswith("gz") else content)
    assert vector_size(str(path)) == 100
    found = read_vectors(str(path), VOCABULARY, 100)
    assert found.token_ids.tolist() == [3, 4]
    np.testing.assert_array_equal(found.values, wanted[[1, 0]])


@pytest.mark.parametrize("kind", ["F16", "F32", "F64", "<f2", "<f4", "<f8"])
def test_arrays_have_their_words_beside_them(tmp_path, kind):
    path = tmp_path / ("vectors.safetensors" if kind.startswith("F") else "vectors.npy")
    if kind.startswith("F"):
        path.write_bytes(safetensors(ROWS, kind))
    else:
        np.save(path, ROWS.astype(kind))
    words = path.with_suffix(".txt")
    words.write_text("\n".join(WORDS))
    assert vector_size(str(path)) == 3
    found = read_vectors(str(path), VOCABULARY, 3)
    assert found.token_ids.tolist() == [3, 4, 5]
    np.testing.assert_array_equal(found.values, ROWS[[0, 2, 3]])
    before = checksum(str(path))
    words.write_text("\n".join(["cat", *WORDS[1:]]))
    assert checksum(str(path)) != before


@pytest.mark.parametrize("name", ["w.txt", "w.txt.gz", "w.bin", "w.npy", "w.safetensors"])
def test_the_words_of_a_file_come_in_its_order(tmp_path, name):
    path, words, rows = tmp_path / name, ["dog", "köln", "Cat", "dog"], np.ones((4, 3))
    if name.endswith(("npy", "safetensors")):
        path.with_suffix(".txt").write_text("\n".join(words))
    if name.endswith(".npy"):
        np.save(path, rows)
    else:
        lines = [" ".join([w, *map(str, row)]) for w, row in zip(words, rows, strict=True)]
        text = "\n".join(["4 3", *lines]).encode()
        content = {
            "w.txt": text,
            "w.txt.gz": gzip.compress(text),
            "w.bin": word2vec(words, rows),
            "w.safetensors": safetensors(rows),
        }
        path.write_bytes(content[name])
    assert list(vector_words(str(path), 3)) == words


TOKENIZERS = {
    "WordPiece": (
        ["[UNK]", "do", "##g", "##gs", "#", "##s", "##k"],
        {"dogs": [1, 3], "#s": [4, 5]},
    ),
    "BPE": (["▁", "▁do", "g", "gs", "▁a", "##", "k"], {"dogs": [1, 3], "##k": [0, 5, 6]}),
    "Unigram": (["▁do", "g", "s", "▁"], {"dogs": [0, 1, 2], "s": [3, 2]}),
}


def tokenizer(kind):
    pieces = TOKENIZERS[kind][0]
    vocab = [[piece, -1.0] for piece in pieces]
    if kind != "Unigram":
        vocab = {piece: row for row, piece in enumerate(pieces)}
    return json.dumps({"model": {"type": kind, "vocab": vocab}})


@pytest.mark.parametrize(
    ("kind", "words"),
    [("WordPiece", ["[UNK]", "do", "#"]), ("BPE", ["", "do", "a"]), ("Unigram", ["do", ""])],
)
def test_pieces_that_begin_a_word_are_words(tmp_path, kind, words):
    (tmp_path / "tokenizer.json").write_text(tokenizer(kind))
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(np.zeros((len(TOKENIZERS[kind][0]), 4))))
    assert list(vector_words(str(path), 4)) == words


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_word_is_the_mean_of_its_longest_pieces(tmp_path, kind):
    pieces, words = TOKENIZERS[kind]
    (tmp_path / "tokenizer.json").write_text(tokenizer(kind))
    found = Pieces(str(tmp_path / "tokenizer.json"), len(pieces))
    assert {word: found.rows_of(word) for word in words} == words
    assert found.rows_of("dogsx") == found.rows_of("do" + "g" * 99) == []
    path = tmp_path / "model.safetensors"
    rows = np.random.default_rng(1).normal(size=(len(pieces), 4))
    path.write_bytes(safetensors(rows, "F64"))
    vectors = read_vectors(str(path), [b"[PAD]", b"[UNK]", b"zebra", b"dogs"], 4)
    assert vectors.token_ids.tolist() == [3]
    np.testing.assert_allclose(vectors.values, [rows[words["dogs"]].mean(0)], rtol=1e-6)


WHOLE = word2vec(WORDS, ROWS)
BAD_FILES = {
    "cut.bin": (WHOLE[:-14], "number 5 is cut or no such thing"),
    "more.bin": (WHOLE + b"cat ", "goes on after the 5 vectors"),
    "empty.bin": (b"", ":1: expected word2vec's first line"),
    "fasttext.bin": (b"\xba\x16\x4f\x2f" + bytes(100), ":1: expected word2vec's first line"),
    "huge.bin": (b"9 99999999999999\n", "vectors of 99,999,999,999,999 numbers; expected 1 to"),
    "no_words.bin": (b"2 3\n" + b"x" * 20_000, "number 1 is cut or no such thing"),
    "nan.bin": (word2vec(["dog"], ROWS[:1] * np.nan), "the vector of 'dog' holds NaN"),
    "cut.bin.gz": (gzip.compress(WHOLE)[:-12], "broken gzip data"),
    "empty.npy": (b"", "no whole NumPy array"),
    "text.npy": (b"dog 1 2 3\n" * 20, "no whole NumPy array"),
    "flat.safetensors": (safetensors(ROWS.ravel()), "expected one tensor of two dim"),
    "bf16.safetensors": (safetensors(ROWS, "BF16"), r"found BF16 \[5, 3\]"),
    "cut.safetensors": (safetensors(ROWS)[:-1], "its tensor, F32 .* is cut"),
    "short.safetensors": (b"\1\0\0", "its header is cut"),
    "long.safetensors": (b"\xff" * 8 + b"{}", "its header is cut"),
    "list.safetensors": (struct.pack("<Q", 2) + b"[]", "not the header"),
    "deep.safetensors": (struct.pack("<Q", 9**5) + b"[" * 9**5, "not the header"),
    "rows.safetensors": (safetensors(ROWS, shape=[50, 3]), "is cut or empty"),
    "none.safetensors": (safetensors(ROWS[:0]), "is cut or empty"),
    "negative.safetensors": (safetensors(ROWS, shape=[-5, -3]), "not the header"),
    "before.safetensors": (safetensors(ROWS, data_offsets=[-60, 0]), "not the header"),
    "float.safetensors": (safetensors(ROWS, shape=[5.0, 3.0]), "not the header"),
    "nan.safetensors": (safetensors(ROWS * np.nan), "the vector of 'dog' holds NaN"),
    "over.safetensors": (safetensors(ROWS * 1e300, "F64"), "the vector of 'dog' holds NaN or inf"),
    "wide.safetensors": (safetensors(np.zeros((1, 70_000)), "F16"), "70,000 numbers; expected 1"),
    "words.txt": (b"one\ntwo\n", ":1: expected a word and numbers"),
    "empty.txt": (b"", "expected vectors, found nothing"),
}


@pytest.mark.parametrize("name", ["v.bin", "v.npy", "v.txt"])
def test_vectors_of_another_size_are_refused(tmp_path, name):
    path = tmp_path / name
    (tmp_path / "v.txt").write_text("\n".join(WORDS) if name == "v.npy" else LINES)
    if name == "v.bin":
        path.write_bytes(WHOLE)
    elif name == "v.npy":
        np.save(path, ROWS)
    with pytest.raises(UserError, match=rf"v\{path.suffix}:?1?: expected .*4.*found .*3"):
        read_vectors(str(path), VOCABULARY, 4)


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named(tmp_path, name):
    path = tmp_path / name
    content, message = BAD_FILES[name]
    path.write_bytes(content)
    if not name.endswith(".txt"):
        path.with_suffix(".txt").write_text("\n".join(WORDS))
    with pytest.raises(UserError, match=message) as error:
        read_vectors(str(path), VOCABULARY, vector_size(str(path)))
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "array",
    [
        ROWS.astype(int),
        ROWS[0],
        ROWS.astype(complex),
        np.array([["a"]]),
        np.array([[None]]),
        ROWS[:0],
    ],
    ids=["integers", "flat", "complex", "texts", "objects", "empty"],
)
def test_an_array_of_something_else_is_refused(tmp_path, array):
    path = tmp_path / "vectors.npy"
    np.save(path, array)
    with pytest.raises(UserError, match=r"vectors\.npy: (expected an array of floats|no whole)"):
        vector_size(str(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("", "", r"expected its words beside it, one a line in .*x\.txt, or its pieces in .*json"),
        ("x.txt", "dog\ncat\n", r"x\.txt: expected 5 words, a line each; found 2"),
        ("tokenizer.json", "[1]", "expected a tokenizer.json with `model`"),
        ("tokenizer.json", "[" * 99_999, "expected a tokenizer.json with `model`"),
        ("tokenizer.json", '{"model": {"vocab": {}}}', "or some that begin with ▁"),
        ("tokenizer.json", '{"model": {"vocab": {"▁a": 5}}}', "a row of the 5 vectors"),
        ("tokenizer.json", '{"model": {"vocab": {"▁a": -1}}}', "a row of the 5 vectors"),
        ("tokenizer.json", '{"model": {"vocab": {"▁a": "0"}}}', "a row of the 5 vectors"),
    ],
)
def test_bad_words_beside_an_array_are_named(tmp_path, name, content, message):
    path = tmp_path / "x.npy"
    np.save(path, ROWS)
    if name:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        read_vectors(str(path), VOCABULARY, 3)
    assert str(tmp_path) in str(error.value)


def test_a_damaged_array_is_refused_or_read(tmp_path):
    paths = [tmp_path / "x.npy", tmp_path / "y.safetensors", tmp_path / "z.bin"]
    np.save(paths[0], ROWS)
    paths[1].write_bytes(safetensors(ROWS))
    paths[2].write_bytes(WHOLE)
    random = np.random.default_rng(1)
    for path in paths:
        path.with_suffix(".txt").write_text("\n".join(WORDS))
        whole = path.read_bytes()
        for _ in range(100):
            damaged = bytearray(whole[: random.integers(len(whole) + 1)] or whole)
            if random.random() < 0.8:
                damaged = bytearray(whole)
                damaged[random.integers(min(150, len(whole)))] = random.integers(256)
            path.write_bytes(damaged)
            try:
                read_vectors(str(path), VOCABULARY, vector_size(str(path)))
            except UserError as error:
                assert len(str(error).splitlines()) == 1
