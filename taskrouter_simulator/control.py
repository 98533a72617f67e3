"""Control routes under /simulator, accessible from this machine only."""

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
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
from taskrouter_simulator.engine.model import (
    Activity,
    Reservation,
    Task,
    TaskQueue,
    Worker,
    Workspace,
)
from taskrouter_simulator.faults import FaultError, Faults
from taskrouter_simulator.identifiers import Credentials, is_url
from taskrouter_simulator.log import KINDS, Log
from taskrouter_simulator.origins import NOT_LOCAL
from taskrouter_simulator.seed import Description, SeedError
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.spelling import describe_unknown
from taskrouter_simulator.web import AsciiJsonResponse, is_local

_MAX_ADVANCE = 10 * 365 * 86_400
_DEFAULT = object()
"""Sentinel that distinguishes an absent field from null."""
_MAX_DIGITS_ITEMS = 100


class Simulator(Protocol):
    """The interface of the simulator that the control routes use.

    Attributes:
        credentials: The test credentials.
        engine: The current engine; a reset replaces it.
        log: The log.
        faults: The pending faults.
        settings: The settings.
        workspace_sid: SID of the loaded Workspace (WS…).
        workflow_sid: SID of the first loaded Workflow (WW…); "" if there is none.
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


Handler = Callable[..., Awaitable[Any]]


class ControlError(ValueError):
    """An invalid request.

    Args:
        message: Description of the error.
        status: HTTP status of the response.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


async def _describe(simulator: Simulator) -> Any:
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


async def _log(simulator: Simulator, *, kind: str | None = None, after: str = "0") -> Any:
    """List the log entries with an id greater than `after`, optionally of one `kind`."""
    if kind is not None and kind not in KINDS:
        raise ControlError(f"unknown kind {describe_unknown(kind, KINDS)}")
    if not re.fullmatch("[0-9]{1,15}", after):
        raise ControlError("after must be the id of a log entry")
    return {"entries": simulator.log.entries(kind, int(after))}


async def _clock(simulator: Simulator, *, advance: Any = None) -> Any:
    """Advance the clock by `{"advance": seconds}` and run the due timers in order."""
    if isinstance(advance, bool) or not isinstance(advance, int | float):
        raise ControlError('the body must be {"advance": seconds}')
    if not 0 <= advance <= _MAX_ADVANCE:
        raise ControlError(f"advance must be between 0 and {_MAX_ADVANCE} seconds")
    await simulator.advance(advance)
    return {"now": simulator.engine.now()}


async def _list_faults(simulator: Simulator) -> Any:
    """List the pending faults."""
    return {"faults": simulator.faults.pending()}


async def _add_fault(simulator: Simulator, /, **description: Any) -> Any:
    """Add a fault, and list the pending faults."""
    simulator.faults.add(description)
    return await _list_faults(simulator)


async def _clear_faults(simulator: Simulator) -> Any:
    """Remove all faults."""
    simulator.faults.clear()
    return await _list_faults(simulator)


async def _publish_event(
    simulator: Simulator,
    *,
    event_type: Any = None,
    reservation_sid: Any = None,
    task_sid: Any = None,
) -> Any:
    """Publish an event of any documented type about a Reservation or a Task."""
    if event_type not in tuple(events.TYPES):
        similar = describe_unknown(str(event_type), sorted(events.TYPES))
        raise ControlError(f"event_type must be an event type that Twilio documents, not {similar}")
    engine = simulator.engine
    workspace, task, reservation = _find_task(engine, reservation_sid, task_sid)
    is_about_reservation = event_type.startswith("reservation.")
    if is_about_reservation and reservation is None:
        raise ControlError(f"{event_type} requires the reservation_sid of an existing Reservation")
    events.publish(
        engine,
        workspace,
        event_type,
        f"{event_type} published on request",
        sid=reservation.sid if reservation and is_about_reservation else task.sid,
        task=task,
        worker=workspace.workers.get(reservation.worker_sid) if reservation else None,
        reservation=reservation,
    )
    await simulator.advance(0)
    return {"event_type": event_type}


async def _list_calls(simulator: Simulator) -> Any:
    """List the calls, oldest first."""
    return {"calls": [_render_call(call) for call in simulator.engine.calls.values()]}


async def _place_call(
    simulator: Simulator,
    *,
    from_: Any = None,
    to: Any = None,
    url: Any = _DEFAULT,
    digits: Any = None,
    worker_answers: Any = True,
) -> Any:
    """Place a call.

    Args:
        simulator: The simulator.
        from_: The caller.
        to: The called number or client.
        url: The URL of the first document (default: the app's `voice_path`).
        digits: The keys pressed: a string, or a list with one item for each `<Gather>` (null for
            no key).
        worker_answers: Whether a called Worker answers.

    Raises:
        ControlError: An argument is invalid.
    """
    for name, value in (("from", from_), ("to", to)):
        if not _matches(value, "[!-~]{1,100}"):
            raise ControlError(
                f"{name} must be a phone number such as +15550001111, or a client such as "
                "client:alice"
            )
    settings = simulator.settings
    url = (settings.url(settings.voice_path) or None) if url is _DEFAULT else url
    if url is None:
        raise ControlError("url is required if the setting voice_path is empty")
    if not isinstance(url, str) or not is_url(url):
        raise ControlError("url must be an absolute URL")
    if not isinstance(worker_answers, bool):
        raise ControlError("worker_answers must be true or false")
    call = call_control.place(
        simulator.engine,
        caller=from_,
        called=to,
        url=url,
        keys=_parse_digits(digits),
        worker_answers=worker_answers,
    )
    await simulator.advance(0)
    return _render_call(call)


