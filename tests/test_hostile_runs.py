"""Run folders and checkpoints from strangers: nothing runs, nothing leads elsewhere."""

import json
import math
import os
import pathlib
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.config import ModelConfig
from tf_textrnn.exporting import card
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.training import runner, start
from tf_textrnn.training.saved_state import read_state

try:
    import resource
except ImportError:  # only POSIX systems tell
    resource = None


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


def test_a_model_larger_than_the_memory_is_refused(monkeypatch):
    for config, vocab_size in (
        (ModelConfig(hidden_size=65_536, num_layers=64), 10),
        (ModelConfig(embedding_dim=65_536), 50_000_000),
    ):
        with pytest.raises(UserError, match=r"--embedding_dim=.* GiB of memory"):
            start.check_memory(config, vocab_size)
    monkeypatch.delattr("os.sysconf")  # not a POSIX machine
    start.check_memory(config, vocab_size)


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
        (
            "config.json",
            b'{"model": {"hidden_size": 65536, "num_layers": 64}}',
            "expected over 274,",
        ),
        ("config.json", b'{"training": {"learning_rate": 1e400}}', "--learning_rate=inf: expected"),
        ("config.json", b'{"data": {"train_file": "\\ud800"}}', r"--train_file=\ud800: expected"),
        ("best/0000000030.npz", b"", "0000000030.npz: cannot be read"),
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
    folder = runner.run({**small_options, "num_epochs": 1, "run_dir": str(tmp_path / "run")}).folder
    (path,) = folder.checkpoints.iterdir()
    arrays, state = checkpoints.read(path)
    progress = state["progress"]
    (epoch,) = progress["history"]
    changes: list[tuple[dict, str]] = [
        ({"progress": {"epoch": 0, "exec": "x"}}, "unexpected keyword argument 'exec'"),
        ({"progress": {**progress, "epoch": "1"}}, "epoch is '1'"),
        ({"progress": {**progress, "batch": -1}}, "batch is -1"),
        ({"progress": {**progress, "texts": "abc"}}, "texts is 'abc'"),
        ({"progress": {**progress, "seconds": math.nan}}, "seconds is nan"),
        ({"progress": {**progress, "epoch": 7}}, "the metrics of 1 epochs, expected 7"),
        ({"progress": {**progress, "history": [7]}}, "its history is not"),
        ({"progress": {**progress, "history": [{**epoch, "temperature": 0.0}]}}, "its history is"),
        ({"progress": {**progress, "history": [{**epoch, "branch_weights": 7}]}}, "its history is"),
        ({"progress": {**progress, "best": {**epoch, "epoch": 3}}}, "its best epoch is not one of"),
        ({"summaries": {"train/x": "much"}}, "the event file 'train/x' has the size 'much'"),
        ({"summaries": 7}, "'int' object is not iterable"),
        ({"data": None}, "its fingerprints are not texts"),
        ({"best": {"file": "../../x.npz", "sha256": "00"}}, "it names no best weights"),
        ({"best": "model.npz"}, "it names no best weights"),
    ]
    wrong_states = [({}, "'progress'"), *(({**state, **change}, why) for change, why in changes)]
    for wrong, why in wrong_states:
        checkpoints.write(path, arrays, wrong)
        found = checkpoints.newest(folder.checkpoints)
        with pytest.raises(UserError) as error:
            read_state(found, folder)
        assert str(error.value).startswith(f"{path}: not a checkpoint of a training (")
        assert why in str(error.value)
    with pytest.raises(UserError, match="not a checkpoint of a training"):
        runner.run({"run_dir": str(folder.path), "resume": True})


@pytest.mark.parametrize("state", [b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_a_state_that_is_no_object_is_a_damaged_checkpoint(tmp_path, state):
    entries = {"state.json": np.frombuffer(state, np.uint8)}
    entries["sha256"] = np.frombuffer(checkpoints._digest(entries), np.uint8)
    with open(tmp_path / "0000000001.npz", "wb") as file:
        np.savez(file, **entries)
    for action in (checkpoints.read, checkpoints.read_state):
        with pytest.raises(checkpoints.DamagedError):
            action(tmp_path / "0000000001.npz")


@pytest.mark.parametrize("weights", [[0.0, 1.0], [math.nan, 1.0], ["1"], [1.0] * 3, {}])
def test_weights_of_branches_that_are_none_are_named(finished, tmp_path, weights):
    run = RunFolder(str(tmp_path / "run"))
    shutil.copytree(finished.path, run.path, ignore=shutil.ignore_patterns("checkpoints"))
    best = read_best(run)
    checkpoints.write(best.path, best.arrays, {**best.state, "branch_weights": weights})
    with pytest.raises(UserError, match=r"its branch_weights are .*; expected one or two above 0"):
        load_run(run)


def test_weights_that_are_not_finite_are_named(finished, tmp_path):
    run = RunFolder(str(tmp_path / "run"))
    shutil.copytree(finished.path, run.path)
    newest = checkpoints.own_files(run.checkpoints)[-1]
    arrays, state = checkpoints.read(newest)
    for value in (np.nan, np.inf):
        wrong = {**arrays, "model/embedding": np.full_like(arrays["model/embedding"], value)}
        checkpoints.write(newest, wrong, state)
        with pytest.raises(UserError) as error:
            runner.run({"run_dir": str(run.path), "resume": True})
        assert str(error.value) == (
            f"{newest}: 'model/embedding' holds NaN or infinity; expected finite numbers"
        )
    best = read_best(run)
    weights = {**best.arrays, "softmax_b": np.full_like(best.arrays["softmax_b"], np.nan)}
    sha256 = checkpoints.write(best.path, weights, best.state)
    state["best"]["sha256"] = sha256
    checkpoints.write(newest, arrays, state)
    with pytest.raises(UserError, match="'softmax_b' holds NaN or infinity"):
        load_run(run)


@pytest.mark.parametrize("temperature", [0, 0.0, -1.0, math.nan, math.inf, "1", None])
def test_a_temperature_that_gives_no_probability_is_named(finished, tmp_path, temperature):
    run = RunFolder(str(tmp_path / "run"))
    shutil.copytree(finished.path, run.path)
    best = read_best(run)
    shutil.rmtree(run.checkpoints)
    checkpoints.write(best.path, best.arrays, {**best.state, "temperature": temperature})
    with pytest.raises(UserError, match=r"\.npz: its temperature is .*; expected one above 0"):
        load_run(run)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"{}", b'{"texts": {"train": "many"}}', b"NaN"],
)
def test_a_model_card_goes_without_a_damaged_report(finished, tmp_path, capsys, content):
    run = RunFolder(str(tmp_path / "run"))
    shutil.copytree(finished.path, run.path)
    report = json.loads(run.report_json.read_text())
    (run.report_json).write_bytes(content)
    model_card = card.model_card(run, load_run(run))
    assert (model_card["metrics"], model_card["per_class"]) == ({}, None)
    assert card.card_text(model_card).startswith("# Model card\n")
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {run.report_json} is damaged (")
    assert warning.count("\n") == 1
    # A stranger's, whole JSON but for one number.
    report["per_class"]["animals"]["f1"] = "<b>"
    run.report_json.write_text(json.dumps(report))
    assert card.model_card(run, load_run(run))["per_class"] is None


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


@pytest.mark.skipif(not resource, reason="needs the memory that this process has used")
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
