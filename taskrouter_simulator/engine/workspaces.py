"""Workspaces and their Activities."""

from taskrouter_simulator.engine import channels, events
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Activity, Workspace

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
    for name in channels.BUILT_IN:
        channels.add(engine, workspace, friendly_name=name.capitalize(), unique_name=name)
    return workspace


def add_default_activities(engine: Engine, workspace: Workspace) -> None:
    """The Activities of a new Workspace; the first is where Workers start and time out to."""
    for name, available in ACTIVITIES:
        add_activity(engine, workspace, friendly_name=name, available=available)


def delete(engine: Engine, workspace: Workspace) -> None:
    """Remove a Workspace and everything in it."""
    del engine.workspaces[workspace.sid]
    engine.disarm("routing", workspace.sid)
    for reservation in workspace.reservations.values():
        engine.disarm("reservation", reservation.sid)
        engine.offer_over(engine, reservation)
    for task in workspace.tasks.values():
        for kind in ("lifetime", "assigned", "step", "closed"):
            engine.disarm(kind, task.sid)
        engine.task_gone(engine, workspace, task)


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
