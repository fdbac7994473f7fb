"""Files that change, damaged caches and checkpoints, clocks, divergence."""

import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import weights
from tf_textrnn.base.errors import DivergedError, UserError
from tf_textrnn.data import corpus as corpus_module
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.runs import checkpoints
from tf_textrnn.training import runner

ROOT = pathlib.Path(__file__).parents[1]


def test_a_half_made_cache_of_a_killed_process_is_removed(tmp_path):
    (tmp_path / ".making-killed").mkdir()
    (tmp_path / ".making-killed" / "type_ids").write_bytes(b"\0" * 100)
    open_corpus(examples_source("x", [Example("a", "b")]), "word", str(tmp_path))
    assert not list(tmp_path.glob(".making-*"))


def test_a_cache_of_another_version_is_not_read(tmp_path, monkeypatch):
    source = examples_source("x", [Example("a", "b")])
    open_corpus(source, "word", str(tmp_path))
    (folder,) = tmp_path.glob("[!.]*")
    monkeypatch.setattr(corpus_module, "VERSION", corpus_module.VERSION + 1)
    open_corpus(source, "word", str(tmp_path))
    assert len(list(tmp_path.glob("[!.]*"))) == 2
    # A folder with this version's name but other files in it is made again.
    (newer,) = set(tmp_path.glob("[!.]*")) - {folder}
    (newer / "manifest.json").write_text("{}")
    (newer / "type_ids").unlink()
    assert len(open_corpus(source, "word", str(tmp_path)).type_ids) == 1


def test_bits_flipped_at_a_hundred_places_of_the_cache_are_seen(tmp_path):
    source = examples_source("x", [Example(str(i % 3), f"word{i} and") for i in range(200)])
    expected = open_corpus(source, "word", str(tmp_path))
    (folder,) = tmp_path.glob("[!.]*")
    chooser = random.Random(7)
    files = sorted(folder.iterdir())
    for _ in range(100):
        path = chooser.choices(files, [path.stat().st_size for path in files])[0]
        whole = path.read_bytes()
        content = bytearray(whole)
        content[chooser.randrange(len(content))] ^= 1 << chooser.randrange(8)
        path.write_bytes(content)
        found = corpus_module._load(folder, source, expected.fingerprint)
        assert found is None or path.name == "manifest.json"  # a space may be another there
        path.write_bytes(whole)
    assert corpus_module._load(folder, source, expected.fingerprint)


def test_bits_flipped_at_a_hundred_places_of_the_newest_checkpoint_change_no_weight(
    finished, tmp_path, capsys
):
    newest = max(finished.checkpoints.iterdir())
    expected = checkpoints.read(newest)[0]
    shutil.copy(sorted(finished.checkpoints.iterdir())[0], tmp_path)
    chooser = random.Random(8)
    fallbacks = 0
    for _ in range(100):
        content = bytearray(newest.read_bytes())
        content[chooser.randrange(len(content))] ^= 1 << chooser.randrange(8)
        (tmp_path / newest.name).write_bytes(content)
        found = checkpoints.newest(tmp_path)
        if found.path.name == newest.name:  # the bit was an archive's date or the like
            for name, array in expected.items():
                np.testing.assert_array_equal(found.arrays[name], array)
        else:
            fallbacks += 1
    assert fallbacks > 50
    assert capsys.readouterr().err.count("is damaged") == fallbacks


def test_damaged_checkpoints_past_the_one_resumed_from_go_away(tmp_path):
    for name in ("0000000020.npz", "0000000030.npz"):
        (tmp_path / name).write_bytes(b"damaged")
    checkpoints.save_step(tmp_path, 10, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["0000000010.npz"]


@pytest.mark.slow
def test_texts_that_change_or_vanish_between_runs(small_options, tmp_path):
    train = tmp_path / "train.tsv"
    content = pathlib.Path(small_options["train_file"]).read_text()
    train.write_text(content)
    options = {**small_options, "train_file": str(train), "num_epochs": 1}
    folder = runner.run({**options, "run_dir": str(tmp_path / "run")}).folder
    saved = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    resume = {"run_dir": str(folder.path), "resume": True, "num_epochs": 2}

    def refused(message):
        with pytest.raises(UserError, match=message):
            runner.run(resume)
        assert saved == {path: path.read_bytes() for path in saved}

    train.unlink()
    refused(r"--train_file=.*train\.tsv: the run began with this file, which is not there now")
    # The words are the same, and so are the labels; the checkpoint shows it.
    train.write_text(content.replace("animals", "colours", 1))
    refused("the texts are not those that this run began with")
    train.write_text(content + "animals\tfox\n")
    refused("the texts are not those that this run began with")
    # Without a checkpoint, the vocabulary shows it.
    for path in folder.checkpoints.iterdir():
        saved.pop(path)
        path.unlink()
    refused("the texts are not those that this run began with")
    train.write_text(content)
    runner.run(resume)


def test_a_file_that_changes_while_it_is_read_is_not_cached(small_options, tmp_path, monkeypatch):
    train = tmp_path / "train.tsv"
    train.write_text("a\tone\nb\ttwo\n" * 10)
    write = corpus_module._write

    def change(*args):
        train.write_text("b\tone\na\ttwo\n" * 10)
        os.utime(train, (1, 1))
        write(*args)

    monkeypatch.setattr(corpus_module, "_write", change)
    options = {"train_file": str(train), "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(UserError, match="it was changed while it was in use"):
        runner.run({**options, "run_dir": str(tmp_path / "run")})
    assert not list((tmp_path / "cache").glob("[!.]*"))


def test_a_clock_that_jumps_changes_no_bit(small_options, finished, tmp_path, monkeypatch):
    chooser = random.Random(9)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + chooser.uniform(-1e9, 1e9))
    folder = runner.run({**small_options, "run_dir": str(tmp_path / "run")}).folder
    assert weights(folder) == weights(finished)


def test_divergence_stops_with_the_numbers_and_the_last_good_checkpoint(small_options, tmp_path):
    options = {**small_options, "optimizer": "sgd", "max_grad_norm": 0.0, "patience": 0}
    run_dir = str(tmp_path / "run")
    folder = runner.run({**options, "run_dir": run_dir, "num_epochs": 1}).folder
    good = max(folder.checkpoints.iterdir())
    resume = {"run_dir": run_dir, "resume": True, "num_epochs": 9}
    with pytest.raises(DivergedError) as error:
        runner.run({**resume, "learning_rate": 1e38})
    message = str(error.value)
    assert "at step 1" in message
    assert "go on with a smaller --learning_rate" in message
    assert f"--run_dir={run_dir} --learning_rate=1e+37" in message
    assert max(folder.checkpoints.iterdir()) == good
    arrays, _ = checkpoints.read(good)
    assert all(np.isfinite(array).all() for array in arrays.values())
    runner.run({**resume, "num_epochs": 2, "learning_rate": 0.01})


@pytest.mark.slow
def test_the_command_exits_with_1_and_one_line_when_training_diverges(small_options, tmp_path):
    options = {**small_options, "optimizer": "sgd", "learning_rate": 1e38, "max_grad_norm": 0.0}
    options["run_dir"] = tmp_path / "run"
    command = [sys.executable, "train.py", *(f"--{k}={v}" for k, v in options.items())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "(learning rate 1e+38, gradient norm " in done.stderr
    assert done.stderr.count("\n") == 1