async def _call(simulator: Simulator, sid: str) -> Any:
    """Return a call."""
    return _render_call(_find_call(simulator.engine, sid))


async def _hang_up(simulator: Simulator, sid: str, *, status: Any = None) -> Any:
    """Hang up with `{"status": "completed"}`."""
    call = _find_call(simulator.engine, sid)
    if status != "completed":
        raise ControlError('the body must be {"status": "completed"}')
    try:
        call_control.hang_up(simulator.engine, call)
    except Refusal as refusal:
        raise ControlError(refusal.message) from refusal
    await simulator.advance(0)
    return _render_call(call)


async def _reset(simulator: Simulator, /, **description: Any) -> Any:
    """Reset the simulator to the Workspace in the body, or to the original Workspace."""
    simulator.reset(description or None)
    return await _describe(simulator)


ROUTES: dict[str, dict[str, Handler]] = {
    "/simulator": {"GET": _describe},
    "/simulator/log": {"GET": _log},
    "/simulator/clock": {"POST": _clock},
    "/simulator/faults": {"GET": _list_faults, "POST": _add_fault, "DELETE": _clear_faults},
    "/simulator/events": {"POST": _publish_event},
    "/simulator/calls": {"GET": _list_calls, "POST": _place_call},
    "/simulator/calls/{sid}": {"GET": _call, "POST": _hang_up},
    "/simulator/reset": {"POST": _reset},
}
"""Handlers by path and method.

A handler's keyword-only arguments are the names allowed in the JSON body of a POST request, or in
the query string of any other request. A handler with `**description` checks the names itself.
"""


def control_routes(simulator: Simulator) -> list[Route]:
    """Return the control routes of a simulator."""
    return [
        Route(path, _endpoint(simulator, handler), methods=[method])
        for path, handlers in ROUTES.items()
        for method, handler in handlers.items()
    ]


def _endpoint(simulator: Simulator, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    parameters = inspect.signature(handler).parameters.values()
    accepts_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    # `from` is a keyword in Python, so the argument has the name `from_`.
    arguments = {
        parameter.name.rstrip("_"): parameter.name
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    }

    async def endpoint(request: Request) -> Response:
        if not is_local(request):
            return AsciiJsonResponse({"message": NOT_LOCAL}, status_code=403)
        try:
            values = await _parse(request, None if accepts_all else arguments)
            chosen = {arguments.get(name, name): value for name, value in values.items()}
            content = await handler(simulator, **request.path_params, **chosen)
            return AsciiJsonResponse(content)
        except ControlError as error:
            return AsciiJsonResponse({"message": str(error)}, status_code=error.status)
        except (FaultError, SeedError) as error:
            return AsciiJsonResponse({"message": str(error)}, status_code=400)

    return endpoint


async def _parse(request: Request, names: Collection[str] | None) -> dict[str, Any]:
    """Return the values in the body of a POST request or, otherwise, in the query string.

    Args:
        request: The request.
        names: The names that the request may contain; None for any names in the body.

    Raises:
        ControlError: A name is unknown or repeated, or the request has values in the wrong place.
    """
    pairs = request.query_params.multi_items()
    query, body = dict(pairs), await _json_object(request)
    is_post = request.method == "POST"
    for name in [*query, *body]:
        if names is not None and name not in names:
            raise ControlError(f"unknown name {describe_unknown(name, names)}")
    if len(query) < len(pairs):
        raise ControlError("a name in the query string is repeated")
    if query if is_post else body:
        right, wrong = ("JSON body", "query string") if is_post else ("query string", "body")
        raise ControlError(f"the {wrong} must be empty; put the values into the {right}")
    return body if is_post else query


def _sids_by_name(resources: Mapping[str, Worker | Activity | TaskQueue]) -> dict[str, str]:
    return {resource.friendly_name: sid for sid, resource in resources.items()}


def _unique_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members as an object; raise ControlError if a name is repeated."""
    value = dict(members)
    if len(value) < len(members):
        names = [name for name, _ in members]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ControlError(f"the body repeats the name {repeated[:100]!r}")
    return value


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}", object_pairs_hook=_unique_members)
    except ControlError:
        raise
    except (ValueError, RecursionError) as error:
        raise ControlError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise ControlError("the body must be a JSON object")
    return body


def _find_call(engine: Engine, sid: str) -> Call:
    call = engine.calls.get(sid)
    if call is None:
        raise ControlError(f"call {sid[:50]} does not exist", 404)
    return call


def _find_task(
    engine: Engine, reservation_sid: Any, task_sid: Any
) -> tuple[Workspace, Task, Reservation | None]:
    """Return the Workspace, the Task and, if requested, the Reservation."""
    for workspace in engine.workspaces.values():
        reservation = workspace.reservations.get(str(reservation_sid))
        task = workspace.tasks.get(reservation.task_sid if reservation else str(task_sid))
        is_named = reservation_sid is None or reservation is not None
        if task and is_named and task_sid in {None, task.sid}:
            return workspace, task, reservation
    raise ControlError(
        "reservation_sid or task_sid must name an existing Reservation or Task, and together they "
        "must name a Reservation of the Task"
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
