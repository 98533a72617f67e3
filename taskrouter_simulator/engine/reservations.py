"""Creates Reservations, changes their status, and ends pending Reservations.

See https://www.twilio.com/docs/taskrouter/api/reservations and, for the Worker's Activity,
https://www.twilio.com/docs/taskrouter/api/activity. No page lists all transitions, so the
transitions that Twilio does not mention are inferred.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from taskrouter_simulator.continuations import continuation
from taskrouter_simulator.engine import events, transfers, workers
from taskrouter_simulator.engine.core import AssignmentCallback, Engine
from taskrouter_simulator.engine.errors import InvalidTransition
from taskrouter_simulator.engine.history import Kind
from taskrouter_simulator.engine.model import (
    HELD,
    Evaluation,
    Reservation,
    Task,
    TaskQueue,
    TaskStatus,
    Worker,
    Workspace,
)
from taskrouter_simulator.engine.model import ReservationStatus as Status

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(
        {Status.ACCEPTED, Status.REJECTED, Status.TIMEOUT, Status.CANCELED, Status.RESCINDED}
    ),
    Status.ACCEPTED: frozenset({Status.WRAPPING, Status.COMPLETED, Status.CANCELED}),
    Status.WRAPPING: frozenset({Status.COMPLETED, Status.CANCELED}),
    Status.REJECTED: frozenset(),
    Status.TIMEOUT: frozenset(),
    Status.CANCELED: frozenset(),
    Status.RESCINDED: frozenset(),
    Status.COMPLETED: frozenset(),
}
DEFAULT_TIMEOUT = 120
"""Seconds until the Reservation of a Task without a Workflow times out."""
_RECORDED = {
    Status.ACCEPTED: Kind.RESERVATION_ACCEPTED,
    Status.REJECTED: Kind.RESERVATION_REJECTED,
    Status.TIMEOUT: Kind.RESERVATION_TIMED_OUT,
    Status.CANCELED: Kind.RESERVATION_CANCELED,
    Status.RESCINDED: Kind.RESERVATION_RESCINDED,
}
_EVENTS = {Status.PENDING: "created", Status.WRAPPING: "wrapup"}
_TIMESTAMPS: dict[str, Callable[[float], str]] = {
    "seconds": lambda moment: str(int(moment)),
    "iso": lambda moment: datetime.fromtimestamp(int(moment), UTC).isoformat(),
    "none": lambda _moment: "",
}


def pending(task: Task) -> list[Reservation]:
    """Return a Task's pending Reservations."""
    return [item for item in task.reservations if item.status is Status.PENDING]


def assigned(task: Task) -> list[Reservation]:
    """Return a Task's accepted and wrapping Reservations."""
    return [item for item in task.reservations if item.status in HELD - {Status.PENDING}]


def change_status(
    engine: Engine, workspace: Workspace, reservation: Reservation, status: Status
) -> None:
    """Change a Reservation's status; a final status frees the Worker's capacity.

    Raises:
        InvalidTransition: The transition is not allowed; nothing has changed.
    """
    require_transition(engine, reservation, status)
    reservation.status = status
    if status in _RECORDED:
        task = workspace.tasks[reservation.task_sid]
        workspace.history.record(engine.now(), _RECORDED[status], task, reservation)
    engine.cancel_timer("reservation", reservation.sid)
    if engine.calls:  # without calls, no phone can ring for the Reservation
        engine.on_reservation_changed(engine, reservation)
    engine.touch(reservation)
    if status not in HELD:
        worker = workspace.workers[reservation.worker_sid]
        worker.held.pop(reservation.sid, None)
        worker.unoccupied_since = engine.now()
        engine.touch(worker)
        engine.schedule_routing(workspace)


