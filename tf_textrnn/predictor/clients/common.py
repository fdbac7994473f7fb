"""What the REST and the gRPC client share. Standard library only."""

import abc
import dataclasses
import functools
import ipaddress
import itertools
import pathlib
import random
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tf_textrnn.base.errors import UserError
from tf_textrnn.predictor.clients.answers import AnswerError, Prediction, VersionStatus

Result = TypeVar("Result")

PORTS = {"rest": 8501, "grpc": 8500}  # where TF Serving listens by default
# Of an answer. The default batch and the most labels, 32 texts by 10,000, take 9 MB as JSON; as
# Python objects, JSON takes up to 35 times its size.
MAX_ANSWER_BYTES = 16 << 20
MAX_TIMEOUT = 86_400.0  # seconds
MAX_REASON = 300  # characters of a server's own words that are shown


class ClientError(UserError):
    """A request without an answer: one line that says which server and why."""


class UnavailableError(ClientError):
    """The server cannot be reached or is not ready; the same request may succeed later."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Which model to ask.

    Attributes:
      server: host:port, or a host alone, for the port that TF Serving has by default.
      model: its name on the server.
      version: a version's number; None leaves the choice to the server.
      version_label: a label that the server gives a version, such as "canary".
      tls: whether to talk TLS, and to hold the server to a certificate for its name.
      ca_file: PEM file of the authorities that may vouch for it; "" = those that come with the
        system (REST) or with gRPC.
      token: that requests bear; "" = none.

    Raises:
      UserError: something that no server, model or label can be called, a `ca_file` without `tls`,
        or a token that would go through a network in the clear.
    """

    server: str
    model: str = "textrnn"
    version: int | None = None
    version_label: str = ""
    tls: bool = False
    ca_file: str = ""
    token: str = dataclasses.field(default="", repr=False)

    def __post_init__(self) -> None:
        for name, value in (("model", self.model or "\0"), ("version_label", self.version_label)):
            if not value.isprintable():
                raise UserError(f"--{name}={getattr(self, name)}: expected a printable name")
        if self.ca_file and not self.tls:
            raise UserError(f"--ca_file={self.ca_file}: expected --tls beside it")
        if self.token and not self.tls and not _is_loopback(self.address(1)[0]):
            raise UserError(
                f"--server={self.server}: a token would go there in the clear; expected --tls, or "
                f"a server on this machine"
            )

    def address(self, default_port: int) -> tuple[str, int]:
        """The server's host, without brackets, and its port.

        Args:
          default_port: where `server` names none.

        Raises:
          UserError: it is not of the form host:port.
        """
        match = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]/]*)(?::(\d{1,5}))?", self.server, re.ASCII)
        host = _ascii_host(match[1]) if match else ""
        port = int(match[2] or default_port) if match else 0
        if not host or not 0 < port < 65536:
            scheme = self.server.partition("://")[0]
            hint = f" and --{'' if scheme == 'https' else 'no'}tls" if "://" in self.server else ""
            raise UserError(
                f"--server={self.server}: expected host:port{hint}, such as "
                f"localhost:{default_port} or [::1]:{default_port}, without a scheme or a path"
            )
        return host, port

    def trust(self) -> ssl.SSLContext:
        """What vouches for the server's certificate.

        Raises:
          UserError: `ca_file` holds no certificates.
        """
        try:
            if self.ca_file and not pathlib.Path(self.ca_file).is_file():
                raise UserError(f"--ca_file={self.ca_file}: expected a file")
            return ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:  # SSLError is one
            raise UserError(
                f"--ca_file={self.ca_file}: expected certificates in PEM ({error})"
            ) from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _ascii_host(host: str) -> str:
    """A host's name as the network has it, or its address; "" if there can be none such."""
    try:
        if host.startswith("["):
            return str(ipaddress.IPv6Address(host[1:-1]))
        name = host.encode("idna").decode()
    except ValueError:  # UnicodeError is one
        return ""
    return name if re.fullmatch(r"[A-Za-z0-9._-]{1,253}", name) else ""


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to wait.

    Attributes:
      timeout: seconds for one try, from looking up the host to the last byte of the answer.
      tries: of a request to a server that is unavailable.
      first_wait: seconds before the second try; each wait is twice the one before.
      longest_wait: seconds.

    Raises:
      UserError: a `timeout` that is no number of seconds above 0, or over a day.
    """

    timeout: float = 10.0
    tries: int = 8
    first_wait: float = 0.1
    longest_wait: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= MAX_TIMEOUT:
            raise UserError(
                f"--timeout={self.timeout}: expected seconds, above 0, at most {MAX_TIMEOUT:,.0f}"
            )

    def request(self, send: Callable[[], Result]) -> Result:
        """Calls `send` until it answers; a request only reads, so that trying again is safe.

        Raises:
          UnavailableError: it was unavailable at every try.
          ClientError: it failed in another way.
        """
        wait = self.first_wait
        for attempt in itertools.count(1):
            try:
                return send()
            except UnavailableError as error:
                if attempt >= self.tries:
                    raise UnavailableError(f"{error}; gave up after {attempt} tries") from error
            time.sleep(wait * random.uniform(0.5, 1))  # clients of one server spread out
            wait = min(2 * wait, self.longest_wait)
        raise AssertionError


class Client(abc.ABC):
    """A client of one model on one server; `with` closes it. Not for several threads at once.

    Args:
      target: which model.
      patience: how long to wait.
      batch_size: texts in a request.
    """

    def __init__(self, target: Target, patience: Patience | None = None, batch_size: int = 32):
        self.target = target
        self.patience = patience or Patience()
        self.batch_size = batch_size

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the connection."""

    def predict(self, texts: Iterable[str]) -> Iterator[Prediction]:
        """The prediction for each text, in their order, a batch at a time."""
        for batch in _batches(texts, self.batch_size):
            yield from self._request(functools.partial(self._predict, batch))

    def classify(self, texts: Iterable[str]) -> Iterator[dict[str, float]]:
        """The probability of every label for each text, in their order, from `classify`."""
        for batch in _batches(texts, self.batch_size):
            yield from self._request(functools.partial(self._classify, batch))

    def status(self) -> list[VersionStatus]:
        """The versions of the model on the server."""
        return self._request(self._status)

    def metadata(self) -> dict[str, Any]:
        """The method, inputs and outputs of each signature; a tensor reads "DT_FLOAT[-1, 2]"."""
        return self._request(self._metadata)

    # Each raises AnswerError where the answer is not of the form that it should have.

    @abc.abstractmethod
    def _predict(self, texts: list[str]) -> list[Prediction]: ...

    @abc.abstractmethod
    def _classify(self, texts: list[str]) -> list[dict[str, float]]: ...

    @abc.abstractmethod
    def _status(self) -> list[VersionStatus]: ...

    @abc.abstractmethod
    def _metadata(self) -> dict[str, Any]: ...

    def _late(self) -> ClientError:
        return ClientError(f"{self.target.server}: no answer within {self.patience.timeout:g} s")

    def _request(self, send: Callable[[], Result]) -> Result:
        try:
            return self.patience.request(send)
        except AnswerError as error:
            raise ClientError(
                f"{self.target.server}: not the answer of a model of this project: {error}"
            ) from error


def shortened(reason: Any) -> str:
    """A server's own words, in one line of bounded length."""
    return " ".join(str(reason)[: 4 * MAX_REASON].split())[:MAX_REASON]


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    # A lone surrogate has no UTF-8.
    iterator = (text.encode("utf-8", "replace").decode() for text in texts)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
