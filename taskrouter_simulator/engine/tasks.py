"""Creates, updates, reevaluates, transfers and expires Tasks."""

from functools import partial
from typing import cast

from taskrouter_simulator.continuations import continuation
from taskrouter_simulator.engine import (
    assignments,
    events,
    reservations,
    routing,
    task_queues,
    transfers,
    workers,
)
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.history import Kind
from taskrouter_simulator.engine.model import (
    WAITING,
    Configuration,
    Evaluation,
    Reservation,
    ReservationStatus,
    Step,
    Target,
    Task,
    TaskChannel,
    TaskStatus,
    Transfer,
    Worker,
    Workflow,
    Workspace,
)

TTL_EXCEEDED = "Task TTL Exceeded"


def create(
    engine: Engine,
    workspace: Workspace,
    *,
    attributes: str = "{}",
    workflow_sid: str | None = None,
    priority: int | None = None,
    timeout: int = 86_400,
    channel: str = "default",
    virtual_start_time: float | None = None,
    routing_target: str | None = None,
    ignore_capacity: bool | None = None,
    queue_sid: str | None = None,
) -> Task:
    """Create a Task; the next routing pass offers it to Workers.

    Args:
        engine: The engine.
        workspace: The Workspace.
        attributes: A JSON object, serialized as a string.
        workflow_sid: WW… SID; None for the only Workflow of the Workspace.
        priority: The initial priority, which a target's priority replaces; None for 0.
        timeout: Seconds until the Task is canceled unless it is assigned.
        channel: A TaskChannel's SID or unique name.
        virtual_start_time: Seconds since the epoch; None for now.
        routing_target: SID of a Worker, TaskQueue or Workflow to which the Task is routed.
        ignore_capacity: Whether a targeted Worker's capacity and Activity are ignored; None
            means yes.
        queue_sid: WQ… SID of a TaskQueue to which the Task is routed without a Workflow.

    Raises:
        BadRequest: A resource does not exist, the default Workflow is ambiguous or missing, the
            targeted Worker is not in any TaskQueue, or `ignore_capacity` is given without a
            targeted Worker.
    """
    if ignore_capacity is not None and not (routing_target or "").startswith("WK"):
        raise BadRequest("IgnoreCapacity requires a RoutingTarget that is a Worker SID")
    target = routing_target or queue_sid or workflow_sid or _only_workflow(workspace).sid
    resource = engine.new_resource("WT")
    task = Task(
        **vars(resource),
        workflow_sid=None,
        attributes=attributes,
        priority=priority or 0,
        timeout=timeout,
        channel_sid=require_channel(workspace, channel).sid,
        virtual_start_time=resource.created if virtual_start_time is None else virtual_start_time,
        routing_target=routing_target,
    )
    _set_target(engine, workspace, task, target)
    if task.step and (routing_target or "").startswith("WK"):
        task.ignore_capacity = ignore_capacity is not False
    _add(engine, workspace, task)
    routing.evaluate(engine, workspace, task)
    _start_lifetime(engine, workspace, task)
    engine.schedule_routing(workspace)
    return task


def _add(engine: Engine, workspace: Workspace, task: Task) -> None:
    workspace.tasks[task.sid] = task
    engine.note_change(task)
    workspace.history.record(task.created, Kind.TASK_CREATED, task)
    events.publish(engine, workspace, "task.created", "Task created", sid=task.sid, task=task)
    if sid := task.workflow_sid:
        events.publish(engine, workspace, "workflow.entered", "Task entered", sid=sid, task=task)


def require_channel(workspace: Workspace, name: str) -> TaskChannel:
    """Return the TaskChannel with the given SID or unique name.

    Raises:
        BadRequest: The TaskChannel does not exist.
    """
    channel = workspace.channel(name)
    if channel is None:
        raise BadRequest(f"TaskChannel {name} does not exist in workspace {workspace.sid}")
    return channel


def update(
    engine: Engine,
    workspace: Workspace,
    task: Task,
    *,
    attributes: str | None = None,
    priority: int | None = None,
    channel: str | None = None,
    virtual_start_time: float | None = None,
) -> None:
    """Update a Task; None leaves a value unchanged.

    Raises:
        BadRequest: The TaskChannel does not exist.
    """
    if channel is not None:
        task.channel_sid = require_channel(workspace, channel).sid
        for reservation in task.reservations:
            engine.note_change(reservation)  # the Task now uses capacity on a different channel
    task.attributes = task.attributes if attributes is None else attributes
    task.priority = task.priority if priority is None else priority
    if virtual_start_time is not None:
        task.virtual_start_time = virtual_start_time
    engine.touch(task)
    events.publish(engine, workspace, "task.updated", "Task updated", sid=task.sid, task=task)
    engine.schedule_routing(workspace)


def reevaluate(engine: Engine, workspace: Workspace, workflow: Workflow) -> None:
    """Reroute a Workflow's waiting Tasks, and cancel their pending Reservations.

    Tasks that are being transferred are left unchanged.
    """
    for task in list(workspace.tasks.values()):
        is_routed = task.workflow_sid == workflow.sid and not transfers.active(task)
        if is_routed and task.status in WAITING:
            for pending in reservations.pending(task):
                reservations.cancel(engine, workspace, pending)
            task.status, task.evaluation = TaskStatus.PENDING, Evaluation.RESTART
            engine.touch(task)
    engine.schedule_routing(workspace)


