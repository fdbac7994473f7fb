"""Readers: every format, the same examples; every mistake, its file and line."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.sources import Example, file_source


def read(path, **options):
    return list(file_source(str(path), FileConfig(**options), "train_file").read())


def pairs(path, **options):
    return [(example.label, example.text) for example in read(path, **options)]


EXPECTED = [("good", "a fine, fine film"), ("bad", 'dull "and" long'), ("good", "")]
FILES = {
    "x.tsv": "good\ta fine, fine film\nbad\tdull \"and\" long\ngood\t\n",
    "x.csv": 'id,text,label\n1,"a fine, fine film",good\n2,"dull ""and"" long",bad\n3,,good\n',
    "x.jsonl": "".join(json.dumps({"label": a, "text": b}) + "\n" for a, b in EXPECTED),
    "x.txt": "".join(f"__label__{a} {b}\n" for a, b in EXPECTED),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_formats_agree(tmp_path, name, compressed, newline, mark):
    content = mark + FILES[name].replace("\n", newline).encode()
    path = tmp_path / (name + ".gz" if compressed else name)
    path.write_bytes(gzip.compress(content) if compressed else content)
    assert pairs(path) == EXPECTED


def test_examples_know_the_line_they_start_on(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('label,text\na,"one\ntwo"\nb,three\n')
    assert read(path) == [Example("a", "one\ntwo", 2), Example("b", "three", 4)]


def test_columns_and_format_can_be_named(tmp_path):
    path = tmp_path / "reviews.dat"
    path.write_text("stars,review\n5,fine\n1,dull\n")
    options = {"format": "csv", "text_column": "review", "label_column": "stars"}
    assert pairs(path, **options) == [("5", "fine"), ("1", "dull")]


def test_dirty_text_is_read(tmp_path):
    path = tmp_path / "x.tsv"
    words = "où ça, déjà là "
    content = f"a\t{words}X broken\nb\tnul \0 inside\n\nc\ttab\there\n"
    path.write_bytes(content.encode().replace(b"X", b"\xff"))
    assert pairs(path) == [
        ("a", f"{words}\ufffd broken"),
        ("b", "nul \ufffd inside"),
        ("c", "tab\there"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", b"", "x.tsv: no labeled texts; the file is empty"),
        ("x.csv", b"", "x.csv: no labeled texts; the file is empty"),
        ("x.csv", b"label,text\n", "x.csv: no labeled texts; the file is empty"),
        ("x.tsv", b"a\tone\njust words\n", "x.tsv:2: expected label<TAB>text, found no tab"),
        ("x.tsv", b"a\tone\n\ttwo\n", "x.tsv:2: a text without a label (line 2)"),
        ("x.tsv", b"a\x01b\tone\n", "x.tsv:1: the label: found 'a\\x01b'; expected no"),
        ("x.csv", b"label,words\na,one\n", "x.csv:1: no column 'text' (--text_column)"),
        ("x.csv", b"text,kind\na,one\n", "x.csv:1: no column 'label' (--label_column)"),
        ("x.csv", b"label,text\na,one\nb\n", "x.csv:3: expected 2 columns, found 1"),
        ("x.csv", b'label,text\na,"one\n', "x.csv:2: a quote that opens here is never closed"),
        ("x.csv", b'label,text\na,"b\nc","d\ne\n', "x.csv:3: a quote that opens here is never"),
        ("x.csv", b'label,text\na,"b\nc" d\n', "x.csv:2: broken csv: a quote inside the quotes"),
        ("x.csv", b'label,text\na,"one" two\n', "x.csv:2: broken csv"),
        ("x.jsonl", b'{"label": "a", "text": "x"}\n{"label": \n', "x.jsonl:2: broken JSON"),
        ("x.jsonl", b"[" * 100_000, "x.jsonl:1: broken JSON"),
        ("x.jsonl", b"[1, 2]\n", "x.jsonl:1: expected a JSON object"),
        ("x.jsonl", b'{"label": "a"}\n', "x.jsonl:1: no key 'text' (--text_column)"),
        ("x.jsonl", b'{"label": null, "text": ""}\n', "x.jsonl:1: a text without a label"),
        ("x.jsonl", b'{"label": {}, "text": ""}\n', "x.jsonl:1: expected a string, a number or"),
        ("x.jsonl", b'{"label": "a", "text": [3]}\n', "x.jsonl:1: expected a string as the text"),
        ("x.txt", b"plain words\n", "x.txt:1: cannot tell the format; expected label<TAB>text"),
        (
            "x.txt",
            b"__label__a __label__b x\n",
            "x.txt:1: 2 labels ('a', 'b'); a text has exactly one with --multi_label=false",
        ),
        ("x.tsv.gz", gzip.compress(b"a\tone\n" * 99, mtime=0)[:-9], "broken gzip data"),
        ("x.csv", b"label,text,text\na,one,two\n", "x.csv:1: two columns are named 'text'"),
        ("x.csv", "label,text\na\ufffd,one\n".encode(), "x.csv:2: the label: found U+FFFD in"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read(path)
    assert message in str(error.value).replace(str(tmp_path) + "/", "")
    assert "\n" not in str(error.value)


def test_missing_file_names_the_flag():
    with pytest.raises(UserError, match=r"--train_file=nowhere\.tsv: No such file or directory"):
        read("nowhere.tsv")


def test_fingerprint_follows_content_and_columns(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("a\tone\n")
    first = file_source(str(path), FileConfig(), "train_file").fingerprint
    other = file_source(str(path), FileConfig(format="csv"), "train_file").fingerprint
    path.write_text("a\ttwo\n")
    assert len({first, other, file_source(str(path), FileConfig(), "x").fingerprint}) == 3


clean_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
rows = st.lists(st.tuples(st.sampled_from(["a", "b"]), clean_text), min_size=1)


@given(rows)
def test_csv_reads_what_pythons_csv_writes(tmp_path_factory, examples):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("label", "text"), *examples])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(buffer.getvalue().encode())
    assert pairs(path) == examples


@given(rows)
def test_jsonl_reads_what_pythons_json_writes(tmp_path_factory, examples):
    path = tmp_path_factory.mktemp("json") / "x.jsonl"
    lines = [json.dumps({"label": label, "text": text}) + "\n" for label, text in examples]
    path.write_text("".join(lines))
    assert pairs(path) == examples
