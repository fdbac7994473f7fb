"""How workers meet: whom they wait for, what they say meanwhile, and what ends them."""

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time

import pytest

from tests.cluster import flags, free_ports, start_worker, tf_config
from tf_textrnn.base.errors import PeerLostError, UserError
from tf_textrnn.training import joining, waiting
from tf_textrnn.training.cluster import Cluster

# Meets, as `textrnn train` does, and trains nothing; no TensorFlow is loaded. Impatient.
MEET = """
import sys
from tf_textrnn import cli
from tf_textrnn.base import signals
from tf_textrnn.training import cluster, joining, waiting
waiting.SAY_AFTER, waiting.SAY_EVERY, joining._GONE_AFTER = 0.3, 0.3, 1.5
def meet(arguments):
    signals.advise(lambda: "start again")
    joining.meet(cluster.read_cluster(), float(arguments[0]))
    print("met", flush=True)
cli.COMMANDS["train"] = cli.Command("", meet)
cli.main("train")
"""


class Workers:
    """Processes that meet, each with its idea of the ports."""

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored by what we start
        self.started: list[subprocess.Popen] = []

    def start(self, ports: list[int], index: int, minutes: float = 5.0) -> subprocess.Popen:
        worker = start_worker(tf_config(ports, index), [str(minutes)], program=("-c", MEET))
        self.started.append(worker)
        return worker


@pytest.fixture
def workers():
    made = Workers()
    yield made
    for worker in made.started:
        worker.kill()
        worker.communicate()


def says(worker: subprocess.Popen, words: str) -> str:
    """Reads what a worker prints up to the line that has these words in it."""
    lines = []
    for line in worker.stdout:
        lines.append(line)
        if words in line:
            return line
    raise AssertionError(f"{lines} and then {worker.stderr.read()}")


def ended(worker: subprocess.Popen) -> tuple[int, str]:
    """A worker's status and stderr."""
    errors = worker.communicate(timeout=120)[1]
    return worker.returncode, errors


def test_all_go_on_when_the_last_has_come(workers):
    ports = free_ports(3)
    waiting = [workers.start(ports, index) for index in (2, 0)]
    says(waiting[0], f"worker 2 of 3: waiting for worker 1 at 127.0.0.1:{ports[1]} (has not come)")
    last = workers.start(ports, 1)
    for worker in (*waiting, last):
        assert says(worker, "met") == "met\n"
        assert ended(worker) == (0, "")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        *([(signal.SIGHUP, 129)] if hasattr(signal, "SIGHUP") else []),
    ],
)
@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_waits_says_for_whom_and_obeys_signals(workers, number, status, index):
    ports = free_ports(3)
    worker = workers.start(ports, index)
    why = "(has not come)" if index == 0 else "(Connection refused)"
    other = 1 - index
    assert f"worker {other} at 127.0.0.1:{ports[other]} {why}" in says(worker, "waiting for")
    sent = time.monotonic()
    worker.send_signal(number)
    assert ended(worker) == (status, f"stopped by {number.name}; start again\n")
    print(f"{number.name}: {time.monotonic() - sent:.2f} s")


def test_a_worker_that_knows_another_port_is_a_mistake_of_its_own(workers):
    ports = free_ports(5)
    ours, theirs = ports[:3], [*ports[:2], ports[3]]
    chief, other = workers.start(ours, 0), workers.start(ours, 1)
    status, errors = ended(workers.start(theirs, 2))
    assert status == 2
    assert errors == (
        f"error: TF_CONFIG of worker 2 of 3: the chief has worker 2 at 127.0.0.1:{ours[2]}, this "
        f"worker has it at 127.0.0.1:{theirs[2]} (docs/distributed.md)\n"
    )
    for worker in (chief, other):
        says(worker, f"waiting for worker 2 at 127.0.0.1:{ours[2]} (has not come), for ")
    lost = workers.start([ports[4], *ours[1:]], 2)  # looks for the chief elsewhere
    says(lost, f"waiting for worker 0 at 127.0.0.1:{ports[4]} (Connection refused)")
    lost.terminate()
    assert ended(lost)[0] == 143
    right = workers.start(ours, 2)
    for worker in (chief, other, right):
        says(worker, "met")


def test_a_cluster_of_another_size_is_refused(workers):
    ports = free_ports(3)
    workers.start(ports, 0)
    status, errors = ended(workers.start(ports[:2], 1))
    assert status == 2
    assert "the chief's cluster has the tasks {'worker': 3}, this worker's {'worker': 2}" in errors


def test_who_does_not_come_in_time_is_named(workers):
    ports = free_ports(4)
    chief, worker = (workers.start(ports, index, minutes=0.05) for index in (0, 3))
    status, errors = ended(chief)
    assert status == 75
    assert errors.startswith(
        f"error: worker 0 of 4: 0.05 minutes (--join_minutes) are over without worker 1 at "
        f"127.0.0.1:{ports[1]} (has not come), worker 2 at "
    )
    assert errors.count("\n") == 1
    assert ended(worker)[0] == 75


def test_a_taken_port_is_a_mistake(workers):
    ports = free_ports(2)
    first = workers.start(ports, 0)
    says(first, "waiting for worker 1")
    assert ended(workers.start(ports, 0)) == (
        2,
        f"error: TF_CONFIG: worker 0 at 127.0.0.1:{ports[0]}, this process, cannot listen there "
        f"(Address already in use); expected a free port of this machine (docs/distributed.md)\n",
    )


