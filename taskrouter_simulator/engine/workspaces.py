"""Manages Workspaces and their Activities, TaskChannels and TaskQueues."""

import json
import re

from taskrouter_simulator.engine import events, transfers, workers, workflows
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.expressions import ExpressionError, references
from taskrouter_simulator.engine.model import (
    CLOSED,
    Activity,
    TaskChannel,
    TaskQueue,
    Workspace,
)
from taskrouter_simulator.engine.names import WORKERS, Scope, require_names

DEFAULT_ACTIVITIES = (("Offline", False), ("Available", True), ("Unavailable", False))
BUILT_IN_CHANNELS = ("default", "voice", "sms", "chat", "video")


def create(
    engine: Engine, *, friendly_name: str, multi_task_enabled: bool = True, sid: str | None = None
) -> Workspace:
    """Create a Workspace with the built-in TaskChannels and without Activities.

    Args:
        engine: The engine.
        friendly_name: The name.
        multi_task_enabled: Whether a Worker can have several Tasks at a time.
        sid: A fixed WS… SID; None for a random one.
    """
    workspace = Workspace(
        **vars(engine.new_resource("WS", sid)),
        friendly_name=friendly_name,
        multi_task_enabled=multi_task_enabled,
    )
    engine.workspaces[workspace.sid] = workspace
    for name in BUILT_IN_CHANNELS:
        add_channel(engine, workspace, friendly_name=name.capitalize(), unique_name=name)
    return workspace


def add_default_activities(engine: Engine, workspace: Workspace) -> None:
    """Add Twilio's default Activities.

    The first of them becomes the default Activity and the timeout Activity.
    """
    for name, available in DEFAULT_ACTIVITIES:
        add_activity(engine, workspace, friendly_name=name, available=available)


