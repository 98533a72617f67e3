"""Routes of the portal, accessible from this machine only."""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.log import Log
from taskrouter_simulator.origins import NOT_LOCAL
from taskrouter_simulator.portal.overview import build_overview
from taskrouter_simulator.spelling import describe_unknown
from taskrouter_simulator.web import is_local

PAGE = "/simulator/portal"
STATE = "/simulator/state"
TIME_HEADER = "X-Simulator-Time"

_FILES = {path.name: path for path in (Path(__file__).parent / "static").iterdir()}
_CONTENT_TYPES = {
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


def portal_routes(current_engine: Callable[[], Engine], log: Log) -> list[Route]:
    """Return the portal's routes.

    Args:
        current_engine: Returns the current engine, which a reset replaces.
        log: The log shown in the overview.
    """

    async def redirect(_request: Request) -> Response:
        return RedirectResponse(PAGE)

    async def page(_request: Request) -> Response:
        return _file("portal.html")

    async def file(request: Request) -> Response:
        return _file(request.path_params["name"])

    async def state(request: Request) -> Response:
        return _state(current_engine(), log, request)

    return [
        _route("/", redirect),
        _route(f"{PAGE}/", redirect),
        _route(PAGE, page),
        _route(f"{PAGE}/{{name}}", file),
        _route(STATE, state),
    ]


def _route(path: str, handler: Endpoint) -> Route:
    async def endpoint(request: Request) -> Response:
        response = (
            await handler(request)
            if is_local(request)
            else PlainTextResponse(NOT_LOCAL, status_code=403)
        )
        response.headers.update(_HEADERS)
        return response

    return Route(path, endpoint, methods=["GET"])


def _file(name: str) -> Response:
    path = _FILES.get(name)
    if path is None:
        return PlainTextResponse("no such file", status_code=404)
    return Response(path.read_bytes(), headers={"Content-Type": _CONTENT_TYPES[path.suffix]})


def _state(engine: Engine, log: Log, request: Request) -> Response:
    """Return the overview, or 304 if it is unchanged.

    An unknown Workspace is not an error, because a reset deletes the Workspace that the page shows.
    The time is in a header, because it changes even when the overview does not.
    """
    if unknown := sorted(set(request.query_params) - {"workspace"}):
        message = f"unknown query parameter {describe_unknown(unknown[0], ['workspace'])}"
        return PlainTextResponse(message, status_code=400)
    workspace_sid = request.query_params.get("workspace", "")
    if not re.fullmatch("(WS[0-9a-f]{32})?", workspace_sid):
        return PlainTextResponse("workspace must be a WS… SID", status_code=400)
    content = build_overview(engine, log.entries(), workspace_sid)
    body = json.dumps(content, separators=(",", ":")).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, TIME_HEADER: f"{engine.now():.6f}"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers={**headers, "Content-Type": "application/json"})
