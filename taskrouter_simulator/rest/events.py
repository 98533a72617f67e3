"""/v1/Workspaces/{WorkspaceSid}/Events."""

import re
from collections.abc import Callable
from typing import Any

from taskrouter_simulator.engine.model import Event
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import iso

_WINDOW_MINUTES = 15
_MAX_MINUTES = 43_200
_COLLECTIONS = {
    "activity": "Activities",
    "task": "Tasks",
    "task-channel": "TaskChannels",
    "task-queue": "TaskQueues",
    "worker": "Workers",
    "workflow": "Workflows",
}
_FILTERS = {
    "ReservationSid": ("ReservationSid",),
    "TaskQueueSid": ("TaskQueueSid",),
    "TaskSid": ("TaskSid",),
    "WorkerSid": ("WorkerSid",),
    "WorkflowSid": ("WorkflowSid",),
    "TaskChannel": ("TaskChannelSid", "TaskChannelUniqueName"),
    "EventType": ("EventType",),
    "Sid": ("Sid",),
}


def render(call: Call, event: Event) -> dict[str, Any]:
    """The resource as Twilio shows it; the Workspace is taken for the actor."""
    workspace = call.workspace
    return {
        "account_sid": call.engine.account_sid,
        "actor_sid": workspace.sid,
        "actor_type": "workspace",
        "actor_url": call.url(workspace.sid),
        "description": event.description,
        "event_data": {_snake(name): value for name, value in event.parameters.items()},
        "event_date": iso(event.created),
        "event_date_ms": int(event.created * 1000),
        "event_type": event.event_type,
        "resource_sid": event.resource_sid,
        "resource_type": event.resource_type,
        "resource_url": _resource_url(call, event),
        "sid": event.sid,
        "source": "twilio",
        "source_ip_address": None,
        "url": call.url(workspace.sid, "Events", event.sid),
        "workspace_sid": workspace.sid,
    }


def index(call: Call) -> Answer:
    """GET: list; without a period, of the last 15 minutes."""
    newest_first = call.engine.settings.events_newest_first
    return call.page(
        "events",
        call.workspace.events.values(),
        lambda event: render(call, event),
        keep=_filter(call),
        sort=lambda event: -event.sequence if newest_first else event.sequence,
    )


def fetch(call: Call) -> Answer:
    """GET: one."""
    return Answer(200, render(call, call.find(call.workspace.events, "sid")))


def _filter(call: Call) -> Callable[[Event], bool]:
    query, now = call.query, call.engine.now()
    start, end = query.moment("StartDate"), query.moment("EndDate")
    minutes = query.integer("Minutes", 1, _MAX_MINUTES)
    if start is None and (end is None or minutes):
        start = now - 60 * (minutes or _WINDOW_MINUTES)
    wanted = {name: query.text(name) for name in _FILTERS}

    def keep(event: Event) -> bool:
        return (
            (start is None or event.created >= start)
            # a date is given to the second, an event happens within one
            and (end is None or event.created < end + 1)
            and all(
                value is None or value in {event.parameters.get(key) for key in _FILTERS[name]}
                for name, value in wanted.items()
            )
        )

    return keep


def _resource_url(call: Call, event: Event) -> str:
    workspace = call.workspace
    if event.resource_type == "workspace":
        return call.url(workspace.sid)
    if event.resource_type == "reservation":
        task_sid = event.parameters["TaskSid"]
        return call.url(workspace.sid, "Tasks", task_sid, "Reservations", event.resource_sid)
    return call.url(workspace.sid, _COLLECTIONS[event.resource_type], event.resource_sid)


def _snake(name: str) -> str:
    return "_".join(re.findall("[A-Z][a-z]*", name)).lower()
