"""Content tells what a file is; texts to predict may lack labels; several files are one."""

import json
import pathlib

import pytest

from tests.labeled_files import mistake, notes, pairs, source
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import FileConfig
from tf_textrnn.data.readers import Record, open_file


def unlabeled(path, content, **options):
    path.write_text(content, encoding="utf-8", newline="")
    return open_file(str(path), FileConfig(**options), "input", needs_label=False)


ROWS = [("a", "fine"), ("b", "dull"), ("a", "good")]
CONTENTS = {
    "tsv": "".join(f"{label}\t{text}\n" for label, text in ROWS),
    "csv": "label,text\n" + "".join(f"{label},{text}\n" for label, text in ROWS),
    "jsonl": "".join(json.dumps({"label": a, "text": b}) + "\n" for a, b in ROWS),
    "json": json.dumps([{"label": label, "text": text} for label, text in ROWS]),
    "ft": "".join(f"__label__{label} {text}\n" for label, text in ROWS),
}


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("ending", [".tsv", ".csv", ".json", ".ft", ".txt", ".csv.gz", ".data", ""])
def test_content_decides_before_the_name(tmp_path, kind, ending):
    path = tmp_path / f"x{ending}"
    assert pairs(path, CONTENTS[kind]) == ROWS
    said = notes(path, CONTENTS[kind])
    named = {".csv.gz": "csv", ".json": "jsonl", ".ft": "fasttext"}.get(ending, ending[1:])
    found = {"ft": "fasttext"}.get(kind, kind)
    agree = named in ("txt", "data", "", found) or {named, found} == {"json", "jsonl"}
    names = [note for note in said if note.startswith(f"{path.name}: its name says {named}, its ")]
    assert len(names) == (0 if agree else 1)


def test_a_container_that_is_not_what_its_name_says_is_told(tmp_path):
    assert notes(tmp_path / "x.csv.gz", CONTENTS["csv"]) == [
        "x.csv.gz: it is no gzip data, as its name says; read as it is"
    ]


@pytest.mark.parametrize("content", ["just words\nand more\n", "words, with a comma, here\n"])
def test_what_cannot_be_told_is_refused(tmp_path, content):
    assert mistake(tmp_path / "x.txt", content).startswith("x.txt:1: ")


@pytest.mark.parametrize(
    ("name", "content", "kind", "header", "texts"),
    [
        ("x.txt", "one\n\ntwo, three\n", "lines", None, ["one", "", "two, three"]),
        ("x.txt", "one\ttwo\n", "lines", None, ["one\ttwo"]),
        ("x.txt", "a\tone\nb\ttwo\n", "tsv", None, ["one", "two"]),
        ("x.txt", "one, two\nthree, four\n", "lines", None, ["one, two", "three, four"]),
        ("x.txt", "", "lines", None, []),
        ("x.csv", "id,text\n1,one\n2,two\n", "csv", ["id", "text"], ["one", "two"]),
        ("x", "id;text\n1;one\n2;two\n", "csv", ["id", "text"], ["one", "two"]),
        ("x.csv", "text\none\n", "csv", ["text"], ["one"]),
        ("x.tsv", "text\none\n", "tsv", ["text"], ["one"]),
        ("x.tsv", "one\ntwo\n", "tsv", None, ["one", "two"]),
        ("x.csv", "text,label\none,\ntwo,a\n", "csv", ["text", "label"], ["one", "two"]),
        ("x.jsonl", '{"text": "one"}\n{"text": "two"}\n', "jsonl", None, ["one", "two"]),
        ("x.json", '[{"text": "one"}, {"text": "two"}]', "json", None, ["one", "two"]),
        ("x.txt", "__label__a one\n__label__b two\n", "fasttext", None, ["one", "two"]),
    ],
)
def test_texts_to_predict_need_no_label(tmp_path, name, content, kind, header, texts):
    opened = unlabeled(tmp_path / name, content)
    assert (opened.format, opened.header) == (kind, header)
    assert [record.text for record in opened.records()] == texts


def test_records_keep_what_was_read(tmp_path):
    opened = unlabeled(tmp_path / "x.csv", 'id;text\n1;"one\ntwo"\n2;three\n')
    assert opened.delimiter == ";"
    expected = [
        Record((), "one\ntwo", 2, ["1", "one\ntwo"]),
        Record((), "three", 4, ["2", "three"]),
    ]
    assert [list(opened.records()), list(opened.records())] == [expected, expected]
    opened = unlabeled(tmp_path / "x.jsonl", '{"text": "x", "label": ["a", "b"], "id": 7}\n')
    cells = {"text": "x", "label": ["a", "b"], "id": 7}
    assert list(opened.records()) == [Record(("a", "b"), "x", 1, cells, True)]


def test_a_first_line_that_may_be_a_header_is_asked_about_before_predicting(tmp_path):
    options = {"text_column": "2", "label_column": "3"}
    with pytest.raises(
        UserError, match=r"x\.csv:1: cannot tell whether the first line, 'id', 'rev"
    ):
        unlabeled(tmp_path / "x.csv", "id,review\n1,one\n2,two\n", **options)
    opened = unlabeled(tmp_path / "x.csv", "id,review\n1,one\n", header="yes", **options)
    assert [record.text for record in opened.records()] == ["one"]


