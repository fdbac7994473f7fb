"""Files from strangers: nothing outgrows the memory."""

import gzip
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import read_lines
from tf_textrnn.config import Config, FileConfig
from tf_textrnn.data import corpus as corpus_module
from tf_textrnn.data import splits, tokens
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example, file_source

ROOT = pathlib.Path(__file__).parents[1]


def read(path, **options):
    return list(file_source(str(path), FileConfig(**options), "train_file").read())


def within(megabytes: int, code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs code in a process that may take so many megabytes more than its imports."""
    limit = (
        "import resource\n"
        "from tf_textrnn.config import FileConfig\n"
        "from tf_textrnn.data.sources import file_source\n"
        "from tf_textrnn.base.errors import UserError\n"
        f"room = {megabytes} << 20\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + room,) * 2)\n"
    )
    command = [sys.executable, "-c", limit + code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


READ = """
import sys
count = 0
try:
    for example in file_source(sys.argv[1], FileConfig(), "train_file").read():
        count += 1
except UserError as error:
    print(error)
print(count)
"""


@pytest.mark.parametrize(
    ("name", "pieces", "message"),
    [
        ("x.tsv", [b"a\t", b"x" * 100_000_000], ":1: the line is over 16,777,216 characters"),
        ("x.jsonl", [b'{"label": "a", "text": "', b"y" * 100_000_000], ":1: the line is over"),
        ("x.csv", [b"label,text\n", b'"a\n",' * 4_000_000], ": the record is over 16,777,216"),
        ("x.csv", [b"label,text\na,", b"," * 100_000_000], ":2: the line is over"),
        ("x.tsv.gz", [(b"a\t" + b"b" * 10_000 + b"\n") * 20_000], "over 200 times; no text"),
        ("x.tsv.gz", [b"\0" * 100_000_000], "x.tsv.gz: this is no text but binary data"),
        ("x.txt", [b"x" * 50_000_000], ":1: cannot tell the format"),
        ("x.json", [b'[{"label": "', b"x" * 50_000_000], ":1: the object is over 16,777,216"),
    ],
)
def test_sizes_are_bounded(tmp_path, name, pieces, message):
    path = tmp_path / name
    with gzip.open(path, "wb", 9) if name.endswith(".gz") else open(path, "wb") as file:
        for piece in pieces:
            file.write(piece)
    done = within(700, READ, str(path))
    assert message in done.stdout, done
    assert done.stderr == ""


def test_a_gzipped_file_that_repeats_itself_as_texts_do_is_read(tmp_path):
    lines = b"".join(b"a\t%d is a number, and so are others\n" % i for i in range(100_000))
    path = tmp_path / "x.tsv.gz"
    path.write_bytes(gzip.compress(lines))
    assert len(read(path)) == 100_000


def test_too_many_labels_texts_and_bytes_of_types(tmp_path, monkeypatch):
    source = examples_source("x.tsv", [Example(str(i), "x") for i in range(20_000)])
    with pytest.raises(UserError, match=r"x\.tsv: over 10,000 different labels"):
        open_corpus(source, "word", str(tmp_path))
    monkeypatch.setattr(corpus_module, "MAX_TEXTS", 9_999)
    source = examples_source("x.tsv", [Example("a", "x")] * 10_000)
    with pytest.raises(UserError, match=r"x\.tsv: over 9,999 texts"):
        open_corpus(source, "word", str(tmp_path))
    monkeypatch.setattr(corpus_module, "MAX_TYPE_BYTES", 6)
    monkeypatch.setattr(tokens, "_CHUNK_TEXTS", 1)
    source = examples_source("y", [Example("a", "seven"), Example("a", "x"), Example("a", "y x")])
    corpus = open_corpus(source, "word", str(tmp_path))
    np.testing.assert_array_equal(corpus.type_ids, [1, 2, 0, 2])


def test_more_scores_than_the_memory_holds_are_refused(small_options, monkeypatch):
    monkeypatch.setattr(splits, "MAX_SCORES", 179)
    with pytest.raises(UserError, match="expected at most 59 texts to score with 3 labels"):
        splits.load(Config().replace(**small_options).settled())


@pytest.mark.parametrize("path", ["/dev/zero", "."])
def test_what_is_no_file_is_not_read(path):
    with pytest.raises(UserError, match="expected a file"):
        read(path, format="tsv")


def test_a_vocabulary_is_bounded(tmp_path):
    path = tmp_path / "vocabulary.txt"
    with open(path, "wb") as file:
        file.truncate(2 << 30)  # sparse
    with pytest.raises(UserError, match="expected at most 1,073,741,824 bytes"):
        read_lines(path)
