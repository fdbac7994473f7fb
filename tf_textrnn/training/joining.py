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
- Once nobody is missing, and everybody answers at once, the chief says so to all, and no longer
  changes its mind. Who hears it closes its port and goes on to TensorFlow; so does the chief when
  all have heard it.

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
from collections.abc import Iterator
from typing import Any

from tf_textrnn.base.errors import UserError
from tf_textrnn.training.cluster import HELP, Cluster, host_and_port
from tf_textrnn.training.waiting import call

_ASK_EVERY, _GONE_AFTER = 0.5, 5.0  # seconds between a worker's questions; since its last one
_TIMEOUT = 5.0  # seconds, of a connection
_MAX_LINE = 1 << 20  # bytes
_ANOTHER = "another process is there"
_NAMED = 5  # workers that a line names


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
        self._is_complete = False
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
            why = self._call_back(index, token)
            if why == _ANOTHER:
                return {"error": f"{self._cluster.name(index)} is another process, which waits"}
            if why:
                with self._lock:
                    self._missing[index] = f"has come, but is not there: {why}"
                    return {"missing": dict(self._missing)}
        if not self._is_complete:
            if missing := self._still_missing(index, token):
                return {"missing": missing}
            with self._lock:
                self._is_complete = True
                self._missing = dict.fromkeys(range(1, self._count), "does not know that all came")
        with self._lock:
            self._missing.pop(index, None)
            if not self._missing:
                self._ended.set()
        return {"missing": {}}

    def _still_missing(self, index: int, token: str) -> dict[int, str]:
        """Whom all wait for, now that this worker is there; nobody has just gone."""
        with self._lock:
            now = time.monotonic()
            self._seen[index] = token, now
            self._missing.pop(index, None)
            gone = [other for other, (_, seen) in self._seen.items() if now - seen > _GONE_AFTER]
            if not self._missing and not gone:
                others = [(other, known) for other, (known, _) in self._seen.items()]
                gone = [other for other, known in others if self._call_back(other, known)]
            for other in gone:
                del self._seen[other]
                self._missing[other] = "has gone again"
            return dict(self._missing)

    def _call_back(self, index: int, token: str) -> str:
        """Why the process of this token is not at a worker's address; "" = it is."""
        try:
            found = _ask(self._cluster.addresses[index], {"who": True})["token"]
        except (OSError, ValueError, KeyError) as error:
            return _reason(error)
        return "" if found == token else _ANOTHER

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
