"""Tasks: creation, update, life span."""

from taskrouter_simulator.engine import assignments, events, offers, reservations, routing
from taskrouter_simulator.engine.configuration import Configuration, Target
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.matching import serves
from taskrouter_simulator.engine.model import (
    WAITING,
    Entry,
    Step,
    Task,
    TaskChannel,
    TaskStatus,
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
    """Create a Task; it is routed in a step of its own.

    Args:
        engine: the engine.
        workspace: where.
        attributes: a JSON object as text.
        workflow_sid: None takes the Workspace's only Workflow.
        priority: None is 0, or what the matching target says.
        timeout: seconds that it may wait to be assigned.
        channel: a TaskChannel's SID or unique name.
        virtual_start_time: seconds since the epoch; None is now.
        routing_target: the SID of a Worker, TaskQueue or Workflow to route to.
        ignore_capacity: whether a targeted Worker's capacity and Activity do not matter.
        queue_sid: a TaskQueue to route to, in place of a Workflow.

    Raises:
        BadRequest: what a SID names does not exist, or no Workflow can be told.
    """
    target = routing_target or queue_sid or workflow_sid or _only_workflow(workspace).sid
    stamp = engine.stamp("WT")
    task = Task(
        **vars(stamp),
        workflow_sid=None,
        attributes=attributes,
        priority=priority or 0,
        timeout=timeout,
        channel_sid=require_channel(workspace, channel).sid,
        virtual_start_time=stamp.created if virtual_start_time is None else virtual_start_time,
        routing_target=routing_target,
    )
    _aim(engine, workspace, task, target)
    if task.step and (routing_target or "").startswith("WK"):
        task.ignore_capacity = ignore_capacity is not False
    workspace.tasks[task.sid] = task
    _publish(engine, workspace, task, "task.created")
    if task.workflow_sid:
        _publish(engine, workspace, task, "workflow.entered", task.workflow_sid)
    routing.place(engine, workspace, task)
    ends = task.created + timeout
    engine.arm("lifetime", task.sid, ends, lambda: _expire(engine, workspace, task))
    engine.wake(workspace)
    return task


def require_channel(workspace: Workspace, name: str) -> TaskChannel:
    """The TaskChannel of that SID or unique name, as a parameter names it.

    Raises:
        BadRequest: there is none.
    """
    channel = workspace.channel(name)
    if channel is None:
        raise BadRequest(f"TaskChannel {name} does not exist in workspace {workspace.sid}")
    return channel


def set_status(
    engine: Engine, workspace: Workspace, task: Task, status: TaskStatus, reason: str | None
) -> None:
    """What a REST update may ask for: canceled, wrapping, completed.

    Raises:
        BadRequest: another status, or one that the Task cannot go to.
    """
    moves = {
        TaskStatus.CANCELED: assignments.cancel,
        TaskStatus.WRAPPING: assignments.wrap,
        TaskStatus.COMPLETED: assignments.complete,
    }
    if status not in moves:
        raise BadRequest(f"Cannot set task {task.sid} to {status}.")
    moves[status](engine, workspace, task, reason)


def change(
    engine: Engine,
    workspace: Workspace,
    task: Task,
    *,
    attributes: str | None = None,
    priority: int | None = None,
    channel: str | None = None,
    virtual_start_time: float | None = None,
) -> None:
    """Change what can be changed; None leaves it.

    Raises:
        BadRequest: there is no such TaskChannel.
    """
    if channel is not None:
        task.channel_sid = require_channel(workspace, channel).sid
    task.attributes = task.attributes if attributes is None else attributes
    task.priority = task.priority if priority is None else priority
    if virtual_start_time is not None:
        task.virtual_start_time = virtual_start_time
    engine.touch(task)
    _publish(engine, workspace, task, "task.updated")
    engine.wake(workspace)


def re_evaluate(engine: Engine, workspace: Workspace, workflow: Workflow) -> None:
    """Send the Workflow's waiting Tasks through it again, from the top; offers are canceled."""
    for task in list(workspace.tasks.values()):
        if task.workflow_sid == workflow.sid and task.status in WAITING:
            for offer in reservations.offers(workspace, task):
                offers.cancel(engine, workspace, offer)
            task.status, task.entry = TaskStatus.PENDING, Entry.TOP
            engine.touch(task)
    engine.wake(workspace)


def _only_workflow(workspace: Workspace) -> Workflow:
    if len(workspace.workflows) != 1:
        raise BadRequest("Missing required parameter WorkflowSid in the post body")
    return next(iter(workspace.workflows.values()))


def _aim(engine: Engine, workspace: Workspace, task: Task, target: str) -> None:
    """Give the Task its Workflow, or the one step that leads to a TaskQueue or Worker."""
    if target in workspace.workflows:
        task.workflow_sid = target
    elif target in workspace.queues:
        task.step = Step(Configuration(default=Target(queue_sid=target)), None, 0)
    elif target in workspace.workers:
        worker = workspace.workers[target]
        only = Target(
            queue_sid=_queue_of(engine, workspace, worker), expression=f"worker.sid == '{target}'"
        )
        task.step = Step(Configuration(default=only), None, 0)
    else:
        raise BadRequest(f"{target} does not exist in workspace {workspace.sid}")


def _queue_of(engine: Engine, workspace: Workspace, worker: Worker) -> str:
    for queue in workspace.queues.values():
        if serves(engine, workspace, queue, worker):
            return queue.sid
    raise BadRequest(f"Worker {worker.sid} is in no TaskQueue of workspace {workspace.sid}")


def _expire(engine: Engine, workspace: Workspace, task: Task) -> None:
    if task.status in WAITING:
        assignments.cancel(engine, workspace, task, TTL_EXCEEDED)


def _publish(
    engine: Engine, workspace: Workspace, task: Task, event_type: str, sid: str | None = None
) -> None:
    what = event_type.split(".")[1]
    events.publish(engine, workspace, event_type, f"Task {what}", sid=sid or task.sid, task=task)
