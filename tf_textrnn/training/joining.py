"""How the workers of a cluster meet, before TensorFlow connects them.

TensorFlow's own joining blocks in C++, where neither a signal nor a limit reaches it, and waits for
a mistaken address as for a worker that is yet to come. So the workers meet here first, in Python,
on the ports that TensorFlow takes over afterwards. A question and an answer, a line of JSON each,
have a connection of their own:

- Every worker listens on its port from the start; one that is taken is told at once. Asked
  `{"who": true}`, it answers `{"token": …}`, a random text of this process.
- Twice a second each worker but the chief tells the chief `{"index", "token", "cluster"}`. The
  chief refuses another cluster with `{"error": …}`. It asks back at the worker's address: a worker
  whose token it finds there has come, and stays as long as it goes on asking. The answer,
  `{"missing": {index: why}}`, says whom all still wait for.
- Once nobody is missing, the chief says so to everybody, and no longer changes its mind. Who hears
  it closes its port and goes on to TensorFlow; so does the chief when everybody has heard it.

What blocks has a thread of its own, and the main thread obeys signals meanwhile.
"""

import contextlib
import json
import os
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tf_textrnn.base.errors import PeerLostError, UserError
from tf_textrnn.training.cluster import HELP, Cluster, host_and_port

SAY_AFTER, SAY_EVERY = 10.0, 60.0  # seconds of waiting
_ASK_EVERY, _GONE_AFTER = 0.5, 5.0  # seconds between a worker's questions; since its last one
_TIMEOUT = 5.0  # seconds, of a connection
_MAX_LINE = 1 << 20  # bytes
_NAMED = 5  # workers that a line names

T = TypeVar("T")


def meet(cluster: Cluster, minutes: float) -> None:
    """Returns once all workers of the cluster are there.

    Args:
      cluster: of two workers or more.
      minutes: to wait for at most.

    Raises:
      UserError: this worker's port is taken, or its cluster is not the chief's.
      PeerLostError: somebody has not come in time.
    """
    with _listening(cluster) as listener:
        call(
            listener.await_others,
            60 * minutes,
            lambda: f"{cluster}: waiting for {listener.missing()}",
            lambda: (
                f"{cluster}: {minutes:g} minutes (--join_minutes) are over without "
                f"{listener.missing()}; start all workers again"
            ),
        )


