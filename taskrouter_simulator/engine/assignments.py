"""Assignments: a Worker takes a Task, wraps up, completes; and every way in which a Task closes.

Facts: https://www.twilio.com/docs/taskrouter/lifecycle-task-state.
"""

from taskrouter_simulator.engine import events, offers, reservations, workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import WAITING, Reservation, Task, TaskStatus, Workspace
from taskrouter_simulator.engine.model import ReservationStatus as Status


def accept(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """The Worker takes the Task; other offers of the same Task are rescinded.

    Raises:
        BadRequest: the Reservation is not pending.
    """
    reservations.move(engine, workspace, reservation, Status.ACCEPTED)
    task = workspace.tasks[reservation.task_sid]
    task.status = TaskStatus.ASSIGNED
    engine.touch(task)
    engine.disarm("lifetime", task.sid)
    ends = engine.now() + engine.settings.assigned_task_seconds
    engine.arm("assigned", task.sid, ends, lambda: _system_delete(engine, workspace, task))
    reservations.publish(engine, workspace, reservation)
    for other in reservations.offers(workspace, task):
        offers.rescind(engine, workspace, other)
    queue = workspace.queues.get(reservation.queue_sid)
    if not workspace.multi_task_enabled and queue and queue.assignment_activity_sid:
        worker = workspace.workers[reservation.worker_sid]
        workers.set_activity(engine, workspace, worker, queue.assignment_activity_sid)


def wrap(engine: Engine, workspace: Workspace, task: Task, reason: str | None = None) -> None:
    """The Worker has finished talking and wraps up.

    Raises:
        BadRequest: the Task is not assigned.
    """
    if task.status is not TaskStatus.ASSIGNED:
        raise BadRequest(_not_assigned(engine, workspace, task, "wrap"))
    task.status = TaskStatus.WRAPPING
    task.reason = reason or task.reason
    engine.touch(task)
    for reservation in reservations.assignments(workspace, task):
        reservations.move(engine, workspace, reservation, Status.WRAPPING)
        reservations.publish(engine, workspace, reservation)
    _publish(engine, workspace, task, "wrapup")


def complete(engine: Engine, workspace: Workspace, task: Task, reason: str | None = None) -> None:
    """The work is done; the Workers' Activity stays as it is.

    Raises:
        BadRequest: the Task is neither assigned nor wrapping.
    """
    if task.status not in {TaskStatus.ASSIGNED, TaskStatus.WRAPPING}:
        raise BadRequest(_not_assigned(engine, workspace, task, "complete"))
    _close(engine, workspace, task, TaskStatus.COMPLETED, reason)
    _publish(engine, workspace, task, "completed")


def cancel(engine: Engine, workspace: Workspace, task: Task, reason: str | None = None) -> None:
    """The work is not wanted any more.

    Raises:
        BadRequest: somebody has taken the Task, or it is closed.
    """
    if task.status not in WAITING:
        raise BadRequest(f"Cannot cancel task {task.sid} because it is not pending or reserved.")
    _close(engine, workspace, task, TaskStatus.CANCELED, reason)
    _publish(engine, workspace, task, "canceled", reason)
    engine.task_gone(engine, workspace, task)


def delete(engine: Engine, workspace: Workspace, task: Task) -> None:
    """Remove the Task: what was accepted counts as completed, what was offered as canceled."""
    _remove(engine, workspace, task, "deleted")


def _system_delete(engine: Engine, workspace: Workspace, task: Task) -> None:
    _remove(engine, workspace, task, "system-deleted")


def _close(
    engine: Engine, workspace: Workspace, task: Task, status: TaskStatus, reason: str | None
) -> None:
    task.status = status
    task.reason = reason or task.reason
    engine.touch(task)
    _end_reservations(engine, workspace, task)
    for kind in ("lifetime", "assigned", "step"):
        engine.disarm(kind, task.sid)
    gone = engine.now() + engine.settings.closed_task_seconds
    engine.arm("closed", task.sid, gone, lambda: _forget(engine, workspace, task))


def _end_reservations(engine: Engine, workspace: Workspace, task: Task) -> None:
    for offer in reservations.offers(workspace, task):
        offers.cancel(engine, workspace, offer)
    for reservation in reservations.assignments(workspace, task):
        reservations.move(engine, workspace, reservation, Status.COMPLETED)
        reservations.publish(engine, workspace, reservation)
        if reservation.post_work_activity_sid in workspace.activities:
            worker = workspace.workers[reservation.worker_sid]
            workers.set_activity(engine, workspace, worker, reservation.post_work_activity_sid)


def _remove(engine: Engine, workspace: Workspace, task: Task, what: str) -> None:
    _end_reservations(engine, workspace, task)
    _publish(engine, workspace, task, what)
    engine.task_gone(engine, workspace, task)
    _forget(engine, workspace, task)


def _forget(engine: Engine, workspace: Workspace, task: Task) -> None:
    for kind in ("lifetime", "assigned", "step", "closed"):
        engine.disarm(kind, task.sid)
    for sid in task.reservation_sids:
        del workspace.reservations[sid]
    del workspace.tasks[task.sid]


def _publish(
    engine: Engine, workspace: Workspace, task: Task, what: str, description: str | None = None
) -> None:
    events.publish(
        engine, workspace, f"task.{what}", description or f"Task {what}", sid=task.sid, task=task
    )


def _not_assigned(engine: Engine, workspace: Workspace, task: Task, verb: str) -> str:
    return (
        f"Cannot {verb} task {task.sid} in workspace {workspace.sid} "
        f"for account {engine.account_sid} because it is not currently assigned."
    )
