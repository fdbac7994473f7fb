"""Files from strangers: nothing runs, nothing leads elsewhere, nothing outgrows the memory."""

import contextlib
import csv
import gzip
import io
import json
import os
import pathlib
import resource
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_textrnn.config import Config, DataConfig, ModelConfig
from tf_textrnn.data import corpus as corpus_module
from tf_textrnn.data import datasets, splits
from tf_textrnn.data.batches import Split
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example, file_source
from tf_textrnn.errors import UserError
from tf_textrnn.evaluation import worst_mistakes
from tf_textrnn.files import read_lines
from tf_textrnn.model import TextRNN
from tf_textrnn.runs import RunFolder, load_run
from tf_textrnn.training import checkpoints, runner

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def finished(small_options, tmp_path_factory):
    options = {**small_options, "num_epochs": 1}
    return runner.run({**options, "run_dir": str(tmp_path_factory.mktemp("runs") / "run")})


def read(path, **options):
    return list(file_source(str(path), DataConfig(**options), "train_file").read())


# --- run folders -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["vocabulary.txt", "best", "checkpoints", "checkpoints/0000000099.npz", "elsewhere"]
)
def test_a_link_in_a_run_folder_is_refused(finished, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(finished.path), str(run)], check=True)
    if (run / name).exists():
        (run / name).rename(outside / "moved")
    (run / name).symlink_to(outside / "moved")
    for action in (
        lambda: load_run(RunFolder(str(run))),
        lambda: runner.run({"run_dir": str(run), "resume": True}),
    ):
        with pytest.raises(UserError, match=f"{name}: expected a file or a folder of this run"):
            action()


def test_a_pipe_in_a_run_folder_does_not_block(finished, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(finished.path), str(run)], check=True)
    (run / "labels.txt").unlink()
    os.mkfifo(run / "labels.txt")
    with pytest.raises(UserError, match=r"labels\.txt: expected a file"):
        load_run(RunFolder(str(run)))


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(target)
    with (
        pytest.raises(UserError, match="cannot be written"),
        RunFolder(str(tmp_path / "run")).locked(),
    ):
        pass
    assert target.read_text() == "mine"


def test_a_config_cannot_say_where_the_cache_is_or_name_a_file_that_is_not_its_own(
    finished, tmp_path
):
    run, cache = tmp_path / "run", tmp_path / "cache"
    subprocess.run(["cp", "-r", str(finished.path), str(run)], check=True)
    secret = tmp_path / "secret.tsv"
    secret.write_text("key\t1234\nkeys\t5678\n" * 9)
    config = json.loads((run / "config.json").read_text())
    config["run"]["cache_dir"] = str(cache)
    config["data"] = {"train_file": str(secret)}
    (run / "config.json").write_text(json.dumps(config))
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="the texts are not those that this run began with"):
        runner.run({"run_dir": str(run), "resume": True})
    assert not cache.exists()
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after == before


