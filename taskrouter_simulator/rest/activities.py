"""/v1/Workspaces/{WorkspaceSid}/Activities."""

from typing import Any

from taskrouter_simulator.engine import workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Activity
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import iso


def render(call: Call, activity: Activity) -> dict[str, Any]:
    """The resource as Twilio shows it."""
    workspace = call.workspace
    return {
        "account_sid": call.engine.account_sid,
        "available": activity.available,
        "date_created": iso(activity.created),
        "date_updated": iso(activity.updated),
        "friendly_name": activity.friendly_name,
        "sid": activity.sid,
        "workspace_sid": workspace.sid,
        "url": call.url(workspace.sid, "Activities", activity.sid),
        "links": {"workspace": call.url(workspace.sid)},
    }


def index(call: Call) -> Answer:
    """GET: list."""
    name, available = call.query.text("FriendlyName"), call.query.boolean("Available")
    return call.page(
        "activities",
        call.workspace.activities.values(),
        lambda activity: render(call, activity),
        keep=lambda activity: (
            name in {None, activity.friendly_name} and available in {None, activity.available}
        ),
    )


def create(call: Call) -> Answer:
    """POST: create."""
    activity = workspaces.add_activity(
        call.engine,
        call.workspace,
        friendly_name=call.form.required("FriendlyName", longest=64),
        available=call.form.boolean("Available") or False,
    )
    return Answer(201, render(call, activity))


def fetch(call: Call) -> Answer:
    """GET: one."""
    return Answer(200, render(call, _found(call)))


def update(call: Call) -> Answer:
    """POST: rename; whether it is available cannot be changed."""
    activity = _found(call)
    name = call.form.text("FriendlyName", longest=64) or activity.friendly_name
    if call.workspace.activity(name) not in {None, activity}:
        raise BadRequest(f"Activity {name} already exists in this workspace")
    activity.friendly_name = name
    call.engine.touch(activity)
    workspaces.publish_activity(call.engine, call.workspace, activity, "updated")
    return Answer(200, render(call, activity))


def delete(call: Call) -> Answer:
    """DELETE: remove, unless something refers to it."""
    workspaces.delete_activity(call.engine, call.workspace, _found(call))
    return Answer(204)


def _found(call: Call) -> Activity:
    return call.find(call.workspace.activities, "sid")
