"""The portal's routes: the page, its files, the overview; loopback only, like all of /simulator."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from taskrouter_simulator.portal.state import overview
from taskrouter_simulator.web import is_local

if TYPE_CHECKING:
    from taskrouter_simulator.server import Simulator

PAGE = "/simulator/portal"
STATE = "/simulator/state"
TIME_HEADER = "X-Simulator-Time"

_FILES = {path.name: path for path in (Path(__file__).parent / "static").iterdir()}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(simulator: "Simulator") -> list[Route]:
    """The table of the portal's routes."""

    async def state(request: Request) -> Response:
        return _state(simulator, request)

    return [
        _route("/", _to_page),
        _route(f"{PAGE}/", _to_page),
        _route(PAGE, _page),
        _route(f"{PAGE}/{{name}}", _file),
        _route(STATE, state),
    ]


def _route(path: str, handler: Endpoint) -> Route:
    async def endpoint(request: Request) -> Response:
        answer = (
            await handler(request)
            if is_local(request)
            else PlainTextResponse("loopback only", status_code=403)
        )
        answer.headers.update(_HEADERS)
        return answer

    return Route(path, endpoint, methods=["GET"])


async def _to_page(_request: Request) -> Response:
    return RedirectResponse(PAGE)


async def _page(_request: Request) -> Response:
    return _content("portal.html")


async def _file(request: Request) -> Response:
    return _content(request.path_params["name"])


def _content(name: str) -> Response:
    path = _FILES.get(name)
    if path is None:
        return PlainTextResponse("no such file", status_code=404)
    return Response(path.read_bytes(), headers={"Content-Type": _TYPES[path.suffix]})


def _state(simulator: "Simulator", request: Request) -> Response:
    """The overview or 304; time goes into a header, as it changes when nothing else does."""
    content = overview(
        simulator.engine, simulator.log.entries(), request.query_params.get("workspace")
    )
    body = json.dumps(content, separators=(",", ":")).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, TIME_HEADER: f"{simulator.clock.now():.6f}"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers={**headers, "Content-Type": "application/json"})
