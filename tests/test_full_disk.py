"""Disks that are full or read-only: files saved before stay intact, and the run goes on."""

import os
import pathlib
import shutil
import subprocess

import pytest

from tests.conftest import weights
from tests.test_summaries import read_events
from tf_textrnn.base.errors import UserError
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.exporting.saved_model import export_run
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.training import runner


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).stderr:
        pytest.skip("only root may mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: pathlib.Path) -> pathlib.Path:
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def after_checkpoint(monkeypatch, number, action):
    """Calls a function when the checkpoint of this number, from 1, has been written."""
    save, count = checkpoints.save_step, 0

    def save_step(*args):
        nonlocal count
        save(*args)
        count += 1
        if count == number:
            action()

    monkeypatch.setattr(checkpoints, "save_step", save_step)


def test_a_full_disk_ends_a_run_that_goes_on_when_there_is_room(
    small_disk, small_options, finished, monkeypatch
):
    folder = RunFolder(str(small_disk / "run"))
    with monkeypatch.context() as patch:
        after_checkpoint(patch, 2, lambda: fill(small_disk))
        with pytest.raises(UserError) as error:
            runner.run({**small_options, "run_dir": str(folder.path)})
    assert "cannot be written (No space left on device)" in str(error.value)
    assert f"textrnn train --resume --run_dir={folder.path}" in str(error.value)
    assert len(list(folder.checkpoints.iterdir())) == 2
    assert all(checkpoints.read(path) for path in folder.checkpoints.iterdir())
    (small_disk / "filler").unlink()
    runner.run({"run_dir": str(folder.path), "resume": True})
    assert weights(folder) == weights(finished)


def remount(disk: pathlib.Path, mode: str) -> None:
    command = ["mount", "-o", f"remount,{mode},size=3m", str(disk)]
    subprocess.run(command, check=True)


@pytest.mark.slow
def test_checkpoints_that_turn_read_only_end_a_run_that_goes_on_when_they_are_mended(
    small_disk, small_options, finished, tmp_path, monkeypatch
):
    folder = RunFolder(str(tmp_path / "run"))
    folder.make()
    subprocess.run(["mount", "--bind", str(small_disk), str(folder.checkpoints)], check=True)
    with monkeypatch.context() as patch:
        after_checkpoint(patch, 1, lambda: remount(small_disk, "ro"))
        with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"):
            runner.run({**small_options, "run_dir": str(folder.path)})
    remount(small_disk, "rw")
    runner.run({"run_dir": str(folder.path), "resume": True})
    assert weights(folder) == weights(finished)
    subprocess.run(["umount", "-l", str(folder.checkpoints)], check=True)


def test_a_read_only_run_folder_is_not_resumed(small_disk, finished):
    shutil.copytree(finished.path, small_disk / "run")
    remount(small_disk, "ro")
    with pytest.raises(UserError, match=r"--run_dir=.*: cannot be written \(Read-only"):
        runner.run({"run_dir": str(small_disk / "run"), "resume": True})


@pytest.mark.slow
@pytest.mark.parametrize("checkpoints_before", [0, 1])
def test_events_that_find_no_room_end_a_run_that_goes_on(
    small_disk, small_options, finished, tmp_path, monkeypatch, checkpoints_before
):
    folder = RunFolder(str(tmp_path / "run"))
    folder.make()
    folder.tensorboard.mkdir()
    subprocess.run(["mount", "--bind", str(small_disk), str(folder.tensorboard)], check=True)
    options = {**small_options, "gradients_every": 1, "run_dir": str(folder.path)}
    with monkeypatch.context() as patch:
        if checkpoints_before:
            after_checkpoint(patch, checkpoints_before, lambda: fill(small_disk))
        else:
            fill(small_disk)
        with pytest.raises(UserError, match=r"run/tensorboard.*: cannot be written \("):
            runner.run(options)
    assert len(list(folder.checkpoints.iterdir())) == checkpoints_before
    (small_disk / "filler").unlink()
    runner.run({"run_dir": str(folder.path), "resume": True})
    assert weights(folder) == weights(finished)
    assert sorted(read_events(folder.tensorboard / "train")) == list(range(1, 31))
    subprocess.run(["umount", "-l", str(folder.tensorboard)], check=True)


def test_an_export_that_finds_no_room_says_so_and_leaves_nothing(small_disk, finished):
    run = small_disk / "run"
    shutil.copytree(finished.path, run)
    fill(small_disk)
    with pytest.raises(UserError) as error:
        export_run(str(run))
    assert f"{run}/export: cannot be written (" in str(error.value)
    assert "No space left on device" in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(run.glob("export/*"))
    (small_disk / "filler").unlink()
    load_run(RunFolder(str(run)))


def test_a_cache_that_finds_no_room_says_so_and_leaves_nothing(small_disk):
    source = examples_source("x", [Example("a", f"word{i} " * 500) for i in range(2_000)])
    with pytest.raises(UserError, match=r"--cache_dir=.*: cannot write the encoded texts"):
        open_corpus(source, "word", str(small_disk / "cache"))
    assert [path.name for path in (small_disk / "cache").iterdir()] == [f".lock-{os.geteuid()}"]
