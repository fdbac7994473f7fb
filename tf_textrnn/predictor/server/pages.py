"""The pages of the server: what each path answers.

Needs starlette. `PAGES` has the paths of our own; all below /v1/ is TF Serving's REST interface,
after its model_servers/http_rest_api_handler.cc and http_rest_api_util.cc.
"""

import asyncio
import json
import re
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from tf_textrnn.predictor.runtime import Predictions, Runtime
from tf_textrnn.predictor.server import answers, bodies
from tf_textrnn.predictor.server.batcher import Batcher
from tf_textrnn.predictor.server.bodies import CLASSIFY_METHOD, METHODS, REGRESS_METHOD
from tf_textrnn.predictor.server.errors import ApiError
from tf_textrnn.predictor.server.examples import example_texts
from tf_textrnn.predictor.server.metrics import CONTENT_TYPE, Metrics
from tf_textrnn.predictor.server.options import MIB, ServeOptions
from tf_textrnn.predictor.server.versions import Version, Versions

SERVING_PATHS = re.compile(r"(?i)/v1/.*", re.DOTALL)
_VERSION = r"(?:(?:/versions/(?P<number>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_ASK = re.compile(
    rf"(?i)/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<verb>classify|regress|predict)", re.ASCII
)
_TELL = re.compile(
    rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<part>metadata))?", re.ASCII
)
_MAX_VERSION = 2**63 - 1
BUSY = 1 << 14  # bytes to parse, or probabilities to write, that take milliseconds
MAX_NUMBERS = 1 << 20  # probabilities in an answer
PATIENCE = 4  # times the largest body: so much is read of one that is refused


class Service(NamedTuple):
    """What the pages answer from."""

    options: ServeOptions
    versions: Versions
    batcher: Batcher
    metrics: Metrics


class Page(NamedTuple):
    """A page: its name in metrics, its methods, what makes the answer, whether it needs a token.

    Those that take a POST have their turn among the requests under way.
    """

    name: str
    methods: tuple[str, ...]
    answer: Callable[[Service, Request], Awaitable[Response]]
    is_public: bool = False


async def _health(service: Service, request: Request) -> Response:
    """Whether requests are answered: the model is loaded before the port is open."""
    return _json({"status": "ok", "version": service.versions.current.number})


async def _metrics(service: Service, request: Request) -> Response:
    text = service.metrics.text(service.versions.current.number)
    return Response(text.encode("utf-8", "replace"), headers={"Content-Type": CONTENT_TYPE})


async def _predict(service: Service, request: Request) -> Response:
    """For people: a text as it is, or `{"text": …}` with one text or a list of them."""
    body = await _read_body(service, request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind.endswith("json") or (kind != "text/plain" and body.lstrip()[:1] == b"{")
    given: Any = body.decode("utf-8", "replace")
    if is_json:
        given = (await _aside(len(body), bodies.parse, body)).get("text")
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts):
        raise ApiError(400, 'expected {"text": "…"} or {"text": ["…", "…"]}, or a text as it is')
    contents = [text.encode("utf-8", "replace") for text in texts]
    version = service.versions.current
    found = await _classify(service, version, contents)
    runtime = version.runtime
    if isinstance(given, list):
        return await _answer(answers.for_people, found, runtime, texts)
    return _json(answers.for_people(found, runtime, texts)[0])


async def _serving(service: Service, request: Request) -> Response:
    """TF Serving's REST interface."""
    path = request.scope["raw_path"].decode("ascii", "replace")
    pattern = {"POST": _ASK, "GET": _TELL}.get(request.method)
    match = pattern.fullmatch(path) if pattern else None
    if not match:
        raise ApiError(400, f"Malformed request: {request.method} {path[:200]}")
    name, label = (urllib.parse.unquote(match[part] or "") for part in ("name", "label"))
    digits = (match["number"] or "").lstrip("0")[:20] or "0"
    number = int(digits) if match["number"] else None
    if number and number > _MAX_VERSION:
        raise ApiError(400, f"Failed to convert version: {match['number'][:100]} to numeric.")
    if request.method == "GET":
        return _told(service, name, number, label, has_part=bool(match["part"]))
    body = await _read_body(service, request)
    ask = {"predict": _serving_predict, "classify": _serving_classify, "regress": _regress}
    return await ask[match["verb"].lower()](service, body, (name, number, label))


def _told(service: Service, name: str, number: int | None, label: str, has_part: bool) -> Response:
    if not name:
        raise ApiError(400, "Missing model name in request.")
    if not has_part:
        return _json(answers.status(service.versions.states(name, number, label)))
    version = service.versions.find(name, number, label)
    return _json(answers.metadata(name, version.number, len(version.runtime.labels)))


_Asked = tuple[str, int | None, str]  # name, version and label of the model


async def _serving_predict(service: Service, body: bytes, asked: _Asked) -> Response:
    document = await _aside(len(body), bodies.parse, body)
    signature = bodies.signature_of(document)
    version = service.versions.find(*asked)
    if signature != "serving_default":
        there = " (`classify` is asked for by :classify here)" if signature in METHODS else ""
        raise ApiError(
            400, f'Serving signature name: "{signature[:100]}" not found in signature def{there}'
        )
    texts, is_columnar = bodies.predict_inputs(document)
    found = await _classify(service, version, texts)
    return await _answer(answers.predictions, found, version.runtime, is_columnar)


async def _serving_classify(service: Service, body: bytes, asked: _Asked) -> Response:
    document = await _aside(len(body), bodies.parse, body)
    signature = bodies.signature_of(document)
    texts = example_texts(document)
    version = service.versions.find(*asked)
    _check_method(signature, CLASSIFY_METHOD, "classification")
    found = await _classify(service, version, texts)
    return await _answer(answers.classifications, found, version.runtime)


async def _regress(service: Service, body: bytes, asked: _Asked) -> Response:
    document = await _aside(len(body), bodies.parse, body)
    signature = bodies.signature_of(document)
    example_texts(document)
    service.versions.find(*asked)
    _check_method(signature, REGRESS_METHOD, "regression")
    raise AssertionError


def _check_method(signature: str, method: str, name: str) -> None:
    if signature not in METHODS:
        raise ApiError(400, f"No signature was found with the name: {signature[:100]}")
    if METHODS[signature] != method:
        raise ApiError(
            400,
            f"Expected {name} signature method_name to be {method}. Was: {METHODS[signature]}",
        )


async def _classify(service: Service, version: Version, texts: list[bytes]) -> Predictions:
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


async def _read_body(service: Service, request: Request) -> bytes:
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


async def _answer(
    make: Callable[..., Any], found: Predictions, runtime: Runtime, *more: Any
) -> Response:
    return await _aside(found.probability.size, lambda: _json(make(found, runtime, *more)))


async def _aside(size: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns; in a thread where it has much to do, so that others do not wait."""
    if size > BUSY:
        return await asyncio.to_thread(function, *arguments)
    return function(*arguments)


def _json(answer: Any, status: int = 200) -> Response:
    return Response(answers.encoded(answer), status, media_type="application/json")


def refusal(error: ApiError) -> Response:
    """The answer to a request that is refused, as TF Serving's MakeJsonFromStatus has it."""
    content = json.dumps({"error": str(error)}).encode()
    return Response(content, error.status, error.headers, "application/json")


SERVING = Page("serving", ("GET", "POST"), _serving)
PAGES = {
    "/predict": Page("predict", ("POST",), _predict),
    "/healthz": Page("health", ("GET", "HEAD"), _health, is_public=True),
    "/metrics": Page("metrics", ("GET", "HEAD"), _metrics),
}