def folder(path: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


FILES = {
    "b/2.txt": b"zwei\r\nZeilen\r\n",
    "b/1.txt": b"eins",
    "a/x": "\ufeffdrei".encode(),
    "a/.hidden": b"no",
    ".DS_Store/x": b"no",
    "index.txt": b"no",
}


def test_a_folder_has_a_folder_for_each_label(tmp_path):
    path = folder(tmp_path / "texts", FILES)
    assert pairs(path) == [("a", "drei"), ("b", "eins"), ("b", "zwei\r\nZeilen")]
    first = source(path).fingerprint
    folder(path, {"b/1.txt": b"ein!"})
    second = source(path).fingerprint
    (path / "b").rename(path / "c")
    third = source(path).fingerprint
    assert len({first, second, third}) == 3
    assert str(tmp_path) not in first


def test_texts_of_a_folder_in_another_encoding(tmp_path):
    words = "Où êtes-vous allés cet été ? Ça a été très agréable, déjà là-bas près de la forêt."
    files = {f"fr/{i}": words.encode("cp1252") for i in range(3)}
    path = folder(
        tmp_path / "texts", files | {"en/1": words.encode(), "en/2": words.encode("utf-16")}
    )
    assert pairs(path) == [("en", words)] * 2 + [("fr", words)] * 3
    found = source(path)
    list(found.read())
    (note,) = found.notes()
    assert note == f"{path}/fr/0: not UTF-8; read as cp1252 (--encoding to choose)"
    assert pairs(path, encoding="cp1252")[2:] == [("fr", words)] * 3


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"train/a/1": b"x", "train/b/1": b"y"}, "--train_file=PATH: found the folder PATH/train/a "
         "inside the folder of a label; expected texts there, or is it --train_file=PATH/train?"),
        ({"1.txt": b"x"}, "--train_file=PATH: expected a file, or a folder that holds a folder of "
         "texts for each label"),
        ({"a/1": b"\x89PNG\r\n\x1a\n" + b"\0" * 99}, "PATH/a/1: "),
    ],
)  # fmt: skip
def test_folders_of_other_shapes_are_refused(tmp_path, files, error):
    path = folder(tmp_path / "texts", files)
    assert mistake(path).startswith(error.replace("PATH", "texts"))


def test_several_files_are_one_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for (label, text), name in zip(ROWS, ["b.csv", "a.csv", "c.csv"], strict=True):
        pathlib.Path(name).write_text(f"label,text\n{label},{text}\n")
    assert pairs("b.csv,a.csv") == ROWS[:2]
    assert pairs("[ab].csv") == [ROWS[1], ROWS[0]]
    assert pairs("c.csv,./[a-b]*") == [ROWS[2], ROWS[1], ROWS[0]]
    assert pairs("a,b.csv", "label,text\nx,y\n") == [("x", "y")]
    assert mistake("a.csv,*.tsv") == "--train_file=a.csv,*.tsv: no file is named like *.tsv"
    assert mistake("a.csv,d.csv") == "--train_file=d.csv: No such file or directory"
    pathlib.Path("c.csv").write_text("text,label,id\nx,y,z\n")
    assert mistake("a.csv,c.csv") == (
        "--train_file: c.csv has other columns than a.csv; expected the same"
    )


def test_labels_that_depend_on_the_encoding_are_refused(tmp_path, monkeypatch):
    from tf_textrnn.data import readers
    from tf_textrnn.data.encodings import Encodings

    found = Encodings(("cp1252", "cp1251"), 1)
    monkeypatch.setattr(readers, "find_encodings", lambda path: found)
    path = tmp_path / "x.tsv"
    error = mistake(path, "café\tx\n".encode("cp1252"))
    assert error == (
        "x.tsv: not UTF-8, and its labels depend on the encoding; expected --encoding, one of "
        "cp1252: café; cp1251: cafй"
    )
    # A text may depend on it.
    content = "cafe\té\n".encode("cp1252")
    assert pairs(path, content) == [("cafe", "é")]
    said = notes(path, content)
    assert said == ["x.tsv: not UTF-8 (first at line 1); read as cp1252 (--encoding to choose)"]
    # One in which labels cannot be read is none of them.
    found = Encodings(("utf-8", "cp1252"), 1)
    assert pairs(path, "café\tx\n".encode("cp1252")) == [("café", "x")]


def test_a_fingerprint_follows_what_is_read_and_not_the_path(tmp_path):
    plain = source(tmp_path / "x.tsv", "a\tb\n").fingerprint
    assert plain.endswith(" tsv text label")
    assert source(tmp_path / "y", "a\tb\n").fingerprint == plain
    others = [
        source(tmp_path / "x.tsv", "a\tb\n", **options).fingerprint
        for options in (
            {"format": "csv", "header": "no", "delimiter": "tab"},
            {"skip_unlabeled": True},
            {"missing_labels": "nan"},
            {"label_separator": "|"},
            {"encoding": "cp1252"},
            {"text_column": "1", "label_column": "2", "header": "no"},
        )
    ]
    assert len({plain, *others}) == 7
