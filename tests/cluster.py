"""Runs `python train.py` processes that train together on loopback, by `TF_CONFIG`."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]


def flags(options: dict) -> list[str]:
    """Returns the command line of options."""
    return [f"--{name}={value}" for name, value in options.items()]


def free_ports(count: int) -> list[int]:
    """Returns free ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def tf_config(ports: list[int], index: int) -> str:
    """TF_CONFIG of a worker on loopback."""
    addresses = [f"127.0.0.1:{port}" for port in ports]
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def start_worker(
    config: str,
    arguments: list[str],
    prefix: tuple[str, ...] = (),
    program: tuple[str, ...] = ("train.py",),
) -> subprocess.Popen:
    """Starts a worker.

    Args:
      config: TF_CONFIG; "" = none.
      arguments: of the program.
      prefix: of the command.
      program: what Python runs.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # this process's own
    if config:
        environment["TF_CONFIG"] = config
    return subprocess.Popen(
        [*prefix, sys.executable, *program, *arguments], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


class Cluster:
    """Workers that have started.

    Args:
      count: workers; 1 = a process without TF_CONFIG.
      arguments: of `train.py`, the same for each.
      prefix: of each command, such as a tracer's; `{}` in it becomes the worker's index.
    """

    def __init__(self, count: int, arguments: list[str], prefix: tuple[str, ...] = ()):
        ports = free_ports(count)
        self.workers = []
        for index in range(count):
            config = tf_config(ports, index) if count > 1 else ""
            named = tuple(part.replace("{}", str(index)) for part in prefix)
            self.workers.append(start_worker(config, arguments, named))

    def finish(self) -> list[tuple[int, str]]:
        """Waits for all workers; returns (exit status, stderr) of each."""
        errors = [worker.communicate()[1] for worker in self.workers]
        return [
            (worker.returncode, text) for worker, text in zip(self.workers, errors, strict=True)
        ]

    def wait_for(self, line: str) -> None:
        """Reads the chief's output up to a line that begins with a prefix."""
        assert any(text.startswith(line) for text in self.workers[0].stdout)

    def seconds_to_end(self, limit: float, indices: list[int]) -> list[float]:
        """Returns the seconds until each of these workers ends, at most `limit`."""
        start, ends = time.monotonic(), dict.fromkeys(indices, limit)
        while limit in ends.values() and time.monotonic() - start < limit:
            for index, end in ends.items():
                if end == limit and self.workers[index].poll() is not None:
                    ends[index] = round(time.monotonic() - start, 1)
            time.sleep(0.05)
        return list(ends.values())
