"""Locks between processes: they end with their holder, and a leftover file locks nothing."""

import errno
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from tf_textrnn.base import locks
from tf_textrnn.base.errors import UserError
from tf_textrnn.data.corpus import open_corpus
from tf_textrnn.data.datasets import examples_source
from tf_textrnn.data.sources import Example
from tf_textrnn.runs.folder import RunFolder

fcntl = pytest.importorskip("fcntl")  # what is broken here, to see what follows

HOLDER = """
import pathlib, sys, time
from tf_textrnn.base import locks
with locks.take(pathlib.Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_lock_ends_with_a_killed_holder_and_its_file_stays(tmp_path):
    path = tmp_path / ".lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):
            locks.take(path, wait=False)
        process.kill()
    held = path.stat()
    with locks.take(path, wait=False), pytest.raises(BlockingIOError):
        locks.take(path, wait=False)
    # The file is never replaced, as a second one of its name could be locked beside it.
    assert path.stat().st_ino == held.st_ino
    with locks.take(path, wait=False):
        pass


def test_waits_for_the_holder(tmp_path):
    path = tmp_path / ".lock"
    order = []

    def wait() -> None:
        with locks.take(path, wait=True):
            order.append("second")

    with locks.take(path, wait=False):
        second = threading.Thread(target=wait)
        second.start()
        second.join(0.1)
        order.append("first")
    second.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, number):
    def flock(*_) -> None:
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = RunFolder(str(tmp_path / "run"))
    source = examples_source("x", [Example("a", "word")])
    for path, action in (
        (folder.lock, lambda: folder.locked().__enter__()),
        (
            tmp_path / "c" / f".lock-{os.geteuid()}",
            lambda: open_corpus(source, "word", str(tmp_path / "c")),
        ),
    ):
        with pytest.raises(UserError, match=r"its file system has no file locks \(not here\)"):
            action()
        assert path.read_bytes() == b""  # no process's name: existence says nothing


def test_a_python_without_locks_is_refused(tmp_path):
    program = (
        "import pathlib, sys, warnings\n"
        "sys.modules['fcntl'] = None\n"
        "warnings.simplefilter('ignore')\n"
        "from tf_textrnn.base import locks\n"
        "from tf_textrnn.base.errors import UserError\n"
        "try:\n"
        "    locks.take(pathlib.Path(sys.argv[1]), wait=True)\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / ".lock")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "its file system has no file locks (fcntl is unavailable)" in out


def test_a_folder_that_takes_no_file_does_not_wait_for_one():
    if not pathlib.Path("/proc/self").exists():
        pytest.skip("needs a folder where nobody can make a file")
    with pytest.raises(FileNotFoundError):
        locks.take(pathlib.Path("/proc/.lock"), wait=True)
