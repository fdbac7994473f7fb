"""`--resume` after the labeled files have moved: they are known by their content."""

import json
import os
import pathlib
import shutil

import pytest

from tests.conftest import weights
from tf_textrnn.base.errors import UserError
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.training import runner

SPLITS = ("train", "valid", "test")


class Killed(Exception):  # noqa: N818 - no error
    """In place of a kill."""


def files(folder, **others):
    return {f"{split}_file": str(folder / f"{split}.tsv") for split in SPLITS} | others


@pytest.fixture(scope="module")
def stopped(small_options, topics, tmp_path_factory):
    """A run stopped inside its first epoch, beside whose files other files lie; they are moved."""
    root = tmp_path_factory.mktemp("moved")
    old, run = root / "old", root / "run"
    shutil.copytree(topics, old)
    (old / "other.tsv").write_text((old / "train.tsv").read_text() + "animals\tthe cat\n")

    def kill(step):
        if step == 3:
            raise Killed

    options = {**small_options, **files(old), "run_dir": str(run), "checkpoint_minutes": 1e-9}
    with pytest.raises(Killed):
        runner.run(options, on_step=kill)
    old.rename(root / "new")
    return root


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("named", "missing"), [([], "train"), (["train", "test"], "valid")])
def test_a_file_that_is_gone_is_asked_for_by_its_flag(stopped, named, missing):
    given = {f"{split}_file": str(stopped / "new" / f"{split}.tsv") for split in named}
    before = contents(stopped)
    with pytest.raises(UserError) as error:
        runner.run({"run_dir": str(stopped / "run"), "resume": True, **given})
    assert str(error.value) == (
        f"--{missing}_file={stopped / 'old' / missing}.tsv: the run began with this file, which is "
        f"not there now; expected --{missing}_file with its new path"
    )
    assert contents(stopped) == before


@pytest.mark.parametrize("split", ["train", "test"])
def test_another_content_is_refused_and_the_config_stays(stopped, small_options, split):
    other = {f"{split}_file": str(stopped / "new" / "other.tsv")}
    config = (stopped / "run" / "config.json").read_bytes()
    given = {"run_dir": str(stopped / "run"), "resume": True, **files(stopped / "new", **other)}
    with pytest.raises(UserError, match=r"not those that this run began with.*--train_file"):
        runner.run({**given, "cache_dir": small_options["cache_dir"]})
    assert (stopped / "run" / "config.json").read_bytes() == config


def test_moved_files_go_on_to_the_same_weights_without_the_cache(
    stopped, finished, tmp_path, monkeypatch
):
    shutil.copytree(stopped / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    new = files(pathlib.Path(os.path.relpath(stopped / "new")))
    folder = runner.run({"run_dir": "run", "resume": True, "cache_dir": "cache", **new}).folder
    assert weights(folder) == weights(finished)
    assert json.loads(folder.config.read_text())["data"].items() >= new.items()


def test_a_run_that_has_ended_refuses_another_content_too(stopped, exported, tmp_path, capsys):
    folder = RunFolder(str(tmp_path / "r"))
    shutil.copytree(exported.path, folder.path)
    before = contents(folder.path)
    with pytest.raises(UserError, match="not those that this run began with"):
        other = str(stopped / "new" / "other.tsv")
        runner.run({"run_dir": str(folder.path), "resume": True, "train_file": other})
    runner.run({"run_dir": str(folder.path), "resume": True, **files(stopped / "new")})
    assert "nothing is left to do" in capsys.readouterr().out
    assert contents(folder.path) == before