def require_transition(engine: Engine, reservation: Reservation, status: Status) -> None:
    """Check that a Reservation's status may change to the given status.

    Raises:
        InvalidTransition: The transition is not allowed.
    """
    if status in TRANSITIONS[reservation.status]:
        return
    if status in TRANSITIONS[Status.PENDING]:
        message = not_pending_message(reservation, f"set Reservation status to {status}")
    else:
        message = (
            f"Unable to set Reservation status to {status}. "
            f"Reservation {reservation.sid} is currently {reservation.status}."
        )
    settings = engine.settings
    raise InvalidTransition(message, settings.not_pending_code, settings.not_pending_status)


def not_pending_message(reservation: Reservation, action: str) -> str:
    """Return the message that Twilio sends for a Reservation that is not pending."""
    return f"Unable to {action}. Reservation {reservation.sid} is not currently in a Pending state."


def publish(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Publish the event for a Reservation's current status."""
    change = _EVENTS.get(reservation.status, reservation.status.value)
    events.publish(
        engine,
        workspace,
        f"reservation.{change}",
        f"Reservation {reservation.sid} {change}",
        sid=reservation.sid,
        task=workspace.tasks[reservation.task_sid],
        worker=workspace.workers[reservation.worker_sid],
        reservation=reservation,
    )


def create(
    engine: Engine, workspace: Workspace, task: Task, worker: Worker, queue: TaskQueue
) -> Reservation:
    """Reserve a Worker for a Task, start the timer, and emit the callbacks."""
    reservation = Reservation(
        **vars(engine.new_resource("WR")),
        task_sid=task.sid,
        worker_sid=worker.sid,
        worker_name=worker.friendly_name,
        workflow_sid=task.workflow_sid,
        queue_sid=queue.sid,
        previous_activity_sid=worker.activity_sid,
        transfer=task.transfer and transfers.active(task),
    )
    workspace.reservations[reservation.sid] = reservation
    task.reservations.append(reservation)
    worker.held[reservation.sid] = reservation
    engine.touch(worker)
    if task.status is TaskStatus.PENDING:
        task.status = TaskStatus.RESERVED
        task.times_reserved += 1
    engine.touch(task)
    workspace.history.record(engine.now(), Kind.RESERVATION_CREATED, task, reservation)
    start_timer(engine, workspace, reservation)
    _emit_callbacks(engine, workspace, reservation)
    if not workspace.multi_task_enabled and queue.reservation_activity_sid:
        workers.set_activity(engine, workspace, worker, queue.reservation_activity_sid)
    return reservation


def start_timer(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Start or resume a Reservation's timer; an overdue timer fires immediately."""
    workflow = workspace.workflows.get(reservation.workflow_sid or "")
    timeout = workflow.task_reservation_timeout if workflow else DEFAULT_TIMEOUT
    expires = reservation.created + timeout
    engine.set_timer(
        "reservation", reservation.sid, expires, partial(time_out, engine, workspace, reservation)
    )


def _emit_callbacks(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Emit the event and the assignment callback in the configured order."""
    callback_first = engine.settings.callback_order == "callback-first"
    if not callback_first:
        publish(engine, workspace, reservation)
    workflow = workspace.workflows.get(reservation.workflow_sid or "")
    if workflow and workflow.assignment_callback_url:
        callback = AssignmentCallback(
            workspace_sid=workspace.sid,
            reservation_sid=reservation.sid,
            url=workflow.assignment_callback_url,
            fallback_url=workflow.fallback_assignment_callback_url,
            parameters=_callback_parameters(engine, workspace, reservation),
        )
        engine.emit(callback)
    if callback_first:
        publish(engine, workspace, reservation)


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
        "TaskAge": str(int(engine.seconds_since(task.created))),
        "TaskPriority": str(task.priority),
        "ReservationSid": reservation.sid,
    }
    if timestamp := _TIMESTAMPS[engine.settings.callback_timestamp](engine.now()):
        parameters["Timestamp"] = timestamp
    return parameters


def reject(
    engine: Engine, workspace: Workspace, reservation: Reservation, activity_sid: str | None = None
) -> None:
    """Reject a pending Reservation on behalf of its Worker.

    Args:
        engine: The engine.
        workspace: The Workspace.
        reservation: The Reservation.
        activity_sid: The Worker's new Activity. If None, and if the Reservation changed the
            Worker's Activity, the previous Activity is restored.

    Raises:
        BadRequest: The Reservation is not pending or the Activity does not exist.
    """
    if activity_sid:
        workers.require_activity(workspace, activity_sid, "WorkerActivitySid")
    _end(
        engine, workspace, reservation, Status.REJECTED, activity_sid, evaluation=Evaluation.RESTART
    )
    _delay_next_offer(engine, workspace, reservation)


@continuation
def time_out(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Time out a pending Reservation.

    The Worker moves to the Workspace's timeout Activity.
    """
    moves_on = engine.settings.timeout_moves_to_next_target
    evaluation = Evaluation.NEXT_TARGET if moves_on else Evaluation.RESTART
    activity_sid = workspace.timeout_activity_sid
    _end(engine, workspace, reservation, Status.TIMEOUT, activity_sid, evaluation=evaluation)


def cancel_and_reoffer(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Cancel a pending Reservation, and offer its Task again.

    The setting `unanswered_call` selects this outcome for unanswered calls, and
    `failed_callbacks_cancel` selects it for failed assignment callbacks.
    """
    _end(engine, workspace, reservation, Status.CANCELED, evaluation=Evaluation.RESTART)
    _delay_next_offer(engine, workspace, reservation)


def cancel(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Cancel a pending Reservation whose Task or transfer ends, or whose Task is reevaluated."""
    _end(engine, workspace, reservation, Status.CANCELED)


def rescind(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Rescind a pending Reservation because another Worker accepted the Task."""
    _end(engine, workspace, reservation, Status.RESCINDED)


def _end(
    engine: Engine,
    workspace: Workspace,
    reservation: Reservation,
    status: Status,
    activity_sid: str | None = None,
    *,
    evaluation: Evaluation | None = None,
) -> None:
    """End a pending Reservation.

    Without `activity_sid`, restore the previous Activity if the Reservation changed the Activity.
    With `evaluation`, call `_return_task` first, so that the event shows the Task's new status.
    """
    change_status(engine, workspace, reservation, status)
    if evaluation:
        _return_task(engine, workspace, reservation, evaluation)
    publish(engine, workspace, reservation)
    worker = workspace.workers[reservation.worker_sid]
    queue = workspace.queues.get(reservation.queue_sid)
    if activity_sid:
        workers.set_activity(engine, workspace, worker, activity_sid)
    elif (
        not workspace.multi_task_enabled
        and queue
        # Keep an Activity that changed in the meantime.
        and worker.activity_sid == queue.reservation_activity_sid
        and reservation.previous_activity_sid in workspace.activities
    ):
        workers.set_activity(engine, workspace, worker, reservation.previous_activity_sid)


def _delay_next_offer(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Delay the Task's next offer to a Worker who can still receive the Task.

    Without a delay, the Task would be offered to the same Worker immediately.
    """
    task = workspace.tasks[reservation.task_sid]
    worker = workspace.workers[reservation.worker_sid]
    if task.ignore_capacity or workspace.is_available(worker):
        task.reoffer_times[worker.sid] = engine.now() + engine.settings.reoffer_delay


def _return_task(
    engine: Engine, workspace: Workspace, reservation: Reservation, evaluation: Evaluation
) -> None:
    """Make a reserved Task pending again if no Reservation of the Task is pending.

    If the Task was offered in a transfer to a Worker, undo the transfer instead.
    """
    task = workspace.tasks[reservation.task_sid]
    if task.status is TaskStatus.RESERVED and not pending(task):
        task.status, task.evaluation = TaskStatus.PENDING, evaluation
        transfers.end_attempt(engine, workspace, task)
        engine.touch(task)
        engine.schedule_routing(workspace)
