"""The route of the browser SDK: a WebSocket for events, and POST for requests.

The SDK posts JSON with the request's method, URL, parameters and Access Token, and expects the
resource as `payload`. Pages that this machine serves and pages from allowed origins may send
these requests.
"""

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import ApiError, BadRequest
from taskrouter_simulator.engine.model import Event, Worker, Workspace
from taskrouter_simulator.event_bridge import payloads
from taskrouter_simulator.event_bridge.operations import respond
from taskrouter_simulator.event_bridge.payloads import Payload
from taskrouter_simulator.event_bridge.request import SdkRequest, encode_parameters
from taskrouter_simulator.event_bridge.sessions import (
    POLICY_VIOLATION,
    REPLACED,
    SERVICE_RESTART,
    Session,
    close,
)
from taskrouter_simulator.event_bridge.tokens import Grant, verify
from taskrouter_simulator.faults import Fault, Faults
from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.origins import FOREIGN, is_foreign, is_local_page
from taskrouter_simulator.rest.api import CutConnection, InjectedError, as_api_error, delay
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.web import AsciiJsonResponse, read_body

PATH = "/v1/wschannels"
_PREFLIGHT_SECONDS = "600"
_SID_LENGTH = 34
_OFFLINE = "Offline"
"""Name of the Activity of a disconnected Worker, as in Flex and in the quickstart."""


class EventBridge:
    """Serves the browser SDK.

    Args:
        current_engine: Returns the current engine, which a reset replaces.
        settings: The settings.
        credentials: The account, and the API key that signs Access Tokens.
        record: Adds an entry to the log.
        faults: Faults to inject into the requests.
    """

    def __init__(
        self,
        current_engine: Callable[[], Engine],
        settings: Settings,
        credentials: Credentials,
        record: Callable[..., None],
        faults: Faults,
    ) -> None:
        self._current_engine = current_engine
        self._settings = settings
        self._credentials = credentials
        self._record = record
        self._faults = faults
        self._allowed_hosts = settings.allowed_host_names()
        self._allowed_origins = settings.allowed_page_origins()
        self._sessions: dict[str, list[Session]] = defaultdict(list)

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            WebSocketRoute(PATH, self._connect),
            Route(PATH, self._post, methods=["POST"]),
            Route(PATH, self._preflight, methods=["OPTIONS"]),
        ]

    def publish(self, engine: Engine, workspace: Workspace, event: Event) -> None:
        """Send an event to the connected Workers that it concerns."""
        render = payloads.EVENTS.get((event.resource_type, event.event_type))
        if render is None or not self._sessions:
            return
        for worker_sid in payloads.recipients(workspace, event):
            for session in self._sessions.get(worker_sid, ()):
                session.send(event.event_type, render(engine, workspace, event))

    def disconnect(self) -> None:
        """Close all connections, because the Workspace was replaced; the SDK reconnects."""
        for sessions in self._sessions.values():
            for session in sessions:
                session.close(SERVICE_RESTART, "The simulator was reset")

    async def _connect(self, socket: WebSocket) -> None:
        """Serve a connection; the SDK's `disconnected` event contains the reason for closing."""
        if self._is_foreign(socket.headers):
            await socket.close()
            return
        await socket.accept()
        query = socket.query_params
        try:
            grant = verify(query.get("token"), self._credentials, time.time())
            workspace, worker = self._find_worker(grant)
        except ApiError as error:
            await close(socket, POLICY_VIOLATION, error.message)
            return
        session = self._new_session(grant, query.get("setWorkerOfflineIfDisconnected"))
        sessions = self._sessions[worker.sid]
        if query.get("closeExistingSessions") == "true":
            for other in sessions:
                other.close(REPLACED, "The Worker has connected again")
        sessions.append(session)
        session.send("init", self._greeting(grant))
        try:
            await session.serve(socket)
        finally:
            sessions.remove(session)
            if not sessions:
                self._sessions.pop(worker.sid, None)
                if session.sets_offline and not session.closed_by_server:
                    _set_offline(self._current_engine(), workspace, worker)

    def _new_session(self, grant: Grant, offline_option: str | None) -> Session:
        expires = grant.expires if self._settings.expired_token_disconnects else math.inf
        default = str(self._settings.disconnected_worker == "offline").lower()
        return Session(
            lambda: expires - time.time(), sets_offline=(offline_option or default) == "true"
        )

    def _find_worker(self, grant: Grant) -> tuple[Workspace, Worker]:
        workspace = self._current_engine().workspace(grant.workspace_sid)
        if grant.worker_sid not in workspace.workers:
            sid = grant.worker_sid[:_SID_LENGTH]
            raise BadRequest(f"The Access Token's Worker {sid!r} does not exist")
        return workspace, workspace.workers[grant.worker_sid]

    def _greeting(self, grant: Grant) -> dict[str, Any]:
        return {
            "account_sid": self._credentials.account_sid,
            "channel_id": grant.worker_sid,
            "token_lifetime": int((grant.expires - time.time()) * 1000),
            "workspace_sid": grant.workspace_sid,
        }

    async def _preflight(self, http: HttpRequest) -> HttpResponse:
        """Respond to a CORS preflight request."""
        if self._is_foreign(http.headers):
            return AsciiJsonResponse({"message": FOREIGN}, 403)
        headers = {
            **_cors(http),
            "Access-Control-Allow-Headers": "*",
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
        }
        return HttpResponse(status_code=204, headers=headers)

    async def _post(self, http: HttpRequest) -> HttpResponse:
        """Execute a request from the SDK."""
        if self._is_foreign(http.headers):
            return AsciiJsonResponse({"message": FOREIGN}, 403)
        sent, fault = _ParsedRequest("POST", "", {}), None
        try:
            body = _parse(await read_body(http))
            grant = verify(body.get("token"), self._credentials, time.time())
            sent = _validate(body)
            fault = self._faults.take("request", sent.method, f"/v1/{sent.path}")
            if_match = http.headers.get("if-match")
            request = SdkRequest(self._current_engine(), grant, *sent, if_match, {})
            if fault:
                await delay(fault, "before")
            if request.engine is not self._current_engine():
                return CutConnection()
            status, content = 200, {"payload": _execute(request, fault)}
        except ClientDisconnect:
            # This response is never sent, because the client has disconnected.
            return HttpResponse(status_code=400)
        except Exception as error:  # noqa: BLE001 - logged
            api_error = as_api_error(error)
            status, content = api_error.status, _error(api_error)
        self._record(
            "request",
            method=sent.method,
            path=f"/v1/{sent.path}" if sent.path else PATH,
            parameters=sent.parameters,
            status=status,
            answer=content.get("payload", content),
            fault=f"{fault.kind} {fault.moment}" if fault else None,
        )
        if fault:
            await delay(fault, "after")
            if fault.kind == "cut":
                return CutConnection()
        return AsciiJsonResponse(content, status, _cors(http))

    def _is_foreign(self, headers: Headers) -> bool:
        """Return whether the request may come from a page that is not allowed to use the SDK."""
        origin = headers.get("origin")
        if origin is not None and is_local_page(origin):
            origin = None
        return is_foreign(
            headers.get("host"),
            origin,
            allowed_hosts=self._allowed_hosts,
            allowed_origins=self._allowed_origins,
        )