def test_a_config_cannot_ask_for_more_than_the_memory(finished, tmp_path):
    with pytest.raises(UserError, match="GiB of memory"):
        TextRNN(ModelConfig(hidden_size=65_536, num_layers=64), 10, 2).build()
    with pytest.raises(UserError, match="GiB of memory"):
        TextRNN(ModelConfig(embedding_dim=65_536), 50_000_000, 2).build()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.txt", b"animals\n\x1b[2J\nnumbers\n", "labels.txt: expected printable labels"),
        ("labels.txt", b"a\nb\n", "is float32[16, 3], expected float32[16, 2]"),
        ("vocabulary.txt", b"[PAD]\n[UNK]\n", "'embedding' is float32["),
        ("config.json", b'{"data": {"__class__": "os.system"}}', "--__class__ is not an option"),
        ("config.json", b"[" * 100_000, "config.json: not JSON"),
        ("config.json", b'{"model": {"h\\ni\\u001b": 1}}', r"--h\ni\x1b is not an option"),
        ("config.json", b'{"model": {"cell": "os.system"}}', "expected one of lstm, gru, rnn"),
        ("best/model.npz", b"", "model.npz: cannot be read"),
    ],
)
def test_damaged_or_foreign_files_of_a_run_are_named(finished, tmp_path, name, content, message):
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(finished.path), str(run)], check=True)
    (run / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        load_run(RunFolder(str(run)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_checkpoint_with_another_programs_state_is_refused(small_options, tmp_path):
    folder = runner.run({**small_options, "num_epochs": 1, "run_dir": str(tmp_path / "run")})
    (path,) = folder.checkpoints.iterdir()
    arrays, state = checkpoints.read(path)
    for wrong in ([], {}, {**state, "progress": {"epoch": 0, "exec": "x"}}):
        checkpoints.write(path, arrays, wrong)
        with pytest.raises(UserError, match="not a checkpoint of a training"):
            runner.run({"run_dir": str(folder.path), "resume": True})


# --- checkpoints ------------------------------------------------------------------------------


def npz(path: pathlib.Path, members: dict[str, bytes], compression=zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(118 - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


HUGE = 10**15
CHECKPOINTS = {
    "bomb": ({"x.npy": header("(50_000_000,)") + bytes(200_000_000)}, zipfile.ZIP_DEFLATED),
    "declares": ({"x.npy": header(f"({HUGE},)")}, zipfile.ZIP_STORED),
    "empty": ({"x.npy": header(f"({HUGE}, 0)")}, zipfile.ZIP_STORED),
    "negative": ({"x.npy": header("(-2, -2)") + bytes(16)}, zipfile.ZIP_STORED),
    "no width": ({"x.npy": header(f"({HUGE},)", "|V0")}, zipfile.ZIP_STORED),
    "object": ({"x.npy": header("(1,)", "|O") + b"cos\nsystem\n(S'true'\ntR."}, zipfile.ZIP_STORED),
    "names": ({"../../x.npy": header("()") + bytes(4)}, zipfile.ZIP_STORED),
    "deep": ({"x.npy": header("(" * 60)}, zipfile.ZIP_STORED),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_hostile_checkpoint_is_refused_within_memory(tmp_path, kind):
    path = tmp_path / "0000000001.npz"
    npz(path, *CHECKPOINTS[kind])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(checkpoints.DamagedError) as error:
        checkpoints.read(path)
    assert len(str(error.value)) <= 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda b: header("(3,)") + b))
def test_any_bytes_in_a_checkpoint_are_a_damaged_one(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "raw").write_bytes(content)
    npz(folder / "member", {"x.npy": content, "sha256.npy": content})
    for path in folder.iterdir():
        with pytest.raises(checkpoints.DamagedError):
            checkpoints.read(path)


# --- sizes ------------------------------------------------------------------------------------


def within(megabytes: int, code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs code in a process whose data may not outgrow what its imports took by more."""
    limit = (
        "import resource\n"
        "from tf_textrnn.config import DataConfig\n"
        "from tf_textrnn.data.sources import file_source\n"
        "from tf_textrnn.errors import UserError\n"
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
    for example in file_source(sys.argv[1], DataConfig(), "train_file").read():
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
        ("x.tsv.gz", [b"\0" * 100_000_000], ":1: the line is over"),
        ("x.txt", [b"x" * 50_000_000], ":1: the line is over"),
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
    monkeypatch.setattr(corpus_module, "_CHUNK_TEXTS", 1)
    source = examples_source("y", [Example("a", "seven"), Example("a", "x"), Example("a", "y x")])
    corpus = open_corpus(source, "word", str(tmp_path))
    np.testing.assert_array_equal(corpus.type_ids, [1, 2, 0, 2])


def test_more_scores_than_the_memory_holds_are_refused(small_options, monkeypatch):
    monkeypatch.setattr(splits, "MAX_SCORES", 179)
    with pytest.raises(UserError, match="expected at most 59 texts to score with 3 labels"):
        splits.load(splits.resolve(Config().replace(**small_options)))


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


# --- names and texts --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["someone:set", "../x", "/tmp/x", "a/../../x", "huggingface:a/b"])
def test_a_data_set_whose_name_leads_elsewhere_is_refused(name):
    with pytest.raises(UserError, match="expected tfds:<name>"):
        datasets.splits(f"tfds:{name}")


def test_texts_send_no_control_characters_to_the_terminal():
    source = examples_source("x", [Example("a", "red \x1b[31m alert\x07 \u202e")])
    corpus = corpus_module.Corpus(
        source, "", [b"x"], ["a"], np.zeros(1, np.int32), np.array([0, 1]), np.zeros(1, np.int32)
    )
    split = Split(corpus, np.arange(1), np.zeros(1, np.int32), np.zeros(1, np.int32), 9)
    (mistake,) = worst_mistakes(split, np.array([[0.0, 1.0]], np.float32), ["a", "b"])
    assert mistake.text == "red \ufffd[31m alert\ufffd \ufffd"


# --- Python's csv and json are the oracles -------------------------------------------------


def outcome(path: pathlib.Path) -> list[tuple[str, str]] | None:
    with contextlib.suppress(UserError):
        return [(example.label, example.text) for example in read(path)]
    return None


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
    if (
        not rows
        or len(expected) < len(rows)
        or not all(label and label.isprintable() for label, _ in expected)
    ):
        expected = None
    if expected and any(not row[0].isprintable() for row in rows):
        expected = None
    assert outcome(path) == expected


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
            assert isinstance(record, dict) and isinstance(record["label"], (str, int))
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
        for label, text, line in examples:
            assert label.isprintable() and label.strip() == label != ""
            assert "\0" not in text + label
            assert line >= 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_file_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("lines") / "x"
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        lines = read_lines(path)
        assert b"\n".join(lines) == content.removesuffix(b"\n")
