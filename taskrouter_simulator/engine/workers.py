"""Workers: creation, Activity, attributes, capacity."""

from taskrouter_simulator.engine import channels, events
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Activity, ReservationStatus, Worker, Workspace


def create(
    engine: Engine,
    workspace: Workspace,
    *,
    friendly_name: str,
    attributes: str = "{}",
    activity_sid: str | None = None,
    sid: str | None = None,
) -> Worker:
    """Add a Worker.

    Args:
        engine: the engine.
        workspace: where it works.
        friendly_name: unique in the Workspace.
        attributes: a JSON object as text.
        activity_sid: its first Activity; the Workspace's default if None.
        sid: a fixed SID, for seeds.

    Raises:
        BadRequest: the name is taken, or there is no such Activity.
    """
    require_free_name(workspace, friendly_name)
    stamp = engine.stamp("WK", sid)
    worker = Worker(
        **vars(stamp),
        friendly_name=friendly_name,
        attributes=attributes,
        activity_sid=require_activity(
            workspace, activity_sid or workspace.default_activity_sid
        ).sid,
        activity_changed=stamp.created,
        unoccupied_since=stamp.created,
    )
    workspace.workers[worker.sid] = worker
    for channel in workspace.channels.values():
        channels.open_for(engine, worker, channel)
    events.publish(
        engine, workspace, "worker.created", f"Worker {friendly_name} created",
        sid=worker.sid, worker=worker,
    )  # fmt: skip
    engine.wake(workspace)
    return worker


def require_free_name(workspace: Workspace, name: str) -> None:
    """Refuse a friendly name that another Worker has.

    Raises:
        BadRequest: it is taken.
    """
    if any(worker.friendly_name == name for worker in workspace.workers.values()):
        raise BadRequest(f"Worker friendly name {name} already exists in this workspace")


def require_activity(workspace: Workspace, sid: str) -> Activity:
    """The Activity of that SID, as a parameter names it.

    Raises:
        BadRequest: there is none.
    """
    if sid not in workspace.activities:
        raise BadRequest(f"Activity {sid} does not exist in workspace {workspace.sid}")
    return workspace.activities[sid]


def set_activity(engine: Engine, workspace: Workspace, worker: Worker, activity_sid: str) -> None:
    """Move the Worker to an Activity that the Workspace has; the same one changes nothing."""
    if worker.activity_sid == activity_sid:
        return
    before = workspace.activities[worker.activity_sid]
    after = workspace.activities[activity_sid]
    spent = engine.since(worker.activity_changed)
    worker.activity_sid = after.sid
    worker.activity_changed = engine.now()
    if after.available and not before.available:
        worker.unoccupied_since = engine.now()
    engine.touch(worker)
    events.publish(
        engine,
        workspace,
        "worker.activity.update",
        f"Worker {worker.friendly_name} updated to {after.friendly_name} Activity",
        sid=worker.sid,
        worker=worker,
        WorkerPreviousActivitySid=before.sid,
        WorkerPreviousActivityName=before.friendly_name,
        WorkerTimeInPreviousActivity=str(int(spent)),
        WorkerTimeInPreviousActivityMs=str(int(spent * 1000)),
    )
    engine.wake(workspace)


def set_attributes(engine: Engine, workspace: Workspace, worker: Worker, attributes: str) -> None:
    """Replace the attributes (a JSON object as text)."""
    worker.attributes = attributes
    engine.touch(worker)
    events.publish(
        engine, workspace, "worker.attributes.update",
        f"Worker {worker.friendly_name} attributes updated", sid=worker.sid, worker=worker,
    )  # fmt: skip
    engine.wake(workspace)


def can_take(workspace: Workspace, worker: Worker, channel_sid: str) -> bool:
    """Whether the Worker is free for one more Task of the channel.

    A multi-tasking Worker goes by the channel's capacity; a single-tasking one takes one offer at
    a time and is kept from more by its Activity.
    """
    if not workspace.is_available(worker):
        return False
    if not workspace.multi_task_enabled:
        offers = workspace.held_by(worker)
        return not any(offer.status is ReservationStatus.PENDING for offer in offers)
    share = worker.channels[channel_sid]
    return (
        share.available and channels.assigned_tasks(workspace, worker, channel_sid) < share.capacity
    )


def delete(engine: Engine, workspace: Workspace, worker: Worker) -> None:
    """Remove a Worker.

    Raises:
        BadRequest: it is available, or holds Reservations.
    """
    if workspace.is_available(worker) or worker.held:
        raise BadRequest(
            f"Worker {worker.sid} cannot be deleted while it is available or holds reservations"
        )
    del workspace.workers[worker.sid]
    events.publish(
        engine, workspace, "worker.deleted", f"Worker {worker.friendly_name} deleted",
        sid=worker.sid, worker=worker,
    )  # fmt: skip
