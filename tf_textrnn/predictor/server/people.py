"""What the server answers people, and the page at `/`. Needs starlette."""

import asyncio
import concurrent.futures
import json
import pathlib
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from tf_textrnn.base.startup import usable_cores
from tf_textrnn.predictor.explain import NoExplanationsError, num_parts
from tf_textrnn.predictor.predictor import explanation_of
from tf_textrnn.predictor.runtime import Predictions, Runtime, card_file
from tf_textrnn.predictor.server import answers, bodies
from tf_textrnn.predictor.server.asking import (
    MAX_NUMBERS,
    Service,
    answer_with,
    aside,
    classify,
    json_response,
    read_body,
)
from tf_textrnn.predictor.server.errors import ApiError

MAX_CARD_BYTES = 1 << 22
# Of a card; paths of files and the command that trains the model again are its owner's.
CARD_PARTS = ("multi_label", "sizes", "metrics", "per_class", "versions", "exported")
_EXPLAINERS = concurrent.futures.ThreadPoolExecutor(usable_cores(), "explain")


class _Asked(NamedTuple):
    """The texts of a body, and whether it has a list of them."""

    texts: list[str]
    is_list: bool

    @property
    def contents(self) -> list[bytes]:
        return [text.encode("utf-8", "replace") for text in self.texts]


async def predict(service: Service, request: Request) -> Response:
    """The label of a text: a text as it is, or `{"text": …}` with one text or a list of them."""
    texts, is_list = asked = await _asked(service, request)
    version = service.versions.current
    found = await classify(service, version, asked.contents)
    if is_list:
        return await answer_with(answers.for_people, found, version.runtime, texts)
    return json_response(answers.for_people(found, version.runtime, texts)[0])


async def explain(service: Service, request: Request) -> Response:
    """The same with what each word adds; every part that is scored for that counts as a text."""
    asked = await _asked(service, request)
    version = service.versions.current
    found = await classify(service, version, asked.contents)
    _check_parts(service, found)
    service.metrics.explained(len(asked.texts))
    explained = await asyncio.gather(
        *(
            asyncio.wrap_future(_EXPLAINERS.submit(_explained, version.runtime, text, found, index))
            for index, text in enumerate(asked.texts)
        )
    )
    size = int(found.num_tokens.sum()) * len(version.runtime.labels)
    return await aside(size, json_response, explained if asked.is_list else explained[0])


def _check_parts(service: Service, found: Predictions) -> None:
    """Refuses texts whose explanation takes too long, or too many numbers."""
    lengths = found.num_tokens.tolist()
    parts, most = sum(map(num_parts, lengths)), service.options.max_texts
    if parts > most:
        raise ApiError(
            413,
            f"an explanation of {sum(lengths):,} tokens scores {parts:,} parts of texts, each "
            f"counted as a text; expected at most {most:,}",
        )
    numbers = 2 * sum(lengths) * found.probability.shape[1]
    if numbers > MAX_NUMBERS:
        raise ApiError(
            413, f"an explanation of {numbers:,} numbers; expected at most {MAX_NUMBERS:,}"
        )


def _explained(runtime: Runtime, text: str, found: Predictions, index: int) -> dict[str, Any]:
    of_text = found.of([index])
    try:
        explanation = explanation_of(runtime, runtime.labels, text, of_text)
    except NoExplanationsError as error:
        raise ApiError(
            501, "this export has no explanations; export its run again to have them"
        ) from error
    answer = answers.for_people(of_text, runtime, [text])[0]
    return {**answer, "explanation": explanation.as_json()}


async def card(service: Service, request: Request) -> Response:
    """What the page shows beside answers: the model's name and version, its card, examples."""
    version = service.versions.current
    return json_response(
        {
            "name": service.options.name,
            "version": version.number,
            "card": await asyncio.to_thread(_read_card, version.path),
            "examples": service.examples,
        }
    )


def _read_card(folder: pathlib.Path) -> dict[str, Any]:
    """The parts of a model's card that are for all to see; {} where there is none."""
    try:
        with card_file(folder).open("rb") as file:
            content = file.read(MAX_CARD_BYTES)
        found = json.loads(content, parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError):  # none, or damaged: the model answers without
        return {}
    if not isinstance(found, dict):
        return {}
    data = found.get("data")
    texts = data.get("texts") if isinstance(data, dict) else None
    return {"texts": texts} | {name: found.get(name) for name in CARD_PARTS}


async def _asked(service: Service, request: Request) -> _Asked:
    """The texts of a body: a text as it is, or `{"text": …}` with one text or a list of them."""
    body = await read_body(service, request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind.endswith("json") or (kind != "text/plain" and body.lstrip()[:1] == b"{")
    given: Any = body.decode("utf-8", "replace")
    if is_json:
        given = (await aside(len(body), bodies.parse, body)).get("text")
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts):
        raise ApiError(400, 'expected {"text": "…"} or {"text": ["…", "…"]}, or a text as it is')
    return _Asked(texts, isinstance(given, list))
