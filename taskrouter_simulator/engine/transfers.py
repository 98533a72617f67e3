"""Ends transfers of Tasks, and publishes transfer events.

`tasks.transfer` starts a transfer. Twilio documents only the event types. All other behavior
follows the integration tests of Twilio's taskrouter.js (`test/integration/spec/TaskTransfer.js`).
"""

from taskrouter_simulator.engine import events, task_queues
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.model import (
    Evaluation,
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
    """Return the Task's active transfer, or None."""
    return task.transfer if task.transfer and task.transfer.status == INITIATED else None


def previous_queue_sid(task: Task) -> str | None:
    """Return the SID of the TaskQueue to which the Task returns if its transfer is undone."""
    transfer = active(task)
    return transfer.previous_step.queue_sid if transfer else None


def finish(engine: Engine, workspace: Workspace, task: Task, status: str) -> None:
    """End a Task's transfer, if one is active."""
    if transfer := active(task):
        transfer.status = status
        engine.touch(transfer)
        publish(engine, workspace, task, transfer, _EVENTS.get(status, status))


def end_attempt(engine: Engine, workspace: Workspace, task: Task) -> None:
    """End the attempt to transfer a Task whose offer nobody accepted, if it is being transferred.

    A transfer to a Worker then fails. In a transfer to a TaskQueue, the Task is offered again.
    """
    transfer = active(task)
    if transfer is None:
        return
    if transfer.kind == "QUEUE":
        task.evaluation = Evaluation.NONE
        publish(engine, workspace, task, transfer, "attempt-failed")
    else:
        undo(engine, workspace, task, transfer, FAILED)


def undo(engine: Engine, workspace: Workspace, task: Task, transfer: Transfer, status: str) -> None:
    """End a transfer that nobody accepted, and return the Task to its previous TaskQueue.

    The Task's status is determined by its accepted and wrapping Reservations. A Task without such a
    Reservation is routed again.
    """
    task.step = transfer.previous_step
    task.ignore_capacity = transfer.previous_ignore_capacity
    statuses = {reservation.status for reservation in task.reservations}
    if ReservationStatus.ACCEPTED in statuses:
        task.status = TaskStatus.ASSIGNED
    elif ReservationStatus.WRAPPING in statuses:
        task.status = TaskStatus.WRAPPING
    else:
        task.status, task.evaluation = TaskStatus.PENDING, Evaluation.RESTART
        engine.schedule_routing(workspace)
    task_queues.enter(engine, workspace, task, transfer.previous_step.queue_sid)
    task.queue_entered = transfer.previous_queue_entered
    engine.touch(task)
    finish(engine, workspace, task, status)


def publish(
    engine: Engine, workspace: Workspace, task: Task, transfer: Transfer, change: str
) -> None:
    """Publish a `task.transfer-…` event, such as `task.transfer-initiated`."""
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
