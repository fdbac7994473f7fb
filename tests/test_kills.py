"""Real `python train.py` processes that are killed, stopped and raced: no bit is lost."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.tensorboard_server import serve
from tests.train_process import HOOK, Run, hooked, outcome

# (file, function) inside which a process kills itself.
START = ("splits.py", "load")
CACHE = ("corpus.py", "_write")
EPOCH = ("loop.py", "train_epoch")
VALIDATION = ("validation.py", "weigh_branches")
CHECKPOINT = ("checkpoints.py", "write")
REPORT = ("report.py", "draw_report")
EXPORT = ("saved_model.py", "export_run")


@pytest.fixture(scope="module")
def new_run(small_options, tmp_path_factory):
    """Makes a `Run` in a folder of its own."""
    # Background jobs of a shell ignore it, and the runs would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hook = tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(HOOK)
    options = {**small_options, "checkpoint_minutes": 0.001}

    def make(**changes) -> Run:
        return Run(tmp_path_factory.mktemp("runs") / "run", {**options, **changes}, hook)

    return make


@pytest.fixture(scope="module")
def expected(new_run):
    """Returns what an undisturbed run ends with."""
    return new_run().finish()


@pytest.mark.slow
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
    """Reads the output of a process up to the line that starts with a prefix."""
    return next(line for line in process.stdout if line.startswith(start))


def farewell(run: Run, name: str) -> str:
    """Returns the line that a run prints when a signal ends it."""
    line = (
        f"stopped by {name}; to go on: {sys.executable} train.py --resume "
        f"--run_dir={run.folder.path} --cache_dir={run.options['cache_dir']}"
    )
    if any(run.folder.best.glob("*.npz")):
        line += (
            f"; to export the best epoch so far: {sys.executable} -m tf_textrnn.cli export "
            f"--run_dir={run.folder.path}"
        )
    return f"{line}\n"


@pytest.mark.parametrize(
    "number, status, epoch",
    [
        (signal.SIGTERM, 143, 2),  # past a best epoch
        pytest.param(signal.SIGINT, 130, 1, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_run_that_goes_on_with_the_same_bits(
    new_run, expected, number, status, epoch
):
    run = new_run()
    process = run.start(hooked(0, EPOCH, epoch, delay=2))  # held up, so that it does not end
    wait_for(process, "reached")
    process.send_signal(number)
    sent = time.monotonic()
    _, errors = process.communicate()
    print(f"{number.name}: {time.monotonic() - sent:.2f} s")
    assert (process.returncode, errors) == (status, farewell(run, number.name))
    assert ("to export the best epoch so far: " in errors) is (epoch > 1)
    assert not run.folder.report_json.exists()
    assert run.finish() == expected


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="POSIX systems have it")
def test_a_terminal_that_closes_costs_no_step(new_run, expected):
    import fcntl
    import termios

    run = new_run()
    ours, theirs = os.openpty()
    process = run.start(
        hooked(0, EPOCH, call=2, delay=2),
        stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"\n" not in shown.partition(b"reached")[2]:  # the hook's whole line, or it would fail
        shown += os.read(ours, 1000)
    os.close(ours)  # the kernel tells the process
    process.send_signal(signal.SIGHUP)  # and so does the shell
    assert process.wait(60) == 129
    steps = max(int(path.stem) for path in run.folder.checkpoints.iterdir())
    assert steps > 10  # those of the second epoch
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


@pytest.mark.slow
def test_a_second_signal_ends_the_process_at_once(new_run):
    run = new_run()
    with run.start(hooked(0, CHECKPOINT, call=2, delay=100)) as process:
        wait_for(process, "reached write")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for the checkpoint
            process.wait(1)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        assert (process.wait(), process.stderr.read()) == (130, "")
        seconds = time.monotonic() - sent
        print(f"second signal: {seconds:.2f} s")
        assert seconds < 50  # of the 100 that it is held up


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
        # A reader in Python shows events again that it had read past the last checkpoint.
        found = steps() if load_fast == "true" else sorted(set(steps()))
        assert found == list(range(1, 601))
    assert outcome(run.folder) == expected
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
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
