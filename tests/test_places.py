"""Where several files or a folder are read, each text is found in its own file."""

import numpy as np
import pytest

from tf_textrnn import cli
from tf_textrnn.base.errors import UserError
from tf_textrnn.config import Config, FileConfig
from tf_textrnn.data import splits
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.sources import file_source
from tf_textrnn.data.summary import summarize
from tf_textrnn.runs.answered import answered
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.report import write_predictions


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Two files, and the same texts as a folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text('label,text\ngood,"one\ntwo"\nbad,three\n')
    (tmp_path / "b.csv").write_text("label,text\nbad,three\ngood,three\nbad,\n")
    texts = {"bad": ["three", "three", ""], "good": ["one\ntwo", "three"]}
    for label, of_label in texts.items():
        (tmp_path / "folder" / label).mkdir(parents=True)
        for number, text in enumerate(of_label):
            (tmp_path / "folder" / label / f"{number}.txt").write_text(text)


PLACES = {
    "a.csv,b.csv": ["a.csv:2", "a.csv:4", "b.csv:2", "b.csv:3", "b.csv:4"],
    "?.csv": ["a.csv:2", "a.csv:4", "b.csv:2", "b.csv:3", "b.csv:4"],
    "b.csv": ["b.csv:2", "b.csv:3", "b.csv:4"],
    "folder": [f"folder/{name}.txt" for name in ("bad/0", "bad/1", "bad/2", "good/0", "good/1")],
}


@pytest.mark.parametrize("path", PLACES)
def test_a_corpus_knows_the_file_and_line_of_each_text(path):
    for _ in range(2):  # as it is made, and from the cache
        corpus = open_corpus(file_source(path, FileConfig(), "train_file"), "word", "cache")
        places = [corpus.place_name(row) for row in range(len(corpus))]
        assert places[: len(PLACES[path])] == PLACES[path]


def test_a_corpus_from_the_cache_knows_todays_names(tmp_path):
    corpus = open_corpus(file_source("a.csv,b.csv", FileConfig(), "f"), "word", "cache")
    (tmp_path / "b.csv").rename("c.csv")
    again = open_corpus(file_source("a.csv,c.csv", FileConfig(), "f"), "word", "cache")
    assert again.fingerprint == corpus.fingerprint
    assert [again.place_name(row) for row in (1, 2)] == ["a.csv:4", "c.csv:2"]


def config(**options) -> Config:
    return Config().replace(cache_dir="cache", **options).settled()


def test_what_stands_out_names_the_file(tmp_path):
    (tmp_path / "valid.csv").write_text("label,text\ngood,one two\n")
    for train, copies, empty in (
        ("a.csv,b.csv", "a.csv:4 (bad) = b.csv:3 (good)", "b.csv:4"),
        ("folder", "folder/bad/0.txt (bad) = folder/good/1.txt (good)", "folder/bad/2.txt"),
    ):
        options = config(train_file=train, valid_file="valid.csv")
        examples = {
            one.kind: one.examples for one in summarize(splits.load(options), options.text).findings
        }
        assert examples["contradictions"] == [copies]
        assert examples["empty"] == [empty]


def test_errors_name_the_file(tmp_path, exported, capsys):
    (tmp_path / "valid.csv").write_text("label,text\ngood,x\nodd,y\n")
    given = {"train_file": "a.csv", "valid_file": "b.csv,valid.csv", "strict_labels": True}
    with pytest.raises(UserError, match=r"^valid\.csv:3: the label 'odd' is not in a\.csv"):
        splits.load(config(**given))
    (tmp_path / "folder" / "odd").mkdir()
    (tmp_path / "folder" / "odd" / "x.txt").write_text("y")
    with pytest.raises(UserError, match=r"^folder/odd/x\.txt: the label 'odd' is not in a\.csv"):
        splits.load(config(**{**given, "valid_file": "folder"}))
    (tmp_path / "c.csv").write_text("label,text\nanimals,wolf\n")
    command = ["predict", f"--model={exported.export / '1'}", "--input=c.csv,a.csv", "--evaluate"]
    assert cli.run([*command, "--strict_labels"]) == 2
    assert "a.csv:2: the model has no label 'good'" in capsys.readouterr().err


@pytest.mark.parametrize("path", PLACES)
def test_predictions_name_the_file_where_there_are_several(tmp_path, path):
    data = splits.load(config(train_file="a.csv,b.csv", valid_file=path))
    folder = RunFolder(str(tmp_path))
    scores = np.zeros((len(data.valid), 2), np.float32)
    write_predictions(folder, answered(data.valid, scores, 1.0, data.labels))
    _, *lines = folder.predictions.read_text("utf-8").splitlines()
    places = [line.split("\t")[0] for line in lines][: len(PLACES[path])]
    assert places == (["2", "3", "4"] if path == "b.csv" else PLACES[path])
