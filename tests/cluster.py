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


class Cluster:
    """Workers that have started.

    Args:
      count: workers; 1 = a process without TF_CONFIG.
      arguments: of `train.py`, the same for each.
      prefix: of each command, such as a tracer's; `{}` in it becomes the worker's index.
    """

    def __init__(self, count: int, arguments: list[str], prefix: tuple[str, ...] = ()):
        addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        self.workers = []
        for index in range(count):
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # this process's own
            if count > 1:
                task = {"type": "worker", "index": index}
                config = {"cluster": {"worker": addresses}, "task": task}
                environment["TF_CONFIG"] = json.dumps(config)
            command = [part.replace("{}", str(index)) for part in prefix]
            command += [sys.executable, "train.py", *arguments]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            self.workers.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)
            )

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
