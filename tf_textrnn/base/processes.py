"""Processes of this package that work for another one: what starts them, what they have said."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence

from tf_textrnn.base import signals
from tf_textrnn.base.errors import DivergedError, UserError
from tf_textrnn.base.exits import DIVERGED
from tf_textrnn.base.startup import environment_of_user, usable_cores

MODULE = (sys.executable, "-P", "-m")  # words before the name of a module
MOST_AT_ONCE = 8  # trainings; each is a process with a TensorFlow of its own
CORES_OF_A_TRAINING = 2  # a step runs two halves of a batch side by side
_PACKAGE = pathlib.Path(__file__).parents[2]
LOG = "train.log"  # in a training's folder: what its processes have printed
PATIENCE = 60.0  # seconds in which a process that was told to end saves a checkpoint
_LOOK_SECONDS = 0.3


def trainings_at_once() -> int:
    """How many trainings the cores take side by side."""
    return min(max(1, usable_cores() // CORES_OF_A_TRAINING), MOST_AT_ONCE)


class OwnProcess:
    """A process that ends when this one does; on Windows, only where this one ends in good order.

    Args:
      words: of its command line.
      log: file that takes what it prints, after what earlier ones have printed.
      threads: that it may use; 0 = what the machine has.
      told: what it reads on its standard input, in UTF-8.
    """

    def __init__(self, words: Sequence[str], log: pathlib.Path, threads: int = 0, told: str = ""):
        self._log = log
        environment = environment_of_user()
        environment[signals.ENDS_WITH_PARENT] = str(os.getpid())
        paths = [str(_PACKAGE), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        environment["PYTHONIOENCODING"] = "utf-8"
        if threads:
            environment.setdefault("TF_NUM_INTEROP_THREADS", str(threads))
            environment.setdefault("TF_NUM_INTRAOP_THREADS", "1")
            environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        with open(log, "ab") as file:
            self._start = self._read = file.tell()
            # On POSIX a session of its own: Ctrl-C in a terminal reaches the parent alone.
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=file, stderr=file, env=environment,
                start_new_session=True,
            )  # fmt: skip
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(told.encode())

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status; None of a process that goes on."""
        return self._process.returncode

    def stop(self) -> None:
        """Asks it to save and to end."""
        if self.goes_on:
            self._process.terminate()

    def wait(self) -> None:
        """Waits until a process that was asked to end has done so."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def new_lines(self) -> list[str]:
        """The whole lines that it has printed since the last call."""
        with open(self._log, "rb") as log:
            log.seek(self._read)
            lines = log.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        self._read += sum(map(len, lines))
        return [line.decode("utf-8", "replace").rstrip("\r\n") for line in lines]

    def error(self) -> Exception | None:
        """The error that a process has told of that has ended; None = it has told of none."""
        with open(self._log, "rb") as log:
            log.seek(self._start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if not said:
            return None
        return DivergedError(said[-1]) if self.status == DIVERGED else UserError(said[-1])


def stop_all(processes: Sequence[OwnProcess]) -> None:
    """Ends processes side by side."""
    for process in processes:
        process.stop()
    for process in processes:
        process.wait()


def pause() -> None:
    """Waits a moment, before processes are looked at again."""
    time.sleep(_LOOK_SECONDS)
