"""A training in a process of its own: `textrnn train`, and what its folder tells meanwhile."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tf_textrnn.base import locks, signals
from tf_textrnn.base.errors import DivergedError, UserError
from tf_textrnn.base.options import shown
from tf_textrnn.config import TrainingConfig
from tf_textrnn.tuning.clock import Clock

LOG = "train.log"  # in a run's folder: what its processes have printed
PROGRAM = (sys.executable, "-P", "-m", "tf_textrnn.cli")
_PACKAGE = pathlib.Path(__file__).parents[2]
_PATIENCE = 60.0  # seconds in which a process that was told to end saves a checkpoint
_LOOK_SECONDS = 0.3


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line."""
    return [f"--{name}={shown(value)}" for name, value in options.items()]


class TrainProcess:
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
        environment = {**os.environ, signals.ENDS_WITH_PARENT: str(os.getpid())}
        paths = [str(_PACKAGE), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        if threads:
            environment.setdefault("TF_NUM_INTEROP_THREADS", str(threads))
            environment.setdefault("TF_NUM_INTRAOP_THREADS", "1")
            environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        with open(self.path / LOG, "ab") as log:
            self._log_start = log.tell()
            # In a session of its own: Ctrl-C in a terminal reaches the parent alone.
            self._process = subprocess.Popen(
                [*PROGRAM, "train", *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                start_new_session=True,
            )  # fmt: skip
        self._looked = time.monotonic()

    def look(self) -> bool:
        """Reads how far the run is, and counts its seconds; returns whether the process goes on."""
        goes_on = self._process.poll() is None
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

    @property
    def status(self) -> int | None:
        """The exit status; None of a process that goes on."""
        return self._process.returncode

    def stop(self) -> None:
        """Asks the run to save and to end."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Waits until a process that was asked to end has done so."""
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def error(self) -> Exception:
        """What a process has ended with that is not done."""
        with open(self.path / LOG, "rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if not said:
            return UserError(f"{self.path / LOG}: its process ended with status {self.status}")
        return DivergedError(said[-1]) if self.status == 1 else UserError(said[-1])


def stop_all(processes: Sequence[TrainProcess]) -> None:
    """Ends processes side by side."""
    for process in processes:
        process.stop()
    for process in processes:
        process.wait()
        process.look()


def pause() -> None:
    """Waits a moment, before processes are looked at again."""
    time.sleep(_LOOK_SECONDS)


def read_history(path: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`; none where there is no such file yet."""
    try:
        text = (path / "metrics.jsonl").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines()]


def kept_epoch(history: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The epoch that a run keeps, as `training.loop` has it: the first of the least loss."""
    return min(history, key=lambda epoch: epoch["valid_loss"])


def is_trained(history: Sequence[Mapping[str, Any]], training: TrainingConfig) -> bool:
    """Whether a run has come to its last epoch, or its patience to an end."""
    since_best = len(history) - 1 - kept_epoch(history)["epoch"] if history else 0
    is_patient = not training.patience or since_best < training.patience
    return len(history) >= training.num_epochs or not is_patient


def has_ended(path: pathlib.Path) -> bool:
    """Whether a run has written its report, whose last file marks the end."""
    return (path / "report.txt").exists()


def remove_weights(path: pathlib.Path) -> None:
    """Removes the checkpoints of a run that has told what it had to tell; they fill disks."""
    for name in ("checkpoints", "best"):
        shutil.rmtree(path / name, ignore_errors=True)


def wait_until_free(path: pathlib.Path) -> None:
    """Waits until the process that an earlier tuning has left in a run's folder has saved."""
    deadline = time.monotonic() + _PATIENCE
    while path.exists() and time.monotonic() < deadline:
        try:
            with locks.take(path / ".lock", wait=False):
                return
        except BlockingIOError:
            pause()