class _ParsedRequest(NamedTuple):
    """The SDK's request in the body of a POST request."""

    method: str
    path: str
    parameters: dict[str, str]


def _execute(request: SdkRequest, fault: Fault | None) -> Payload:
    """Execute a request, and return its payload, unless a fault intervenes.

    Raises:
        ApiError: The request is rejected, the fault is an error, or the fault cuts the connection
            before the request takes effect.
    """
    if fault is None or fault.kind == "latency":
        return respond(request)
    if fault.moment == "before":
        raise InjectedError(fault)
    payload = respond(request)
    if fault.kind == "error":
        raise InjectedError(fault)
    return payload


def _set_offline(engine: Engine, workspace: Workspace, worker: Worker) -> None:
    """Set a Worker offline after the Worker's last connection has ended."""
    activity = workspace.activity(_OFFLINE)
    is_current = engine.workspaces.get(workspace.sid) is workspace
    if is_current and activity and worker.sid in workspace.workers:
        workers.set_activity(engine, workspace, worker, activity.sid)


def _parse(body: bytes) -> dict[str, Any]:
    """Parse a body as a JSON object, although the SDK declares the body as a form."""
    try:
        value = json.loads(body, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON or is nested too deeply") from error
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object")
    return value


def _reject_constant(name: str) -> None:
    """Reject NaN and Infinity, which Python's parser accepts."""
    raise ValueError(name)


def _validate(body: dict[str, Any]) -> _ParsedRequest:
    url, method, parameters = body.get("url"), body.get("method"), body.get("params", {})
    if method not in ("GET", "POST"):
        raise BadRequest("method must be GET or POST")
    if not isinstance(url, str) or not isinstance(parameters, dict):
        raise BadRequest("url must be a string, and params must be an object")
    return _ParsedRequest(method, url.removeprefix("/"), encode_parameters(parameters))


def _error(error: ApiError) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "more_info": f"https://www.twilio.com/docs/errors/{error.code}",
        "status": error.status,
    }


def _cors(http: HttpRequest) -> dict[str, str]:
    """Return the headers that allow a page from another origin to read the response."""
    return {"Access-Control-Allow-Origin": http.headers.get("origin", "*"), "Vary": "Origin"}
