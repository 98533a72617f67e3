"""Rules for Workers' Activities, attributes, capacity and TaskQueue membership."""

from functools import partial
from typing import Any

from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import (
    Activity,
    ReservationStatus,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workspace,
    parse_attributes,
)
from taskrouter_simulator.engine.names import CHANNEL_NAMES, WORKER_NAMES


def create(
    engine: Engine,
    workspace: Workspace,
    *,
    friendly_name: str,
    attributes: str = "{}",
    activity_sid: str | None = None,
    sid: str | None = None,
) -> Worker:
    """Create a Worker without checking that the name is unique.

    The check is slow if a Workspace has many Workers. A caller that needs the check calls
    `require_free_name` first.

    Args:
        engine: The engine.
        workspace: The Workspace.
        friendly_name: A name that is unique in the Workspace (see `require_free_name`).
        attributes: A JSON object, serialized as a string.
        activity_sid: The initial Activity; None for the Workspace's default.
        sid: A fixed WK… SID; None for a random one.

    Raises:
        BadRequest: The Activity does not exist.
    """
    activity = require_activity(workspace, activity_sid or workspace.default_activity_sid)
    resource = engine.new_resource("WK", sid)
    worker = Worker(
        **vars(resource),
        friendly_name=friendly_name,
        attributes=attributes,
        activity_sid=activity.sid,
        activity_changed=resource.created,
        unoccupied_since=resource.created,
    )
    workspace.workers[worker.sid] = worker
    engine.note_change(worker)
    for channel in workspace.channels.values():
        add_channel(engine, worker, channel)
    events.publish(
        engine, workspace, "worker.created", f"Worker {friendly_name} created",
        sid=worker.sid, worker=worker,
    )  # fmt: skip
    engine.schedule_routing(workspace)
    return worker


def require_free_name(workspace: Workspace, name: str) -> None:
    """Check that no Worker has this friendly name; friendly names are case-insensitive.

    Raises:
        BadRequest: The name is in use.
    """
    names = {worker.friendly_name.casefold() for worker in workspace.workers.values()}
    if name.casefold() in names:
        raise BadRequest(f"Worker friendly name {name} already exists in this workspace")


def require_activity(workspace: Workspace, sid: str, parameter: str = "ActivitySid") -> Activity:
    """Return the Activity with the given SID.

    Args:
        workspace: The Workspace.
        sid: WA… SID.
        parameter: Name of the parameter that contains the SID, for the error message.

    Raises:
        BadRequest: The Activity does not exist.
    """
    if sid not in workspace.activities:
        raise BadRequest(f"{parameter}: Activity {sid} does not exist in workspace {workspace.sid}")
    return workspace.activities[sid]


def set_activity(engine: Engine, workspace: Workspace, worker: Worker, activity_sid: str) -> None:
    """Set a Worker's Activity; do nothing if the Worker is already in that Activity."""
    if worker.activity_sid == activity_sid:
        return
    previous = workspace.activities[worker.activity_sid]
    activity = workspace.activities[activity_sid]
    seconds_in_previous = engine.seconds_since(worker.activity_changed)
    workspace.history.record_stay(engine.now(), worker)
    worker.activity_sid = activity.sid
    worker.activity_changed = engine.now()
    if activity.available and not previous.available:
        worker.unoccupied_since = engine.now()
    engine.touch(worker)
    events.publish(
        engine,
        workspace,
        "worker.activity.update",
        f"Worker {worker.friendly_name} updated to {activity.friendly_name} Activity",
        sid=worker.sid,
        worker=worker,
        WorkerPreviousActivitySid=previous.sid,
        WorkerPreviousActivityName=previous.friendly_name,
        WorkerTimeInPreviousActivity=str(int(seconds_in_previous)),
        WorkerTimeInPreviousActivityMs=str(int(seconds_in_previous * 1000)),
    )
    engine.schedule_routing(workspace)


def set_attributes(engine: Engine, workspace: Workspace, worker: Worker, attributes: str) -> None:
    """Replace a Worker's attributes; `attributes` is a JSON object, serialized as a string."""
    worker.attributes = attributes
    engine.touch(worker)
    events.publish(
        engine, workspace, "worker.attributes.update",
        f"Worker {worker.friendly_name} attributes updated", sid=worker.sid, worker=worker,
    )  # fmt: skip
    engine.schedule_routing(workspace)


