"""Routes for consoles: the overview that they poll, and the Activities of Workers."""

import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from chalice.app import Blueprint, Response

from chalicelib import observability, runtime
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.json_text import (
    json_size,
    parse_attributes,
    replace_lone_surrogates,
    to_json,
)
from chalicelib.domain.reservations import OPEN, Reservation
from chalicelib.domain.sids import checked_sid
from chalicelib.routes.console import console_version
from chalicelib.routes.http import IF_NONE_MATCH, Parameters, optional_sid, route
from chalicelib.routes.reservations import callback_text, iso_time, names_json, sent_json
from chalicelib.usecases.overview import list_open_reservations

if TYPE_CHECKING:
    from chalicelib.domain.workers import WorkerActivity

blueprint = Blueprint(__name__)

_NUMBER = re.compile("[0-9]{1,10}")

_POLL = {"visible_ms": 3_000, "hidden_ms": 15_000}
"""Polling intervals of a console whose page is visible or hidden."""

SERVER_TIME = "Server-Time"
"""The header with the server's time, in epoch ms. The body does not contain the time, so that an
unchanged overview has an unchanged ETag."""


@route(blueprint, "/overview", methods=["GET"], action=Action.SEE_OVERVIEW, parameters=())
def overview(principal: Principal, _parameters: Parameters) -> Response:
    """Return the open Reservations that the caller may see; 304 if the overview is unchanged."""
    service = runtime.current()
    now = service.clock.now_ms()
    reservations, is_truncated = list_open_reservations(
        principal=principal,
        listing=service.listing,
        size_of=lambda reservation: json_size(_reservation_json(reservation, now)),
        now=now,
    )
    worker_sid = principal.worker_sid
    activity = service.worker_activities.get(worker_sid) if worker_sid else None
    observability.bind(found=len(reservations))
    counts = Counter(reservation.status for reservation in reservations)
    text = replace_lone_surrogates(
        to_json(
            {
                "reservations": [_reservation_json(each, now) for each in reservations],
                "truncated": is_truncated,
                "counts": {status.value: counts[status] for status in OPEN},
                "worker": _worker_json(principal, reservations, activity),
                "title_attributes": service.settings.console_title_attributes,
                "poll": _POLL,
                "version": console_version(),
            }
        )
    )
    tag = _entity_tag(text)
    received = blueprint.current_request.headers.get(IF_NONE_MATCH, "")
    is_unchanged = _is_match(received, tag)
    headers: dict[str, str | list[str]] = {"ETag": tag, SERVER_TIME: str(now)}
    return Response("" if is_unchanged else text, headers, 304 if is_unchanged else 200)


@route(blueprint, "/activities", methods=["GET"], action=Action.LIST_ACTIVITIES, parameters=())
def list_activities(principal: Principal, _parameters: Parameters) -> dict[str, Any]:
    """List the Activities, and return the current Activity of the caller's Worker."""
    from chalicelib.usecases import activities  # noqa: PLC0415  callbacks do not need it

    service = runtime.current()
    listed, current = activities.list_activities(
        principal=principal,
        taskrouter=service.taskrouter,
        activities=service.worker_activities,
        now=service.clock.now_ms(),
    )
    return {
        "activities": [
            {"sid": each.sid, "name": each.name, "available": each.is_available} for each in listed
        ],
        "worker": _worker_json(principal, [], current),
    }


@route(
    blueprint,
    "/activity",
    methods=["POST"],
    action=Action.SWITCH_ACTIVITY,
    parameters=("activity_sid", "worker_sid"),
)
def switch_activity(principal: Principal, parameters: Parameters) -> dict[str, Any]:
    """Switch a Worker to an Activity."""
    from chalicelib.usecases import activities  # noqa: PLC0415  callbacks do not need it

    service = runtime.current()
    current = activities.switch_activity(
        checked_sid(parameters.get("activity_sid"), "WA", "activity_sid"),
        worker_sid=optional_sid(parameters, "worker_sid", "WK"),
        principal=principal,
        taskrouter=service.taskrouter,
        activities=service.worker_activities,
        now=service.clock.now_ms(),
    )
    observability.bind(worker_sid=current.worker_sid)
    return {
        "worker_sid": current.worker_sid,
        "activity_sid": current.activity_sid,
        "activity_name": current.activity_name,
        "activity_changed_at": iso_time(current.changed_at),
    }


def _entity_tag(text: str) -> str:
    """Return the strong entity tag of a body (https://www.rfc-editor.org/rfc/rfc9110#name-etag)."""
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _is_match(header: str, tag: str) -> bool:
    """Return whether If-None-Match contains *tag*, ignoring ``W/`` as RFC 9110 requires.

    Proxies that compress responses add ``W/``.
    """
    received = {each.strip().removeprefix("W/") for each in header.split(",")}
    return not received.isdisjoint({tag, "*"})


def _worker_json(
    principal: Principal, reservations: list[Reservation], current: "WorkerActivity | None"
) -> dict[str, Any] | None:
    """Return the caller's Worker, or None if the caller has no Worker."""
    if principal.worker_sid is None:
        return None
    if current is not None and current.worker_name:
        name: str | None = current.worker_name
    else:
        name = next((each.worker_name for each in reservations if each.worker_name), None)
    return {
        "sid": principal.worker_sid,
        "name": name,
        "activity_sid": current and current.activity_sid,
        "activity_name": current and current.activity_name,
        "activity_changed_at": current and iso_time(current.changed_at),
    }


def _reservation_json(reservation: Reservation, now: int) -> dict[str, Any]:
    """Return a Reservation as an object for the response."""
    age = _number(reservation, "TaskAge")
    created_at = None if age is None else reservation.reserved_at - age * 1000
    return {
        "reservation_sid": reservation.reservation_sid,
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "workflow_sid": reservation.workflow_sid,
        "task_queue_sid": reservation.task_queue_sid,
        **names_json(reservation),
        "task_priority": _number(reservation, "TaskPriority"),
        "task_created_at": None if created_at is None else iso_time(created_at),
        "status": reservation.status.value,
        "reserved_at": iso_time(reservation.reserved_at),
        "expires_at": iso_time(reservation.expires_at),
        "task_attributes": parse_attributes(reservation.task_attributes),
        "instruction_sent": sent_json(reservation),
        "accepted_by": reservation.accepted_by,
        "claimed": reservation.live_claim(now) is not None,
    }


def _number(reservation: Reservation, name: str) -> int | None:
    """Return a parameter of the callback as a whole number; None if missing or malformed."""
    value = callback_text(reservation, name)
    return int(value) if value and _NUMBER.fullmatch(value) else None
