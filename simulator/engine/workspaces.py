"""Workspaces and what is set up in them: Activities, channels, TaskQueues, Workflows."""

from simulator.engine import events, workers
from simulator.engine.core import Engine
from simulator.engine.errors import BadRequest
from simulator.engine.expressions import ExpressionError, parse
from simulator.engine.model import (
    CLOSED,
    Activity,
    TaskChannel,
    TaskQueue,
    Workflow,
    Workspace,
)
from simulator.engine.workflow import Configuration, ConfigurationError, read

CHANNELS = ("default", "voice", "sms", "chat", "video")
ACTIVITIES = (("Offline", False), ("Available", True), ("Unavailable", False))


def create(
    engine: Engine, *, friendly_name: str, multi_task_enabled: bool = True, sid: str | None = None
) -> Workspace:
    """A Workspace with Twilio's channels, and no Activity yet.

    Args:
        engine: the engine.
        friendly_name: its name.
        multi_task_enabled: whether Workers take several Tasks at a time.
        sid: a fixed SID, for seeds.
    """
    workspace = Workspace(
        **vars(engine.stamp("WS", sid)),
        friendly_name=friendly_name,
        multi_task_enabled=multi_task_enabled,
    )
    engine.workspaces[workspace.sid] = workspace
    for name in CHANNELS:
        add_channel(engine, workspace, friendly_name=name.capitalize(), unique_name=name)
    return workspace


def add_default_activities(engine: Engine, workspace: Workspace) -> None:
    """The Activities of a new Workspace; the first is where Workers start and time out to."""
    for name, available in ACTIVITIES:
        add_activity(engine, workspace, friendly_name=name, available=available)


def delete(engine: Engine, workspace: Workspace) -> None:
    """Remove a Workspace and everything in it."""
    for task in list(workspace.tasks.values()):
        for kind in ("lifetime", "assigned", "step", "closed"):
            engine.disarm(kind, task.sid)
    for sid in workspace.reservations:
        engine.disarm("reservation", sid)
    engine.disarm("routing", workspace.sid)
    del engine.workspaces[workspace.sid]


def add_activity(
    engine: Engine,
    workspace: Workspace,
    *,
    friendly_name: str,
    available: bool = False,
    sid: str | None = None,
) -> Activity:
    """Add an Activity; the first one becomes the default and the time-out Activity.

    Raises:
        BadRequest: the name is taken.
    """
    if workspace.activity(friendly_name):
        raise BadRequest(f"Activity {friendly_name} already exists in this workspace")
    activity = Activity(
        **vars(engine.stamp("WA", sid)), friendly_name=friendly_name, available=available
    )
    workspace.activities[activity.sid] = activity
    workspace.default_activity_sid = workspace.default_activity_sid or activity.sid
    workspace.timeout_activity_sid = workspace.timeout_activity_sid or activity.sid
    publish_activity(engine, workspace, activity, "created")
    return activity


def delete_activity(engine: Engine, workspace: Workspace, activity: Activity) -> None:
    """Remove an Activity.

    Raises:
        BadRequest: something refers to it.
    """
    used = {workspace.default_activity_sid, workspace.timeout_activity_sid}
    used |= {worker.activity_sid for worker in workspace.workers.values()}
    for queue in workspace.queues.values():
        used |= {queue.reservation_activity_sid or "", queue.assignment_activity_sid or ""}
    if activity.sid in used:
        raise BadRequest(f"Activity {activity.sid} is in use and cannot be deleted")
    del workspace.activities[activity.sid]
    publish_activity(engine, workspace, activity, "deleted")


def publish_activity(engine: Engine, workspace: Workspace, activity: Activity, what: str) -> None:
    """Publish `activity.created`, `activity.updated` or `activity.deleted`."""
    events.publish(
        engine, workspace, f"activity.{what}", f"Activity {activity.friendly_name} {what}",
        sid=activity.sid,
    )  # fmt: skip


