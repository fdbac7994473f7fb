"""What the REST and the gRPC client share. Standard library only."""

import abc
import dataclasses
import functools
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from tf_textrnn.base.errors import UserError

Result = TypeVar("Result")


class ClientError(UserError):
    """A request without an answer: one line that says which server and why."""


class UnavailableError(ClientError):
    """The server cannot be reached or is not ready; the same request may succeed later."""


class Prediction(NamedTuple):
    """What the model says of one text.

    Attributes:
      label: the most probable one.
      probability: of that label.
      probabilities: of every label, in the order of the model's labels file.
    """

    label: str
    probability: float
    probabilities: list[float]


class VersionStatus(NamedTuple):
    """A version of the model on the server, its state ("AVAILABLE") and what went wrong."""

    version: int
    state: str
    error: str


@dataclasses.dataclass(frozen=True)
class Target:
    """Which model to ask.

    Attributes:
      server: host:port.
      model: its name on the server.
      version: a version's number; None leaves the choice to the server.
      version_label: a label that the server gives a version, such as "canary".
    """

    server: str
    model: str = "textrnn"
    version: int | None = None
    version_label: str = ""


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to wait.

    Attributes:
      timeout: seconds for one try.
      tries: of a request to a server that is unavailable.
      first_wait: seconds before the second try; each wait is twice the one before.
      longest_wait: seconds.
    """

    timeout: float = 10.0
    tries: int = 8
    first_wait: float = 0.1
    longest_wait: float = 5.0

    def request(self, send: Callable[[], Result]) -> Result:
        """Calls `send` until it answers; a request only reads, so that trying again is safe.

        Raises:
          UnavailableError: it was unavailable at every try.
          ClientError: it failed in another way.
        """
        for attempt in itertools.count(1):
            try:
                return send()
            except UnavailableError as error:
                if attempt >= self.tries:
                    raise UnavailableError(f"{error}; gave up after {attempt} tries") from error
            wait = min(self.first_wait * 2 ** (attempt - 1), self.longest_wait)
            time.sleep(wait * random.uniform(0.5, 1))  # clients of one server spread out
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
            yield from self.patience.request(functools.partial(self._predict, batch))

    def classify(self, texts: Iterable[str]) -> Iterator[dict[str, float]]:
        """The probability of every label for each text, in their order, from `classify`."""
        for batch in _batches(texts, self.batch_size):
            yield from self.patience.request(functools.partial(self._classify, batch))

    def status(self) -> list[VersionStatus]:
        """The versions of the model on the server."""
        return self.patience.request(self._status)

    def metadata(self) -> dict[str, Any]:
        """The method, inputs and outputs of each signature; a tensor reads "DT_FLOAT[-1, 2]"."""
        return self.patience.request(self._metadata)

    @abc.abstractmethod
    def _predict(self, texts: list[str]) -> list[Prediction]: ...

    @abc.abstractmethod
    def _classify(self, texts: list[str]) -> list[dict[str, float]]: ...

    @abc.abstractmethod
    def _status(self) -> list[VersionStatus]: ...

    @abc.abstractmethod
    def _metadata(self) -> dict[str, Any]: ...

    def _check_count(self, answers: list[Result], texts: list[str]) -> list[Result]:
        if len(answers) != len(texts):
            raise ClientError(
                f"{self.target.server}: {len(answers)} answers to {len(texts)} texts; is this a "
                f"model of this project?"
            )
        return answers


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    # A lone surrogate has no UTF-8.
    iterator = (text.encode("utf-8", "replace").decode() for text in texts)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