def delete(engine: Engine, workspace: Workspace, worker: Worker) -> None:
    """Delete a Worker.

    Raises:
        BadRequest: The Worker is available or has open Reservations.
    """
    if workspace.is_available(worker) or worker.held:
        raise BadRequest(
            f"Worker {worker.sid} cannot be deleted while it is available or has open reservations"
        )
    workspace.history.record_stay(engine.now(), worker)
    del workspace.workers[worker.sid]
    engine.note_change(worker)
    events.publish(
        engine, workspace, "worker.deleted", f"Worker {worker.friendly_name} deleted",
        sid=worker.sid, worker=worker,
    )  # fmt: skip


def add_channel(engine: Engine, worker: Worker, channel: TaskChannel) -> None:
    """Add a WorkerChannel with the default capacity to a Worker."""
    worker.channels[channel.sid] = WorkerChannel(
        **vars(engine.new_resource("WC")),
        channel_sid=channel.sid,
        capacity=engine.settings.default_capacity,
    )


def update_channel(
    engine: Engine,
    workspace: Workspace,
    worker: Worker,
    worker_channel: WorkerChannel,
    *,
    capacity: int | None = None,
    available: bool | None = None,
) -> None:
    """Change a Worker's capacity and availability on a TaskChannel; None means no change."""
    channel = workspace.channels[worker_channel.channel_sid]
    if capacity is not None and capacity != worker_channel.capacity:
        worker_channel.capacity = capacity
        _publish_channel(engine, workspace, worker, channel, "worker.capacity.update")
    if available is not None and available != worker_channel.available:
        worker_channel.available = available
        event_type = "worker.channel.availability.update"
        _publish_channel(engine, workspace, worker, channel, event_type)
    engine.touch(worker_channel)
    engine.schedule_routing(workspace)


def _publish_channel(
    engine: Engine, workspace: Workspace, worker: Worker, channel: TaskChannel, event_type: str
) -> None:
    engine.touch(worker)
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


def held_statuses(
    workspace: Workspace, worker: Worker, channel_sid: str
) -> list[ReservationStatus]:
    """Return the statuses of the Reservations that use a Worker's capacity on a TaskChannel."""
    return [
        held.status
        for held in worker.held.values()
        if workspace.tasks[held.task_sid].channel_sid == channel_sid
    ]


def has_capacity(workspace: Workspace, worker: Worker, channel_sid: str) -> bool:
    """Return whether a Worker can be offered another Task on a TaskChannel.

    In a multitasking Workspace, the limit is the Worker's capacity on the channel. Otherwise, a
    Worker has at most one pending Reservation, and the Busy Activity prevents further Reservations
    during an assignment.
    """
    if not workspace.is_available(worker):
        return False
    if not workspace.multi_task_enabled:
        return all(held.status is not ReservationStatus.PENDING for held in worker.held.values())
    channel = worker.channels[channel_sid]
    used = len(held_statuses(workspace, worker, channel_sid))
    return channel.available and used < channel.capacity


def expression_context(workspace: Workspace, worker: Worker) -> dict[str, Any]:
    """Return the variables that an expression can use for a Worker.

    Each attribute is available with and without the prefix `worker.`. The names that describe a
    TaskChannel, such as `worker.channel.voice.available`, require the prefix.
    """
    attributes = {
        **parse_attributes(worker.attributes),
        **{name: read(workspace, worker) for name, read in WORKER_NAMES.items()},
    }
    channel = partial(_channel_values, workspace, worker)
    return {**attributes, "worker": {**attributes, "channel": channel}}


def _channel_values(workspace: Workspace, worker: Worker, unique_name: str) -> dict[str, Any]:
    channel = workspace.channel(unique_name)
    if channel is None:
        return {}
    held = held_statuses(workspace, worker, channel.sid)
    worker_channel = worker.channels[channel.sid]
    return {name: read(worker_channel, held) for name, read in CHANNEL_NAMES.items()}


def is_member(engine: Engine, workspace: Workspace, queue: TaskQueue, worker: Worker) -> bool:
    """Return whether a Worker matches a TaskQueue's expression.

    An empty expression matches no Worker.
    """
    if not queue.target_workers.strip():
        return False
    return engine.compile(queue.target_workers)(expression_context(workspace, worker))


def members(engine: Engine, workspace: Workspace, queue: TaskQueue) -> list[Worker]:
    """Return a TaskQueue's Workers, regardless of their Activity."""
    return [
        worker
        for worker in workspace.workers.values()
        if is_member(engine, workspace, queue, worker)
    ]
