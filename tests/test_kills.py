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

from tests.tensorboard_server import serve
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

# Python runs a `sitecustomize` on its path as it starts: this one sends the process a signal a
# while after the n-th call of a function, from a thread; signal 0 holds the process up there for
# the while. It looks on from the loop's import only, for a profiled import of TensorFlow takes
# long.
HOOK = """
import os, sys, threading, time
number, file, function, call, delay = os.environ["SIGNAL_IN"].split(",")
left = int(call)
def act():
    time.sleep(float(delay))
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
        sys.setprofile(profile)
sys.addaudithook(audit)
"""


def hooked(number: int, place: tuple[str, str], call: int = 1, delay: float = 0) -> str:
    """What HOOK is to do, for `Run.start`."""
    return ",".join([str(int(number)), *place, str(call), str(delay)])


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

    def start(self, signal_in: str = "") -> subprocess.Popen:
        """Starts or, where there is a run, resumes.

        Args:
          signal_in: what HOOK does: signal, file, function, call, delay; nothing = no hook.
        """
        options = {"run_dir": self.folder.path, "cache_dir": self.options["cache_dir"]}
        options |= {"resume": True} if self.folder.config.exists() else self.options
        command = [sys.executable, "train.py", *(f"--{k}={v}" for k, v in options.items())]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if signal_in:
            environment |= {"SIGNAL_IN": signal_in, "PYTHONPATH": str(self.hook)}
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
        process = self.start(hooked(signal.SIGKILL, place, call, delay))
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
@pytest.mark.parametrize("seed", range(3))
def test_seven_kills_at_random_moments_lose_nothing(new_run, expected, tmp_path, seed):
    chooser = random.Random(seed)
    run = new_run(cache_dir=tmp_path / "cache")
    for place in (START, CACHE, EPOCH, VALIDATION, CHECKPOINT, REPORT, EXPORT):
        delay = chooser.choice([0, 0.002, 0.01, 0.05, 0.2]) * chooser.random()
        run.kill_in(place, call=1, delay=delay)
    assert run.finish() == expected
    print(f"seven kills, the same {len(expected)} hashes")


@pytest.mark.slow
def test_kills_by_the_clock_lose_nothing(new_run, expected):
    chooser = random.Random(10)
    run = new_run()
    for _ in range(10):
        process = run.start()
        time.sleep(chooser.uniform(0, 12))
        process.kill()
        out, _ = process.communicate()
        print(f"killed after {out.splitlines()[-1:]}")
    assert run.finish() == expected


def wait_for(process: subprocess.Popen, start: str) -> str:
    """Reads what a process prints up to the line that starts so."""
    return next(line for line in process.stdout if line.startswith(start))


def farewell(run: Run, name: str) -> str:
    """The line of a run that a signal ends."""
    return (
        f"stopped by {name}; to go on: python train.py --resume "
        f"--run_dir={run.folder.path} --cache_dir={run.options['cache_dir']}\n"
    )


def test_signals_end_a_run_that_goes_on_with_the_same_bits(new_run, expected):
    run = new_run()
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = run.start()
        wait_for(process, "epoch ")
        start = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate()
        seconds = time.monotonic() - start
        print(f"{number.name}: {seconds:.2f} s")
        assert (process.returncode, errors) == (status, farewell(run, number.name))
        assert seconds < 10
        assert not run.folder.report_json.exists()
    assert run.finish() == expected


@pytest.mark.slow
def test_a_signal_anywhere_ends_a_run_that_goes_on_with_the_same_bits(new_run, expected, tmp_path):
    run = new_run(cache_dir=tmp_path / "cache")
    for place in (START, CACHE, EPOCH, VALIDATION, CHECKPOINT, REPORT, EXPORT):
        was_begun = run.folder.config.exists()
        process = run.start(hooked(signal.SIGTERM, place, delay=0.01))
        sent = float(wait_for(process, "signalled at").split()[-1])
        _, errors = process.communicate()
        seconds = time.monotonic() - sent
        print(f"in {place[1]}: {seconds:.2f} s")
        assert process.returncode == 143
        if was_begun or run.folder.config.exists():
            assert errors == farewell(run, "SIGTERM")
        else:
            assert errors == "stopped by SIGTERM; nothing is trained yet; start again\n"
        assert seconds < 10
    assert run.finish() == expected


def test_a_second_signal_ends_the_process_at_once(new_run):
    run = new_run()
    process = run.start(hooked(0, CHECKPOINT, call=2, delay=60))
    wait_for(process, "reached write")
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):  # the first one waits for the checkpoint
        process.wait(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(1) == 130
    assert process.communicate()[1] == ""


@pytest.mark.slow
@pytest.mark.parametrize("load_fast", ["true", "false"])
def test_a_tensorboard_reads_while_we_write(new_run, tmp_path, load_fast):
    options = {"num_epochs": 60, "patience": 0, "gradients_every": 1}
    expected = new_run(**options).finish()
    run, log = new_run(**options), tmp_path / "log"
    flags = (f"--load_fast={load_fast}", "--reload_interval=1")
    with serve(run.folder.tensorboard, log, *flags) as tensorboard:

        def steps() -> list[int]:
            if "loss" not in tensorboard.get("plugin/scalars/tags").get("train", {}):
                return []
            points = tensorboard.get("plugin/scalars/scalars", run="train", tag="loss")
            return [step for _, step, _ in points]

        seen = set()
        for signal_in in (hooked(signal.SIGKILL, EPOCH, call=20), ""):
            process = run.start(signal_in)
            while process.poll() is None:
                seen.add(len(steps()))
                time.sleep(0.2)
            assert process.communicate()[1] == ""
        tensorboard.wait_until_read()
        print(f"steps seen meanwhile: {sorted(seen)}")
        assert len(seen - {0, 600}) > 1
        assert steps() == list(range(1, 601))
    assert outcome(run.folder) == expected
    assert "Traceback" not in log.read_text()


def test_one_of_two_trainers_on_a_folder_wins(new_run, expected):
    race(new_run(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_races_have_one_winner_each(new_run, expected, number):
    run = new_run()
    if number % 2:  # both resume
        run.kill_in(EPOCH, call=2, delay=0)
    race(run, expected)


def race(run: Run, expected: dict[str, str]) -> None:
    processes = [run.start(), run.start()]
    errors = [process.communicate()[1] for process in processes]
    statuses = [process.returncode for process in processes]
    assert sorted(statuses) == [0, 2], errors
    (loser,) = (text for text in errors if text)
    assert "another process trains there" in loser or "already holds a run" in loser
    assert loser.count("\n") == 1
    assert outcome(run.folder) == expected
