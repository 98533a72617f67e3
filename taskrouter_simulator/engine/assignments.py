"""Accepts, wraps up, completes, cancels and deletes Tasks.

See https://www.twilio.com/docs/taskrouter/lifecycle-task-state.
"""

from functools import partial

from taskrouter_simulator.continuations import continuation
from taskrouter_simulator.engine import events, reservations, transfers, workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.history import Kind
from taskrouter_simulator.engine.model import WAITING, Reservation, Task, TaskStatus, Workspace
from taskrouter_simulator.engine.model import ReservationStatus as Status


def accept(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Accept a Reservation, and rescind the Task's other pending Reservations.

    Raises:
        BadRequest: The Reservation is not pending.
    """
    reservations.change_status(engine, workspace, reservation, Status.ACCEPTED)
    task = workspace.tasks[reservation.task_sid]
    task.status = TaskStatus.ASSIGNED
    engine.touch(task)
    engine.cancel_timer("lifetime", task.sid)
    due = engine.now() + engine.settings.assigned_task_seconds
    engine.set_timer(
        "assigned", task.sid, due, partial(_remove, engine, workspace, task, "system-deleted")
    )
    reservations.publish(engine, workspace, reservation)
    for pending in reservations.pending(task):
        reservations.rescind(engine, workspace, pending)
    if task.transfer:
        transfers.finish(engine, workspace, task, transfers.COMPLETE)
    queue = workspace.queues.get(reservation.queue_sid)
    if not workspace.multi_task_enabled and queue and queue.assignment_activity_sid:
        worker = workspace.workers[reservation.worker_sid]
        workers.set_activity(engine, workspace, worker, queue.assignment_activity_sid)


def set_status(
    engine: Engine, workspace: Workspace, task: Task, status: TaskStatus, reason: str | None
) -> None:
    """Set a Task's status to canceled, wrapping or completed, as requested over REST.

    Raises:
        BadRequest: `status` is not one of these statuses, or the current status does not allow the
            change.
    """
    operations = {
        TaskStatus.CANCELED: cancel,
        TaskStatus.WRAPPING: wrap,
        TaskStatus.COMPLETED: complete,
    }
    if status not in operations:
        raise BadRequest(f"Cannot set task {task.sid} to {status}.")
    operations[status](engine, workspace, task, reason)


def wrap(engine: Engine, workspace: Workspace, task: Task, reason: str | None = None) -> None:
    """Start the after-contact work of a Task's Workers.

    Raises:
        BadRequest: The Task is not assigned.
    """
    if task.status is not TaskStatus.ASSIGNED:
        raise BadRequest(_not_assigned_message(engine, workspace, task, "wrap"))
    task.status = TaskStatus.WRAPPING
    task.reason = reason or task.reason
    engine.touch(task)
    for reservation in reservations.assigned(task):
        if reservation.status is Status.ACCEPTED:
            _mark_wrapping(engine, workspace, reservation)
    _publish(engine, workspace, task, "wrapup")


def wrap_reservation(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Start the after-contact work of one Worker; the last Worker of a Task wraps up the Task.

    The status of a Task that is being transferred does not change.

    Raises:
        BadRequest: The Reservation is not accepted.
    """
    reservations.require_transition(engine, reservation, Status.WRAPPING)
    task = workspace.tasks[reservation.task_sid]
    others = _other_reservations(task, reservation, Status.ACCEPTED)
    if task.status is TaskStatus.ASSIGNED and not others:
        wrap(engine, workspace, task)
    else:
        _mark_wrapping(engine, workspace, reservation)


def _mark_wrapping(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    reservations.change_status(engine, workspace, reservation, Status.WRAPPING)
    reservations.publish(engine, workspace, reservation)


def _other_reservations(
    task: Task, reservation: Reservation, *statuses: Status
) -> list[Reservation]:
    """Return the Task's other Reservations that have one of the given statuses."""
    return [
        other
        for other in task.reservations
        if other is not reservation and other.status in statuses
    ]


def complete_reservation(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Complete the work of one Worker; the last Worker of a Task completes the Task.

    If all remaining Workers are in after-contact work, the Task's status becomes wrapping. The
    status of a Task that is being transferred does not change.

    Raises:
        BadRequest: The Reservation is neither accepted nor wrapping.
    """
    reservations.require_transition(engine, reservation, Status.COMPLETED)
    task = workspace.tasks[reservation.task_sid]
    others = _other_reservations(task, reservation, Status.ACCEPTED, Status.WRAPPING)
    if others or task.status in WAITING:
        _mark_completed(engine, workspace, reservation)
        if task.status is TaskStatus.ASSIGNED and all(
            other.status is Status.WRAPPING for other in others
        ):
            wrap(engine, workspace, task)
    else:
        complete(engine, workspace, task)


def complete(engine: Engine, workspace: Workspace, task: Task, reason: str | None = None) -> None:
    """Complete a Task; Workers without a post-work Activity keep their Activity.

    Raises:
        BadRequest: The Task is neither assigned nor wrapping.
    """
    if task.status not in {TaskStatus.ASSIGNED, TaskStatus.WRAPPING}:
        raise BadRequest(_not_assigned_message(engine, workspace, task, "complete"))
    _close(engine, workspace, task, TaskStatus.COMPLETED, reason)
    _publish(engine, workspace, task, "completed")


def cancel(engine: Engine, workspace: Workspace, task: Task, reason: str | None = None) -> None:
    """Cancel a pending or reserved Task.

    Raises:
        BadRequest: The Task is neither pending nor reserved.
    """
    if task.status not in WAITING:
        raise BadRequest(f"Cannot cancel task {task.sid} because it is not pending or reserved.")
    _close(engine, workspace, task, TaskStatus.CANCELED, reason)
    _publish(engine, workspace, task, "canceled", reason)
    engine.on_task_removed(engine, workspace, task)


def delete(engine: Engine, workspace: Workspace, task: Task) -> None:
    """Delete a Task in any status.

    Pending Reservations are canceled. Accepted and wrapping Reservations are completed.
    """
    _remove(engine, workspace, task, "deleted")


def _close(
    engine: Engine, workspace: Workspace, task: Task, status: TaskStatus, reason: str | None
) -> None:
    task.status = status
    task.reason = reason or task.reason
    engine.touch(task)
    workspace.history.record(engine.now(), Kind(f"tasks_{status}"), task)
    _end_reservations(engine, workspace, task)
    for kind in ("lifetime", "assigned", "step"):
        engine.cancel_timer(kind, task.sid)
    due = engine.now() + engine.settings.closed_task_seconds
    engine.set_timer("closed", task.sid, due, partial(_discard, engine, workspace, task))


def _end_reservations(engine: Engine, workspace: Workspace, task: Task) -> None:
    transfers.finish(engine, workspace, task, transfers.FAILED)
    for pending in reservations.pending(task):
        reservations.cancel(engine, workspace, pending)
    for reservation in reservations.assigned(task):
        _mark_completed(engine, workspace, reservation)


def _mark_completed(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    reservations.change_status(engine, workspace, reservation, Status.COMPLETED)
    reservations.publish(engine, workspace, reservation)
    if reservation.post_work_activity_sid in workspace.activities:
        worker = workspace.workers[reservation.worker_sid]
        workers.set_activity(engine, workspace, worker, reservation.post_work_activity_sid)


@continuation
def _remove(engine: Engine, workspace: Workspace, task: Task, change: str) -> None:
    _end_reservations(engine, workspace, task)
    workspace.history.record(engine.now(), Kind.TASK_DELETED, task)
    _publish(engine, workspace, task, change)
    engine.on_task_removed(engine, workspace, task)
    _discard(engine, workspace, task)


@continuation
def _discard(engine: Engine, workspace: Workspace, task: Task) -> None:
    for kind in ("lifetime", "assigned", "step", "closed"):
        engine.cancel_timer(kind, task.sid)
    for reservation in task.reservations:
        del workspace.reservations[reservation.sid]
    del workspace.tasks[task.sid]
    engine.note_change(task)


def _publish(
    engine: Engine, workspace: Workspace, task: Task, change: str, description: str | None = None
) -> None:
    text = description or f"Task {change}"
    events.publish(engine, workspace, f"task.{change}", text, sid=task.sid, task=task)


def _not_assigned_message(engine: Engine, workspace: Workspace, task: Task, verb: str) -> str:
    return (
        f"Cannot {verb} task {task.sid} in workspace {workspace.sid} "
        f"for account {engine.account_sid} because it is not currently assigned."
    )
