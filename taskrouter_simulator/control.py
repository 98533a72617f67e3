"""Control routes under /simulator, accessible from this machine only."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.call_model import Call
from taskrouter_simulator.engine.calls import call_control
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import Refusal
from taskrouter_simulator.engine.model import Activity, TaskQueue, Worker
from taskrouter_simulator.faults import FaultError, Faults
from taskrouter_simulator.identifiers import Credentials, is_url
from taskrouter_simulator.log import Log
from taskrouter_simulator.origins import NOT_LOCAL
from taskrouter_simulator.seed import Description, SeedError
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.web import AsciiJsonResponse, is_local

_MAX_ADVANCE = 10 * 365 * 86_400
_CALL_FIELDS = ("from", "to", "url", "digits", "worker_answers")
_MAX_DIGITS_ITEMS = 100


class Simulator(Protocol):
    """The parts of the running simulator that the control routes use.

    Attributes:
        credentials: The test credentials.
        engine: The current engine; a reset replaces it.
        log: The log.
        faults: The pending faults.
        settings: The settings.
        workspace_sid: The loaded Workspace, a WS… SID.
        workflow_sid: The first loaded Workflow, a WW… SID; "" if there is none.
    """

    credentials: Credentials
    engine: Engine
    log: Log
    faults: Faults
    settings: Settings
    workspace_sid: str
    workflow_sid: str

    async def advance(self, seconds: float) -> None:
        """Move the clock forward and wait for the resulting callbacks."""

    def reset(self, description: Description | None = None) -> None:
        """Replace the Workspace, and clear timers, callbacks, log and faults."""


Handler = Callable[[Simulator, Request], Awaitable[Any]]


class ControlError(ValueError):
    """An invalid request.

    Args:
        message: Description of the error.
        status: HTTP status of the response.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


async def _describe(simulator: Simulator, _request: Request) -> Any:
    """Return the test credentials, and the loaded Workspace's SIDs by friendly name."""
    workspace = simulator.engine.workspaces.get(simulator.workspace_sid)
    return {
        **asdict(simulator.credentials),
        "workspace_sid": simulator.workspace_sid,
        "workflow_sid": simulator.workflow_sid,
        "callback_base_url": simulator.settings.callback_base_url,
        "workers": _sids_by_name(workspace.workers if workspace else {}),
        "activities": _sids_by_name(workspace.activities if workspace else {}),
        "task_queues": _sids_by_name(workspace.queues if workspace else {}),
    }


async def _log(simulator: Simulator, request: Request) -> Any:
    """List the log entries with an id greater than `after`, optionally of one `kind`."""
    after = request.query_params.get("after", "0")
    if not re.fullmatch("[0-9]{1,15}", after):
        raise ControlError("after must be the id of a log entry")
    return {"entries": simulator.log.entries(request.query_params.get("kind"), int(after))}


async def _clock(simulator: Simulator, request: Request) -> Any:
    """Advance the clock by `{"advance": seconds}` and run the due timers in order."""
    seconds = (await _json_object(request)).get("advance")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ControlError('the body must be {"advance": seconds}')
    if not 0 <= seconds <= _MAX_ADVANCE:
        raise ControlError(f"advance must be between 0 and {_MAX_ADVANCE} seconds")
    await simulator.advance(seconds)
    return {"now": simulator.engine.now()}


async def _faults(simulator: Simulator, request: Request) -> Any:
    """Add a fault (POST), list the pending faults (GET), or remove all (DELETE)."""
    if request.method == "POST":
        simulator.faults.add(await _json_object(request))
    if request.method == "DELETE":
        simulator.faults.clear()
    return {"faults": simulator.faults.pending()}


async def _events(simulator: Simulator, request: Request) -> Any:
    """Publish an event of any documented type about a Reservation or a Task."""
    body = await _json_object(request)
    event_type = str(body.get("event_type"))
    if event_type not in events.TYPES:
        raise ControlError("event_type must be an event type that Twilio documents")
    engine = simulator.engine
    for workspace in engine.workspaces.values():
        reservation = workspace.reservations.get(str(body.get("reservation_sid")))
        task_sid = reservation.task_sid if reservation else str(body.get("task_sid"))
        task = workspace.tasks.get(task_sid)
        if task:
            events.publish(
                engine,
                workspace,
                event_type,
                f"{event_type} published on request",
                sid=reservation.sid if reservation else task.sid,
                task=task,
                worker=workspace.workers.get(reservation.worker_sid) if reservation else None,
                reservation=reservation,
            )
            await simulator.advance(0)
            return {"event_type": event_type}
    raise ControlError("reservation_sid or task_sid must name an existing Reservation or Task")


async def _calls(simulator: Simulator, request: Request) -> Any:
    """Place a call (POST), or list the calls, oldest first (GET)."""
    if request.method == "GET":
        return {"calls": [_render_call(call) for call in simulator.engine.calls.values()]}
    call = _place_call(simulator.engine, await _json_object(request))
    await simulator.advance(0)
    return _render_call(call)


