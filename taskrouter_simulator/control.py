"""Control routes under /simulator, for this machine and for clients with the control token."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskrouter_simulator import control_calls, control_transfers
from taskrouter_simulator.control_base import ControlError, Simulator
from taskrouter_simulator.control_requests import parse_values
from taskrouter_simulator.definition.document import DefinitionError
from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.model import (
    Activity,
    Reservation,
    Task,
    TaskQueue,
    Worker,
    Workspace,
)
from taskrouter_simulator.faults import FaultError
from taskrouter_simulator.log import KINDS
from taskrouter_simulator.origins import NOT_LOCAL
from taskrouter_simulator.spelling import describe_unknown
from taskrouter_simulator.web import AsciiJsonResponse, SnapshotError, has_token, is_local

_MAX_ADVANCE_SECONDS = 10 * 365 * 86_400

Handler = Callable[..., Awaitable[Any]]


async def _describe(simulator: Simulator) -> Any:
    """Return the test credentials, the loaded Workspace's SIDs and the app's base URL."""
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
    """Advance the clock by `advance` seconds, and run the due timers in order."""
    if isinstance(advance, bool) or not isinstance(advance, int | float):
        raise ControlError('the body must be {"advance": seconds}')
    if not 0 <= advance <= _MAX_ADVANCE_SECONDS:
        raise ControlError(f"advance must be between 0 and {_MAX_ADVANCE_SECONDS} seconds")
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
        description = describe_unknown(str(event_type), sorted(events.TYPES))
        raise ControlError(
            f"event_type must be an event type that Twilio documents, not {description}"
        )
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


async def _reset(simulator: Simulator, /, **workspace: Any) -> Any:
    """Reset the simulator to the Workspace in the body, or to the original Workspace."""
    simulator.reset(workspace or None)
    return await _describe(simulator)


async def _take_snapshot(simulator: Simulator) -> Any:
    """Return the complete state as JSON."""
    return simulator.snapshot()


async def _restore_snapshot(
    simulator: Simulator,
    *,
    version: Any = None,
    engine: Any = None,
    state: Any = None,
    objects: Any = None,
    checksum: Any = None,
) -> Any:
    """Restore the snapshot in the body."""
    content = {"version": version, "engine": engine, "state": state, "objects": objects}
    simulator.restore({**content, "checksum": checksum})
    return await _describe(simulator)


ROUTES: dict[str, dict[str, Handler]] = {
    "/simulator": {"GET": _describe},
    "/simulator/log": {"GET": _log},
    "/simulator/clock": {"POST": _clock},
    "/simulator/faults": {"GET": _list_faults, "POST": _add_fault, "DELETE": _clear_faults},
    "/simulator/events": {"POST": _publish_event},
    "/simulator/calls": {"GET": control_calls.list_calls, "POST": control_calls.place},
    "/simulator/calls/{sid}": {"GET": control_calls.fetch, "POST": control_calls.update},
    "/simulator/transfers": {"POST": control_transfers.create},
    "/simulator/transfers/{sid}": {
        "GET": control_transfers.fetch,
        "POST": control_transfers.cancel,
    },
    "/simulator/reset": {"POST": _reset},
    "/simulator/snapshot": {"GET": _take_snapshot, "PUT": _restore_snapshot},
}
"""Handlers by path and method.

A handler's keyword-only arguments are the allowed names in the JSON body of a POST or PUT request.
For other methods, the names are in the query string. A handler with `**` arguments accepts all
names.
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
    # `from` is a keyword in Python, so the argument is named `from_`.
    argument_names = {
        parameter.name.rstrip("_"): parameter.name
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    }

    async def endpoint(request: Request) -> Response:
        if not (is_local(request) or has_token(request, simulator.settings.control_token)):
            return AsciiJsonResponse({"message": NOT_LOCAL}, status_code=403)
        try:
            values = await parse_values(request, None if accepts_all else argument_names)
            arguments = {argument_names.get(name, name): value for name, value in values.items()}
            content = await handler(simulator, **request.path_params, **arguments)
            return AsciiJsonResponse(content)
        except ControlError as error:
            return AsciiJsonResponse({"message": str(error)}, status_code=error.status)
        except (FaultError, DefinitionError, SnapshotError) as error:
            return AsciiJsonResponse({"message": str(error)}, status_code=400)

    return endpoint


def _sids_by_name(resources: Mapping[str, Worker | Activity | TaskQueue]) -> dict[str, str]:
    return {resource.friendly_name: sid for sid, resource in resources.items()}


def _find_task(
    engine: Engine, reservation_sid: Any, task_sid: Any
) -> tuple[Workspace, Task, Reservation | None]:
    """Return the Workspace, the Task and, if requested, the Reservation."""
    for workspace in engine.workspaces.values():
        reservation = workspace.reservations.get(str(reservation_sid))
        task = workspace.tasks.get(reservation.task_sid if reservation else str(task_sid))
        has_reservation = reservation_sid is None or reservation is not None
        if task and has_reservation and task_sid in {None, task.sid}:
            return workspace, task, reservation
    raise ControlError(
        "reservation_sid or task_sid must be the SID of an existing Reservation or Task; if both "
        "are given, the Reservation must belong to the Task"
    )
