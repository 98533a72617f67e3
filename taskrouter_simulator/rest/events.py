"""Handlers for /v1/Workspaces/{WorkspaceSid}/Events."""

import re
from collections.abc import Callable
from typing import Any

from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.events import TYPES
from taskrouter_simulator.engine.history import RETENTION
from taskrouter_simulator.engine.model import Event
from taskrouter_simulator.rest.pages import BY_CREATION, Ordering
from taskrouter_simulator.rest.request import Request, Response, iso

_DEFAULT_MINUTES = 15
_MAX_MINUTES = 10**9
_COLLECTIONS = {
    "activity": "Activities",
    "task": "Tasks",
    "task-channel": "TaskChannels",
    "task-queue": "TaskQueues",
    "worker": "Workers",
    "workflow": "Workflows",
}
_SID_PREFIXES = {
    "ReservationSid": "WR",
    "TaskQueueSid": "WQ",
    "TaskSid": "WT",
    "WorkerSid": "WK",
    "WorkflowSid": "WW",
    "Sid": "EV",
}
"""SID prefixes by filter. A filter matches the event parameter of the same name."""
_NEWEST_FIRST = Ordering("newest first", ((lambda event: event.sequence, True),))


def render(request: Request, event: Event) -> dict[str, Any]:
    """Return an Event as JSON, with the Workspace as its actor.

    As in Twilio's API, the attributes of Tasks are redacted after 30 days.
    """
    workspace = request.workspace
    data: dict[str, str | None] = {
        _to_snake_case(name): value for name, value in event.parameters.items()
    }
    if "task_attributes" in data and event.created < request.engine.now() - RETENTION:
        data["task_attributes"] = None
    return {
        "account_sid": request.engine.account_sid,
        "actor_sid": workspace.sid,
        "actor_type": "workspace",
        "actor_url": request.url(workspace.sid),
        "description": event.description,
        "event_data": data,
        "event_date": iso(event.created),
        "event_date_ms": int(event.created * 1000),
        "event_type": event.event_type,
        "resource_sid": event.resource_sid,
        "resource_type": event.resource_type,
        "resource_url": _resource_url(request, event),
        "sid": event.sid,
        "source": "twilio",
        "source_ip_address": None,
        "url": request.url(workspace.sid, "Events", event.sid),
        "workspace_sid": workspace.sid,
    }


def index(request: Request) -> Response:
    """List Events, by default those from the last 15 minutes."""
    newest_first = request.engine.settings.events_newest_first
    return request.page(
        "events",
        request.workspace.events.values(),
        render,
        keep=_filter(request),
        ordering=_NEWEST_FIRST if newest_first else BY_CREATION,
    )


def fetch(request: Request) -> Response:
    """Fetch an Event."""
    return Response(200, render(request, request.find(request.workspace.events, "sid")))


def _filter(request: Request) -> Callable[[Event], bool]:
    query, now = request.query, request.engine.now()
    start, end = query.moment("StartDate"), query.moment("EndDate")
    minutes = query.integer("Minutes", 1, _MAX_MINUTES)
    if start is None and (end is None or minutes):
        start = now - 60 * (minutes or _DEFAULT_MINUTES)
    filters = {name: query.sid(name, prefix) for name, prefix in _SID_PREFIXES.items()}
    event_type, channel = query.text("EventType"), query.text("TaskChannel", allow_empty=False)
    if event_type not in {None, *TYPES}:
        raise BadRequest(f"EventType must be one of {', '.join(sorted(TYPES))}")

    def keep(event: Event) -> bool:
        return (
            (start is None or event.created >= start)
            # Include the whole second of EndDate, because event times have fractional seconds.
            and (end is None or event.created < end + 1)
            and all(value in {None, event.parameters.get(name)} for name, value in filters.items())
            and event_type in {None, event.event_type}
            and channel
            in {
                None,
                event.parameters.get("TaskChannelSid"),
                event.parameters.get("TaskChannelUniqueName"),
            }
        )

    return keep


def _resource_url(request: Request, event: Event) -> str | None:
    """Return the URL of the affected resource, or None for a transfer, which has no URL."""
    workspace = request.workspace
    if event.resource_type == "transfer":
        return None
    if event.resource_type == "workspace":
        return request.url(workspace.sid)
    if event.resource_type == "reservation":
        task_sid = event.parameters["TaskSid"]
        return request.url(workspace.sid, "Tasks", task_sid, "Reservations", event.resource_sid)
    return request.url(workspace.sid, _COLLECTIONS[event.resource_type], event.resource_sid)


def _to_snake_case(name: str) -> str:
    return "_".join(re.findall("[A-Z][a-z]*", name)).lower()
