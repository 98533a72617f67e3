"""What a test or a person does to the simulator itself, under /simulator; loopback only."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskrouter_simulator import calling
from taskrouter_simulator.calling import CallError
from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.model import Activity, TaskQueue, Worker
from taskrouter_simulator.faults import FaultError
from taskrouter_simulator.seed import SeedError
from taskrouter_simulator.web import AsciiJson, is_local

if TYPE_CHECKING:
    from taskrouter_simulator.server import Simulator

Handler = Callable[["Simulator", Request], Awaitable[Any]]

_MAX_ADVANCE = 10 * 365 * 86_400


class ControlError(ValueError):
    """A request that cannot be carried out; the message says why."""


async def _about(simulator: "Simulator", _request: Request) -> Any:
    """GET: the made-up credentials, and the SIDs by name of the Workspace that was loaded."""
    workspace = simulator.engine.workspaces.get(simulator.workspace_sid)
    return {
        "account_sid": simulator.account_sid,
        "auth_token": simulator.auth_token,
        "api_key_sid": simulator.api_key_sid,
        "api_key_secret": simulator.api_key_secret,
        "shared_key_id": simulator.shared_key_id,
        "shared_key": simulator.shared_key,
        "workspace_sid": simulator.workspace_sid,
        "workflow_sid": simulator.workflow_sid,
        "workers": _by_name(workspace.workers if workspace else {}),
        "activities": _by_name(workspace.activities if workspace else {}),
        "task_queues": _by_name(workspace.queues if workspace else {}),
    }


async def _log(simulator: "Simulator", request: Request) -> Any:
    """GET: the log's entries, of one `kind`, with an id above `after`."""
    after = request.query_params.get("after", "0")
    if not re.fullmatch("[0-9]{1,15}", after):
        raise ControlError("after must be the id of a log entry")
    return {"entries": simulator.log.entries(request.query_params.get("kind"), int(after))}


async def _clock(simulator: "Simulator", request: Request) -> Any:
    """POST `{"advance": seconds}`: fire what is due until then, in order."""
    seconds = (await _json(request)).get("advance")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ControlError('send {"advance": seconds}')
    if not 0 <= seconds <= _MAX_ADVANCE:
        raise ControlError(f"advance must be 0 to {_MAX_ADVANCE} seconds")
    await simulator.advance(seconds)
    return {"now": simulator.clock.now()}


async def _faults(simulator: "Simulator", request: Request) -> Any:
    """POST a fault, GET those that wait, DELETE them all."""
    if request.method == "POST":
        simulator.faults.add(await _json(request))
    if request.method == "DELETE":
        simulator.faults.clear()
    return {"faults": simulator.faults.waiting()}


async def _events(simulator: "Simulator", request: Request) -> Any:
    """POST `{"event_type": …, "reservation_sid" or "task_sid": …}`: publish such an event."""
    given = await _json(request)
    event_type = str(given.get("event_type"))
    if event_type not in events.TYPES:
        raise ControlError("event_type must be one that Twilio documents")
    engine = simulator.engine
    for workspace in engine.workspaces.values():
        reservation = workspace.reservations.get(str(given.get("reservation_sid")))
        task_sid = reservation.task_sid if reservation else str(given.get("task_sid"))
        task = workspace.tasks.get(task_sid)
        if task:
            events.publish(
                engine,
                workspace,
                event_type,
                f"{event_type}, on request",
                sid=reservation.sid if reservation else task.sid,
                task=task,
                worker=workspace.workers.get(reservation.worker_sid) if reservation else None,
                reservation=reservation,
            )
            await simulator.advance(0)
            return {"event_type": event_type}
    raise ControlError("name the reservation_sid or task_sid of one that is there")


async def _calls(simulator: "Simulator", request: Request) -> Any:
    """POST a call, GET those that were placed, the oldest first."""
    if request.method == "GET":
        return {"calls": [calling.render(one) for one in simulator.engine.calls.values()]}
    call = calling.place(simulator.engine, await _json(request))
    await simulator.advance(0)
    return calling.render(call)


async def _call(simulator: "Simulator", request: Request) -> Any:
    """GET one call; POST `{"status": "completed"}` to hang up."""
    sid = request.path_params["sid"]
    if request.method == "GET":
        return calling.render(calling.find(simulator.engine, sid))
    call = calling.change(simulator.engine, sid, await _json(request))
    await simulator.advance(0)
    return calling.render(call)


async def _reset(simulator: "Simulator", request: Request) -> Any:
    """POST: begin anew, with the Workspace that the body describes, or the first one."""
    simulator.reset(await _json(request) or None)
    return await _about(simulator, request)


_ROUTES: dict[str, tuple[Handler, list[str]]] = {
    "/simulator": (_about, ["GET"]),
    "/simulator/log": (_log, ["GET"]),
    "/simulator/clock": (_clock, ["POST"]),
    "/simulator/faults": (_faults, ["GET", "POST", "DELETE"]),
    "/simulator/events": (_events, ["POST"]),
    "/simulator/calls": (_calls, ["GET", "POST"]),
    "/simulator/calls/{sid}": (_call, ["GET", "POST"]),
    "/simulator/reset": (_reset, ["POST"]),
}


def routes(simulator: "Simulator") -> list[Route]:
    """The control routes of a simulator."""
    return [
        Route(path, _endpoint(simulator, handler), methods=methods)
        for path, (handler, methods) in _ROUTES.items()
    ]


def _endpoint(simulator: "Simulator", handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not is_local(request):
            return AsciiJson({"message": "loopback only"}, status_code=403)
        try:
            return AsciiJson(await handler(simulator, request))
        except CallError as error:
            return AsciiJson({"message": str(error)}, status_code=error.status)
        except (ControlError, FaultError, SeedError) as error:
            return AsciiJson({"message": str(error)}, status_code=400)

    return endpoint


def _by_name(resources: Mapping[str, Worker | Activity | TaskQueue]) -> dict[str, str]:
    return {one.friendly_name: sid for sid, one in resources.items()}


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise ControlError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise ControlError("the body must be a JSON object")
    return body
