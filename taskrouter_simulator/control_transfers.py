"""Control routes that transfer Tasks, as a Worker does with Twilio's taskrouter.js."""

from typing import Any

from taskrouter_simulator.control_base import ControlError, Simulator
from taskrouter_simulator.engine import tasks
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import ApiError
from taskrouter_simulator.engine.model import Task, Transfer, Workspace

_MODES = ("WARM", "COLD")


async def create(
    simulator: Simulator, *, reservation_sid: Any = None, to: Any = None, mode: Any = "WARM"
) -> Any:
    """Transfer the Task of an accepted Reservation.

    Args:
        simulator: The simulator.
        reservation_sid: SID of the transferring Worker's Reservation.
        to: SID of a Worker or TaskQueue.
        mode: "WARM" or "COLD".

    Raises:
        ControlError: An argument is invalid, or the Task cannot be transferred.
    """
    if mode not in _MODES:
        raise ControlError(f"mode must be one of {', '.join(_MODES)}")
    for workspace in simulator.engine.workspaces.values():
        if reservation := workspace.reservations.get(str(reservation_sid)):
            break
    else:
        raise ControlError("reservation_sid must be the SID of an existing Reservation")
    try:
        transfer = tasks.transfer(simulator.engine, workspace, reservation, to=str(to), mode=mode)
    except ApiError as error:
        raise ControlError(error.message) from error
    await simulator.advance(0)
    return _render(transfer)


async def fetch(simulator: Simulator, sid: str) -> Any:
    """Return a transfer."""
    return _render(_find(simulator.engine, sid)[2])


async def cancel(simulator: Simulator, sid: str, *, status: Any = None) -> Any:
    """Cancel a transfer with `{"status": "canceled"}`."""
    workspace, task, transfer = _find(simulator.engine, sid)
    if status != "canceled":
        raise ControlError('the body must be {"status": "canceled"}')
    try:
        tasks.cancel_transfer(simulator.engine, workspace, task, transfer)
    except ApiError as error:
        raise ControlError(error.message) from error
    await simulator.advance(0)
    return _render(transfer)


def _find(engine: Engine, sid: str) -> tuple[Workspace, Task, Transfer]:
    for workspace in engine.workspaces.values():
        for task in workspace.tasks.values():
            if task.transfer and task.transfer.sid == sid:
                return workspace, task, task.transfer
    raise ControlError(f"transfer {sid[:50]} does not exist", 404)


def _render(transfer: Transfer) -> dict[str, Any]:
    return {
        "sid": transfer.sid,
        "status": transfer.status,
        "mode": transfer.mode,
        "type": transfer.kind,
        "to": transfer.to,
        "task_sid": transfer.task_sid,
        "initiating_reservation_sid": transfer.reservation_sid,
        "initiating_worker_sid": transfer.worker_sid,
    }
