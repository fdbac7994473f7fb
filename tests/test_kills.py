"""Real `python train.py` processes that are killed, stopped and raced: no bit is lost."""

import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn.runs import RunFolder

ROOT = pathlib.Path(__file__).parents[1]
TIMINGS = {"examples_per_second", "train_examples_per_second"}
PATHS = {"run_dir", "resume", "cache_dir"}
# (file, function) inside which a process kills itself.
START = ("splits.py", "load")
CACHE = ("corpus.py", "_write")
EPOCH = ("loop.py", "train_epoch")
VALIDATION = ("loop.py", "_score_valid")
CHECKPOINT = ("checkpoints.py", "write")
REPORT = ("report.py", "write_report")
EXPORT = ("saved_model.py", "export_run")

# Python runs a `sitecustomize` on its path as it starts: this one sends the process SIGKILL a
# while after the n-th call of a function, from a thread. It looks on from the loop's import only,
# for a profiled import of TensorFlow takes long.
HOOK = """
import os, signal, sys, threading, time
file, function, call, delay = os.environ["KILL_IN"].split(",")
left = int(call)
def kill():
    time.sleep(float(delay))
    os.kill(os.getpid(), signal.SIGKILL)
def profile(frame, event, argument):
    global left
    code = frame.f_code
    if event == "call" and code.co_name == function and code.co_filename.endswith("/" + file):
        left -= 1
        if not left:
            sys.setprofile(None)
            threading.Thread(target=kill).start() if float(delay) else kill()
def audit(event, arguments):
    if event == "import" and arguments[0] == "tf_textrnn.training.loop":
        sys.setprofile(profile)
sys.addaudithook(audit)
"""


def without(record: dict, names: set[str]) -> dict:
    return {key: value for key, value in record.items() if key not in names}


def outcome(folder: RunFolder) -> dict[str, str]:
    """A hash of each thing that a run ends with, timings and paths left out."""
    found: dict[str, bytes] = {}
    for path in (folder.best, max(folder.checkpoints.glob("*.npz"))):
        with np.load(path) as archive:
            for name in sorted(set(archive) - {"state.json", "sha256"}):
                found[f"{path.name}/{name}"] = archive[name].tobytes()
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
    for path in (folder.vocabulary, folder.labels, folder.mistakes, folder.confusion_matrix):
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

    def start(self, kill_in: str = "") -> subprocess.Popen:
        """Starts or, where there is a run, resumes."""
        options = {"run_dir": self.folder.path, "cache_dir": self.options["cache_dir"]}
        options |= {"resume": True} if self.folder.config.exists() else self.options
        command = [sys.executable, "train.py", *(f"--{k}={v}" for k, v in options.items())]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if kill_in:
            environment |= {"KILL_IN": kill_in, "PYTHONPATH": str(self.hook)}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def finish(self) -> dict[str, str]:
        process = self.start()
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
        assert not list(self.folder.path.rglob(".*.tmp"))
        assert not list(self.folder.path.rglob(".writing-*"))
        return outcome(self.folder)

    def kill_in(self, place: tuple[str, str], call: int, delay: float) -> None:
        process = self.start(",".join([*place, str(call), str(delay)]))
        _, errors = process.communicate()
        assert (process.returncode, errors) == (-signal.SIGKILL, "")


@pytest.fixture(scope="module")
def new_run(small_options, tmp_path_factory):
    """Makes a `Run` in a folder of its own."""
    hook = tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(HOOK)
    options = {**small_options, "checkpoint_minutes": 0.001}

    def make(**changes) -> Run:
        return Run(tmp_path_factory.mktemp("runs") / "run", {**options, **changes}, hook)

    return make


@pytest.fixture(scope="module")
def expected(new_run):
    """What a run that is left alone ends with."""
    return new_run().finish()


def test_three_kills_lose_nothing(new_run, expected):
    run = new_run()
    run.kill_in(EPOCH, call=2, delay=0.05)
    run.kill_in(VALIDATION, call=1, delay=0)
    # Past the header of the file, before its end.
    run.kill_in(CHECKPOINT, call=2, delay=0.004)
    assert run.finish() == expected


@pytest.mark.slow
def test_twenty_kills_at_random_moments_lose_nothing(new_run, expected, tmp_path):
    chooser = random.Random(20)
    places = [START, CACHE, EPOCH, VALIDATION, CHECKPOINT, REPORT, EXPORT]
    kills = 0
    while kills < 20:
        run = new_run(cache_dir=tmp_path / f"cache{kills}")
        for place in places:
            delay = chooser.choice([0, 0.002, 0.01, 0.05, 0.2]) * chooser.random()
            run.kill_in(place, call=1, delay=delay)
            kills += 1
        assert run.finish() == expected
        print(f"{kills} kills, the same {len(expected)} hashes", flush=True)


@pytest.mark.slow
def test_kills_by_the_clock_lose_nothing(new_run, expected):
    chooser = random.Random(10)
    run = new_run(num_epochs=3)
    for _ in range(10):
        process = run.start()
        time.sleep(chooser.uniform(0, 12))
        process.kill()
        process.communicate()
    assert run.finish() == expected


def stop(process: subprocess.Popen, number: int) -> tuple[float, int, str]:
    """Signals a process as its first epoch ends: (seconds to the exit, status, stderr)."""
    for line in process.stdout:
        if line.startswith("epoch "):
            break
    start = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate()
    return time.monotonic() - start, process.returncode, errors


def test_signals_end_a_run_that_goes_on_with_the_same_bits(new_run, expected):
    run = new_run()
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        seconds, returned, errors = stop(run.start(), number)
        print(f"{number.name}: {seconds:.2f} s")
        assert returned == status
        assert errors == (
            f"stopped by {number.name}; to go on: python train.py --resume "
            f"--run_dir={run.folder.path} --cache_dir={run.options['cache_dir']}\n"
        )
        assert not run.folder.report_json.exists()
    assert run.finish() == expected


def test_one_of_two_trainers_on_a_folder_wins(new_run, expected):
    race(new_run(), expected)


@pytest.mark.slow
def test_twenty_races_have_one_winner_each(new_run, expected):
    for number in range(20):
        run = new_run()
        if number % 2:  # both resume
            run.kill_in(EPOCH, call=2, delay=0)
        race(run, expected)
        print(f"race {number + 1}: one winner, the same bits", flush=True)


def race(run: Run, expected: dict[str, str]) -> None:
    processes = [run.start(), run.start()]
    errors = [process.communicate()[1] for process in processes]
    statuses = [process.returncode for process in processes]
    assert sorted(statuses) == [0, 2], errors
    (loser,) = (text for text in errors if text)
    assert "another process trains there" in loser or "already holds a run" in loser
    assert loser.count("\n") == 1
    assert outcome(run.folder) == expected
