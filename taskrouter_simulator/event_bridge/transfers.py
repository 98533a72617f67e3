"""Requests from the browser SDK that start or cancel transfers of Tasks."""

from enum import StrEnum

from taskrouter_simulator.engine import tasks
from taskrouter_simulator.engine.errors import BadRequest, NotFound
from taskrouter_simulator.event_bridge import payloads
from taskrouter_simulator.event_bridge.payloads import Payload
from taskrouter_simulator.event_bridge.request import SdkRequest

_MAX_PRIORITY = 2**31 - 1


class Mode(StrEnum):
    """Whether the Worker keeps the Task (warm) or wraps up immediately (cold)."""

    WARM = "WARM"
    COLD = "COLD"


def start(request: SdkRequest) -> Payload:
    """Transfer the Task of an accepted Reservation, and optionally change the Task."""
    reservation = request.own_reservation()
    parameters = request.read("Mode", "To", "Attributes", "Priority")
    mode = parameters.choice("Mode", Mode) or Mode.WARM
    to = parameters.required("To")
    attributes = parameters.attributes()
    priority = parameters.integer("Priority", 0, _MAX_PRIORITY)
    engine, workspace = request.engine, request.workspace
    transfer = tasks.transfer(engine, workspace, reservation, to=to, mode=mode.value)
    if attributes is not None or priority is not None:
        task = workspace.tasks[reservation.task_sid]
        tasks.update(engine, workspace, task, attributes=attributes, priority=priority)
    return payloads.transfer(engine, workspace, transfer)


def cancel(request: SdkRequest) -> Payload:
    """Cancel a transfer that the Worker has started."""
    worker = request.own_worker()
    task = request.workspace.tasks.get(request.parameters.get("TaskSid", ""))
    transfer = task.transfer if task else None
    if (
        not task
        or not transfer
        or (transfer.sid, transfer.worker_sid)
        != (
            request.ids["sid"],
            worker.sid,
        )
    ):
        raise NotFound(f"/{request.path}")
    if request.parameters.get("TransferStatus") != "canceled":
        raise BadRequest("TransferStatus must be canceled")
    tasks.cancel_transfer(request.engine, request.workspace, task, transfer)
    return payloads.transfer(request.engine, request.workspace, transfer)
