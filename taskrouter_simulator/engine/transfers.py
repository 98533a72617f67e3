"""Ends transfers of Tasks, and publishes transfer events.

`tasks.transfer` starts a transfer. Twilio documents only the event types. All other behavior
follows the integration tests of Twilio's taskrouter.js (`test/integration/spec/TaskTransfer.js`).
"""

from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.model import (
    ReservationStatus,
    Task,
    TaskStatus,
    Transfer,
    Workspace,
)

INITIATED = "initiated"
COMPLETE = "complete"
FAILED = "failed"
CANCELED = "canceled"
_EVENTS = {COMPLETE: "completed"}


def active(task: Task) -> Transfer | None:
    """Return the Task's transfer that has not ended, or None."""
    return task.transfer if task.transfer and task.transfer.status == INITIATED else None


def finish(engine: Engine, workspace: Workspace, task: Task, status: str) -> None:
    """End a Task's transfer, if one is active."""
    if transfer := active(task):
        transfer.status = status
        engine.touch(transfer)
        publish(engine, workspace, task, transfer, _EVENTS.get(status, status))


def end_attempt(engine: Engine, workspace: Workspace, task: Task) -> None:
    """End an offer of a transferred Task after nobody accepted the offer.

    A transfer to a Worker fails. A transfer to a TaskQueue offers the Task to another Worker.
    """
    transfer = active(task)
    if transfer is None:
        return
    if transfer.kind == "QUEUE":
        publish(engine, workspace, task, transfer, "attempt-failed")
        return
    restore_status(engine, task)
    finish(engine, workspace, task, FAILED)


def restore_status(engine: Engine, task: Task) -> None:
    """Set a Task's status according to its remaining accepted or wrapping Reservations."""
    statuses = {reservation.status for reservation in task.reservations}
    if ReservationStatus.ACCEPTED in statuses:
        task.status = TaskStatus.ASSIGNED
    elif ReservationStatus.WRAPPING in statuses:
        task.status = TaskStatus.WRAPPING
    engine.touch(task)


def publish(
    engine: Engine, workspace: Workspace, task: Task, transfer: Transfer, change: str
) -> None:
    """Publish a `task.transfer-` event."""
    events.publish(
        engine, workspace, f"task.transfer-{change}", f"Transfer {transfer.sid} {change}",
        sid=transfer.sid, task=task,
        TransferSid=transfer.sid,
        TransferMode=transfer.mode,
        TransferStatus=transfer.status,
        TransferTo=transfer.to,
        TransferType=transfer.kind,
        TransferInitiatingReservationSid=transfer.reservation_sid,
        TransferInitiatingWorkerSid=transfer.worker_sid,
    )  # fmt: skip