async def _call(simulator: Simulator, request: Request) -> Any:
    """Return a call (GET), or hang up with `{"status": "completed"}` (POST)."""
    sid = request.path_params["sid"]
    body = await _json_object(request) if request.method == "POST" else None
    call = simulator.engine.calls.get(sid)
    if call is None:
        raise ControlError(f"call {sid[:50]} does not exist", 404)
    if body is not None:
        if body != {"status": "completed"}:
            raise ControlError('the body must be {"status": "completed"}')
        try:
            call_control.hang_up(simulator.engine, call)
        except Refusal as refusal:
            raise ControlError(refusal.message) from refusal
        await simulator.advance(0)
    return _render_call(call)


async def _reset(simulator: Simulator, request: Request) -> Any:
    """Reset the simulator to the Workspace in the body or the original Workspace."""
    simulator.reset(await _json_object(request) or None)
    return await _describe(simulator, request)


ROUTES: dict[str, tuple[Handler, list[str]]] = {
    "/simulator": (_describe, ["GET"]),
    "/simulator/log": (_log, ["GET"]),
    "/simulator/clock": (_clock, ["POST"]),
    "/simulator/faults": (_faults, ["GET", "POST", "DELETE"]),
    "/simulator/events": (_events, ["POST"]),
    "/simulator/calls": (_calls, ["GET", "POST"]),
    "/simulator/calls/{sid}": (_call, ["GET", "POST"]),
    "/simulator/reset": (_reset, ["POST"]),
}
"""Handlers and methods by path."""


def control_routes(simulator: Simulator) -> list[Route]:
    """Return the control routes of a simulator."""
    return [
        Route(path, _endpoint(simulator, handler), methods=methods)
        for path, (handler, methods) in ROUTES.items()
    ]


def _endpoint(simulator: Simulator, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not is_local(request):
            return AsciiJsonResponse({"message": NOT_LOCAL}, status_code=403)
        try:
            return AsciiJsonResponse(await handler(simulator, request))
        except ControlError as error:
            return AsciiJsonResponse({"message": str(error)}, status_code=error.status)
        except (FaultError, SeedError) as error:
            return AsciiJsonResponse({"message": str(error)}, status_code=400)

    return endpoint


def _sids_by_name(resources: Mapping[str, Worker | Activity | TaskQueue]) -> dict[str, str]:
    return {resource.friendly_name: sid for sid, resource in resources.items()}


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise ControlError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise ControlError("the body must be a JSON object")
    return body


def _place_call(engine: Engine, description: Mapping[str, Any]) -> Call:
    """Place a call.

    Args:
        engine: The engine.
        description: `from`, `to`, and these optional fields: `url`, the URL of the first document
            (default: the app's `voice_path`); `digits`, the keys pressed, a string or a list with
            one item for each `<Gather>` (null for no key); `worker_answers` (default: true).

    Raises:
        ControlError: The description is invalid.
    """
    if unknown := sorted(description.keys() - set(_CALL_FIELDS)):
        raise ControlError(
            f"{unknown[0]} is not a field of a call; the fields are {', '.join(_CALL_FIELDS)}"
        )
    for name in ("from", "to"):
        if not _matches(description.get(name), "[!-~]{1,100}"):
            raise ControlError(
                f"{name} must be a phone number such as +15550001111, or a client such as "
                "client:alice"
            )
    url = description.get("url", engine.settings.url(engine.settings.voice_path) or None)
    if url is None:
        raise ControlError("url is required if the setting voice_path is empty")
    if not isinstance(url, str) or not is_url(url):
        raise ControlError("url must be an absolute URL")
    worker_answers = description.get("worker_answers", True)
    if not isinstance(worker_answers, bool):
        raise ControlError("worker_answers must be true or false")
    return call_control.place(
        engine,
        caller=description["from"],
        called=description["to"],
        url=url,
        keys=_parse_digits(description.get("digits")),
        worker_answers=worker_answers,
    )


def _parse_digits(digits: Any) -> list[str | None]:
    keys = digits if isinstance(digits, list) else [digits]
    are_valid = all(item is None or _matches(item, "[0-9*#]*") for item in keys)
    if len(keys) > _MAX_DIGITS_ITEMS or not are_valid:
        raise ControlError(
            'digits must be a string of keys such as "1", or a list of at most '
            f"{_MAX_DIGITS_ITEMS} such strings and nulls"
        )
    return list(keys)


def _matches(value: Any, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _render_call(call: Call) -> dict[str, Any]:
    return {
        "sid": call.sid,
        "from": call.caller,
        "to": call.called,
        "direction": call.direction,
        "status": call.status,
        "url": call.url,
        "task_sid": call.task_sid or None,
        "reservation_sid": call.reservation_sid or None,
        "connected_with": call.partner_sid,
        "steps": call.steps,
    }
