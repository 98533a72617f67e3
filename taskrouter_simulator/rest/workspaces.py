"""/v1/Workspaces."""

from enum import StrEnum
from typing import Any

from taskrouter_simulator.engine import events, workers, workspaces
from taskrouter_simulator.engine.model import Workspace
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import iso


class QueueOrder(StrEnum):
    """First in first out, or last in first out."""

    FIFO = "FIFO"
    LIFO = "LIFO"


def render(call: Call, workspace: Workspace) -> dict[str, Any]:
    """The resource as Twilio shows it."""
    url = call.url(workspace.sid)
    subresources = {
        "activities": "Activities",
        "statistics": "Statistics",
        "real_time_statistics": "RealTimeStatistics",
        "cumulative_statistics": "CumulativeStatistics",
        "task_queues": "TaskQueues",
        "tasks": "Tasks",
        "workers": "Workers",
        "workflows": "Workflows",
        "task_channels": "TaskChannels",
        "events": "Events",
    }
    return {
        "account_sid": call.engine.account_sid,
        "date_created": iso(workspace.created),
        "date_updated": iso(workspace.updated),
        "default_activity_name": _activity_name(workspace, workspace.default_activity_sid),
        "default_activity_sid": workspace.default_activity_sid or None,
        "event_callback_url": workspace.event_callback_url or None,
        "events_filter": workspace.events_filter or None,
        "friendly_name": workspace.friendly_name,
        "multi_task_enabled": workspace.multi_task_enabled,
        "sid": workspace.sid,
        "timeout_activity_name": _activity_name(workspace, workspace.timeout_activity_sid),
        "timeout_activity_sid": workspace.timeout_activity_sid or None,
        "prioritize_queue_order": workspace.prioritize_queue_order,
        "url": url,
        "links": {name: f"{url}/{path}" for name, path in subresources.items()},
    }


def index(call: Call) -> Answer:
    """GET: list."""
    name = call.query.text("FriendlyName")
    return call.page(
        "workspaces",
        call.engine.workspaces.values(),
        lambda workspace: render(call, workspace),
        keep=lambda workspace: name is None or workspace.friendly_name == name,
    )


def create(call: Call) -> Answer:
    """POST: create, with the Activities of a new Workspace."""
    form = call.form
    multi_task = form.boolean("MultiTaskEnabled")
    order = form.choice("PrioritizeQueueOrder", QueueOrder)
    url = form.url("EventCallbackUrl") or ""
    workspace = workspaces.create(
        call.engine,
        friendly_name=form.required("FriendlyName", longest=64),
        multi_task_enabled=multi_task is not False,
    )
    workspace.prioritize_queue_order = order or QueueOrder.FIFO
    workspace.events_filter = form.text("EventsFilter") or ""
    workspace.event_callback_url = url
    _publish(call, workspace, "created")
    workspaces.add_default_activities(call.engine, workspace)
    return Answer(201, render(call, workspace))


def fetch(call: Call) -> Answer:
    """GET: one."""
    return Answer(200, render(call, call.workspace))


def update(call: Call) -> Answer:
    """POST: change."""
    form, workspace = call.form, call.workspace
    name = form.text("FriendlyName", longest=64)
    order = form.choice("PrioritizeQueueOrder", QueueOrder)
    url = form.url("EventCallbackUrl")
    multi_task = form.boolean("MultiTaskEnabled")
    events_filter = form.text("EventsFilter")
    default, timeout = (
        workers.require_activity(workspace, sid).sid if sid else None
        for sid in (form.sid("DefaultActivitySid", "WA"), form.sid("TimeoutActivitySid", "WA"))
    )
    workspace.friendly_name = name or workspace.friendly_name
    workspace.prioritize_queue_order = order or workspace.prioritize_queue_order
    workspace.default_activity_sid = default or workspace.default_activity_sid
    workspace.timeout_activity_sid = timeout or workspace.timeout_activity_sid
    if url is not None:
        workspace.event_callback_url = url
    if events_filter is not None:
        workspace.events_filter = events_filter
    if multi_task is not None:
        workspace.multi_task_enabled = multi_task
    call.engine.touch(workspace)
    call.engine.schedule_routing(workspace)
    _publish(call, workspace, "updated")
    return Answer(200, render(call, workspace))


def delete(call: Call) -> Answer:
    """DELETE: remove it with all that is in it."""
    workspace = call.workspace
    _publish(call, workspace, "deleted")
    workspaces.delete(call.engine, workspace)
    return Answer(204)


def _activity_name(workspace: Workspace, sid: str) -> str | None:
    activity = workspace.activities.get(sid)
    return activity.friendly_name if activity else None


def _publish(call: Call, workspace: Workspace, what: str) -> None:
    events.publish(
        call.engine, workspace, f"workspace.{what}", f"Workspace {what}", sid=workspace.sid
    )