def add_fifo_routing(engine: Engine, workspace: Workspace) -> None:
    """Add the TaskQueue and Workflow of the FIFO template, with the names that Twilio uses."""
    queue = add_queue(engine, workspace, friendly_name="Sample Queue")
    routing = {"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}}
    name, configuration = "Default Fifo Workflow", json.dumps(routing)
    workflows.add(engine, workspace, friendly_name=name, configuration=configuration)


def delete(engine: Engine, workspace: Workspace) -> None:
    """Delete a Workspace and all its resources."""
    del engine.workspaces[workspace.sid]
    engine.cancel_timer("routing", workspace.sid)
    for reservation in workspace.reservations.values():
        engine.cancel_timer("reservation", reservation.sid)
        engine.on_reservation_changed(engine, reservation)
    for task in workspace.tasks.values():
        for kind in ("lifetime", "assigned", "step", "closed"):
            engine.cancel_timer(kind, task.sid)
        engine.on_task_removed(engine, workspace, task)


def add_activity(
    engine: Engine,
    workspace: Workspace,
    *,
    friendly_name: str,
    available: bool = False,
    sid: str | None = None,
) -> Activity:
    """Add an Activity.

    The first Activity of a Workspace becomes its default Activity and its timeout Activity.

    Raises:
        BadRequest: The name is in use.
    """
    if workspace.activity(friendly_name):
        raise BadRequest(f"Activity {friendly_name} already exists in this workspace")
    activity = Activity(
        **vars(engine.new_resource("WA", sid)), friendly_name=friendly_name, available=available
    )
    workspace.activities[activity.sid] = activity
    workspace.default_activity_sid = workspace.default_activity_sid or activity.sid
    workspace.timeout_activity_sid = workspace.timeout_activity_sid or activity.sid
    publish_activity(engine, workspace, activity, "created")
    return activity


def delete_activity(engine: Engine, workspace: Workspace, activity: Activity) -> None:
    """Delete an Activity.

    Raises:
        BadRequest: The Workspace, a Worker, a TaskQueue or a Workflow refers to the Activity.
    """
    used = {workspace.default_activity_sid, workspace.timeout_activity_sid}
    used |= {worker.activity_sid for worker in workspace.workers.values()}
    used |= {activity.sid for text in _expressions(workspace) if f"workers.{activity.sid}" in text}
    for queue in workspace.queues.values():
        used |= {queue.reservation_activity_sid or "", queue.assignment_activity_sid or ""}
    if activity.sid in used:
        raise BadRequest(f"Activity {activity.sid} is in use and cannot be deleted")
    del workspace.activities[activity.sid]
    engine.note_change(activity)
    publish_activity(engine, workspace, activity, "deleted")


def publish_activity(engine: Engine, workspace: Workspace, activity: Activity, change: str) -> None:
    """Publish `activity.created`, `activity.updated` or `activity.deleted`."""
    events.publish(
        engine, workspace, f"activity.{change}", f"Activity {activity.friendly_name} {change}",
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
    """Add a TaskChannel, and a WorkerChannel for every Worker.

    Raises:
        BadRequest: The unique name is in use, or is not allowed in expressions:
            https://www.twilio.com/docs/taskrouter/multitasking.
    """
    if not re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", unique_name):
        raise BadRequest(
            f"UniqueName {unique_name[:100]} must consist of letters, digits, _ and $, and must not"
            " begin with a digit"
        )
    if workspace.channel(unique_name):
        raise BadRequest(f"TaskChannel {unique_name} already exists in this workspace")
    channel = TaskChannel(
        **vars(engine.new_resource("TC")),
        friendly_name=friendly_name,
        unique_name=unique_name,
        channel_optimized_routing=channel_optimized_routing,
    )
    workspace.channels[channel.sid] = channel
    engine.note_change(channel)
    for worker in workspace.workers.values():
        workers.add_channel(engine, worker, channel)
    return channel


def delete_channel(engine: Engine, workspace: Workspace, channel: TaskChannel) -> None:
    """Delete a TaskChannel.

    Raises:
        BadRequest: The TaskChannel is built in, or a Task or an expression uses it.
    """
    prefix = f"worker.channel.{channel.unique_name}."
    is_used = any(task.channel_sid == channel.sid for task in workspace.tasks.values())
    is_used = is_used or any(prefix in text for text in _expressions(workspace))
    if is_used or channel.unique_name in BUILT_IN_CHANNELS:
        raise BadRequest(f"TaskChannel {channel.sid} is built in or in use and cannot be deleted")
    publish_channel(engine, workspace, channel, "deleted")
    del workspace.channels[channel.sid]
    engine.note_change(channel)
    for worker in workspace.workers.values():
        del worker.channels[channel.sid]


def publish_channel(
    engine: Engine, workspace: Workspace, channel: TaskChannel, change: str
) -> None:
    """Publish `task-channel.created`, `.updated` or `.deleted`."""
    events.publish(
        engine,
        workspace,
        f"task-channel.{change}",
        f"TaskChannel {channel.friendly_name} {change}",
        sid=channel.sid,
        TaskChannelSid=channel.sid,
        TaskChannelUniqueName=channel.unique_name,
    )


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
    """Add a TaskQueue.

    If no Activities are specified, the TaskQueue uses the Activities named Reserved and Busy, if
    they exist.

    Raises:
        BadRequest: The name is in use, the expression is invalid, or an Activity does not exist.
    """
    if any(queue.friendly_name == friendly_name for queue in workspace.queues.values()):
        raise BadRequest(f"TaskQueue {friendly_name} already exists in this workspace")
    require_expression(engine, workspace, target_workers, WORKERS, "TargetWorkers")
    queue = TaskQueue(
        **vars(engine.new_resource("WQ", sid)),
        friendly_name=friendly_name,
        target_workers=target_workers,
        reservation_activity_sid=_activity_sid(
            workspace, reservation_activity_sid, "Reserved", "ReservationActivitySid"
        ),
        assignment_activity_sid=_activity_sid(
            workspace, assignment_activity_sid, "Busy", "AssignmentActivitySid"
        ),
        max_reserved_workers=max_reserved_workers,
        task_order=task_order,
    )
    workspace.queues[queue.sid] = queue
    publish_queue(engine, workspace, queue, "created")
    return queue


def delete_queue(engine: Engine, workspace: Workspace, queue: TaskQueue) -> None:
    """Delete a TaskQueue.

    Raises:
        BadRequest: A Workflow refers to the TaskQueue, the TaskQueue has a Task that is not closed,
            or a transferred Task may return to the TaskQueue.
    """
    is_referenced = any(
        queue.sid in workflow.configuration.queue_sids()
        for workflow in workspace.workflows.values()
    )
    has_tasks = any(
        queue.sid in {task.queue_sid, transfers.previous_queue_sid(task)}
        and task.status not in CLOSED
        for task in workspace.tasks.values()
    )
    if is_referenced or has_tasks:
        raise BadRequest(f"TaskQueue {queue.sid} is in use and cannot be deleted")
    del workspace.queues[queue.sid]
    engine.note_change(queue)
    publish_queue(engine, workspace, queue, "deleted")


def publish_queue(engine: Engine, workspace: Workspace, queue: TaskQueue, change: str) -> None:
    """Publish `task-queue.created`, `.deleted` or `.expression.updated`."""
    events.publish(
        engine, workspace, f"task-queue.{change}", f"TaskQueue {queue.friendly_name} {change}",
        sid=queue.sid, TaskQueueSid=queue.sid, TaskQueueName=queue.friendly_name,
        TaskQueueTargetExpression=queue.target_workers,
    )  # fmt: skip


def require_expression(
    engine: Engine, workspace: Workspace, text: str, scope: Scope, parameter: str
) -> None:
    """Check that the text is empty, or is an expression whose names can be resolved.

    Args:
        engine: The engine.
        workspace: The Workspace.
        text: The expression.
        scope: The kind of expression.
        parameter: Name of the parameter that contains the expression, for the error message.

    Raises:
        BadRequest: The text is not an expression, or contains a name that cannot be resolved.
    """
    allow_digit = engine.settings.names_may_begin_with_digit
    try:
        if text.strip():
            engine.compile(text)  # also caches the result, so that the first evaluation is fast
            require_names(
                references(text), scope, workspace, names_may_begin_with_digit=allow_digit
            )
    except ExpressionError as error:
        raise BadRequest(f"{parameter} is invalid: {error}") from error


def _expressions(workspace: Workspace) -> list[str]:
    """Return the texts that contain expressions: TargetWorkers and Workflow configurations."""
    queues, workflows = workspace.queues.values(), workspace.workflows.values()
    return [queue.target_workers for queue in queues] + [workflow.text for workflow in workflows]


def _activity_sid(workspace: Workspace, sid: str | None, name: str, parameter: str) -> str | None:
    if sid:
        return workers.require_activity(workspace, sid, parameter).sid
    activity = workspace.activity(name)
    return activity.sid if activity else None
