"""Ended at every file operation of a short run, and gone on with: no bit is lost, nothing is left.

The slow test kills real processes, once at each operation, and before and after each rename and
removal. The fast one does the same at some of them in this process: from the operation on none is
done any more, as if the process had ended there.
"""

import collections
import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

import tf_textrnn
from tests import file_operations
from tests.conftest import topic_lines
from tests.file_operations import Watch
from tests.train_process import ROOT, outcome
from tf_textrnn.runs.folder import RunFolder

pytestmark = pytest.mark.skipif(
    not pathlib.Path("/proc/self/fd").exists(), reason="needs to know what a descriptor is of"
)
POINTS = 10  # of the fast test
IN_A_ROW = 10  # kills of one run, in the slow test


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> dict[str, object]:
    """Options of a run of two epochs of two steps, with a checkpoint after each."""
    path = tmp_path_factory.mktemp("texts") / "train.tsv"
    path.write_text("\n".join(topic_lines(40, 1)) + "\n")
    return {
        "train_file": str(path),
        "valid_fraction": 0.2,
        "hidden_size": 4,
        "embedding_dim": 4,
        "bidirectional": False,
        "ngrams": 0,
        "batch_size": 16,
        "num_epochs": 2,
        "min_epoch_steps": 1,
        "learning_rate": 0.05,
    }


def arguments(folder: pathlib.Path, options: dict) -> dict:
    """The options that start the run in `folder`, or go on with it."""
    where = {"run_dir": str(folder / "run"), "cache_dir": str(folder / "cache")}
    is_begun = (folder / "run" / "config.json").exists()
    return {**where, "resume": True} if is_begun else {**where, **options}


def check(folder: pathlib.Path, expected: dict[str, str]) -> None:
    assert outcome(RunFolder(str(folder / "run"))) == expected
    for pattern in (".*.tmp", ".writing-*", ".making-*"):
        assert not list(folder.rglob(pattern))


class Ended(BaseException):
    """Stands for the end of the process."""


@contextlib.contextmanager
def watched(folder: pathlib.Path, tell: Callable[[str], None]):
    watch = Watch(str(folder), tell)
    watch.install()
    try:
        yield
    finally:
        watch.remove()


def train(folder: pathlib.Path, options: dict, end_at: str = "") -> list[str]:
    """Trains in this process up to an operation; returns the operations that were done."""
    done: list[str] = []

    def tell(words: str) -> None:
        if words == end_at or (done and done[-1] == "end"):
            done.append("end")
            raise Ended
        done.append(words)

    with watched(folder, tell), contextlib.suppress(Ended):
        tf_textrnn.train(**arguments(folder, options))
    return done


class Whole(NamedTuple):
    """What a run that is left alone does and ends with."""

    operations: list[str]
    outcome: dict[str, str]


@pytest.fixture(scope="module")
def whole(options, tmp_path_factory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    operations = train(folder, options)
    return Whole(operations, outcome(RunFolder(str(folder / "run"))))


def test_a_name_is_taken_by_what_is_on_disk_and_is_itself_on_disk_before_anything_else(whole):
    """As a power failure wants it; `tests/test_power_failure.py` asks the kernel too."""
    synced: dict[str, bool] = {}  # by file and folder: whether nothing of it has changed since
    # The cache has checksums in place of this.
    operations = [words.split() for words in whole.operations if " cache" not in words]
    renames = 0
    for (when, kind, path, *more), following in itertools.pairwise([*operations, ["", "", ""]]):
        if when == "before" and kind == "rename":
            written = [name for name in synced if name == path or name.startswith(f"{path}/")]
            assert written and all(synced[name] for name in written), path
        elif when == "after" and kind == "rename":
            renames += 1
            assert following[:3] == ["before", "fsync", more[0].rpartition("/")[0]]
        elif kind in ("open", "write", "mkdir", "fsync"):
            synced[path] = kind == "fsync"
    assert renames > 10


def test_ended_at_some_of_all_file_operations_a_run_ends_with_the_same_bits(
    options, whole, tmp_path
):
    kinds = collections.Counter(words.split()[1] for words in whole.operations)
    print(len(whole.operations), dict(kinds))
    assert kinds.keys() == {"open", "write", "fsync", "rename", "unlink", "mkdir", "rmdir"}
    points = list(dict.fromkeys(whole.operations))
    for number in range(POINTS):
        end_at = points[(2 * number + 1) * len(points) // (2 * POINTS)]
        assert train(tmp_path / "cut", options, end_at)[-1] == "end", end_at
        print("ended", end_at)
    train(tmp_path / "cut", options)
    check(tmp_path / "cut", whole.outcome)


class Processes:
    """Processes that train in one folder, and are killed at an operation."""

    def __init__(self, folder: pathlib.Path, hook: pathlib.Path, options: dict):
        self.folder, self._hook, self._options = folder, hook, options

    def run(self, kill_at: str = "") -> list[str]:
        """Runs one, up to that operation if it gets there; returns its operations."""
        self.folder.mkdir(exist_ok=True)
        trace = self.folder.with_suffix(".trace")
        trace.unlink(missing_ok=True)
        flags = arguments(self.folder, self._options).items()
        process = subprocess.run(
            [sys.executable, "train.py", *(f"--{name}={value}" for name, value in flags)],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(self._hook),
                "FOLDER": str(self.folder),
                "TRACE": str(trace),
                "KILL_AT": kill_at,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        done = trace.read_text().splitlines()
        # A run with nothing left to do touches no file.
        status = -signal.SIGKILL if done[-1:] == [kill_at] else 0
        assert (process.returncode, process.stderr) == (status, ""), kill_at
        return done


@pytest.mark.slow
def test_killed_at_every_file_operation_a_run_ends_with_the_same_bits(options, tmp_path):
    hook = tmp_path / "hook"
    hook.mkdir()
    source = pathlib.Path(file_operations.__file__).read_text(encoding="utf-8")
    (hook / "sitecustomize.py").write_text(source, encoding="utf-8")
    whole = Processes(tmp_path / "whole", hook, options).run()
    expected = outcome(RunFolder(str(tmp_path / "whole" / "run")))
    points = list(dict.fromkeys(whole))
    processes = None
    for number, point in enumerate(points, 1):
        if number % IN_A_ROW == 1 or processes.run(point)[-1:] != [point]:
            # What comes before a checkpoint is not done again when that is there.
            if processes:
                processes.run()
                check(processes.folder, expected)
            processes = Processes(tmp_path / f"cut_{number}", hook, options)
            assert processes.run(point)[-1] == point
        print(f"{number} of {len(points)}: {point}", flush=True)
    processes.run()
    check(processes.folder, expected)
    print(f"killed at {len(points)} operations; {len(expected)} hashes, all the same")
