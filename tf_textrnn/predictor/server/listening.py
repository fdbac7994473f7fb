"""The server's own life: what uvicorn runs, and how it ends. Needs uvicorn and starlette."""

import contextlib
import logging
import math
import socket
import time
from collections.abc import Callable, Iterator

import uvicorn

from tf_textrnn.base import signals
from tf_textrnn.base.startup import usable_cores
from tf_textrnn.predictor.server.app import App
from tf_textrnn.predictor.server.batcher import Batcher
from tf_textrnn.predictor.server.metrics import Metrics
from tf_textrnn.predictor.server.options import ServeOptions
from tf_textrnn.predictor.server.pages import Service
from tf_textrnn.predictor.server.versions import Versions

KEEP_ALIVE = 75  # seconds that an idle connection is kept: longer than a proxy before us keeps it
LAST_CALLS = 1.0  # seconds from a signal until connections are no longer taken


class Server(uvicorn.Server):
    """Ends in two steps once a signal has come, so that no request is lost.

    First every answer closes its connection, while new ones are still taken: a client that keeps
    connections would else send into one that is being closed. Then uvicorn waits for those under
    way. The signals are those of `base.signals`: a second one ends the process at once.
    """

    def __init__(self, config: uvicorn.Config, app: App, greet: Callable[[], None]):
        super().__init__(config)
        self._app, self._greet = app, greet
        self._end = math.inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and says so."""
        await super().startup(sockets)
        self._greet()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to `base.signals`."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; uvicorn asks ten times a second."""
        if signals.received() and not self._app.is_draining:
            self._app.is_draining = True
            self._end = time.monotonic() + LAST_CALLS
        return await super().on_tick(counter) or time.monotonic() > self._end


def make_server(
    options: ServeOptions, versions: Versions, token: bytes, greet: Callable[[], None]
) -> Server:
    """A server that has yet to be run, on a socket.

    Args:
      options: of the command.
      versions: of the model.
      token: that requests must bear; empty = none.
      greet: called when it listens.
    """
    metrics = Metrics()
    service = Service(options, versions, Batcher(usable_cores(), metrics.batch), metrics)
    hosts = {name.strip().lower() for name in options.allowed_hosts.split(",") if name.strip()}
    app = App(service, token, hosts | {options.host.lower()})
    # What a stranger sends is no news: uvicorn warns of every request that is not HTTP.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app, http="h11", loop="asyncio", ws="none", lifespan="off", log_config=None,
        access_log=False, server_header=False, proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE, timeout_graceful_shutdown=math.ceil(options.timeout),
    )  # fmt: skip
    return Server(config, app, greet)
