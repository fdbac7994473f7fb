"""The pages of the server: what each path answers.

Needs starlette. `PAGES` has the paths of our own; all below /v1/ is TF Serving's REST interface,
after its model_servers/http_rest_api_handler.cc and http_rest_api_util.cc.
"""

import json
import re
import urllib.parse

from starlette.requests import Request
from starlette.responses import Response

from tf_textrnn.predictor.server import answers, bodies, people
from tf_textrnn.predictor.server.asking import (
    Page,
    Service,
    answer_with,
    aside,
    classify,
    json_response,
    read_body,
)
from tf_textrnn.predictor.server.bodies import CLASSIFY_METHOD, METHODS, REGRESS_METHOD
from tf_textrnn.predictor.server.errors import ApiError
from tf_textrnn.predictor.server.examples import example_texts
from tf_textrnn.predictor.server.metrics import CONTENT_TYPE
from tf_textrnn.predictor.server.static_files import STATIC_PAGES

SERVING_PATHS = re.compile(r"(?i)/v1/.*", re.DOTALL)
_VERSION = r"(?:(?:/versions/(?P<number>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_ASK = re.compile(
    rf"(?i)/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<verb>classify|regress|predict)", re.ASCII
)
_TELL = re.compile(
    rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?:/(?P<part>metadata))?", re.ASCII
)
_MAX_VERSION = 2**63 - 1


async def _health(service: Service, request: Request) -> Response:
    """Whether requests are answered: the model is loaded before the port is open."""
    return json_response({"status": "ok", "version": service.versions.current.number})


async def _metrics(service: Service, request: Request) -> Response:
    text = service.metrics.text(service.versions.current.number)
    return Response(text.encode("utf-8", "replace"), headers={"Content-Type": CONTENT_TYPE})


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
    body = await read_body(service, request)
    ask = {"predict": _serving_predict, "classify": _serving_classify, "regress": _regress}
    return await ask[match["verb"].lower()](service, body, (name, number, label))


def _told(service: Service, name: str, number: int | None, label: str, has_part: bool) -> Response:
    if not name:
        raise ApiError(400, "Missing model name in request.")
    if not has_part:
        return json_response(answers.status(service.versions.states(name, number, label)))
    version = service.versions.find(name, number, label)
    return json_response(answers.metadata(name, version.number, len(version.runtime.labels)))


_Asked = tuple[str, int | None, str]  # name, version and label of the model


async def _serving_predict(service: Service, body: bytes, asked: _Asked) -> Response:
    document = await aside(len(body), bodies.parse, body)
    signature = bodies.signature_of(document)
    version = service.versions.find(*asked)
    if signature != "serving_default":
        there = " (`classify` is asked for by :classify here)" if signature in METHODS else ""
        raise ApiError(
            400, f'Serving signature name: "{signature[:100]}" not found in signature def{there}'
        )
    texts, is_columnar = bodies.predict_inputs(document)
    found = await classify(service, version, texts)
    return await answer_with(answers.predictions, found, version.runtime, is_columnar)


async def _serving_classify(service: Service, body: bytes, asked: _Asked) -> Response:
    document = await aside(len(body), bodies.parse, body)
    signature = bodies.signature_of(document)
    texts = example_texts(document)
    version = service.versions.find(*asked)
    _check_method(signature, CLASSIFY_METHOD, "classification")
    found = await classify(service, version, texts)
    return await answer_with(answers.classifications, found, version.runtime)


async def _regress(service: Service, body: bytes, asked: _Asked) -> Response:
    document = await aside(len(body), bodies.parse, body)
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


def refusal(error: ApiError) -> Response:
    """The answer to a request that is refused, as TF Serving's MakeJsonFromStatus has it."""
    content = json.dumps({"error": str(error)}).encode()
    return Response(content, error.status, error.headers, "application/json")


SERVING = Page("serving", ("GET", "POST"), _serving)
PAGES = {
    **STATIC_PAGES,
    "/predict": Page("predict", ("POST",), people.predict),
    "/explain": Page("explain", ("POST",), people.explain),
    "/card": Page("card", ("GET", "HEAD"), people.card),
    "/healthz": Page("health", ("GET", "HEAD"), _health, is_public=True),
    "/metrics": Page("metrics", ("GET", "HEAD"), _metrics),
}
