"""Ended at every file operation of a short run, and gone on with: no bit is lost, nothing is left.

The slow test kills real processes, once at each operation, and before and after each rename and
removal. The fast one does the same at some of them in this process: from the operation on, none is
done any more, as if the process had ended there.
"""

import collections
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

import tf_textrnn
from tests import file_operations
from tests.conftest import topic_lines
from tests.file_operations import Operation, Watch
from tests.train_process import ROOT, outcome
from tf_textrnn.base import signals
from tf_textrnn.runs.folder import RunFolder

POINTS = 10  # of the fast test


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
        "ngrams": 0,
        "batch_size": 16,
        "num_epochs": 2,
        "checkpoint_minutes": 1e-9,
        "learning_rate": 0.05,
    }


class Ended(BaseException):
    """Stands for the end of the process."""


class Ending:
    """Lets a number of operations happen, and none from then on.

    Attributes:
      seen: all that came before the end.
    """

    def __init__(self, folder: pathlib.Path, number: int):
        self.seen: list[tuple[str, Operation]] = []
        self._number = number
        self._watch = Watch([str(folder)], self._before, self._after)

    def _before(self, operation: Operation) -> None:
        self._count("before", operation)

    def _after(self, operation: Operation) -> None:
        self._count("after", operation)

    def _count(self, moment: str, operation: Operation) -> None:
        if len(self.seen) == self._number:
            raise Ended
        self.seen.append((moment, operation))

    @contextlib.contextmanager
    def installed(self):
        self._watch.install()
        try:
            yield
        finally:
            self._watch.remove()


def train(folder: pathlib.Path, options: dict, ending: Ending | None = None) -> None:
    """Starts the run in `folder`, or goes on with it."""
    given = {"run_dir": str(folder / "run"), "cache_dir": str(folder / "cache")}
    if (folder / "run" / "config.json").exists():
        given |= {"resume": True}
    else:
        given |= options
    with ending.installed() if ending else contextlib.nullcontext():
        tf_textrnn.train(**given)


def check_nothing_left(folder: pathlib.Path) -> None:
    for pattern in (".*.tmp", ".writing-*", ".making-*"):
        assert not list(folder.rglob(pattern))


def test_ended_at_some_of_all_file_operations_a_run_ends_with_the_same_bits(options, tmp_path):
    whole = Ending(tmp_path, 10**9)
    train(tmp_path / "whole", options, whole)
    expected = outcome(RunFolder(str(tmp_path / "whole" / "run")))
    kinds = collections.Counter(operation.kind for _, operation in whole.seen)
    print(len(whole.seen), dict(kinds))
    assert kinds.keys() == {"open", "write", "fsync", "rename", "unlink", "mkdir", "rmdir"}
    for point in range(POINTS):
        number = (2 * point + 1) * len(whole.seen) // (2 * POINTS)
        folder = tmp_path / str(number)
        with pytest.raises(Ended):
            train(folder, options, Ending(tmp_path, number))
        train(folder, options)
        assert outcome(RunFolder(str(folder / "run"))) == expected, whole.seen[number]
        check_nothing_left(folder)
