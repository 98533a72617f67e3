"""The route that searches the callback log."""

import re
from typing import TYPE_CHECKING, Any

from chalice.app import Blueprint

from chalicelib import observability, runtime
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.errors import BadRequest
from chalicelib.routes.http import Parameters, optional_sid, route
from chalicelib.routes.reservations import iso_time, parse_time

if TYPE_CHECKING:
    # Callbacks do not need this module.
    from chalicelib.domain.callback_log import LogLine

blueprint = Blueprint(__name__)

_DAY_MS = 86_400_000
_NUMBER = re.compile("[1-9][0-9]{0,2}")
_STATUS_RANGE = (100, 599)

_SIDS = {"reservation_sid": "WR", "task_sid": "WT", "worker_sid": "WK"}

_TEXTS = (
    *("likely_cause", "checked_url", "event_type", "reservation_sid", "task_sid", "worker_sid"),
    *("answer", "rule", "error", "reason"),
)
"""Fields of a log line that the response contains unchanged, or as null."""


@route(
    blueprint,
    "/callbacks",
    methods=["GET"],
    action=Action.SEE_CALLBACKS,
    parameters=(*_SIDS, "route", "status", "since", "until", "limit", "cursor"),
)
def list_callbacks(_principal: Principal, parameters: Parameters) -> dict[str, Any]:
    """Search the log for callbacks, including those with an invalid signature."""
    from chalicelib.domain.callback_log import (  # noqa: PLC0415  callbacks do not need it
        RETENTION_DAYS,
        CallbackQuery,
        LogPosition,
    )
    from chalicelib.usecases import search_callbacks as usecase  # noqa: PLC0415

    service = runtime.current()
    now = service.clock.now_ms()
    since, until = (parse_time(parameters.get(name), name) for name in ("since", "until"))
    if since is not None and until is not None and since > until:
        raise BadRequest('"since" must not be later than "until".')
    cursor = parameters.get("cursor")
    position = LogPosition(now) if cursor is None else LogPosition.from_cursor(cursor)
    oldest = now - RETENTION_DAYS * _DAY_MS
    query = CallbackQuery(
        since=oldest if since is None else max(since, oldest),
        # With a UTC offset, `until` can be before year 1. Responses can't contain such a time.
        until=max(oldest - 1, min(now, position.at, now if until is None else until)),
        fields=_parse_fields(parameters),
    )
    limit = _parse_number(parameters, "limit", 1, usecase.MAX_LIMIT)
    page = usecase.search_callbacks(
        query,
        log=service.callback_log,
        limit=usecase.DEFAULT_LIMIT if limit is None else limit,
        position=position if query.until == position.at else LogPosition(query.until),
    )
    observability.bind(found=len(page.callbacks))
    return {
        "callbacks": [_callback_json(line) for line in page.callbacks],
        "next_cursor": page.next_cursor,
        "searched_until": iso_time(page.searched_until),
        "complete": page.is_complete,
    }


def _parse_fields(parameters: Parameters) -> dict[str, str | int]:
    """Return the values to search for, by the name of the log field."""
    from chalicelib.domain.callback_log import CALLBACK_ROUTES  # noqa: PLC0415  see above

    selected = parameters.get("route")
    if selected is not None and selected not in CALLBACK_ROUTES:
        raise BadRequest(f"route must be one of {', '.join(CALLBACK_ROUTES)}.")
    values: dict[str, str | int | None] = {
        name: optional_sid(parameters, name, prefix) for name, prefix in _SIDS.items()
    }
    values |= {"route": selected, "status": _parse_number(parameters, "status", *_STATUS_RANGE)}
    return {name: value for name, value in values.items() if value is not None}


def _parse_number(parameters: Parameters, name: str, minimum: int, maximum: int) -> int | None:
    value = parameters.get(name)
    if value is None:
        return None
    if not _NUMBER.fullmatch(value) or not minimum <= int(value) <= maximum:
        raise BadRequest(f"{name} must be a whole number from {minimum} to {maximum}.")
    return int(value)


def _callback_json(line: "LogLine") -> dict[str, Any]:
    signed = line.fields.get("signed")
    return {
        "at": iso_time(line.at),
        "route": line.fields["route"],
        "status": line.fields.get("status"),
        "signature": None if signed is None else "valid" if signed else "invalid",
        **{name: line.fields.get(name) for name in _TEXTS},
        "changed": line.fields.get("changed"),
        "duration_ms": line.fields.get("duration_ms"),
    }
