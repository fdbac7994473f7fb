"""The page at `/`, its style and its script, as they lie in `static/`. Needs starlette.

They hold nothing of the model, so they ask for no token: a browser sends none for a page.
"""

import functools
import pathlib

from starlette.requests import Request
from starlette.responses import Response

from tf_textrnn.predictor.server.asking import Page, Service

FOLDER = pathlib.Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}


async def _file(content: bytes, kind: str, service: Service, request: Request) -> Response:
    return Response(content, headers={**HEADERS, "Content-Type": kind})


STATIC_PAGES = {
    path: Page(
        "page",
        ("GET", "HEAD"),
        functools.partial(_file, (FOLDER / name).read_bytes(), kind),
        is_public=True,
    )
    for path, (name, kind) in _FILES.items()
}
