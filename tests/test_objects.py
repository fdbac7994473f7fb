"""Objects with keys: JSON lines, JSON arrays and Parquet."""

import json
import sys

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tests.labeled_files import mistake, notes, pairs, source
from tf_textrnn.data import objects

RECORDS = [
    {"label": "pos", "text": "a fine film", "id": 1},
    {"id": 2, "text": 'say "no"\n[{', "label": "neg"},
    {"label": "pos", "text": "", "more": {"label": "x"}},
]
EXPECTED = [(record["label"], record["text"]) for record in RECORDS]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.txt", "x"])
def test_an_array_is_read(tmp_path, indent, name):
    assert pairs(tmp_path / name, json.dumps(RECORDS, indent=indent)) == EXPECTED


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.ndjson", "x.txt"])
def test_a_line_an_object_is_read(tmp_path, name):
    assert pairs(tmp_path / name, "\n\n".join(map(json.dumps, RECORDS))) == EXPECTED


def test_an_array_longer_than_a_block_is_read_and_knows_its_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "_BLOCK", 7)
    records = [{"label": "é", "text": "é" * size} for size in range(30)]
    found = list(source(tmp_path / "x.json", json.dumps(records, indent=1)).read())
    assert [example.text for example in found] == [record["text"] for record in records]
    assert [example.line for example in found] == list(range(2, 122, 4))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('[{"label": "a", "text": "x"}', "x.json:1: broken JSON: expected ',' or ']', found the"),
        (
            '[{"label": "a", "text": "x"}\n{',
            "x.json:2: broken JSON: expected ',' or ']', found '{'",
        ),
        ('[{"label": "a", "text": "x"},\n]', "x.json:2: broken JSON"),
        ('[{"label": "a", "text": "x"}\n]\n{}', "x.json:3: broken JSON: expected the end"),
        ('[{"label": "a", "text": "x"},\n\n3]', "x.json:3: expected a JSON object, found '3'"),
        ('[{"label": "a",\n"text" "x"}]', "x.json:2: broken JSON"),
        ("[\n" + "[" * 100_000, "x.json:2: broken JSON"),
        ('[{"label": "a", "text": "x"},\n{"label": "b", "text":}]\n', "x.json:2: broken JSON (Exp"),
        ("[]", "x.json: no labeled texts; the file is empty"),
        ('{\n"label": "a", "text": "x"}', "x.json:1: broken JSON"),
        ('[{"label": "a"}]', "x.json:1: no key 'text' (--text_column); the object has 'label'"),
        ('[{"text": "a"}]', "x.json:1: no key 'label' (--label_column); the object has 'text'"),
    ],
)
def test_mistakes_name_the_line(tmp_path, content, error):
    found = mistake(tmp_path / "x.json", content)
    assert found.startswith(error)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (1.0, "1"),
        (0.5, "0.5"),
        ("a", "a"),
        (["a"], "a"),
    ],
)
def test_numbers_and_truth_values_are_labels(tmp_path, label, expected):
    content = json.dumps({"label": label, "text": "x"})
    assert pairs(tmp_path / "x.jsonl", content) == [(expected, "x")]


@pytest.mark.parametrize(("text", "expected"), [(None, ""), (3, "3"), (2.5, "2.5"), (True, "true")])
def test_numbers_truth_values_and_null_are_texts(tmp_path, text, expected):
    content = json.dumps([{"label": "a", "text": text}])
    assert pairs(tmp_path / "x.json", content) == [("a", expected)]


def test_null_is_no_label(tmp_path):
    content = '{"label": null, "text": "x"}\n{"label": "a", "text": "y"}\n{"text": "z"}\n'
    assert mistake(tmp_path / "x.jsonl", content).startswith("x.jsonl:3: no key 'label'")
    assert pairs(tmp_path / "x.jsonl", content, skip_unlabeled=True) == [("a", "y")]
    said = notes(tmp_path / "x.jsonl", content, skip_unlabeled=True)
    assert said == ["x.jsonl: passes over 2 texts without a label (lines 1, 3)"]


def test_keys_lead_inside_objects(tmp_path):
    record = {
        "meta": {"Stars": 5, "a.b": "in"},
        "review": {"title": "A", "body": "fine"},
        "x.y": "z",
    }
    for column, expected in (("meta.stars", "5"), ("meta.a.b", "in"), ("x.y", "z")):
        options = {"label_column": column, "text_column": "review.title,review.body"}
        assert pairs(tmp_path / "x.json", json.dumps([record]), **options) == [(expected, "A fine")]
    error = mistake(tmp_path / "x.json", json.dumps([record]), label_column="meta.moons")
    assert error.startswith(
        "x.json:1: no key 'meta.moons' (--label_column); the object has 'meta', "
    )


values = st.text() | st.integers() | st.booleans()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), values), min_size=1), st.sampled_from([None, 1])
)
def test_an_array_reads_what_pythons_json_writes(tmp_path_factory, rows, indent):
    path = tmp_path_factory.mktemp("json") / "x.json"
    content = json.dumps([{"text": text, "label": label} for label, text in rows], indent=indent)
    texts = [text if isinstance(text, str) else json.dumps(text) for _, text in rows]
    expected = [text.encode("utf-8", "replace").decode().replace("\0", "\ufffd") for text in texts]
    assert [text for _, text in pairs(path, content)] == expected


def write_parquet(path, columns) -> None:
    parquet.write_table(pyarrow.table(columns), path, row_group_size=2)


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x"])
def test_parquet_is_read(tmp_path, name):
    path = tmp_path / name
    write_parquet(path, {"label": [2, 1, 2], "id": [1, 2, 3], "text": ["one", None, "three\n"]})
    assert pairs(path) == [("2", "one"), ("1", ""), ("2", "three\n")]
    assert [example.line for example in source(path).read()] == [1, 2, 3]


def test_parquet_has_inner_keys_missing_labels_and_lists(tmp_path):
    path = tmp_path / "x.parquet"
    inner = [{"body": "one", "n": 1}, {"body": "two", "n": 2}]
    write_parquet(path, {"Label": ["a", None], "review": inner, "tags": [["a"], ["b", "c"]]})
    options = {"text_column": "review.body"}
    assert pairs(path, skip_unlabeled=True, **options) == [("a", "one")]
    assert mistake(path, **options).startswith("x.parquet:2: a text without a label")
    error = mistake(path, label_column="tags", **options)
    assert (
        error == "x.parquet:2: 2 labels ('b', 'c'); a text has exactly one with --multi_label=false"
    )
    assert mistake(path).startswith("x.parquet:1: no key 'text' (--text_column)")


def test_broken_parquet_and_one_without_pyarrow(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    write_parquet(path, {"label": ["a", "b"], "text": ["one", "two"]})
    content = path.read_bytes()
    assert mistake(path, content[:-20]).startswith("x.parquet: broken Parquet data (")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert mistake(path, content) == (
        "x.parquet: a Parquet file, and pyarrow is not installed; pip install 'tf_textrnn[formats]'"
    )
