"""Measures `textrnn serve` under load, beside the model called in a loop in one process.

    python -m benchmarks.serve --model RUN/export --input FILE [--clients 64] [--seconds 60]
        [--swap_seconds 5] [--keras] [--json F]

FILE has one text on each line. Each client keeps a connection and sends a text as soon as the last
one is answered, to TF Serving's `:predict`. With --swap_seconds another version of the model comes
every so many seconds. With --keras the same server has a stock Keras model, of the labels and words
of a SavedModel of ours, and nothing runs in a loop. At the end the server gets SIGTERM while all
clients still ask. Clients and server share this machine's cores. For Linux.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

WARM_UP = 2.0  # seconds
LOOP_TEXTS = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--swap_seconds", type=float, default=0.0, help="0 = one version")
    parser.add_argument("--keras", action="store_true", help="serve a stock Keras model")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    texts = pathlib.Path(args.input).read_text("utf-8").splitlines()
    figures = {"serve": asyncio.run(_serve(args, texts))}
    if not args.keras:
        figures["loop"] = _loop(args.model, texts)
    for name, found in figures.items():
        print(name, "  ".join(f"{key} {value:,.6g}" for key, value in found.items()))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")


class Clients:
    """What all clients have seen."""

    def __init__(self, port: int, texts: Sequence[str]):
        self._port = port
        self._requests = itertools.cycle([_request(text) for text in texts])
        self.seconds: list[float] = []
        self.errors: list[str] = []

    async def ask(self) -> None:
        """Asks until the server closes the connection with an answer."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            is_open = True
            while is_open:
                started = time.perf_counter()
                writer.write(next(self._requests))
                head = await reader.readuntil(b"\r\n\r\n")
                size = re.search(rb"content-length: (\d+)", head)
                body = await reader.readexactly(int(size[1]) if size else 0)
                self.seconds.append(time.perf_counter() - started)
                if not head.startswith(b"HTTP/1.1 200 "):
                    self.errors.append(body.decode("utf-8", "replace")[:200])
                is_open = b"connection: close" not in head
            writer.close()
        except (OSError, EOFError) as error:  # IncompleteReadError is one: a request is lost
            self.errors.append(repr(error))


async def _serve(args: argparse.Namespace, texts: Sequence[str]) -> dict[str, Any]:
    from tf_textrnn.predictor.predictor import find_export

    export = find_export(args.model)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        versions = pathlib.Path(folder)
        shutil.copytree(export, versions / "1")
        program = ["benchmarks.keras_server"] if args.keras else ["tf_textrnn.cli", "serve"]
        command = [sys.executable, "-m", *program, "--port=0", f"--model={versions}"]
        server = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(server.kill)
        assert server.stdout and server.stderr
        port = re.search(r":(\d+)$", server.stdout.readline())
        assert port, server.stderr.read()
        clients = Clients(int(port[1]), texts)
        tasks = [asyncio.create_task(clients.ask()) for _ in range(args.clients)]
        await asyncio.sleep(WARM_UP)
        clients.seconds.clear()
        started, memory = time.perf_counter(), _memory(server.pid)
        swaps = 0
        while (left := started + args.seconds - time.perf_counter()) > 0:
            await asyncio.sleep(min(left, args.swap_seconds or left))
            if args.swap_seconds:
                await asyncio.to_thread(shutil.copytree, export, versions / ".next")
                swaps += 1
                (versions / ".next").rename(versions / str(1 + swaps))
        elapsed, seconds = time.perf_counter() - started, np.array(clients.seconds)
        grown = _memory(server.pid) - memory
        server.send_signal(signal.SIGTERM)
        await asyncio.gather(*tasks)
        status = await asyncio.to_thread(server.wait)
        taken = server.stderr.read().count("took over")
    for error in clients.errors[:5]:
        print("error:", error)
    return {
        "requests_per_second": len(seconds) / elapsed,
        "p50_ms": 1_000 * np.percentile(seconds, 50).item(),
        "p99_ms": 1_000 * np.percentile(seconds, 99).item(),
        "requests": len(clients.seconds),
        "errors_or_lost": len(clients.errors),
        "versions": 1 + taken,
        "memory_mib": memory / 1_024,
        "memory_grown_mib": grown / 1_024,
        "exit_status": status,
    }


def _loop(model: str, texts: Sequence[str]) -> dict[str, Any]:
    """The same model in this process, a text at a time."""
    from tf_textrnn.predictor.predictor import Predictor

    predictor, seconds = Predictor(model), []
    for text in itertools.islice(itertools.cycle(texts), LOOP_TEXTS):
        started = time.perf_counter()
        predictor([text])
        seconds.append(time.perf_counter() - started)
    found = np.array(seconds[LOOP_TEXTS // 10 :])
    return {
        "requests_per_second": 1 / found.mean().item(),
        "p50_ms": 1_000 * np.percentile(found, 50).item(),
        "p99_ms": 1_000 * np.percentile(found, 99).item(),
    }


def _request(text: str) -> bytes:
    body = json.dumps({"instances": [text]}).encode()
    head = (
        "POST /v1/models/textrnn:predict HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _memory(process: int) -> int:
    """KiB that a process has in memory."""
    status = pathlib.Path(f"/proc/{process}/status").read_text("ascii", "replace")
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1])


if __name__ == "__main__":
    main()
