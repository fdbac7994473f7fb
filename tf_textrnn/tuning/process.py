"""A training in a process of its own: `textrnn train`, and what its folder tells meanwhile."""

import pathlib
import shutil
import time
from collections.abc import Mapping
from typing import Any

from tf_textrnn.base import locks
from tf_textrnn.base.errors import UserError
from tf_textrnn.base.options import shown
from tf_textrnn.base.processes import LOG, MODULE, PATIENCE, OwnProcess, pause
from tf_textrnn.runs.history import read_history
from tf_textrnn.tuning.clock import Clock

PROGRAM = (*MODULE, "tf_textrnn.cli")


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line."""
    return [f"--{name}={shown(value)}" for name, value in options.items()]


class TrainProcess(OwnProcess):
    """One run of a tuning; it goes on where an earlier process has left it.

    Args:
      root: folder of the tuning.
      name: the run's folder in it.
      options: of the run, but for its folder.
      clock: adds up the seconds of the run.
      threads: that it may use; 0 = what the machine has.

    Attributes:
      history: the lines of `metrics.jsonl`, an epoch each.
    """

    def __init__(
        self,
        root: pathlib.Path,
        name: str,
        options: Mapping[str, Any],
        clock: Clock,
        threads: int = 0,
    ):
        self.path = root / name
        self.name = name
        self._clock = clock
        self.history = read_history(self.path)
        wait_until_free(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        words = flags({**options, "run_dir": str(self.path), "resume": "auto"})
        super().__init__([*PROGRAM, "train", *words], self.path / LOG, threads)
        self._looked = time.monotonic()

    def look(self) -> bool:
        """Reads how far the run is, and counts its seconds; returns whether the process goes on."""
        goes_on = self.goes_on
        now = time.monotonic()
        self._clock.seconds[self.name] = self.seconds + now - self._looked
        self._looked = now
        history = read_history(self.path)
        if len(history) > len(self.history) or (history and self.name not in self._clock.trained):
            self.history = history
            self._clock.trained[self.name] = self.seconds
        return goes_on

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, over all of its processes."""
        return self._clock.seconds.get(self.name, 0.0)

    def error(self) -> Exception:
        """What a process has ended with that is not done."""
        unsaid = UserError(f"{self.path / LOG}: its process ended with status {self.status}")
        return super().error() or unsaid

    def wait(self) -> None:
        """Waits until it has ended, and counts its seconds."""
        super().wait()
        self.look()


def has_ended(path: pathlib.Path) -> bool:
    """Whether a run has written its report, whose last file marks the end."""
    return (path / "report.txt").exists()


def remove_weights(path: pathlib.Path) -> None:
    """Removes the checkpoints of a run that has told what it had to tell; they fill disks."""
    for name in ("checkpoints", "best"):
        shutil.rmtree(path / name, ignore_errors=True)


def wait_until_free(path: pathlib.Path) -> None:
    """Waits until the process that an earlier tuning has left in a run's folder has saved."""
    deadline = time.monotonic() + PATIENCE
    while path.exists() and time.monotonic() < deadline:
        try:
            with locks.take(path / ".lock", wait=False):
                return
        except BlockingIOError:
            pause()
