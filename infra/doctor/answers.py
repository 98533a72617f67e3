"""Requests whose responses reveal undocumented behavior of TaskRouter to the probe.

Each function returns settings of the simulator by field name (taskrouter_simulator/settings.py).
A setting is omitted if the response does not show its value.
"""

from collections.abc import Callable
from typing import Any

from chalicelib.domain.reservations import Reservation
from infra.doctor.probe_api import CHANNEL, NAME, Api, Response

WORKER_ATTRIBUTES = {"number": 5, "level": {"1st": 1}}
"""Attributes of the probe's Worker, which the expressions test."""

_SEARCH_SECONDS = 0.4
"""Pause before each search by expression. TaskRouter allows three searches per second."""

_TIMEOUTS = (1, 2, 5, 10, 30, 60)
"""Reservation timeouts to try, in seconds, in ascending order."""


def from_workflow(api: Api, sid: str) -> dict[str, Any]:
    """Update the probe's Workflow with short timeouts and with an unknown parameter.

    The changes affect no Task, because the Workflow has no Tasks yet.
    """
    path = f"/Workflows/{sid}"
    original_timeout = api.require("GET", path)["task_reservation_timeout"]
    settings: dict[str, Any] = {}
    for seconds in _TIMEOUTS:
        if api.send("POST", path, TaskReservationTimeout=seconds).is_ok:
            settings["least_reservation_timeout"] = seconds
            break
    api.require("POST", path, TaskReservationTimeout=original_timeout)
    unknown = api.send("POST", path, FriendlyName=NAME, NotAParameter="1")
    settings["unknown_parameters"] = "ignored" if unknown.is_ok else "refused"
    return settings | _rate_limit(unknown)


def _rate_limit(response: Response) -> dict[str, Any]:
    limit = response.headers.get("X-Rate-Limit-Limit", "")
    return {"rate_limit": int(limit)} if limit.isascii() and limit.isdigit() else {}


def from_worker(api: Api, sid: str, token: str, sleep: Callable[[float], None]) -> dict[str, Any]:
    """Search for the probe's Worker with expressions, and read the Worker from a list.

    Args:
        api: The Workspace.
        sid: WK… SID of the Worker.
        token: Value of the Worker's attribute `CHANNEL`. No other Worker has this value.
        sleep: Waits for a number of seconds.
    """

    def matches(condition: str) -> bool | None:
        """Return whether the Worker matches, or None if TaskRouter refuses the expression."""
        sleep(_SEARCH_SECONDS)
        expression = f'{CHANNEL} == "{token}" AND ({condition})'
        response = api.send("GET", "/Workers", TargetWorkersExpression=expression)
        if not response.is_ok:
            return None
        return sid in [worker["sid"] for worker in response.body["workers"]]

    settings: dict[str, Any] = {}
    if matches("number == 5"):
        settings["nulls_are_values"] = matches('missing != "x"')
        settings["mixed_types"] = (
            "numbers"
            if matches('number == "5"')
            else "unequal"
            if matches('number != "5"')
            else "false"
        )
        settings["names_may_begin_with_digit"] = bool(matches("level.1st == 1"))
    (listed,) = [worker for worker in api.list_own("Workers") if worker["sid"] == sid]
    settings["worker_lists_have_attributes"] = listed.get("attributes") is not None
    return {name: value for name, value in settings.items() if value is not None}


def from_record(record: Reservation) -> dict[str, Any]:
    """Read the format of the assignment callback's Timestamp, as the stage recorded it."""
    timestamp = record.parameters.get("Timestamp", "")
    if not timestamp:
        return {"callback_timestamp": "none"}
    return {"callback_timestamp": "seconds" if str(timestamp).isdigit() else "iso"}


def while_pending(api: Api, channel_path: str) -> dict[str, Any]:
    """Read a Worker's channel while the Reservation is pending."""
    assigned = api.require("GET", channel_path)["assigned_tasks"]
    return {"assigned_tasks": "held" if assigned else "accepted"}


def after_acceptance(api: Api, reservation_path: str, task_path: str) -> dict[str, Any]:
    """Accept the accepted Reservation again, and wrap up the Task with changed attributes."""
    again = api.send("POST", reservation_path, ReservationStatus="accepted")
    etag = api.send("GET", task_path).headers.get("ETag", "")
    settings: dict[str, Any] = {"accept_twice": again.is_ok}
    if etag:
        settings["etag_quoted"] = etag.startswith(('"', 'W/"'))
    original_attributes = api.require("GET", task_path)["attributes"]
    wrapped = api.send("POST", task_path, AssignmentStatus="wrapping", Reason=NAME, Attributes="{}")
    if wrapped.is_ok:
        attributes = api.require("GET", task_path)["attributes"]
        is_unchanged = attributes == original_attributes
        settings["status_with_attributes"] = "ignored" if is_unchanged else "updated"
    else:
        settings["status_with_attributes"] = "refused"
    return settings


def complete(api: Api, task_path: str) -> dict[str, Any]:
    """Complete the Task, if possible without a reason."""
    response = api.send("POST", task_path, AssignmentStatus="completed")
    if not response.is_ok:
        api.require("POST", task_path, AssignmentStatus="completed", Reason=NAME)
    return {"reason_required": not response.is_ok}


def after_completion(api: Api, reservation_path: str) -> dict[str, Any]:
    """Try to accept the completed Reservation; TaskRouter should refuse the request."""
    response = api.send("POST", reservation_path, ReservationStatus="accepted")
    if response.is_ok:
        return {}
    has_details = {"type", "title", "status"} <= response.body.keys()
    settings = {"not_pending_status": response.status, "problem_details": has_details}
    code = response.body.get("code")
    return settings | ({"not_pending_code": code} if isinstance(code, int) else {})


def from_events(api: Api, task_sid: str) -> dict[str, Any]:
    """Read the order of the Task's Events, and the time until the Worker was reserved."""
    events = api.list_resources("Events", TaskSid=task_sid)
    times = {event["event_type"]: event["event_date_ms"] for event in events}
    if not {"task.created", "reservation.created"} <= times.keys():
        return {}
    delay_seconds = (times["reservation.created"] - times["task.created"]) / 1000
    settings: dict[str, Any] = {"routing_delay": max(0.0, round(delay_seconds, 2))}
    dates_ms = [event["event_date_ms"] for event in events]
    if dates_ms[0] != dates_ms[-1]:
        settings["events_newest_first"] = dates_ms[0] > dates_ms[-1]
    return settings
