"""Runs real `python train.py` processes, signals them at given places, and hashes the outcome."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import tensorflow as tf

from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.best import read_best
from tf_textrnn.runs.folder import RunFolder

ROOT = pathlib.Path(__file__).parents[1]
TIMINGS = {"examples_per_second", "train_examples_per_second"}
PATHS = {"run_dir", "resume", "cache_dir"}

# Python runs a `sitecustomize` on its path as it starts: this one sends the process a signal a
# while after the n-th call of a function, from a thread; signal 0 holds the process up there for
# the while. It looks on from the loop's import only, for a profiled import of TensorFlow takes
# long.
HOOK = """
import contextlib, os, sys, threading, time
number, file, function, call, delay = os.environ["SIGNAL_IN"].split(",")
left = int(call)
def act():
    time.sleep(float(delay))
    with contextlib.suppress(OSError):  # a terminal that has closed
        print("signalled at", time.monotonic(), flush=True)
    os.kill(os.getpid(), int(number))
def profile(frame, event, argument):
    global left
    code = frame.f_code
    if event == "call" and code.co_name == function and code.co_filename.endswith("/" + file):
        left -= 1
        if not left:
            sys.setprofile(None)
            print("reached", function, flush=True)
            threading.Thread(target=act).start() if int(number) and float(delay) else act()
def audit(event, arguments):
    if event == "import" and arguments[0] == "tf_textrnn.training.loop":
        threading.setprofile(profile)
        sys.setprofile(profile)
sys.addaudithook(audit)
"""


def hooked(number: int, place: tuple[str, str], call: int = 1, delay: float = 0) -> str:
    """Returns the argument of `Run.start` that tells HOOK what to do."""
    return ",".join([str(int(number)), *place, str(call), str(delay)])


def without(record: dict, names: set[str]) -> dict:
    return {key: value for key, value in record.items() if key not in names}


def outcome(folder: RunFolder) -> dict[str, str]:
    """Hashes each thing that a run ends with, without timings and paths."""
    found: dict[str, bytes] = {}
    for path in (read_best(folder).path, checkpoints.own_files(folder.checkpoints)[-1]):
        with np.load(path) as archive:
            for name in sorted(set(archive) - {"state.json", "sha256"}):
                found[f"{path.parent.name}/{path.name}/{name}"] = archive[name].tobytes()
    version = max(folder.export.iterdir(), key=lambda path: int(path.name))
    exported = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    for name in sorted(exported.get_variable_to_shape_map()):
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
            found[f"export/{name}"] = exported.get_tensor(name).tobytes()
    metrics = [without(json.loads(x), TIMINGS) for x in folder.metrics.read_text().splitlines()]
    report = without(json.loads(folder.report_json.read_text()), TIMINGS)
    report["config"] = without(report["config"], PATHS)
    found["metrics"] = json.dumps(metrics).encode()
    found["report"] = json.dumps(report).encode()
    for path in (
        folder.vocabulary,
        folder.labels,
        folder.mistakes,
        folder.predictions,
        folder.confusion_matrix,
    ):
        found[path.name] = path.read_bytes()
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


class Run:
    """Processes that train in one folder.

    Args:
      folder: the run's.
      options: of a new run.
      hook: the folder of HOOK.
    """

    def __init__(self, folder: pathlib.Path, options: dict, hook: pathlib.Path):
        self.folder = RunFolder(str(folder))
        self.options = options
        self.hook = hook

    def start(self, signal_in: str = "", **streams) -> subprocess.Popen:
        """Starts a run, or resumes it if it exists.

        Args:
          signal_in: what HOOK does: signal, file, function, call, delay; nothing = no hook.
          streams: instead of pipes, as `subprocess.Popen` takes them, and what belongs to them.
        """
        options = {"run_dir": self.folder.path, "cache_dir": self.options["cache_dir"]}
        options |= {"resume": True} if self.folder.config.exists() else self.options
        command = [sys.executable, "train.py", *(f"--{k}={v}" for k, v in options.items())]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if signal_in:
            environment |= {"SIGNAL_IN": signal_in, "PYTHONPATH": str(self.hook)}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )  # fmt: skip

    def finish(self) -> dict[str, str]:
        process = self.start()
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
        assert not list(self.folder.path.rglob(".*.tmp"))
        assert not list(self.folder.path.rglob(".writing-*"))
        return outcome(self.folder)

    def kill_in(self, place: tuple[str, str], call: int, delay: float) -> None:
        process = self.start(hooked(signal.SIGKILL, place, call, delay))
        _, errors = process.communicate()
        assert (process.returncode, errors) == (-signal.SIGKILL, "")
