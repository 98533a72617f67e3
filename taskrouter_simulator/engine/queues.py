"""TaskQueues."""

from taskrouter_simulator.engine import events, workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.expressions import ExpressionError, parse
from taskrouter_simulator.engine.model import CLOSED, TaskQueue, Workspace


def add(
    engine: Engine,
    workspace: Workspace,
    *,
    friendly_name: str,
    target_workers: str = "1==1",
    reservation_activity_sid: str | None = None,
    assignment_activity_sid: str | None = None,
    max_reserved_workers: int = 1,
    task_order: str = "FIFO",
    sid: str | None = None,
) -> TaskQueue:
    """Add a TaskQueue; its Activities default to those called Reserved and Busy.

    Raises:
        BadRequest: the name is taken, the expression is none, or an Activity does not exist.
    """
    if any(queue.friendly_name == friendly_name for queue in workspace.queues.values()):
        raise BadRequest(f"TaskQueue {friendly_name} already exists in this workspace")
    require_expression(target_workers)
    queue = TaskQueue(
        **vars(engine.stamp("WQ", sid)),
        friendly_name=friendly_name,
        target_workers=target_workers,
        reservation_activity_sid=_activity(workspace, reservation_activity_sid, "Reserved"),
        assignment_activity_sid=_activity(workspace, assignment_activity_sid, "Busy"),
        max_reserved_workers=max_reserved_workers,
        task_order=task_order,
    )
    workspace.queues[queue.sid] = queue
    publish(engine, workspace, queue, "created")
    return queue


def delete(engine: Engine, workspace: Workspace, queue: TaskQueue) -> None:
    """Remove a TaskQueue.

    Raises:
        BadRequest: a Workflow names it, or a Task that is not closed is in it.
    """
    named = any(
        queue.sid in workflow.configuration.queue_sids()
        for workflow in workspace.workflows.values()
    )
    holds = any(
        queue.sid == task.queue_sid and task.status not in CLOSED
        for task in workspace.tasks.values()
    )
    if named or holds:
        raise BadRequest(f"TaskQueue {queue.sid} is in use and cannot be deleted")
    del workspace.queues[queue.sid]
    publish(engine, workspace, queue, "deleted")


def publish(engine: Engine, workspace: Workspace, queue: TaskQueue, what: str) -> None:
    """Publish `task-queue.created`, `.deleted` or `.expression.updated`."""
    events.publish(
        engine, workspace, f"task-queue.{what}", f"TaskQueue {queue.friendly_name} {what}",
        sid=queue.sid, TaskQueueSid=queue.sid, TaskQueueName=queue.friendly_name,
        TaskQueueTargetExpression=queue.target_workers,
    )  # fmt: skip


def require_expression(text: str) -> None:
    """Refuse what is not an expression; an empty one is one that chooses nobody.

    Raises:
        BadRequest: it is not an expression.
    """
    try:
        if text.strip():
            parse(text)
    except ExpressionError as error:
        raise BadRequest(f"Invalid expression: {error}") from error


def _activity(workspace: Workspace, sid: str | None, name: str) -> str | None:
    if sid:
        return workers.require_activity(workspace, sid).sid
    named = workspace.activity(name)
    return named.sid if named else None
