"""Workers that are killed, stopped and signaled: the others notice, and no bit is lost."""

import json
import pathlib
import signal

import numpy as np
import pytest

from tests.cluster import Cluster, flags
from tests.test_distribution import assert_same
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.folder import RunFolder

LOST = "of {}: another worker died or hangs ("
NOTICED_SECONDS = 60.0


@pytest.fixture(scope="module")
def options(small_options):
    return {
        **small_options, "num_epochs": 30, "learning_rate": 0.002, "patience": 0,
        "checkpoint_minutes": 0.02, "export": False,
    }  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(options, tmp_path_factory):
    """Runs two workers undisturbed."""
    run_dir = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert Cluster(2, flags({**options, "run_dir": run_dir})).finish() == [(0, "")] * 2
    return RunFolder(str(run_dir))


def assert_same_bits(found: RunFolder, expected: RunFolder) -> None:
    for path in ("checkpoints", "best"):
        newest = [max((folder.path / path).glob("*.npz")) for folder in (found, expected)]
        (arrays, _), (expected_arrays, _) = map(checkpoints.read, newest)
        assert newest[0].name == newest[1].name
        assert arrays.keys() == expected_arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected_arrays[name], err_msg=name)


def disturb(cluster: Cluster, epoch: int, worker: int, number: int) -> list[tuple[int, str]]:
    """Signals a worker inside an epoch; checks that the others end within a minute."""
    cluster.wait_for(f"epoch {epoch:3d}/")
    cluster.workers[worker].send_signal(number)
    others = [i for i in range(len(cluster.workers)) if i != worker]
    ends = cluster.seconds_to_end(NOTICED_SECONDS, others)
    cluster.workers[worker].kill()
    ended = cluster.finish()
    print(f"{signal.Signals(number).name} to worker {worker}: others end after {ends} s")
    assert max(ends) < NOTICED_SECONDS
    return [ended[i] for i in others]


