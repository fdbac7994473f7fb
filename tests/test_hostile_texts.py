"""Names and texts from strangers; Python's csv and json are the oracles of what is accepted."""

import contextlib
import csv
import io
import json
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import read_lines
from tf_textrnn.config import FileConfig
from tf_textrnn.data import datasets
from tf_textrnn.data.batches import Split
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.labels import LabelError, check_label
from tf_textrnn.data.sources import Example, file_source
from tf_textrnn.runs.answered import answered
from tf_textrnn.runs.report import worst_mistakes


def read(path, **options):
    return list(file_source(str(path), FileConfig(**options), "train_file").read())


@pytest.mark.parametrize(
    "name", ["someone:set", "../x", "/absolute/x", "a/../../x", "huggingface:a/b"]
)
def test_a_data_set_whose_name_leads_elsewhere_is_refused(name):
    with pytest.raises(UserError, match="expected tfds:<name>"):
        datasets.splits(f"tfds:{name}")


def test_texts_send_no_control_characters_to_the_terminal(tmp_path):
    source = examples_source("x", [Example("a", "red \x1b[31m alert\x07 \u202e")])
    corpus = open_corpus(source, "word", str(tmp_path))
    ids = np.zeros(len(corpus.types), np.int32)
    split = Split(corpus, np.arange(1), ids, np.zeros(1, np.int32), 9)
    scores = np.array([[0.0, 1.0]], np.float32)
    (mistake,) = worst_mistakes(answered(split, scores, 1.0, ["a", "b"]))
    assert mistake.text == "red \ufffd[31m alert\ufffd \ufffd"


def outcome(path: pathlib.Path) -> list[tuple[str, str]] | None:
    with contextlib.suppress(UserError):
        return [(example.label, example.text) for example in read(path)]
    return None


def is_label(label: str) -> bool:
    try:
        check_label(label)
    except LabelError:
        return False
    return "\ufffd" not in label


csv_pieces = st.sampled_from(["a", "b", ",", '"', "\n", "\r\n", "\r", " ", "\0", "é", '""'])


@settings(max_examples=300, deadline=None)
@given(st.lists(csv_pieces, max_size=20).map("".join))
def test_csv_accepts_what_pythons_csv_accepts(tmp_path_factory, body):
    content = "label,text\n" + body
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(content.encode())
    try:
        lines = io.StringIO(content.replace("\0", "\ufffd"), newline="")
        rows = [row for row in csv.reader(lines, strict=True) if row][1:]
    except csv.Error:
        rows = []
    expected = [(row[0].strip(), row[1]) for row in rows if len(row) == 2]
    is_labeled = len(expected) == len(rows) and all(is_label(label) for label, _ in expected)
    assert outcome(path) == (expected if rows and is_labeled else None)


json_pieces = st.sampled_from(
    ['{"label": "a", "text": "b"}', '{"label": 1, "text": ""}', "{", "}", '"', "\n", " ", ",",
     "[]", "NaN", '{"label": "a"}', '{"text": "\\ud800", "label": "é"}', "\\", "1e999", "null"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(json_pieces, max_size=6).map("".join))
def test_jsonl_accepts_what_pythons_json_accepts(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("json") / "x.jsonl"
    path.write_bytes(content.encode())
    expected: list[tuple[str, str]] | None = []
    for line in filter(str.strip, content.split("\n")):
        try:
            record = json.loads(line)
            assert isinstance(record, dict)
            text = record["text"].encode("utf-8", "replace").decode()
            expected.append((str(record["label"]), text))
        except (ValueError, AssertionError, KeyError):
            expected = None
            break
    assert outcome(path) == (expected or None)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["tsv", "csv", "jsonl", "fasttext"]))
def test_any_bytes_give_examples_or_one_line(tmp_path_factory, content, kind):
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_bytes(content)
    try:
        examples = read(path, format=kind)
    except UserError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
    else:
        assert examples
        for label, text, line, *_ in examples:
            assert is_label(label) and label.strip() == label
            assert "\0" not in text
            assert line >= 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_file_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("lines") / "x"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        lines = read_lines(path)
        assert b"\n".join(lines) == content.removesuffix(b"\n")
