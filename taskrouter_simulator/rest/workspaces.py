"""Handlers for /v1/Workspaces."""

from enum import StrEnum
from typing import Any

from taskrouter_simulator.engine import events, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Workspace
from taskrouter_simulator.rest.request import Request, Response, iso


class QueueOrder(StrEnum):
    """Order of Tasks: first-in, first-out or last-in, first-out."""

    FIFO = "FIFO"
    LIFO = "LIFO"


class Template(StrEnum):
    """Template for a new Workspace."""

    NONE = "NONE"
    FIFO = "FIFO"


def render(request: Request, workspace: Workspace) -> dict[str, Any]:
    """Return a Workspace as JSON."""
    url = request.url(workspace.sid)
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
        "account_sid": request.engine.account_sid,
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


def index(request: Request) -> Response:
    """List Workspaces, optionally filtered by name."""
    name = request.query.text("FriendlyName")
    return request.page(
        "workspaces",
        request.engine.workspaces.values(),
        render,
        keep=lambda workspace: name is None or workspace.friendly_name == name,
    )


def create(request: Request) -> Response:
    """Create a Workspace with Twilio's default Activities and the resources of a template."""
    form = request.form
    multi_task = form.boolean("MultiTaskEnabled")
    order = form.choice("PrioritizeQueueOrder", QueueOrder)
    url = form.url("EventCallbackUrl") or ""
    events_filter = form.text("EventsFilter") or ""
    events.require_types(events_filter)
    template = form.choice("Template", Template)
    workspace = workspaces.create(
        request.engine,
        friendly_name=form.required("FriendlyName", max_length=64),
        multi_task_enabled=multi_task is not False,
    )
    workspace.prioritize_queue_order = order or QueueOrder.FIFO
    workspace.events_filter = events_filter
    workspace.event_callback_url = url
    _publish(request, workspace, "created")
    workspaces.add_default_activities(request.engine, workspace)
    if template is Template.FIFO:
        workspaces.add_fifo_routing(request.engine, workspace)
    return Response(201, render(request, workspace))


def fetch(request: Request) -> Response:
    """Fetch a Workspace."""
    return Response(200, render(request, request.workspace))


def update(request: Request) -> Response:
    """Update a Workspace."""
    form, workspace = request.form, request.workspace
    name = form.text("FriendlyName", allow_empty=False, max_length=64)
    order = form.choice("PrioritizeQueueOrder", QueueOrder)
    url = form.url("EventCallbackUrl")
    multi_task = form.boolean("MultiTaskEnabled")
    if multi_task is False:
        _require_single_tasking_workspace(request)
    events_filter = form.text("EventsFilter")
    events.require_types(events_filter or "")
    default, timeout = (
        request.activity_sid("DefaultActivitySid"),
        request.activity_sid("TimeoutActivitySid"),
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
    request.engine.touch(workspace)
    request.engine.schedule_routing(workspace)
    _publish(request, workspace, "updated")
    return Response(200, render(request, workspace))


def delete(request: Request) -> Response:
    """Delete a Workspace and all its resources."""
    workspace = request.workspace
    _publish(request, workspace, "deleted")
    workspaces.delete(request.engine, workspace)
    return Response(204)


def _require_single_tasking_workspace(request: Request) -> None:
    """Check that at least one Workspace is single-tasking.

    According to Twilio's API description, multitasking can be disabled only in this case.

    Raises:
        BadRequest: All Workspaces are multitasking.
    """
    if all(item.multi_task_enabled for item in request.engine.workspaces.values()):
        raise BadRequest(
            "MultiTaskEnabled must not be changed to false unless another Workspace is"
            " single-tasking"
        )


def _activity_name(workspace: Workspace, sid: str) -> str | None:
    activity = workspace.activities.get(sid)
    return activity.friendly_name if activity else None


def _publish(request: Request, workspace: Workspace, change: str) -> None:
    events.publish(
        request.engine, workspace, f"workspace.{change}", f"Workspace {change}", sid=workspace.sid
    )
