"""The server as an ASGI application: who may ask, how much at a time, and for how long.

Needs starlette.
"""

import asyncio
import hmac
import ipaddress
import re
import time
from collections.abc import Collection

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tf_textrnn.base.terminal import warn
from tf_textrnn.predictor.server.asking import Page, Service
from tf_textrnn.predictor.server.errors import ApiError
from tf_textrnn.predictor.server.pages import PAGES, SERVING, SERVING_PATHS, refusal

_LOST = 499  # nginx's: the client has gone
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d*)?")


class App:
    """Answers each request by its page, or refuses it.

    Args:
      service: what the pages answer from.
      token: that a request must bear; empty = none.
      hosts: names that a request may ask for, in small letters, beside localhost and addresses.

    Attributes:
      is_draining: set when the server is about to end: every answer then closes its connection.
    """

    def __init__(self, service: Service, token: bytes, hosts: Collection[str]):
        self._service, self._token = service, token
        self._hosts = {"localhost", *hosts}
        self.is_draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            return
        started, status = time.perf_counter(), _LOST

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.is_draining:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        response: Response | None = None
        page, request = _page_of(scope["path"]), Request(scope, receive)
        try:
            response = await self._answer(page, request)
        except ApiError as error:
            response = refusal(error)
        except ClientDisconnect:
            pass
        except Exception as error:  # a fault of ours, or of the model's
            reason = " ".join(str(error).split())[:300]
            warn(f"{scope['method']} {scope['path'][:100]}: {type(error).__name__}: {reason}")
            response = refusal(ApiError(500, "the model or the server failed"))
        if response:
            await response(scope, receive, send_noted)
        name = page.name if page else "other"
        self._service.metrics.request(name, status, time.perf_counter() - started)

    async def _answer(self, page: Page | None, request: Request) -> Response:
        self._check_host(request)
        if not (page and page.is_public):
            self._check_token(request)
        if page is None:
            raise ApiError(404, f"no page {request.url.path[:100]} here")
        if request.method not in page.methods and page is not SERVING:
            allowed = ", ".join(page.methods)
            raise ApiError(405, f"{request.method}: expected {allowed}", {"Allow": allowed})
        if "POST" in page.methods:
            return await self._in_turn(page, request)
        if self.is_draining and page.name == "health":
            raise ApiError(503, "the server is about to end")
        return await page.answer(self._service, request)

    async def _in_turn(self, page: Page, request: Request) -> Response:
        """The answer of a page, unless too many wait or it takes too long."""
        options, metrics = self._service.options, self._service.metrics
        if metrics.waiting >= options.max_waiting:
            raise ApiError(
                503,
                f"{metrics.waiting} requests are under way; expected fewer: come again",
                {"Retry-After": "1"},
            )
        metrics.waiting += 1
        try:
            async with asyncio.timeout(options.timeout):
                return await page.answer(self._service, request)
        except TimeoutError as error:
            raise ApiError(
                504, f"no answer within {options.timeout:g} s", {"Connection": "close"}
            ) from error
        finally:
            metrics.waiting -= 1

    def _check_host(self, request: Request) -> None:
        """Refuses a foreign name.

        A page in a browser reaches this address under a name of its own, once that name's server
        points it here (DNS rebinding); an address it cannot make its own.
        """
        host = request.headers.get("host", "")
        match = _HOST.fullmatch(host)
        name = match[1].strip("[]").rstrip(".").lower() if match else ""
        if name in self._hosts:
            return
        try:
            ipaddress.ip_address(name)
        except ValueError as error:
            raise ApiError(
                421, f"Host: {host[:100]} is not served here; --allowed_hosts names those that are"
            ) from error

    def _check_token(self, request: Request) -> None:
        if not self._token:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        if scheme.lower() != "bearer" or not is_right:
            raise ApiError(
                401, "expected Authorization: Bearer and the token", {"WWW-Authenticate": "Bearer"}
            )


def _page_of(path: str) -> Page | None:
    return SERVING if SERVING_PATHS.fullmatch(path) else PAGES.get(path)
