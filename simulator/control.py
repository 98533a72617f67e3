"""What a test or a person does to the simulator itself, under /simulator; loopback only."""

import ipaddress
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.engine.model import Activity, TaskQueue, Worker
from simulator.identifiers import made_up

if TYPE_CHECKING:
    from simulator.server import Simulator

Endpoint = Callable[[Request], Awaitable[Response]]

_MAX_ADVANCE = 10 * 365 * 86_400


class ControlError(ValueError):
    """A request that cannot be carried out; the message says why."""


def routes(simulator: "Simulator") -> list[Route]:
    """The table of the control routes."""

    async def about(_request: Request) -> Any:
        return describe(simulator)

    async def log(request: Request) -> Any:
        after = request.query_params.get("after", "0")
        if not re.fullmatch("[0-9]{1,15}", after):
            raise ControlError("after must be the id of a log entry")
        return {"entries": simulator.log.entries(request.query_params.get("kind"), int(after))}

    async def clock(request: Request) -> Any:
        body = await _json(request)
        seconds = body.get("advance")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ControlError('send {"advance": seconds}')
        if not (math.isfinite(seconds) and 0 <= seconds <= _MAX_ADVANCE):
            raise ControlError(f"advance must be 0 to {_MAX_ADVANCE} seconds")
        await simulator.advance(seconds)
        return {"now": simulator.clock.now()}

    async def reset(_request: Request) -> Any:
        simulator.reset()
        return describe(simulator)

    return [
        _route("/simulator", "GET", about),
        _route("/simulator/log", "GET", log),
        _route("/simulator/clock", "POST", clock),
        _route("/simulator/reset", "POST", reset),
    ]


def describe(simulator: "Simulator") -> dict[str, Any]:
    """The made-up credentials, and the SIDs by name of the quickstart's Workspace."""
    workspace_sid = "WS" + made_up("workspace")
    workspace = simulator.engine.workspaces.get(workspace_sid)
    return {
        "account_sid": simulator.account_sid,
        "auth_token": simulator.auth_token,
        "api_key_sid": simulator.api_key_sid,
        "api_key_secret": simulator.api_key_secret,
        "workspace_sid": workspace_sid,
        "workflow_sid": "WW" + made_up("workflow"),
        "workers": _by_name(workspace.workers if workspace else {}),
        "activities": _by_name(workspace.activities if workspace else {}),
        "task_queues": _by_name(workspace.queues if workspace else {}),
    }


def _by_name(resources: Mapping[str, Worker | Activity | TaskQueue]) -> dict[str, str]:
    return {one.friendly_name: sid for sid, one in resources.items()}


def _route(path: str, method: str, handler: Callable[[Request], Awaitable[Any]]) -> Route:
    async def endpoint(request: Request) -> Response:
        if not _is_local(request):
            return JSONResponse({"message": "loopback only"}, status_code=403)
        try:
            return JSONResponse(await handler(request))
        except ControlError as error:
            return JSONResponse({"message": str(error)}, status_code=400)

    return Route(path, endpoint, methods=[method])


def _is_local(request: Request) -> bool:
    """Whether the peer is this machine, and no web page of another origin sent it here."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    origin = request.headers.get("origin")
    same = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    return (
        same and _is_loopback(host) and _is_loopback(request.client.host if request.client else "")
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise ControlError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise ControlError("the body must be a JSON object")
    return body