def assert_lost(ended: list[tuple[int, str]], workers: int) -> None:
    for status, errors in ended:
        assert status == 75
        assert LOST.format(workers) in errors
        assert errors.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("worker", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_worker_costs_no_bit(undisturbed, options, tmp_path, worker, number):
    run_dir = tmp_path / "run"
    arguments = flags({**options, "run_dir": run_dir})
    assert_lost(disturb(Cluster(2, arguments), 12, worker, number), 2)
    steps = max(int(path.stem) for path in (run_dir / "checkpoints").iterdir())
    assert 0 < steps < 300
    assert Cluster(2, arguments).finish() == [(0, "")] * 2
    assert_same_bits(RunFolder(str(run_dir)), undisturbed)


# Python runs a `sitecustomize` on its path as it starts: this one lets the second worker's training
# sleep forever after 100 steps, while its process lives on.
HANG = """
import json, os, sys, threading, time
def hang():
    while not hasattr(sys.modules.get("tf_textrnn.base.signals"), "stop"):
        time.sleep(0.01)
    calls = iter(range(100))
    def received():
        if next(calls, None) is None:
            time.sleep(1_000_000)
        return False
    sys.modules["tf_textrnn.base.signals"].received = received
if json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index") == 1:
    threading.Thread(target=hang, daemon=True).start()
"""


@pytest.mark.slow
def test_a_worker_that_hangs_is_noticed(options, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(HANG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cluster = Cluster(2, flags({**options, "step_seconds": 15, "run_dir": tmp_path / "run"}))
    cluster.wait_for("epoch  10/")
    (seconds,) = cluster.seconds_to_end(NOTICED_SECONDS, [0])
    print(f"worker 1 hangs: worker 0 ends after {seconds} s")
    cluster.workers[1].kill()
    assert_lost(cluster.finish()[:1], 2)


@pytest.mark.slow
def test_a_long_run_needs_no_more_threads(options, tmp_path):
    cluster = Cluster(2, flags({**options, "run_dir": tmp_path / "run"}))
    counts = []
    for epoch in (5, 20):
        cluster.wait_for(f"epoch {epoch:3d}/")
        counts.append(len(list(pathlib.Path(f"/proc/{cluster.workers[0].pid}/task").iterdir())))
    assert cluster.finish() == [(0, "")] * 2
    print(f"threads in epochs 5 and 20: {counts}")
    assert counts[1] - counts[0] < 20


@pytest.mark.slow
def test_sigterm_to_one_ends_all_at_one_step(undisturbed, options, tmp_path):
    run_dir = tmp_path / "run"
    arguments = flags({**options, "run_dir": run_dir})
    for epoch, worker in ((5, 0), (12, 1)):
        cluster = Cluster(2, arguments)
        cluster.wait_for(f"epoch {epoch:3d}/")
        cluster.workers[worker].terminate()
        for status, errors in cluster.finish():
            assert status == 143
            assert errors.startswith("stopped by SIGTERM; to go on: ")
            assert errors.count("\n") == 1
    assert Cluster(2, arguments).finish() == [(0, "")] * 2
    assert_same_bits(RunFolder(str(run_dir)), undisturbed)
    report = (run_dir / "report.json").read_bytes()
    again = Cluster(2, arguments)
    again.wait_for("nothing is left to do: it has ended after epoch 30 ")
    assert again.finish() == [(0, "")] * 2
    assert (run_dir / "report.json").read_bytes() == report


@pytest.mark.slow
def test_three_go_on_where_two_were(options, tmp_path):
    options = {**options, "keep_prob": 1.0, "word_dropout": 0.0}
    folders = [RunFolder(str(tmp_path / name)) for name in ("two", "two_then_three")]
    two, changed = (flags({**options, "run_dir": folder.path}) for folder in folders)
    assert Cluster(2, two).finish() == [(0, "")] * 2
    assert_lost(disturb(Cluster(2, changed), 12, 1, signal.SIGKILL), 2)
    assert Cluster(3, changed).finish() == [(0, "")] * 3
    assert_same(folders[1], folders[0], weights=1e-5, loss=1e-6)


@pytest.mark.slow
def test_only_the_chief_touches_the_run_folder(options, tmp_path):
    run_dir = tmp_path / "run"
    arguments = flags({**options, "num_epochs": 2, "export": True, "run_dir": run_dir})
    calls = "trace=open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat"
    tracer = ("strace", "-f", "-qq", "-e", calls, "-o", str(tmp_path / "calls{}"))
    assert Cluster(2, arguments, tracer).finish() == [(0, "")] * 2
    touched = []
    for worker in range(2):
        lines = (tmp_path / f"calls{worker}").read_text().splitlines()
        touched.append([line for line in lines if f'"{run_dir}' in line])
    written = {
        line.split('"')[1].removeprefix(f"{run_dir}/")
        for line in touched[0]
        if "O_CREAT" in line or "rename" in line
    }
    print(f"worker 0 made or renamed {len(written)} files:", *sorted(written), sep="\n  ")
    print("worker 1:", touched[1])
    assert any(name.startswith("checkpoints/") for name in written)
    assert any(name.startswith("tensorboard/train/") for name in written)
    assert touched[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_and_four_processes_train_as_one_on_the_built_in_set(tmp_path, optimizer):
    """Takes 201 steps, the last on 80 texts; neither 2 nor 4 divides 215."""
    options = {
        "cache_dir": tmp_path / "cache", "hidden_size": 32, "embedding_dim": 32,
        "batch_size": 215, "num_epochs": 1, "keep_prob": 1.0, "word_dropout": 0.0,
        "optimizer": optimizer, "learning_rate": {"sgd": 0.5, "adam": 0.001}[optimizer],
        "max_grad_norm": 0.3, "export": False,
    }  # fmt: skip
    folders = {count: RunFolder(str(tmp_path / str(count))) for count in (1, 2, 4)}
    for count, folder in folders.items():
        arguments = flags({**options, "run_dir": folder.path})
        assert [status for status, _ in Cluster(count, arguments).finish()] == [0] * count
    for count in (2, 4):
        differences = [
            np.abs(array - expected).max()
            for array, expected in zip(*(newest(folders[n]) for n in (count, 1)), strict=True)
        ]
        losses = [
            json.loads(folders[n].metrics.read_text().splitlines()[0])["train_loss"]
            for n in (count, 1)
        ]
        print(
            f"{optimizer}, {count} processes: weights differ by {max(differences):.1e} at most, "
            f"the loss by {abs(losses[0] - losses[1]):.1e}"
        )
    for count in (2, 4):
        assert_same(folders[count], folders[1], weights=1e-5, loss=1e-6)


def newest(folder: RunFolder) -> list[np.ndarray]:
    arrays, _ = checkpoints.read(max(folder.checkpoints.glob("*.npz")))
    return [array for name, array in sorted(arrays.items()) if name.startswith("model/")]
