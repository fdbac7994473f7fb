"""A client of TF Serving's REST interface. Standard library only.

from tf_textrnn.predictor.clients.common import Target
from tf_textrnn.predictor.clients.rest import RestClient

for prediction in RestClient(Target("localhost:8501")).predict(["a fine film"]):
    print(prediction.label, prediction.probability)
"""

import contextlib
import http.client
import json
import math
import queue
import socket
import ssl
import threading
import time
import urllib.parse
from typing import Any, NamedTuple

from tf_textrnn.predictor.clients import answers
from tf_textrnn.predictor.clients.answers import AnswerError, Prediction, VersionStatus, member
from tf_textrnn.predictor.clients.common import (
    MAX_ANSWER_BYTES,
    MAX_REASON,
    PORTS,
    Client,
    ClientError,
    Patience,
    Target,
    UnavailableError,
    shortened,
)

BLOCK_BYTES = 1 << 16


class _Connection(http.client.HTTPConnection):
    """One that another thread can end at any time, also while an answer is read.

    Args:
      address: host and port.
      timeout: seconds, of each wait for the socket.
      trust: to talk TLS.
    """

    def __init__(self, address: tuple[str, int], timeout: float, trust: ssl.SSLContext | None):
        super().__init__(*address, timeout=timeout)
        self.deadline = math.inf  # of `time.monotonic`, after which nobody waits
        self._trust = trust
        self._line: socket.socket | None = None  # `sock` is None while a last answer is read

    def connect(self) -> None:
        super().connect()
        if self._trust:
            self.sock = self._trust.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
        self._line = self.sock
        if time.monotonic() > self.deadline:  # `end` came too early
            raise TimeoutError
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.do_handshake()

    def end(self) -> None:
        """Makes whoever waits for the socket meet the end of what is sent."""
        if self._line:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)


class _Response(NamedTuple):
    status: int
    content: bytes


class RestClient(Client):
    """Talks REST, over one connection that it keeps; `Client` has the methods.

    Raises:
      UserError: a target that cannot be asked.
    """

    def __init__(self, target: Target, patience: Patience | None = None, batch_size: int = 32):
        super().__init__(target, patience, batch_size)
        self._address = target.address(PORTS["rest"])
        self._trust = target.trust() if target.tls else None
        self._connection = self._new_connection()
        self._headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
        self._path = f"/v1/models/{urllib.parse.quote(target.model, safe='')}"
        if target.version is not None:
            self._path += f"/versions/{target.version}"
        elif target.version_label:
            self._path += f"/labels/{urllib.parse.quote(target.version_label, safe='')}"

    def close(self) -> None:
        self._connection.close()

    def _predict(self, texts: list[str]) -> list[Prediction]:
        body = {"signature_name": "serving_default", "instances": texts}
        rows = member(list, self._ask("POST", ":predict", body), "predictions")
        found = [
            (member(str, row, "label"), member(list, row, "probability"), row.get("accepted"))
            for row in rows
        ]
        return answers.predictions(found, len(texts))

    def _classify(self, texts: list[str]) -> list[dict[str, float]]:
        body = {"signature_name": "classify", "examples": [{"text": text} for text in texts]}
        rows = member(list, self._ask("POST", ":classify", body), "results")
        return answers.classifications([_pairs(row) for row in rows], len(texts))

    def _status(self) -> list[VersionStatus]:
        versions = member(list, self._ask("GET", ""), "model_version_status")
        return [
            answers.version_status(
                answers.whole_number(member(str, version, "version"), "a version"),
                member(str, version, "state"),
                str(member(dict, version, "status").get("error_message", "")),
            )
            for version in versions
        ]

    def _metadata(self) -> dict[str, Any]:
        metadata = member(dict, self._ask("GET", "/metadata"), "metadata")
        signatures = member(dict, member(dict, metadata, "signature_def"), "signature_def")
        return {
            name: {
                "method": member(str, signature, "method_name"),
                "inputs": {k: _tensor(v) for k, v in member(dict, signature, "inputs").items()},
                "outputs": {k: _tensor(v) for k, v in member(dict, signature, "outputs").items()},
            }
            for name, signature in signatures.items()
        }

    def _ask(self, method: str, verb: str, body: Any = None) -> dict[str, Any]:
        """The server's answer to one request, as JSON."""
        encoded = None if body is None else json.dumps(body).encode()
        status, content = self._exchange(method, self._path + verb, encoded)
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = {"error": content[:MAX_REASON].decode("utf-8", "replace")}
        if status != 200 or not isinstance(answer, dict) or "error" in answer:
            reason = answer.get("error", "") if isinstance(answer, dict) else "no JSON object"
            message = f"{self.target.server}: status {status}: {shortened(reason)}"
            raise UnavailableError(message) if status == 503 else ClientError(message)
        return answer

    def _exchange(self, method: str, path: str, body: bytes | None) -> _Response:
        """Sends a request and waits for the answer, until the time for one try is over.

        A thread does it: a socket's own timeout starts anew at every byte, and looking up a host
        has none.
        """
        self._connection.deadline = time.monotonic() + self.patience.timeout
        outcomes: queue.SimpleQueue[_Response | Exception] = queue.SimpleQueue()
        request = (method, path, body, self._headers)
        threading.Thread(
            target=_converse, args=(self._connection, request, outcomes), daemon=True
        ).start()
        try:
            outcome = outcomes.get(timeout=self.patience.timeout)
        except queue.Empty:
            outcome = TimeoutError()
        except BaseException:  # a signal
            self._abandon()
            raise
        if isinstance(outcome, Exception):
            self._abandon()
            raise self._error(outcome) from outcome
        return outcome

    def _new_connection(self) -> _Connection:
        return _Connection(self._address, self.patience.timeout, self._trust)

    def _abandon(self) -> None:
        """Leaves the connection, whose thread then meets its end, and takes a new one."""
        self._connection.end()
        self._connection = self._new_connection()

    def _error(self, error: Exception) -> Exception:
        """What to raise where a conversation ended in this error."""
        server, reason = self.target.server, shortened(str(error)) or type(error).__name__
        if isinstance(error, AnswerError):
            return error
        if isinstance(error, TimeoutError):
            return self._late()
        if isinstance(error, ssl.SSLCertVerificationError):
            return ClientError(f"{server}: its certificate is refused ({error.verify_message})")
        if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return UnavailableError(f"{server}: {reason}")
        if isinstance(error, ssl.SSLError):
            return ClientError(f"{server}: expected TLS ({reason})")
        if isinstance(error, OSError | http.client.IncompleteRead):
            return UnavailableError(f"{server}: {reason}")
        return ClientError(f"{server}: expected an answer in HTTP, found {reason}")