def add_channel(
    engine: Engine,
    workspace: Workspace,
    *,
    friendly_name: str,
    unique_name: str,
    channel_optimized_routing: bool = False,
) -> TaskChannel:
    """Add a TaskChannel, and its share for every Worker.

    Raises:
        BadRequest: the unique name is taken.
    """
    if workspace.channel(unique_name):
        raise BadRequest(f"TaskChannel {unique_name} already exists in this workspace")
    channel = TaskChannel(
        **vars(engine.stamp("TC")),
        friendly_name=friendly_name,
        unique_name=unique_name,
        channel_optimized_routing=channel_optimized_routing,
    )
    workspace.channels[channel.sid] = channel
    for worker in workspace.workers.values():
        workers.open_channel(engine, worker, channel)
    return channel


def add_queue(
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
    publish_queue(engine, workspace, queue, "created")
    return queue


def delete_queue(engine: Engine, workspace: Workspace, queue: TaskQueue) -> None:
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
    publish_queue(engine, workspace, queue, "deleted")


def publish_queue(engine: Engine, workspace: Workspace, queue: TaskQueue, what: str) -> None:
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


def add_workflow(
    engine: Engine,
    workspace: Workspace,
    *,
    friendly_name: str,
    configuration: str,
    assignment_callback_url: str = "",
    fallback_assignment_callback_url: str = "",
    task_reservation_timeout: int = 120,
    sid: str | None = None,
) -> Workflow:
    """Add a Workflow.

    Args:
        engine: the engine.
        workspace: where.
        friendly_name: unique in the Workspace.
        configuration: JSON text.
        assignment_callback_url: "" for none.
        fallback_assignment_callback_url: "" for none.
        task_reservation_timeout: seconds.
        sid: a fixed SID, for seeds.

    Raises:
        BadRequest: the name is taken, or the configuration is wrong.
    """
    if any(one.friendly_name == friendly_name for one in workspace.workflows.values()):
        raise BadRequest(f"Workflow {friendly_name} already exists in this workspace")
    workflow = Workflow(
        **vars(engine.stamp("WW", sid)),
        friendly_name=friendly_name,
        text=configuration,
        configuration=require_configuration(workspace, configuration),
        assignment_callback_url=assignment_callback_url,
        fallback_assignment_callback_url=fallback_assignment_callback_url,
        task_reservation_timeout=task_reservation_timeout,
    )
    workspace.workflows[workflow.sid] = workflow
    publish_workflow(engine, workspace, workflow, "created")
    return workflow


def require_configuration(workspace: Workspace, text: str) -> Configuration:
    """Read a configuration that fits the Workspace.

    Raises:
        BadRequest: it is not one, or names a TaskQueue that is not there.
    """
    try:
        configuration = read(text)
    except ConfigurationError as error:
        raise BadRequest(f"Workflow configuration is invalid: {error}") from error
    for sid in configuration.queue_sids() - set(workspace.queues):
        raise BadRequest(f"Workflow configuration is invalid: TaskQueue {sid} does not exist")
    return configuration


def delete_workflow(engine: Engine, workspace: Workspace, workflow: Workflow) -> None:
    """Remove a Workflow.

    Raises:
        BadRequest: a Task that is not closed is in it.
    """
    open_tasks = (task for task in workspace.tasks.values() if task.status not in CLOSED)
    if any(task.workflow_sid == workflow.sid for task in open_tasks):
        raise BadRequest(f"Workflow {workflow.sid} has tasks and cannot be deleted")
    del workspace.workflows[workflow.sid]
    publish_workflow(engine, workspace, workflow, "deleted")


def publish_workflow(engine: Engine, workspace: Workspace, workflow: Workflow, what: str) -> None:
    """Publish `workflow.created`, `workflow.updated` or `workflow.deleted`."""
    events.publish(
        engine, workspace, f"workflow.{what}", f"Workflow {workflow.friendly_name} {what}",
        sid=workflow.sid, WorkflowSid=workflow.sid, WorkflowName=workflow.friendly_name,
    )  # fmt: skip


def _activity(workspace: Workspace, sid: str | None, name: str) -> str | None:
    if sid:
        return workers.require_activity(workspace, sid).sid
    named = workspace.activity(name)
    return named.sid if named else None
