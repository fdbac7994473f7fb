"""The server's own life: what uvicorn runs, and how it ends. Needs uvicorn and starlette."""

import contextlib
import logging
import math
import socket
from collections.abc import Callable, Iterator

import uvicorn

from tf_textrnn.base import signals
from tf_textrnn.base.startup import usable_cores
from tf_textrnn.predictor.server.app import App
from tf_textrnn.predictor.server.asking import Service
from tf_textrnn.predictor.server.batcher import Batcher
from tf_textrnn.predictor.server.metrics import Metrics
from tf_textrnn.predictor.server.options import ServeOptions
from tf_textrnn.predictor.server.versions import Versions

KEEP_ALIVE = 75  # seconds that an idle connection is kept: longer than a proxy before us keeps it
# Looks, ten a second where all goes well, from a signal until connections are no longer taken: so
# many without a request, and how many they are at least and at most. Each look comes after one at
# all sockets, also where the machine is busy, as a clock's seconds may not.
QUIET_LOOKS, LEAST_LOOKS, MOST_LOOKS = 5, 10, 100


class Server(uvicorn.Server):
    """Ends in two steps once a signal has come, so that no request is lost.

    First every answer closes its connection, while new ones are still taken: a client that keeps
    connections would else send into one that is being closed. Then uvicorn waits for those under
    way. The signals are those of `base.signals`: a second one ends the process at once.
    """

    def __init__(
        self, config: uvicorn.Config, app: App, batcher: Batcher, greet: Callable[[], None]
    ):
        super().__init__(config)
        self._app, self._batcher, self._greet = app, batcher, greet
        self._looks = self._quiet_looks = self._last_requests = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and says so."""
        await super().startup(sockets)
        self._greet()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Waits until requests under way are answered, then ends the threads."""
        await super().shutdown(sockets)
        self._batcher.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to `base.signals`."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; uvicorn asks ten times a second."""
        if signals.received() and not self._app.is_draining:
            self._app.is_draining = True
        return await super().on_tick(counter) or (self._app.is_draining and self._is_quiet())

    def _is_quiet(self) -> bool:
        """Whether clients have had their time to see that the server ends."""
        requests = self.server_state.total_requests + len(self.server_state.tasks)
        self._quiet_looks = self._quiet_looks + 1 if requests == self._last_requests else 0
        self._last_requests = requests
        self._looks += 1
        is_quiet = self._quiet_looks >= QUIET_LOOKS and self._looks >= LEAST_LOOKS
        return is_quiet or self._looks >= MOST_LOOKS


def make_server(
    options: ServeOptions,
    versions: Versions,
    token: bytes,
    examples: tuple[str, ...],
    greet: Callable[[], None],
) -> Server:
    """A server that has yet to be run, on a socket.

    Args:
      options: of the command.
      versions: of the model.
      token: that requests must bear; empty = none.
      examples: texts that the page offers.
      greet: called when it listens.
    """
    metrics = Metrics()
    batcher = Batcher(usable_cores(), metrics.batch)
    service = Service(options, versions, batcher, metrics, examples)
    hosts = {name.strip().lower() for name in options.allowed_hosts.split(",") if name.strip()}
    app = App(service, token, hosts | {options.host.lower()})
    # What a stranger sends is no news: uvicorn warns of every request that is not HTTP.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app, http="h11", loop="asyncio", ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=math.ceil(options.timeout),
    )  # fmt: skip
    return Server(config, app, batcher, greet)