def _converse(
    connection: _Connection,
    request: tuple[str, str, bytes | None, dict[str, str]],
    outcomes: queue.SimpleQueue[_Response | Exception],
) -> None:
    """Sends a request; puts the answer, or what went wrong."""
    try:
        connection.request(*request)
        with connection.getresponse() as response:
            outcome = _read(response)
        outcomes.put(outcome)
    except Exception as error:
        connection.close()
        outcomes.put(error)


def _read(response: http.client.HTTPResponse) -> _Response:
    """Reads an answer, never holding more than `MAX_ANSWER_BYTES`.

    Into a block of ours: `read` takes all there is where a chunk claims a size below zero.

    Raises:
      AnswerError: it is longer.
      IncompleteRead: the connection ended in the middle.
    """
    content, block = bytearray(), memoryview(bytearray(BLOCK_BYTES))
    while size := response.readinto(block):
        content += block[:size]
        if len(content) + (response.length or 0) > MAX_ANSWER_BYTES:
            raise AnswerError(
                f"over {MAX_ANSWER_BYTES:,} bytes; a smaller --batch_size makes it shorter"
            )
    if response.length:
        raise http.client.IncompleteRead(b"")
    return _Response(response.status, bytes(content))


def _pairs(row: Any) -> list[tuple[Any, Any]]:
    """The label and the probability of each label, as `classify` answers for one text."""
    rows = answers.expect(list, row, "the labels of a text")
    pairs = [answers.expect(list, pair, "a label with its probability") for pair in rows]
    if any(len(pair) != 2 for pair in pairs):
        raise AnswerError("expected a label and its probability, found more or less")
    return [(label, probability) for label, probability in pairs]


def _tensor(info: Any) -> str:
    dims = member(dict, info, "tensor_shape").get("dim", [])
    sizes = [
        answers.whole_number(member(str, dim, "size"), "a size")
        for dim in answers.expect(list, dims, "'dim'")
    ]
    return f"{member(str, info, 'dtype')}{sizes}"
