"""What the pages of the server share: the body of a request, its texts → what the model says.

Needs starlette.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from tf_textrnn.predictor.runtime import Predictions, Runtime
from tf_textrnn.predictor.server import answers
from tf_textrnn.predictor.server.batcher import Batcher
from tf_textrnn.predictor.server.errors import ApiError
from tf_textrnn.predictor.server.metrics import Metrics
from tf_textrnn.predictor.server.options import MIB, ServeOptions
from tf_textrnn.predictor.server.versions import Version, Versions

BUSY = 1 << 14  # bytes to parse, or probabilities to write, that take milliseconds
MAX_NUMBERS = 1 << 20  # in an answer
PATIENCE = 4  # times the largest body: so much is read of one that is refused


class Service(NamedTuple):
    """What the pages answer from."""

    options: ServeOptions
    versions: Versions
    batcher: Batcher
    metrics: Metrics
    examples: tuple[str, ...] = ()


class Page(NamedTuple):
    """A page: its name in metrics, its methods, what makes the answer, whether it needs a token.

    Those that take a POST have their turn among the requests under way.
    """

    name: str
    methods: tuple[str, ...]
    answer: Callable[[Service, Request], Awaitable[Response]]
    is_public: bool = False


async def classify(service: Service, version: Version, texts: list[bytes]) -> Predictions:
    """What a version of the model says of texts, with those of other requests.

    Raises:
      ApiError: there are too many, or one is too long.
    """
    options = service.options
    most = min(options.max_texts, max(1, MAX_NUMBERS // len(version.runtime.labels)))
    if len(texts) > most:
        raise ApiError(413, f"{len(texts):,} texts in a request; expected at most {most:,}")
    for index, text in enumerate(texts):
        if len(text) > options.max_characters:  # each takes a byte at least
            length = len(text.decode("utf-8", "replace"))
            if length > options.max_characters:
                raise ApiError(
                    413,
                    f"text {index}: {length:,} characters; expected at most "
                    f"{options.max_characters:,}",
                )
    found = await asyncio.wrap_future(service.batcher.submit(version.runtime, texts))
    service.metrics.answers(version.runtime.labels, found)
    return found


async def read_body(service: Service, request: Request) -> bytes:
    """The body of a request; one that is too large is read on for a while, and let go.

    A client that still writes when its connection is closed never sees the answer.
    """
    limit = service.options.max_body_mib * MIB
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise ApiError(415, f"Content-Encoding: {coding[:100]}; expected none")
    size, body = int(request.headers.get("content-length", "0")), bytearray()
    if size <= PATIENCE * limit:
        size = 0
        async for block in request.stream():
            size += len(block)
            if size <= limit:
                body += block
            elif size > PATIENCE * limit:
                break
    if size > limit:
        raise ApiError(
            413,
            f"the body is over {limit:,} bytes; send fewer texts at a time",
            {"Connection": "close"},
        )
    return bytes(body)


async def answer_with(
    make: Callable[..., Any], found: Predictions, runtime: Runtime, *more: Any
) -> Response:
    """The answer that `make` makes of what the model says."""
    return await aside(found.probability.size, lambda: json_response(make(found, runtime, *more)))


async def aside(size: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns; in a thread where it has much to do, so that others do not wait."""
    if size > BUSY:
        return await asyncio.to_thread(function, *arguments)
    return function(*arguments)


def json_response(answer: Any, status: int = 200) -> Response:
    """An answer as JSON."""
    return Response(answers.encoded(answer), status, media_type="application/json")