def transfer(
    engine: Engine, workspace: Workspace, reservation: Reservation, *, to: str, mode: str
) -> Transfer:
    """Transfer an assigned Task, like `Task.transfer` in Twilio's taskrouter.js.

    Args:
        engine: The engine.
        workspace: The Workspace.
        reservation: The transferring Worker's accepted Reservation.
        to: SID of a Worker or TaskQueue.
        mode: "WARM" or "COLD"; in a cold transfer, the Worker wraps up immediately.

    Raises:
        BadRequest: The Task is not assigned to the Worker, or `to` is neither a different
            Worker nor a TaskQueue; nothing has changed.
    """
    task = workspace.tasks[reservation.task_sid]
    is_accepted = reservation.status is ReservationStatus.ACCEPTED
    if not is_accepted or task.status is not TaskStatus.ASSIGNED:
        raise BadRequest(f"Cannot transfer task {task.sid} because it is not currently assigned.")
    step = None if to == reservation.worker_sid else _step_to(engine, workspace, to, task.queue_sid)
    if step is None:
        raise BadRequest(f"Cannot transfer to {to[:50]}: specify a different Worker or a TaskQueue")
    started = Transfer(
        **vars(engine.new_resource("TT")),
        task_sid=task.sid,
        reservation_sid=reservation.sid,
        worker_sid=reservation.worker_sid,
        to=to,
        mode=mode,
        previous_step=cast("Step", task.step),  # an assigned Task has a step
        previous_queue_entered=task.queue_entered,
        previous_ignore_capacity=task.ignore_capacity,
    )
    task.transfer, task.step, task.evaluation = started, step, Evaluation.NONE
    task.status = TaskStatus.PENDING
    task_queues.enter(engine, workspace, task, step.queue_sid)
    task.queue_entered = engine.now()
    task.ignore_capacity = to in workspace.workers and engine.settings.transfer_ignores_capacity
    # Do not offer the Task to the Worker who transfers it.
    task.reoffer_times[reservation.worker_sid] = (
        engine.now() + engine.settings.assigned_task_seconds
    )
    engine.touch(task)
    transfers.publish(engine, workspace, task, started, "initiated")
    if mode == "COLD":
        assignments.wrap_reservation(engine, workspace, reservation)
    engine.schedule_routing(workspace)
    return started


def cancel_transfer(engine: Engine, workspace: Workspace, task: Task, canceled: Transfer) -> None:
    """Cancel a Task's transfer, and the Reservations that offer the Task.

    Raises:
        BadRequest: The transfer has ended.
    """
    if transfers.active(task) is not canceled:
        raise BadRequest(
            f"Transfer {canceled.sid} is already {canceled.status} . Cannot cancel transfer."
        )
    for pending in reservations.pending(task):
        reservations.cancel(engine, workspace, pending)
    transfers.undo(engine, workspace, task, canceled, transfers.CANCELED)


def _only_workflow(workspace: Workspace) -> Workflow:
    if len(workspace.workflows) != 1:
        raise BadRequest("Missing required parameter WorkflowSid in the post body")
    return next(iter(workspace.workflows.values()))


def _set_target(engine: Engine, workspace: Workspace, task: Task, sid: str) -> None:
    """Set a Task's Workflow, or the single step that leads to a TaskQueue or Worker."""
    if sid in workspace.workflows:
        task.workflow_sid = sid
        return
    task.step = _step_to(engine, workspace, sid)
    if task.step is None:
        sid_parameter = "TaskQueueSid" if sid.startswith("WQ") else "WorkflowSid"
        name = "RoutingTarget" if task.routing_target else sid_parameter
        raise BadRequest(f"{name} {sid} does not exist in workspace {workspace.sid}")


def _step_to(
    engine: Engine, workspace: Workspace, sid: str, queue_sid: str | None = None
) -> Step | None:
    """Return the step that leads to a TaskQueue or Worker, or None if the SID belongs to neither.

    A step that leads to a Worker uses the TaskQueue `queue_sid` if the Worker is a member.
    Otherwise, the step uses the oldest TaskQueue that contains the Worker.
    """
    if sid in workspace.queues:
        target = Target(queue_sid=sid)
    elif sid in workspace.workers:
        queue_sid = _queue_sid_of(engine, workspace, workspace.workers[sid], queue_sid)
        target = Target(queue_sid=queue_sid, expression=f"worker.sid == '{sid}'")
    else:
        return None
    return Step(
        configuration=Configuration(default=target), target=target, queue_sid=target.queue_sid or ""
    )


def _queue_sid_of(
    engine: Engine, workspace: Workspace, worker: Worker, preferred_sid: str | None
) -> str:
    for queue in sorted(workspace.queues.values(), key=lambda queue: queue.sid != preferred_sid):
        if workers.is_member(engine, workspace, queue, worker):
            return queue.sid
    raise BadRequest(f"Worker {worker.sid} is not in any TaskQueue of workspace {workspace.sid}")


def _start_lifetime(engine: Engine, workspace: Workspace, task: Task) -> None:
    due = task.created + task.timeout
    engine.set_timer("lifetime", task.sid, due, partial(_expire, engine, workspace, task))


@continuation
def _expire(engine: Engine, workspace: Workspace, task: Task) -> None:
    if task.status in WAITING:
        assignments.cancel(engine, workspace, task, TTL_EXCEEDED)
