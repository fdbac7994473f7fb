"""Folders that several processes or users write to at once: nobody's work is lost."""

import codecs
import contextlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import threading

import pytest

from tests.conftest import weights
from tf_textrnn.base.errors import UserError
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.exporting.saved_model import export_run
from tf_textrnn.exporting.versions import scratch_folder, take_next_version
from tf_textrnn.runs.folder import RunFolder, new_run_dir
from tf_textrnn.training import runner

EXPORTER = """
import pathlib, sys
from tf_textrnn.exporting.versions import scratch_folder, take_next_version
parent = pathlib.Path(sys.argv[1])
with scratch_folder(parent) as scratch:
    (scratch / "saved_model.pb").write_bytes(b"of another process")
    print(scratch.parent.name, flush=True)
    sys.stdin.readline()
    take_next_version(scratch, parent)
"""


@contextlib.contextmanager
def exporter(parent: pathlib.Path):
    """A process that has written half an export, and ends it when it reads a line."""
    command = [sys.executable, "-c", EXPORTER, str(parent)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, parent / process.stdout.readline().strip()
        process.kill()


@pytest.mark.slow
def test_a_resumed_run_leaves_an_export_that_another_process_is_writing(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    (run / "export").mkdir()
    (run / "export" / ".writing-of-0.1").mkdir()
    with (
        exporter(run / "export") as (living, half),
        exporter(run / "export") as (killed, leftover),
    ):
        killed.kill()
        killed.wait()
        runner.run({"run_dir": str(run), "resume": True})
        export_run(str(run))
        assert half.is_dir() and not leftover.exists()
        living.communicate("\n")
        assert living.returncode == 0
    assert {path.name for path in (run / "export").iterdir()} == {"1", "2"}
    assert (run / "export" / "2" / "saved_model.pb").read_bytes() == b"of another process"
    assert not (run / "export" / "2" / "lock").exists()


def test_a_version_can_be_read_by_other_users(tmp_path):
    with scratch_folder(tmp_path) as scratch:
        version = take_next_version(scratch, tmp_path)
    assert stat.S_IMODE(version.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "20300101-000000")
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.extend(new_run_dir() for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 80
    assert set(found) >= {"runs/20300101-000000", "runs/20300101-000000-2"}


def test_a_run_that_comes_to_nothing_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("a.tsv").write_text("only\tone label\n")
    with pytest.raises(UserError, match="at least two labels"):
        runner.run({"train_file": "a.tsv"})
    assert not list(pathlib.Path("runs").iterdir())
    pathlib.Path("runs").rmdir()
    pathlib.Path("runs").touch()
    with pytest.raises(UserError, match=r"^runs: cannot be made \(File exists\)"):
        new_run_dir()


def test_a_link_that_leads_nowhere_is_no_folder_for_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("runs").symlink_to(tmp_path / "unmounted" / "runs")
    with pytest.raises(UserError, match=r"^runs: cannot be made \(File exists\)"):
        new_run_dir()


def test_an_empty_run_dir_is_not_this_folder(finished, tmp_path, monkeypatch):
    shutil.copytree(finished.path, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for action in (
        lambda: RunFolder(""),
        lambda: export_run(""),
        lambda: runner.run({"run_dir": "", "resume": True}),
    ):
        with pytest.raises(UserError, match="expected"):
            action()
    assert weights(RunFolder(".")) == weights(finished)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root may be others")
@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_cache_serves_several_users(tmp_path, mode):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(0o755)  # pytest's own
    first, second = (examples_source(name, [Example("a", name)]) for name in ("one", "two"))

    # Python, which these users may not be allowed to read, loads what it needs now.
    codecs.lookup("ascii")
    open_corpus(first, "word", str(tmp_path / "warm"))

    def open_as(user: int, source) -> None:
        os.seteuid(user)
        try:
            open_corpus(source, "word", str(cache))
        finally:
            os.seteuid(0)

    (cache / ".making-of-a-killed-process").mkdir()
    open_as(1001, first)
    folders = set(cache.glob("[0-9a-f]*"))
    open_as(1002, first)  # reads what the other has made
    assert set(cache.glob("[0-9a-f]*")) == folders
    open_as(1002, second)  # takes the lock that the other has made
    assert len(set(cache.glob("[0-9a-f]*"))) == 2