def call(
    work: Callable[[], T], seconds: float, waiting: Callable[[], str], late: Callable[[], str]
) -> T:
    """Calls `work` in a thread, so that signals are obeyed while it blocks.

    Args:
      work: what blocks.
      seconds: to wait for it at most; its thread goes on then.
      waiting: the line to print while it takes long.
      late: the line of the error.

    Returns:
      What it returns.

    Raises:
      PeerLostError: it takes longer.
      Exception: what it raises.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(work())
        except BaseException as error:
            raised.append(error)

    begun = time.monotonic()
    say_at = begun + SAY_AFTER
    thread = threading.Thread(target=run, name="joining", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        now = time.monotonic()
        if now > begun + seconds:
            raise PeerLostError(late())
        if now > say_at:
            print(f"{waiting()}, for {now - begun:.0f} s", flush=True)
            say_at += SAY_EVERY
    if raised:
        raise raised[0]
    return returned[0]


class _Handler(socketserver.StreamRequestHandler):
    timeout = _TIMEOUT

    def handle(self) -> None:
        answer = self.server.answer(json.loads(self.rfile.readline(_MAX_LINE)))  # type: ignore[attr-defined]
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class _Listener(socketserver.ThreadingTCPServer):
    """A worker at its port, before TensorFlow is there."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = os.name == "posix"  # Windows would let two processes have one port
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        self._count = len(cluster.addresses)
        self._token = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._missing = dict.fromkeys(range(1, self._count), "has not come")
        self._seen: dict[int, tuple[str, float]] = {}  # token of each, and when it last asked
        self._told: set[int] = set()
        self._ended = threading.Event()
        _, port = host_and_port(cluster.addresses[cluster.index])
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        """Takes the port, for both families of addresses where there are two."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def missing(self) -> str:
        """Whom this worker waits for, in words."""
        with self._lock:
            missing = list(self._missing.items())
        named = [f"{self._cluster.name(index)} ({why})" for index, why in missing[:_NAMED]]
        more = len(missing) - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")

    def await_others(self) -> None:
        """Returns when everybody is there and knows it, or when this listener is closed.

        Raises:
          UserError: the chief refuses this worker.
        """
        if self._cluster.index == 0:
            self._ended.wait()
            return
        question = {"index": self._cluster.index, "token": self._token}
        question["cluster"] = self._cluster.jobs
        while not self._ended.is_set():
            try:
                answer = _ask(self._cluster.addresses[0], question)
                if "error" in answer:
                    raise UserError(f"TF_CONFIG of {self._cluster}: {answer['error']} {HELP}")
                why = {int(index): _printable(text) for index, text in answer["missing"].items()}
                missing = {index: why[index] for index in range(self._count) if index in why}
            except UserError:
                raise
            except (OSError, ValueError, KeyError, AttributeError) as error:
                missing = {0: _reason(error)}
            with self._lock:
                self._missing = missing
            if not missing:
                return
            self._ended.wait(_ASK_EVERY)

    def answer(self, question: Any) -> dict[str, Any]:
        """What another process is told; runs in a thread of its connection."""
        if "who" in question:
            return {"token": self._token}
        index, token = int(question["index"]), str(question["token"])
        if objection := self._objection(question["cluster"], index):
            return {"error": objection}
        if token != self._seen.get(index, ("", 0.0))[0]:
            name = self._cluster.name(index)
            try:
                found = _ask(self._cluster.addresses[index], {"who": True})["token"]
            except (OSError, ValueError, KeyError) as error:
                with self._lock:
                    self._missing[index] = f"has come, but is not there: {_reason(error)}"
                    return {"missing": dict(self._missing)}
            if found != token:
                return {"error": f"{name} is another process, which waits already"}
        with self._lock:
            self._seen[index] = token, time.monotonic()
            self._missing.pop(index, None)
            if not self._told:
                self._forget_the_gone()
            if self._missing:
                return {"missing": dict(self._missing)}
            self._told.add(index)
            if len(self._told) == self._count - 1:
                self._ended.set()
            return {"missing": {}}

    def _forget_the_gone(self) -> None:
        for index, (_, seen) in list(self._seen.items()):
            if time.monotonic() - seen > _GONE_AFTER:
                del self._seen[index]
                self._missing[index] = "has gone again"

    def _objection(self, theirs: Any, index: int) -> str:
        """What the chief has against another worker's idea of the cluster; "" = nothing."""
        ours = self._cluster.jobs
        if self._cluster.index:
            return f"{self._cluster.name(self._cluster.index)} is not the chief"
        found, expected = ({job: len(jobs[job]) for job in jobs} for jobs in (theirs, ours))
        if found != expected or not 0 < index < self._count:
            return f"the chief's cluster has the tasks {expected}, this worker's {found}"
        for i, address in enumerate(self._cluster.addresses):
            other = [address for job in ours for address in theirs[job]][i]
            # A worker may know itself by another name than others do, but not by another port.
            start = 1 if i in (0, index) else 0
            if host_and_port(other)[start:] != host_and_port(address)[start:]:
                return f"the chief has worker {i} at {address}, this worker has it at {other}"
        return ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Passes over what strangers may send."""

    def server_close(self) -> None:
        """Frees the port, and ends `await_others`."""
        self._ended.set()
        super().server_close()


@contextlib.contextmanager
def _listening(cluster: Cluster) -> Iterator[_Listener]:
    try:
        listener = _Listener(cluster)
    except OSError as error:
        raise UserError(
            f"TF_CONFIG: {cluster.name(cluster.index)}, this process, cannot listen there "
            f"({error.strerror}); expected a free port of this machine {HELP}"
        ) from error
    with listener:
        threading.Thread(target=listener.serve_forever, args=[0.05], daemon=True).start()
        try:
            yield listener
        finally:
            listener.shutdown()


def _ask(address: str, question: dict[str, Any]) -> dict[str, Any]:
    """What the process at an address answers.

    Raises:
      OSError: it is not reached.
      ValueError: it is none that waits.
    """
    with socket.create_connection(host_and_port(address), _TIMEOUT) as connection:
        connection.sendall(json.dumps(question).encode() + b"\n")
        with connection.makefile("rb") as file:
            line = file.readline(_MAX_LINE)
    try:
        answer = json.loads(line)
    except RecursionError as error:
        raise ValueError(address) from error
    if not isinstance(answer, dict):
        raise ValueError(address)
    return answer


def _reason(error: Exception) -> str:
    """Why a process has not answered, in words."""
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return "it does not wait: it trains already, or is another program"


def _printable(text: Any) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text)[:200])
