"""Weights of labels and of texts: read, refused, and what they do to the loss."""

import json

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from tests.labeled_files import mistake, source
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.data.weights import read_class_weights


def loaded(path, **options):
    given = {"train_file": str(path), "cache_dir": str(path.parent / "c"), "valid_fraction": 0.5}
    return splits.load(Config().replace(**given, **options).settled())


def write_class_weights(path, content):
    path.write_text(content)
    return str(path)


def test_a_text_counts_as_much_as_its_label(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("label,text\n" + "".join(f"{'abb'[i % 3]},x{i}\n" for i in range(24)))
    weights = write_class_weights(tmp_path / "w.tsv", "a\t3\nb\t0.5\n")
    train = loaded(path, class_weights=weights).train
    np.testing.assert_array_equal(train.weights, np.where(train.classes == 0, 3, 0.5))


def test_a_set_counts_as_much_as_the_mean_of_its_labels(tmp_path):
    path = tmp_path / "x.ft"
    path.write_text("".join(f"__label__a __label__b x{i}\n__label__b y{i}\n" for i in range(20)))
    weights = write_class_weights(tmp_path / "w.csv", "a,3\nb,1\n")
    train = loaded(path, class_weights=weights, multi_label=True).train
    num_labels = train.batch(np.arange(len(train))).label_rows.sum(axis=1)
    np.testing.assert_array_equal(train.weights, num_labels)  # (3 + 1) / 2, and 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\t1\n", "w: no weight of the label 'b' and 1 more"),
        ("a\t1\nz\t1\n", "w:2: 'z' is no label of the training texts"),
        ("a\t1\na\t1\n", "w:2: the label 'a' stands here again"),
        ("a\t-1\n", "w:1: expected a weight of at least 0, found '-1'"),
        ("a,nan\n", "w:1: expected a weight of at least 0, found 'nan'"),
        ("a,many\n", "w:1: expected a weight of at least 0, found 'many'"),
        (None, "w: No such file or directory; expected none, balanced, or a file"),
    ],
)
def test_a_file_of_other_weights_is_one_line(tmp_path, content, expected):
    if content:
        (tmp_path / "w").write_text(content)
    with pytest.raises(UserError) as error:
        read_class_weights(str(tmp_path / "w"), ["a", "b", "c"])
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


ROWS = [("a", "x", 1.0), ("b", "y", 0.0), ("a", "z", 3.5)]


def write(path):
    if path.suffix == ".parquet":
        columns = {n: [r[i] for r in ROWS] for i, n in enumerate(("label", "text", "w"))}
        parquet.write_table(pyarrow.table(columns), path)
    elif path.suffix == ".jsonl":
        objects = [{"label": label, "text": text, "w": weight} for label, text, weight in ROWS]
        path.write_text("\n".join(map(json.dumps, objects)))
    else:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        lines = [("label", "text", "w"), *ROWS] if path.suffix == ".csv" else ROWS
        path.write_text("".join(delimiter.join(map(str, line)) + "\n" for line in lines))


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet", "x.tsv"])
def test_each_table_gives_the_weight_of_a_text(tmp_path, name):
    write(tmp_path / name)
    more = {"text_column": "2", "label_column": "1", "header": "no"} if name == "x.tsv" else {}
    column = "3" if name == "x.tsv" else "w"
    found = source(tmp_path / name, weight_column=column, **more).read()
    assert [example.weight for example in found] == [1.0, 0.0, 3.5]


@pytest.mark.parametrize("column", ["Weight", "meta.weight"])
def test_a_key_of_weights_is_found_as_those_of_texts_and_labels_are(tmp_path, column):
    path = tmp_path / "x.jsonl"
    rows = [{"label": "a", "text": "x", " weight": 2, "meta": {"weight": 2}}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (example,) = source(path, weight_column=column).read()
    assert example.weight == 2.0


def test_weights_of_texts_are_factors_of_mean_1(tmp_path):
    path = tmp_path / "x.csv"
    rows = [f"{'ab'[i % 2]},text {i},{i % 5}\n" for i in range(40)]
    path.write_text("label,text,w\n" + "".join(rows))
    train = loaded(path, weight_column="w").train
    of_texts = train.rows % 5
    np.testing.assert_allclose(train.weights, of_texts / of_texts.mean(), rtol=1e-6)
    assert loaded(path).fingerprint != loaded(path, weight_column="w").fingerprint
    path.write_text("label,text,w\n" + "a,x,0\nb,y,0\n" * 9)
    with pytest.raises(UserError, match="every text to train on has the weight 0"):
        loaded(path, weight_column="w")


@pytest.mark.parametrize("weight", ["-1", "nan", "inf", "much", ""])
def test_what_is_no_weight_is_one_line(tmp_path, weight):
    content = f"label,text,w\na,x,1\nb,y,{weight}\n"
    error = mistake(tmp_path / "x.csv", content, weight_column="w")
    assert error == f"x.csv:3: expected a weight of at least 0, found {weight!r}"


def test_a_column_that_is_not_there_is_one_line(tmp_path):
    error = mistake(tmp_path / "x.csv", "label,text\na,x\nb,y\n", weight_column="w")
    expected = "x.csv: no column 'w' (--weight_column); the header has 'label', 'text'"
    assert error == expected
    error = mistake(tmp_path / "x.jsonl", '{"label": "a", "text": "x"}\n', weight_column="w")
    assert error == "x.jsonl:1: no key 'w' (--weight_column)"
    error = mistake(tmp_path / "x.ft", "__label__a x\n__label__b x\n", weight_column="w")
    assert error == "x.ft: --weight_column=w: expected a table or JSON, found fasttext"
