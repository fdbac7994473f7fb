"""Behavior common to Linux, macOS and Windows, as far as one Linux machine can show it."""

import io
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tf_textrnn.base import files, startup
from tf_textrnn.base.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]

# Imports every module, trains, exports and predicts.
PROGRAM = """
import contextlib, importlib, pkgutil, runpy, sys, warnings
from tests import posixless
posixless.take_away()
warnings.filterwarnings("ignore", category=EncodingWarning)
warnings.filterwarnings("error", category=EncodingWarning, module="tf_textrnn")
from tf_textrnn.base.startup import load_tensorflow
load_tensorflow()
import tf_textrnn
for module in pkgutil.walk_packages(tf_textrnn.__path__, "tf_textrnn."):
    importlib.import_module(module.name)
sys.argv = ["train.py", *sys.argv[1:]]
with contextlib.suppress(SystemExit):
    runpy.run_path("train.py", run_name="__main__")
run_dir = sys.argv[1].partition("=")[2]
sys.argv = ["predict", f"--model={run_dir}/export", "wolf and dog"]
runpy.run_module("export.predict", run_name="__main__")
"""


def test_trains_and_predicts_without_posix_and_names_every_encoding(small_options, tmp_path):
    run = tmp_path / "run"
    options = {"run_dir": run, **small_options, "cache_dir": tmp_path / "cache", "num_epochs": 1}
    process = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", PROGRAM]
        + [f"--{name}={value}" for name, value in options.items()],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    label, _, text = process.stdout.splitlines()[-1].split("\t")
    assert (label in {"animals", "colours", "numbers"}, text) == (True, "wolf and dog")
    made = [path.name for path in tmp_path.rglob("*")]
    assert "saved_model.pb" in made
    # No character that Windows forbids in a name, and no dot or space at its end.
    assert [name for name in made if not re.fullmatch(r'[^<>:"/\\|?*\x00-\x1f]*[^. ]', name)] == []


def test_a_user_error_is_a_value_error():
    with pytest.raises(ValueError, match=r"x\.tsv:2: expected a tab"):
        raise UserError("x.tsv:2: expected a tab")


def test_usable_cores_are_asked_for_in_the_best_way_there_is(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3}, raising=False)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert startup.usable_cores() == 5
    monkeypatch.delattr(os, "process_cpu_count")
    assert startup.usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert startup.usable_cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert startup.usable_cores() == 1


# A TensorFlow that says something as it loads, and may fail.
FAKE_TENSORFLOW = """
import os
os.write(2, b"chatter\\n")
def constant(value):
    if os.environ.get("FAILS"):
        raise RuntimeError("no device")
"""
LOAD = """
import os, sys, tempfile
if os.environ.get("NO_TEMPORARY"):
    def fail(*args, **options):
        raise FileNotFoundError("no usable temporary directory")
    tempfile.TemporaryFile = fail
if os.environ.get("CLOSED"):
    os.close(2)
    sys.stderr = None
from tf_textrnn.base.startup import load_tensorflow
load_tensorflow(intraop_threads=int(sys.argv[1]) or None)
print(os.environ["TF_NUM_INTRAOP_THREADS"])
with open(sys.argv[2], "wb"):
    os.write(2, b"later\\n")
"""


@pytest.mark.parametrize(
    ("given", "status", "shown"),
    [
        ({}, 0, "later\n"),
        ({"FAILS": "1"}, 1, "chatter\nTraceback"),
        ({"NO_TEMPORARY": "1"}, 0, "chatter\nlater\n"),
        ({"CLOSED": "1"}, 0, ""),
    ],
)
def test_tensorflows_chatter_shows_only_where_loading_fails_or_nothing_can_keep_it(
    tmp_path, given, status, shown
):
    (tmp_path / "tensorflow.py").write_text(FAKE_TENSORFLOW, encoding="utf-8")
    written = tmp_path / "written"
    environment = {name: x for name, x in os.environ.items() if not name.startswith("TF_")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), **given}
    process = subprocess.run(
        [sys.executable, "-c", LOAD, "3", written],
        env=environment, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert process.returncode == status, process.stderr
    assert process.stderr.startswith(shown) and ("Traceback" in shown or process.stderr == shown)
    if not status:
        assert process.stdout == "3\n"
        assert written.read_bytes() == b""  # no file of ours is taken for stderr


def test_a_file_and_then_its_name_are_brought_to_disk(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        is_folder = pathlib.Path(f"/dev/fd/{descriptor}").is_dir()
        done.append(("folder" if is_folder else "file", path.read_bytes()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    with files.atomic_write(path) as file:
        file.write(b"new")
    assert done == [("file", b"old"), ("folder", b"new")]


def test_a_folder_that_cannot_be_opened_or_has_no_fsync_is_left(tmp_path, monkeypatch):
    open_, fsync = os.open, os.fsync

    def like_windows(path, *args, **options) -> int:
        if pathlib.Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        return open_(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", like_windows)
        files.write_lines(tmp_path / "lines.txt", [b"one"])
    assert files.read_lines(tmp_path / "lines.txt") == [b"one"]

    def fails(number: int) -> None:
        def fail(descriptor: int) -> None:
            fsync(descriptor)
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)

    fails(22)
    files.fsync_folder(tmp_path)
    fails(5)
    with pytest.raises(OSError, match="Input/output error"):
        files.fsync_folder(tmp_path)


def test_a_tree_is_brought_to_disk_whole(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x")
    count = []
    monkeypatch.setattr(os, "fsync", count.append)
    files.fsync_tree(tmp_path)
    assert len(count) == 4


def test_blocks_of_a_regular_file_come_without_pauses(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BLOCK_BYTES", 3)
    (tmp_path / "file").write_bytes(b"one two")
    with open(tmp_path / "file", "rb") as file:
        assert list(files.read_blocks(file)) == [b"one", b" tw", b"o"]


def test_blocks_of_a_pipe_come_at_once_with_a_pause_after_what_is_there():
    source, sink = os.pipe()
    with open(source, "rb") as file:
        blocks = files.read_blocks(file)
        for text in (b"one", b"two"):
            os.write(sink, text)
            assert next(block for block in blocks if block) == text
            assert next(blocks) == b""
        os.write(sink, b"three")
        os.close(sink)
        assert b"".join(blocks) == b"three"


def test_a_pipe_that_cannot_be_read_says_so():
    class Broken(io.FileIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    source, sink = os.pipe()
    with (
        open(sink, "wb"),
        io.BufferedReader(Broken(source)) as file,
        pytest.raises(OSError, match="Input/output error"),
    ):
        list(files.read_blocks(file))


def test_an_open_pipe_does_not_hold_up_the_end_of_the_process():
    program = (
        "import sys\n"
        "from tf_textrnn.base.files import read_blocks\n"
        "blocks = read_blocks(sys.stdin.buffer)\n"
        "print(next(block for block in blocks if block), next(blocks))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdin.write(b"text\n")
        process.stdin.flush()
        assert process.wait(timeout=120) == 0
        assert (process.stdout.read(), process.stderr.read()) == (b"b'text\\n' b''\n", b"")
