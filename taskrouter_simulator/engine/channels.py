"""TaskChannels, and each Worker's share of them."""

from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import TaskChannel, Worker, WorkerChannel, Workspace

BUILT_IN = ("default", "voice", "sms", "chat", "video")


def add(
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
        open_for(engine, worker, channel)
    return channel


def delete(engine: Engine, workspace: Workspace, channel: TaskChannel) -> None:
    """Remove a TaskChannel.

    Raises:
        BadRequest: it is one of Twilio's own, or a Task uses it.
    """
    used = any(task.channel_sid == channel.sid for task in workspace.tasks.values())
    if used or channel.unique_name in BUILT_IN:
        raise BadRequest(f"TaskChannel {channel.sid} is in use and cannot be deleted")
    publish(engine, workspace, channel, "deleted")
    del workspace.channels[channel.sid]
    for worker in workspace.workers.values():
        del worker.channels[channel.sid]


def publish(engine: Engine, workspace: Workspace, channel: TaskChannel, what: str) -> None:
    """Publish `task-channel.created`, `.updated` or `.deleted`."""
    events.publish(
        engine,
        workspace,
        f"task-channel.{what}",
        f"TaskChannel {channel.friendly_name} {what}",
        sid=channel.sid,
        TaskChannelSid=channel.sid,
        TaskChannelUniqueName=channel.unique_name,
    )


def open_for(engine: Engine, worker: Worker, channel: TaskChannel) -> None:
    """Give the Worker its share of a channel."""
    worker.channels[channel.sid] = WorkerChannel(
        **vars(engine.stamp("WC")),
        channel_sid=channel.sid,
        capacity=engine.settings.default_capacity,
    )


def change_share(
    engine: Engine,
    workspace: Workspace,
    worker: Worker,
    share: WorkerChannel,
    *,
    capacity: int | None = None,
    available: bool | None = None,
) -> None:
    """Change how much of a channel a Worker takes; None leaves it."""
    channel = workspace.channels[share.channel_sid]
    if capacity is not None and capacity != share.capacity:
        share.capacity = capacity
        _publish_share(engine, workspace, worker, channel, "worker.capacity.update")
    if available is not None and available != share.available:
        share.available = available
        event_type = "worker.channel.availability.update"
        _publish_share(engine, workspace, worker, channel, event_type)
    engine.touch(share)
    engine.wake(workspace)


def assigned_tasks(workspace: Workspace, worker: Worker, channel_sid: str) -> int:
    """How many Tasks of the channel the Worker has, those on offer included."""
    tasks = [workspace.tasks[held.task_sid] for held in workspace.held_by(worker)]
    return sum(task.channel_sid == channel_sid for task in tasks)


def _publish_share(
    engine: Engine, workspace: Workspace, worker: Worker, channel: TaskChannel, event_type: str
) -> None:
    events.publish(
        engine,
        workspace,
        event_type,
        f"Worker {worker.friendly_name}: {event_type.removeprefix('worker.')}",
        sid=worker.sid,
        worker=worker,
        TaskChannelSid=channel.sid,
        TaskChannelUniqueName=channel.unique_name,
    )
