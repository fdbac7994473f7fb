"""Servers on loopback that answer anything, and clients whose memory is measured."""

import contextlib
import functools
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
from tensorflow_serving.apis import get_model_status_pb2

from tf_textrnn import cli

ROOT = pathlib.Path(__file__).parents[1]
# What would drive a terminal, and forge a line.
ESCAPES = "\x1b[2J\x9b\r\nstatus: all is well\u202e\u2028"
VERSION = {"version": "1", "state": "AVAILABLE", "status": {}}


def is_whole(request):
    """Whether all of a request in HTTP is here."""
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


@contextlib.contextmanager
def tcp_server(answer, context=None, waits=True):
    """Calls `answer(connection)` for each connection; yields the port.

    Args:
      answer: what to call.
      context: an SSL context, to talk TLS.
      waits: whether for a request in HTTP.
    """

    def serve(connection):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            stack.enter_context(connection)
            received = b""
            while waits and not is_whole(received):
                if not (part := connection.recv(1 << 16)):
                    return
                received += part
            answer(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def http_answer(body, status="200 OK", headers=""):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    return head.encode() + content


def forever(*parts, pause=0.0, head=b""):
    """An answer that repeats itself until nobody listens."""

    def answer(connection):
        connection.sendall(head)
        while True:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)

    return answer


def ask(capsys, port, *arguments, protocol="rest", timeout=30):
    """Asks; returns the one line of the error, made of printable characters."""
    status = cli.run(
        ["ask", *arguments, f"--protocol={protocol}", f"--server=127.0.0.1:{port}", "--tries=2",
         f"--timeout={timeout}"]
    )  # fmt: skip
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.rstrip("\n").isprintable()
    assert len(err) < 600
    return err


MEASURE = """
import re, sys
from tf_textrnn import cli
def peak():  # not getrusage: its peak begins with that of the parent
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", file.read())[1]) >> 10
protocol, *ports = sys.argv[1:]
for port in ports:
    ask = ["ask", "predict", "text", "--protocol=" + protocol, "--tries=1"]
    if port == ports[0]:  # whatever loads, loads before
        cli.run([*ask, "--server=127.0.0.1:1"])
        print(peak())
    status = cli.run([*ask, *("--server=127.0.0.1:" + port).split()])
    assert status == 2, status
print(peak())
"""


def measure(protocol, *ports):
    """What a client in a process of its own says, and the MiB by which answers raise its peak.

    A port may have flags after it.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, protocol, *map(str, ports)], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    lines = done.stderr.splitlines()[1:]
    assert len(lines) == len(ports), done.stderr
    return lines, after - before


def raw_grpc(answer, compression=None, credentials=None):
    """A gRPC server that answers every call with these bytes, or as the function does."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: answer(context) if callable(answer) else answer
            )

    server = grpc.server(
        futures.ThreadPoolExecutor(1), [Handler()], compression=compression,
        options=[("grpc.max_send_message_length", -1)],
    )  # fmt: skip
    add = server.add_insecure_port
    if credentials:
        add = functools.partial(server.add_secure_port, server_credentials=credentials)
    port = add("127.0.0.1:0")
    server.start()
    return server, port


def status_answer(**fields):
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(**fields)
    return response.SerializeToString()
