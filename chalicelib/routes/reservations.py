"""Looking at Reservations, and deciding them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chalice.app import Blueprint, Response

from chalicelib import observability, runtime
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.errors import BadRequest, NotFound
from chalicelib.domain.instructions import (
    Call,
    Conference,
    Dequeue,
    Instruction,
    InvalidInstruction,
    Redirect,
    parse_instruction,
)
from chalicelib.domain.reservations import Reservation, ReservationQuery, Status
from chalicelib.domain.sids import checked_sid
from chalicelib.routes.http import optional_sid, parse_parameters, route
from chalicelib.routes.responses import decision_json, reservation_json
from chalicelib.usecases.decide import Decision, decide, find_reservation_to_accept

blueprint = Blueprint(__name__)

_DAY_MS = 86_400_000
_DEFAULT_LIMIT = 50
_MAX_LIMIT = 100
_SENT = (Conference.name, Dequeue.name, Call.name, Redirect.name)
"""Instructions that make something of a plain accept; each rings, or moves a caller."""
_LIMIT = re.compile("[1-9][0-9]?|100")


@route(blueprint, "/reservations", methods=["GET"], action=Action.LIST_RESERVATIONS)
def list_reservations(principal: Principal) -> dict[str, Any]:
    """List a Worker's own Reservations, or everybody's."""
    parameters = parse_parameters(blueprint.current_request)
    service = runtime.current()
    now = service.clock.now_ms()
    query = _query(parameters, principal, now, service.settings.retention_days * _DAY_MS)
    page = service.pages.page(query, parameters.get("cursor"), now=now)
    observability.bind(found=len(page.reservations))
    return {
        "reservations": [reservation_json(one) for one in page.reservations],
        "next_cursor": page.next_cursor,
    }


@route(blueprint, "/reservations/{sid}", methods=["GET"], action=Action.READ_RESERVATION)
def get_reservation(principal: Principal, sid: str) -> dict[str, Any]:
    """Answer one record."""
    return reservation_json(_recorded(sid, principal))


@route(blueprint, "/reservations/{sid}/accept", methods=["POST"], action=Action.ACCEPT_RESERVATION)
def accept(principal: Principal, sid: str) -> Response:
    """Accept a Reservation, so that its Task is assigned to its Worker.

    It may carry an assignment instruction, for a phone call; then it may still be pending, which
    is 202.
    """
    parameters = parse_parameters(blueprint.current_request)
    instruction = _instruction(parameters)
    answer = _decide(Status.ACCEPTED, sid, principal, parameters, instruction=instruction)
    is_pending = answer["reservation_status"] == Status.PENDING
    return Response(answer, status_code=202 if is_pending else 200)


@route(blueprint, "/reservations/{sid}/reject", methods=["POST"], action=Action.REJECT_RESERVATION)
def reject(principal: Principal, sid: str) -> dict[str, Any]:
    """Reject a Reservation; ``activity_sid`` names the Activity that the Worker moves to."""
    return _decide(Status.REJECTED, sid, principal, parse_parameters(blueprint.current_request))


@route(
    blueprint, "/reservations/{sid}/complete", methods=["POST"], action=Action.COMPLETE_RESERVATION
)
def complete(principal: Principal, sid: str) -> dict[str, Any]:
    """Complete an accepted Reservation, and its Task with it."""
    return _decide(Status.COMPLETED, sid, principal, parse_parameters(blueprint.current_request))


@route(blueprint, "/accept_reservation", methods=["GET", "POST"], action=Action.ACCEPT_RESERVATION)
def accept_reservation(principal: Principal) -> dict[str, Any]:
    """Accept as the quickstart does: by ``task_sid``, ``reservation_sid``, or both."""
    parameters = parse_parameters(blueprint.current_request)
    if "instruction" in parameters:
        raise BadRequest("Only POST /reservations/{sid}/accept takes an instruction.")
    started = runtime.current().clock.now_ms()
    reservation_sid = optional_sid(parameters, "reservation_sid", "WR")
    if reservation_sid is None:
        reservation_sid = find_reservation_to_accept(
            checked_sid(parameters.get("task_sid"), "WT", "task_sid"),
            principal=principal,
            taskrouter=runtime.current().taskrouter,
        )
    return _decide(Status.ACCEPTED, reservation_sid, principal, parameters, started=started)


def _decide(
    target: Status,
    sid: str,
    principal: Principal,
    parameters: Mapping[str, Any],
    *,
    started: int | None = None,
    instruction: Instruction | None = None,
) -> dict[str, Any]:
    reservation_sid = checked_sid(sid, "WR", "The Reservation")
    observability.bind(reservation_sid=reservation_sid, asked=target.value)
    rejecting = target is Status.REJECTED
    decision = Decision(
        target=target,
        reservation_sid=reservation_sid,
        principal=principal,
        task_sid=optional_sid(parameters, "task_sid", "WT"),
        activity_sid=optional_sid(parameters, "activity_sid", "WA") if rejecting else None,
        instruction=instruction,
    )
    decided = decide(decision, runtime.current().desk, started=started)
    observability.bind(
        task_sid=decided.task_sid, worker_sid=decided.worker_sid, answer=decided.status.value
    )
    return decision_json(decided)


def _instruction(parameters: Mapping[str, Any]) -> Instruction | None:
    """Return the instruction that an accept carries, in the words of a callback's answer."""
    given = {name: value for name, value in parameters.items() if name != "task_sid"}
    if "instruction" not in given:
        return None
    if given["instruction"] not in _SENT:
        raise BadRequest(f"An accept may carry the instruction {', '.join(_SENT)}, or none.")
    try:
        return parse_instruction(given)
    except InvalidInstruction as error:
        raise BadRequest(str(error)) from error


def _recorded(sid: str, principal: Principal) -> Reservation:
    reservation_sid = checked_sid(sid, "WR", "The Reservation")
    observability.bind(reservation_sid=reservation_sid)
    reservation = runtime.current().store.get(reservation_sid)
    if reservation is None:
        raise NotFound("No such Reservation is recorded.")
    principal.authorize(Action.READ_RESERVATION, worker_sid=reservation.worker_sid)
    return reservation


def _query(
    parameters: Mapping[str, Any], principal: Principal, now: int, kept_ms: int
) -> ReservationQuery:
    action = Action.LIST_RESERVATIONS
    worker_sid = optional_sid(parameters, "worker_sid", "WK") or principal.confined_to(action)
    principal.authorize(action, worker_sid=worker_sid)
    status = _status(parameters.get("status"))
    # Open ones are few, whatever their age; of the ended ones, a day is what people look at.
    default_age = _DAY_MS if status is None and worker_sid is None else kept_ms
    since = _moment(parameters.get("since"), default=now - default_age)
    return ReservationQuery(
        since=max(since, now - kept_ms),
        status=status,
        worker_sid=worker_sid,
        limit=_limit(parameters.get("limit", str(_DEFAULT_LIMIT))),
    )


def _status(given: str | None) -> Status | None:
    if given is None:
        return None
    try:
        return Status(given)
    except ValueError as error:
        raise BadRequest(f"status must be one of {', '.join(Status)}.") from error


def _moment(given: str | None, *, default: int) -> int:
    if given is None:
        return default
    try:
        moment = datetime.fromisoformat(given)
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise BadRequest("since must be ISO 8601, such as 2026-11-22T01:00:00Z.") from error


def _limit(given: str) -> int:
    if not _LIMIT.fullmatch(given):
        raise BadRequest(f"limit must be a whole number from 1 to {_MAX_LIMIT}.")
    return int(given)