def test_a_worker_that_goes_again_is_missed_and_may_come_back(workers):
    ports = free_ports(3)
    chief, second = workers.start(ports, 0), workers.start(ports, 1)
    says(second, "waiting for worker 2 at ")
    says(chief, f"waiting for worker 2 at 127.0.0.1:{ports[2]} (has not come), for")
    second.kill()
    third = workers.start(ports, 2)
    gone = f"waiting for worker 1 at 127.0.0.1:{ports[1]} (has gone again)"
    says(third, gone)
    says(chief, gone)
    for worker in (chief, third, workers.start(ports, 1)):
        says(worker, "met")


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"[" * 100_000, b"5\n"]
)
def test_another_program_at_the_chiefs_address_is_told(workers, answer):
    ports = free_ports(2)
    with socket.create_server(("127.0.0.1", ports[0])) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        connection.recv(100_000)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        says(workers.start(ports, 1), "it does not wait: it trains already, or is another program")


def test_strangers_do_not_disturb(workers):
    ports = free_ports(2)
    chief = workers.start(ports, 0)
    says(chief, "waiting for")
    address = f"127.0.0.1:{ports[0]}"
    question = {"index": 1, "token": "another", "cluster": Cluster({}, 0).jobs}
    for line in (b"", b"GET / HTTP/1.1\r\n\r\n", b"[" * 100_000 + b"\n", b"5\n", b"{}\n"):
        with socket.create_connection(("127.0.0.1", ports[0])) as connection:
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
    assert "tasks" in joining._ask(address, question)["error"]
    jobs = json.loads(tf_config(ports, 1))["cluster"]
    for index in (-1, 0, 2):
        assert "error" in joining._ask(address, {**question, "cluster": jobs, "index": index})
    # It says that it is worker 1, who is not at its address, or is another.
    question["cluster"] = jobs
    missing = joining._ask(address, question)["missing"]
    assert missing == {"1": "has come, but is not there: Connection refused"}
    worker = workers.start(ports, 1)
    says(chief, "met")
    says(worker, "met")
    assert (ended(chief), ended(worker)) == ((0, ""), (0, ""))


def test_one_that_waits_at_the_address_is_no_other():
    ports = free_ports(2)
    chief, worker = (
        Cluster({"worker": [f"localhost:{port}" for port in ports]}, i) for i in (0, 1)
    )
    with joining._listening(chief) as first, joining._listening(worker) as second:
        question = {"index": 1, "token": "another", "cluster": worker.jobs}
        name = f"worker 1 at localhost:{ports[1]}"
        assert first.answer(question) == {"error": f"{name} is another process, which waits"}
        assert second.answer(question) == {"error": f"{name} is not the chief"}
        own_name = {"worker": [f"localhost:{ports[0]}", f"0.0.0.0:{ports[1]}"]}
        question |= {"token": second._token, "cluster": own_name}
        assert first.answer(question) == {"missing": {}}


def test_work_that_fails_or_takes_too_long():
    def fail():
        raise UserError("so")

    assert waiting.call(lambda: 5, 60, str, str) == 5
    with pytest.raises(UserError, match="so"):
        waiting.call(fail, 60, str, str)
    with pytest.raises(PeerLostError, match="late"):
        waiting.call(threading.Event().wait, 0.2, str, lambda: "late")


@pytest.mark.slow
def test_three_workers_one_of_them_missing_one_with_a_wrong_port(small_options, tmp_path):
    """`train.py` as it is: what each says, and the seconds to obey."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ports = free_ports(4)
    arguments = flags({**small_options, "run_dir": tmp_path / "run", "export": False})
    missing = [start_worker(tf_config(ports[:3], index), arguments) for index in (0, 1)]
    wrong = start_worker(tf_config([*ports[:2], ports[3]], 2), arguments)
    status, errors = ended(wrong)
    print(f"worker 2, whose port is another in its TF_CONFIG, ends with {status}: {errors}")
    assert status == 2
    for index, worker in enumerate(missing):
        print(f"worker {index} says: {says(worker, 'waiting for worker 2 at ')}")
    for worker, number in zip(missing, (signal.SIGINT, signal.SIGTERM), strict=True):
        sent = time.monotonic()
        worker.send_signal(number)
        status, errors = ended(worker)
        seconds = time.monotonic() - sent
        print(f"{number.name} ends it after {seconds:.2f} s with {status}: {errors}")
        assert status == 128 + number
        assert errors == f"stopped by {number.name}; nothing is trained yet; start again\n"
    assert not (tmp_path / "run").exists()


# The others have come, it seems, but TensorFlow waits for them.
UNMET = """
import sys
from tf_textrnn.training import joining
joining.meet = lambda cluster, minutes: None
from tf_textrnn.base.startup import load_tensorflow
load_tensorflow()
from tf_textrnn.training import distribution
distribution.CONNECT_SECONDS = 15
print("ready", flush=True)
from tf_textrnn import cli
cli.main("train")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGALRM])
def test_a_worker_whose_interpreter_tensorflow_holds_ends_too(small_options, tmp_path, number):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = flags({**small_options, "run_dir": tmp_path / "run"})
    worker = start_worker(tf_config(free_ports(2), 0), arguments, program=("-c", UNMET))
    says(worker, "ready")
    if number == signal.SIGINT:
        time.sleep(5)
        worker.send_signal(number)
    try:
        assert ended(worker) == (-number, "")
    finally:
        worker.kill()
