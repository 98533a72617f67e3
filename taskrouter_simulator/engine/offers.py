"""Offers: Reservations that wait for an answer, and those that end without an assignment.

Facts: https://www.twilio.com/docs/taskrouter/api/activity for what happens to the Worker.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from taskrouter_simulator.engine import reservations, workers
from taskrouter_simulator.engine.core import AssignmentCallback, Engine
from taskrouter_simulator.engine.model import (
    Entry,
    Reservation,
    Task,
    TaskQueue,
    TaskStatus,
    Worker,
    Workflow,
    Workspace,
)
from taskrouter_simulator.engine.model import ReservationStatus as Status

DEFAULT_RESERVATION_TIMEOUT = 120
_TIMESTAMPS: dict[str, Callable[[float], str]] = {
    "seconds": lambda moment: str(int(moment)),
    "iso": lambda moment: datetime.fromtimestamp(int(moment), UTC).isoformat(),
    "none": lambda _moment: "",
}


def create(
    engine: Engine, workspace: Workspace, task: Task, worker: Worker, queue: TaskQueue
) -> Reservation:
    """Offer the Task to the Worker: reserve both, start the timer, ask for the callback."""
    workflow = workspace.workflows.get(task.workflow_sid or "")
    reservation = Reservation(
        **vars(engine.stamp("WR")),
        task_sid=task.sid,
        worker_sid=worker.sid,
        worker_name=worker.friendly_name,
        workflow_sid=task.workflow_sid,
        queue_sid=queue.sid,
        previous_activity_sid=worker.activity_sid,
    )
    workspace.reservations[reservation.sid] = reservation
    task.reservation_sids.append(reservation.sid)
    worker.held.add(reservation.sid)
    engine.touch(worker)
    if task.status is TaskStatus.PENDING:
        task.status = TaskStatus.RESERVED
        task.assignments += 1
    engine.touch(task)
    arm(engine, workspace, reservation)
    _tell(engine, workspace, reservation, workflow)
    if not workspace.multi_task_enabled and queue.reservation_activity_sid:
        workers.set_activity(engine, workspace, worker, queue.reservation_activity_sid)
    return reservation


def arm(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Start the timer of an offer; one that was paused goes on, or fires if its time is over."""
    workflow = workspace.workflows.get(reservation.workflow_sid or "")
    lifetime = workflow.task_reservation_timeout if workflow else DEFAULT_RESERVATION_TIMEOUT
    expires = reservation.created + lifetime
    engine.arm(
        "reservation", reservation.sid, expires, lambda: time_out(engine, workspace, reservation)
    )


def reject(
    engine: Engine, workspace: Workspace, reservation: Reservation, activity_sid: str | None = None
) -> None:
    """The Worker lets the Task go.

    Args:
        engine: the engine.
        workspace: where.
        reservation: the offer.
        activity_sid: where the Worker moves; None takes it back to where it was before.

    Raises:
        BadRequest: the Reservation is not pending, or there is no such Activity.
    """
    if activity_sid:
        workers.require_activity(workspace, activity_sid)
    _withdraw(engine, workspace, reservation, Status.REJECTED, activity_sid)
    _hold_back(engine, workspace, reservation)
    _put_back(engine, workspace, reservation, Entry.TOP)


def time_out(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Nobody answered: the Worker goes to the Workspace's time-out Activity."""
    activity_sid = workspace.timeout_activity_sid
    _withdraw(engine, workspace, reservation, Status.TIMEOUT, activity_sid)
    moves_on = engine.settings.timeout_moves_to_next_target
    _put_back(engine, workspace, reservation, Entry.NEXT if moves_on else Entry.TOP)


def give_up(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """End an offer that nobody could be told of; the Task is offered again."""
    _withdraw(engine, workspace, reservation, Status.CANCELED)
    _hold_back(engine, workspace, reservation)
    _put_back(engine, workspace, reservation, Entry.TOP)


def cancel(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """The Task went away; its Worker is free again."""
    _withdraw(engine, workspace, reservation, Status.CANCELED)


def rescind(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Another Worker was faster."""
    _withdraw(engine, workspace, reservation, Status.RESCINDED)


def _withdraw(
    engine: Engine,
    workspace: Workspace,
    reservation: Reservation,
    status: Status,
    activity_sid: str | None = None,
) -> None:
    """End an offer, and send the Worker where it belongs."""
    reservations.move(engine, workspace, reservation, status)
    reservations.publish(engine, workspace, reservation)
    worker = workspace.workers[reservation.worker_sid]
    queue = workspace.queues.get(reservation.queue_sid)
    if activity_sid:
        workers.set_activity(engine, workspace, worker, activity_sid)
    elif (
        not workspace.multi_task_enabled
        and queue
        # whoever has moved the Worker since has said where it belongs
        and worker.activity_sid == queue.reservation_activity_sid
        and reservation.previous_activity_sid in workspace.activities
    ):
        workers.set_activity(engine, workspace, worker, reservation.previous_activity_sid)


def _hold_back(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Keep the Task from a Worker that can still be offered it, else it comes back at once."""
    task = workspace.tasks[reservation.task_sid]
    worker = workspace.workers[reservation.worker_sid]
    if task.ignore_capacity or workspace.is_available(worker):
        task.held_back[reservation.worker_sid] = engine.now() + engine.settings.reoffer_delay


def _put_back(engine: Engine, workspace: Workspace, reservation: Reservation, entry: Entry) -> None:
    """Let the Task be offered again once the last of its offers has ended without acceptance."""
    task = workspace.tasks[reservation.task_sid]
    if task.status is TaskStatus.RESERVED and not reservations.offers(workspace, task):
        task.status = TaskStatus.PENDING
        task.entry = entry
        engine.touch(task)
        engine.wake(workspace)


def _tell(
    engine: Engine, workspace: Workspace, reservation: Reservation, workflow: Workflow | None
) -> None:
    """Emit the event and the assignment callback; their order matters if the settings say so."""
    callback_first = engine.settings.callback_order == "callback-first"
    if not callback_first:
        reservations.publish(engine, workspace, reservation)
    if workflow and workflow.assignment_callback_url:
        _ask(engine, workspace, reservation, workflow)
    if callback_first:
        reservations.publish(engine, workspace, reservation)


def _ask(
    engine: Engine, workspace: Workspace, reservation: Reservation, workflow: Workflow
) -> None:
    callback = AssignmentCallback(
        workspace_sid=workspace.sid,
        reservation_sid=reservation.sid,
        url=workflow.assignment_callback_url,
        fallback_url=workflow.fallback_assignment_callback_url,
        parameters=_callback_parameters(engine, workspace, reservation),
    )
    engine.emit(callback)


def _callback_parameters(
    engine: Engine, workspace: Workspace, reservation: Reservation
) -> dict[str, str]:
    task = workspace.tasks[reservation.task_sid]
    worker = workspace.workers[reservation.worker_sid]
    parameters = {
        "AccountSid": engine.account_sid,
        "WorkspaceSid": workspace.sid,
        "WorkflowSid": reservation.workflow_sid or "",
        "TaskQueueSid": reservation.queue_sid,
        "WorkerSid": worker.sid,
        "WorkerAttributes": worker.attributes,
        "TaskSid": task.sid,
        "TaskAttributes": task.attributes,
        "TaskAge": str(int(engine.since(task.created))),
        "TaskPriority": str(task.priority),
        "ReservationSid": reservation.sid,
    }
    if timestamp := _TIMESTAMPS[engine.settings.callback_timestamp](engine.now()):
        parameters["Timestamp"] = timestamp
    return parameters
