"""`textrnn predict --input`: files keep what they hold, and answers are written whole."""

import csv
import datetime
import io
import json
import shutil
import sys

import numpy as np
import pandas
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tf_textrnn import cli
from tf_textrnn.data.readers import Record
from tf_textrnn.data.sources import chunks_of_texts
from tf_textrnn.predicting.answers import Naming, Said, TableAnswers, free_name
from tf_textrnn.predictor.predictor import Predictor

ROWS = [
    ("1", 'the "wolf"\nand the dog', "a,b"),
    ("02", "seven of nine\r\nten", ""),
    ("x y", " red and blue ", "=1+1"),
]


@pytest.fixture(scope="module")
def predictor(exported):
    return Predictor(str(exported.export / "1"))


@pytest.fixture
def command(exported, capsys):
    """Runs `textrnn predict` in this process; returns its status, stdout and stderr."""

    def run(*arguments):
        status = cli.run(["predict", f"--model={exported.export / '1'}", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def table(path, header, rows, delimiter=","):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def frame(text, delimiter=","):
    return pandas.read_csv(io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False)


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_csv_keeps_its_columns_as_pandas_reads_them(command, tmp_path, predictor, delimiter):
    path = table(tmp_path / "new.csv", ["id", "text", "note"], ROWS, delimiter)
    status, out, err = command("--input", path)
    assert (status, err) == (0, "")
    found, before = frame(out, delimiter), frame(path.read_bytes().decode(), delimiter)
    assert list(found.columns) == ["id", "text", "note", "label", "probability"]
    pandas.testing.assert_frame_equal(found[list(before.columns)], before)
    assert found["label"].tolist() == predictor.predict([text for _, text, _ in ROWS]).tolist()
    largest = predictor.predict_proba([text for _, text, _ in ROWS]).max(axis=1)
    assert found["probability"].astype(float).to_numpy() == pytest.approx(largest, abs=1e-5)


def test_names_that_a_table_has_stay_its_own(command, tmp_path, predictor):
    rows = [["numbers", "wolf and dog", "0.1"], ["", "seven", "0.2"]]
    path = table(tmp_path / "new.csv", ["label", "text", "probability_animals"], rows)
    status, out, _ = command("--input", path, "--all_probabilities")
    found = frame(out)
    assert status == 0
    assert found["label"].tolist() == ["numbers", ""]
    assert found["predicted_label"].tolist() == ["animals", "numbers"]
    columns = ["predicted_probability_animals", "probability_colours", "probability_numbers"]
    probabilities = found[columns].astype(float).to_numpy()
    expected = predictor.predict_proba(["wolf and dog", "seven"])
    assert probabilities == pytest.approx(expected, abs=1e-5)


def test_a_table_without_a_header_gets_none(command, tmp_path):
    (tmp_path / "new.tsv").write_text("numbers\twolf and dog\nanimals\tseven\n", encoding="utf-8")
    status, out, _ = command("--input", tmp_path / "new.tsv", "--header=no")
    assert status == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[:3] for row in rows] == [
        ["numbers", "wolf and dog", "animals"],
        ["animals", "seven", "numbers"],
    ]


def test_parquet_keeps_its_columns(command, tmp_path, predictor):
    texts = ["wolf and dog", None, "seven,\n"]
    columns = {
        "day": [datetime.date(2020, 1, day) for day in (1, 2, 3)],
        "text": texts,
        "n": [1, None, 3],
        "of": [{"a": ["é"]}, None, {"a": []}],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "new.parquet")
    status, out, err = command("--input", tmp_path / "new.parquet")
    found = frame(out)
    assert (status, err) == (0, "")
    assert found["day"].tolist() == ["2020-01-01", "2020-01-02", "2020-01-03"]
    assert found["text"].tolist() == ["wolf and dog", "", "seven,\n"]
    assert found["n"].tolist() == ["1", "", "3"]
    assert found["of"].tolist() == ['{"a": ["é"]}', "", '{"a": []}']
    expected = [str(label) for label in predictor.predict([text or "" for text in texts])]
    expected[1] = "?"  # nothing is known of an empty text
    assert found["label"].tolist() == expected
    parquet.write_table(
        pyarrow.table([[1], ["a"], [2]], names=["n", "text", "n"]), tmp_path / "new.parquet"
    )
    status, _, err = command("--input", tmp_path / "new.parquet")
    assert (status, err.count("\n")) == (2, 1)
    assert "new.parquet: 2 columns are named 'n'" in err


def test_several_files_are_answered_as_one(command, tmp_path, predictor):
    a = table(tmp_path / "a.csv", ["id", "text"], [["1", "wolf and dog"]])
    b = table(tmp_path / "b.csv", ["id", "text"], [["2", "seven"], ["3", "red"]], ";")
    for named in (f"{a},{b}", tmp_path / "?.csv"):
        status, out, err = command("--input", named)
        assert (status, err) == (0, "")
        assert frame(out)["id"].tolist() == ["1", "2", "3"]
        assert frame(out)["label"].tolist() == ["animals", "numbers", "colours"]
    (tmp_path / "c.jsonl").write_text('{"text": "wolf"}\n', encoding="utf-8")
    (tmp_path / "d.json").write_text('[{"text": "seven", "label": 1}]', encoding="utf-8")
    (tmp_path / "e.txt").write_text("wolf\n", encoding="utf-8")
    _, out, _ = command("--input", f"{tmp_path / 'c.jsonl'},{tmp_path / 'd.json'}")
    found = [json.loads(line)["predicted_label"] for line in out.splitlines()]
    assert found == ["animals", "numbers"]
    table(tmp_path / "f.csv", ["text"], [["wolf"]])
    for other, message in (
        ("f.csv", "f.csv has other columns than"),
        ("c.jsonl", "c.jsonl has other columns than"),
    ):
        status, out, err = command("--input", f"{a},{tmp_path / other}")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert message in err
    status, _, err = command("--input", f"{tmp_path / 'c.jsonl'},{tmp_path / 'e.txt'}")
    assert (status, err.count("\n")) == (2, 1)
    assert "e.txt is lines and" in err


@pytest.mark.parametrize("name", ["new.jsonl", "new.json"])
def test_objects_keep_their_keys(command, tmp_path, name):
    objects = [{"text": "wolf\nand dog", "of": {"a": [1, None]}}, {"label": 3, "text": "seven"}]
    lines = [json.dumps(one) for one in objects]
    content = "\n".join(lines) if name == "new.jsonl" else f"[{', '.join(lines)}]"
    (tmp_path / name).write_text(content, encoding="utf-8")
    status, out, err = command("--input", tmp_path / name)
    assert (status, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    # One name for what is predicted in all of them, though only one object has a label.
    assert [one.pop("predicted_label") for one in found] == ["animals", "numbers"]
    assert all(0 < one.pop("probability") <= 1 for one in found)
    assert found == objects


def test_a_format_that_is_asked_for_is_written(command, tmp_path):
    path = table(tmp_path / "new.csv", ["id", "text"], [["7", "wolf\nand dog"]])
    _, out, _ = command("--input", path, "--format=jsonl", "--all_probabilities")
    found = json.loads(out)
    assert (found["id"], found["text"], found["label"]) == ("7", "wolf\nand dog", "animals")
    assert set(found["probabilities"]) == {"animals", "colours", "numbers"}
    _, out, _ = command("--input", path, "--format=tsv")
    assert frame(out, "\t")["text"].tolist() == ["wolf\nand dog"]
    _, out, _ = command("--format=csv", "wolf, and dog")
    assert frame(out)[["text", "label"]].to_numpy().tolist() == [["wolf, and dog", "animals"]]


def test_the_output_is_written_whole_or_not_at_all(command, tmp_path):
    path, output = tmp_path / "new.csv", tmp_path / "out.csv"
    table(path, ["id", "text"], [[str(i), "wolf and dog"] for i in range(50)])
    assert command("--input", path, "--output", output) == (0, "", "")
    whole = output.read_bytes()
    assert frame(whole.decode())["label"].tolist() == ["animals"] * 50
    with open(path, "a", encoding="utf-8") as file:
        file.write("50\n")  # a row of another width
    status, out, err = command("--input", path, "--output", output)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert output.read_bytes() == whole
    assert {each.name for each in tmp_path.iterdir()} == {"new.csv", "out.csv"}
    status, _, err = command("--output", tmp_path / "none" / "out.csv", "wolf")
    assert (status, err.count("\n")) == (2, 1)
    assert f"--output={tmp_path / 'none' / 'out.csv'}: cannot be written (No such file" in err


def test_cut_texts_are_counted_in_one_line(command, tmp_path):
    lines = ["wolf " * 400, "wolf " * 401, "seven", "red " * 5_000]
    (tmp_path / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    status, _, err = command("--input", tmp_path / "texts.txt")
    assert status == 0
    assert err == (
        "2 of 4 texts are longer than the model's 400 tokens; the rest of them was not read\n"
    )


def test_texts_of_the_command_line_are_counted_too(command):
    status, _, err = command("red " * 401)
    assert (status, err.startswith("1 of 1 texts are longer")) == (0, True)


def test_a_label_that_the_model_lacks_is_a_mistake_and_named(command, tmp_path):
    (tmp_path / "f.tsv").write_text("animals\twolf\nplants\toak\nnumbers\tseven\n")
    arguments = ("--evaluate", "--input", tmp_path / "f.tsv")
    status, out, _ = command(*arguments, "--format=jsonl")
    found = json.loads(out)
    assert status == 0
    assert (found["texts"], found["accuracy"]) == (3, pytest.approx(2 / 3))
    assert found["unknown_labels"] == ["plants"]
    assert found["per_class"]["plants"]["support"] == 1
    assert found["labels_left_out"] == 1  # colours
    _, out, _ = command(*arguments)
    assert "labels that the model lacks, all mistakes: plants (1)\n" in out
    assert "without a text to test on: colours\n" in out
    status, _, err = command(*arguments, "--strict_labels")
    assert (status, err.count("\n")) == (2, 1)
    assert f"{tmp_path / 'f.tsv'}:2: the model has no label 'plants'" in err


def test_evaluates_a_csv_by_other_columns(command, tmp_path):
    path = table(tmp_path / "f.csv", ["body", "kind"], [["wolf", "animals"], ["red", "colours"]])
    status, out, _ = command(
        "--evaluate", "--input", path, "--text_column=body", "--label_column=kind"
    )
    assert (status, out.startswith("2 texts: accuracy 1.0000 (95 % interval ")) == (0, True)


@pytest.fixture(scope="module")
def run_of_columns(exported, tmp_path_factory):
    """The run of `exported`, as if its files had columns of other names."""
    folder = tmp_path_factory.mktemp("columns") / "run"
    shutil.copytree(exported.path, folder)
    config = exported.read_config().replace(text_column="body", label_column="kind")
    (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    return folder


@pytest.mark.parametrize("model", ["", "export", "export/1"])
def test_columns_are_those_of_the_run_where_the_file_has_them(
    run_of_columns, model, tmp_path, capsys
):
    rows = [["1", "wolf", "animals"], ["2", "red", "colours"]]
    path = table(tmp_path / "f.csv", ["id", "body", "kind"], rows)
    flag = f"--model={run_of_columns / model}"
    assert cli.run(["predict", flag, f"--input={path}", "--evaluate"]) == 0
    assert capsys.readouterr().out.startswith("2 texts: accuracy 1.0000 ")
    assert cli.run(["predict", flag, f"--input={table(path, ['body'], [['wolf']])}"]) == 0
    assert capsys.readouterr().out.startswith("body,label,probability\nwolf,animals,")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.txt", "wolf\n"),
        ("f.csv", "text\nwolf\n"),
        ("f.jsonl", '{"text": "wolf"}\n'),
        ("f.tsv", "text\tnote\nwolf\tx\n"),
    ],
)
def test_a_file_without_the_columns_of_the_run_is_read_as_ever(
    run_of_columns, name, content, tmp_path, capsys
):
    (tmp_path / name).write_text(content)
    flags = [f"--input={tmp_path / name}", "--format=jsonl"]
    assert cli.run(["predict", f"--model={run_of_columns}", *flags]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "animals"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--evaluate", "--format=csv"), "--format=csv, and --evaluate"),
        (("--evaluate", "--all_probabilities"), "--all_probabilities, and --evaluate"),
        (("--all_probabilities", "a"), "--all_probabilities: expected --format=csv or"),
        (("--format=csv", "--top_k=2", "a"), "--top_k=2: expected --format=jsonl"),
    ],
)
def test_flags_that_contradict_each_other_are_one_line(command, arguments, message):
    status, out, err = command(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_person_sees_no_cell_that_drives_the_terminal(command, tmp_path, monkeypatch):
    path = table(tmp_path / "new.csv", ["id\x1b[2J", "text"], [["\x9b2J", "wolf \u202e"]])
    _, exact, _ = command("--input", path)
    assert "\x1b[2J" in exact
    assert "\x9b2J" in exact
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, shown, _ = command("--input", path)
    assert not set(shown) & set("\x1b\x9b\u202e")


@settings(deadline=None)
@given(
    st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=4), min_size=1),
    st.sampled_from(",;\t|"),
)
def test_any_cells_come_back_from_a_csv(rows, delimiter):
    answers = TableAnswers(None, True, delimiter, Naming(["a", "b\n"]), (), False, False)
    said = Said(np.array([0.25, 0.75]), np.array([False, True]))
    lines = [answers.line(Record((), "", 0, row), said) for row in rows]
    found = list(csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter))
    assert found == [[*row, "b\n", "0.750000"] for row in rows]


@given(st.text(), st.lists(st.text()))
def test_a_free_name_is_free(name, taken):
    assert free_name(name, taken) not in taken


def test_memory_does_not_grow_with_the_file():
    """Only a window of records lives at a time."""
    read = 0

    def records():
        nonlocal read
        for text in ["a"] * 7 + ["b" * 200] + ["c"] * 2:
            read += 1
            yield Record((), text, 0, None)

    seen = []
    for window in chunks_of_texts(records(), num_texts=3, num_characters=100):
        seen.append(len(window))
        assert read == sum(seen)
    assert seen == [3, 3, 2, 2]
