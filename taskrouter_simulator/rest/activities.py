"""Handlers for /v1/Workspaces/{WorkspaceSid}/Activities."""

from typing import Any

from taskrouter_simulator.engine import workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Activity
from taskrouter_simulator.rest.request import Request, Response, iso


def render(request: Request, activity: Activity) -> dict[str, Any]:
    """Return an Activity as JSON."""
    workspace = request.workspace
    return {
        "account_sid": request.engine.account_sid,
        "available": activity.available,
        "date_created": iso(activity.created),
        "date_updated": iso(activity.updated),
        "friendly_name": activity.friendly_name,
        "sid": activity.sid,
        "workspace_sid": workspace.sid,
        "url": request.url(workspace.sid, "Activities", activity.sid),
        "links": {"workspace": request.url(workspace.sid)},
    }


def index(request: Request) -> Response:
    """List Activities, optionally filtered by name or availability."""
    name, available = (
        request.query.text("FriendlyName"),
        request.query.boolean("Available", others_are_false=True),
    )
    return request.page(
        "activities",
        request.workspace.activities.values(),
        render,
        keep=lambda activity: (
            name in {None, activity.friendly_name} and available in {None, activity.available}
        ),
    )


def create(request: Request) -> Response:
    """Create an Activity."""
    activity = workspaces.add_activity(
        request.engine,
        request.workspace,
        friendly_name=request.form.required("FriendlyName", max_length=64),
        available=request.form.boolean("Available", others_are_false=True) or False,
    )
    return Response(201, render(request, activity))


def fetch(request: Request) -> Response:
    """Fetch an Activity."""
    return Response(200, render(request, _find(request)))


def update(request: Request) -> Response:
    """Rename an Activity; its availability cannot be changed."""
    activity = _find(request)
    name = (
        request.form.text("FriendlyName", allow_empty=False, max_length=64)
        or activity.friendly_name
    )
    if request.workspace.activity(name) not in {None, activity}:
        raise BadRequest(f"Activity {name} already exists in this workspace")
    activity.friendly_name = name
    request.engine.touch(activity)
    workspaces.publish_activity(request.engine, request.workspace, activity, "updated")
    return Response(200, render(request, activity))


def delete(request: Request) -> Response:
    """Delete an Activity, unless another resource refers to it."""
    workspaces.delete_activity(request.engine, request.workspace, _find(request))
    return Response(204)


def _find(request: Request) -> Activity:
    return request.find(request.workspace.activities, "sid")
