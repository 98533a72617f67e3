"""Routes that list, read, accept, reject and complete Reservations.

Times in responses are ISO 8601 in UTC. ``task_attributes`` and ``worker_attributes`` are objects or
null.
"""

import re
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from chalice.app import Blueprint, Response

from chalicelib import observability, runtime
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.instructions import (
    INSTRUCTION_TYPES,
    Instruction,
    InvalidInstruction,
    parse_instruction,
    without_secrets,
)
from chalicelib.domain.json_text import json_size, parse_attributes
from chalicelib.domain.messages import nearest_name
from chalicelib.domain.reservations import RINGING, Delivery, Reservation, Status
from chalicelib.domain.sids import checked_sid
from chalicelib.routes.http import Parameters, check_names, mask_url, optional_sid, route
from chalicelib.usecases import list_reservations as usecase
from chalicelib.usecases.authorize_instruction import authorize_instruction
from chalicelib.usecases.decide import Decision, decide
from chalicelib.usecases.find_reservation import find_reservation_to_accept

blueprint = Blueprint(__name__)

_NUMBER = re.compile("[1-9][0-9]{0,8}")

_MAX_CHECKED_NAMES = 10
"""Maximum number of unknown names that are compared with the names of parameters."""

_ACCEPT_PARAMETERS = ("task_sid", "instruction")

_INSTRUCTION_HINTS = {
    spelling: f'an instruction with the "{name}" parameter'
    for instruction in RINGING
    for name, parameter in INSTRUCTION_TYPES[instruction].parameters().items()
    for spelling in (name, parameter.rest_name)
}
"""Suggestions if an accept request has a parameter of an instruction but no instruction."""


@route(
    blueprint,
    "/reservations",
    methods=["GET"],
    action=Action.LIST_RESERVATIONS,
    parameters=("worker_sid", "status", "since", "limit", "cursor"),
)
def list_reservations(principal: Principal, parameters: Parameters) -> dict[str, Any]:
    """List Reservations. Workers get only their own Reservations."""
    service = runtime.current()
    page = usecase.list_reservations(
        principal=principal,
        listing=service.listing,
        size_of=lambda reservation: json_size(_reservation_json(reservation)),
        retention_days=service.settings.retention_days,
        now=service.clock.now_ms(),
        worker_sid=optional_sid(parameters, "worker_sid", "WK"),
        status=_parse_status(parameters.get("status")),
        since=parse_time(parameters.get("since"), "since"),
        limit=_parse_limit(parameters.get("limit")),
        cursor=parameters.get("cursor"),
    )
    observability.bind(found=len(page.reservations))
    return {
        "reservations": [_reservation_json(reservation) for reservation in page.reservations],
        "next_cursor": page.next_cursor,
    }


@route(
    blueprint,
    "/reservations/{sid}",
    methods=["GET"],
    action=Action.READ_RESERVATION,
    parameters=(),
)
def get_reservation(principal: Principal, _parameters: Parameters, sid: str) -> dict[str, Any]:
    """Return a recorded Reservation."""
    reservation_sid = checked_sid(sid, "WR", "sid")
    observability.bind(reservation_sid=reservation_sid)
    reservation = usecase.get_reservation(
        reservation_sid, principal=principal, store=runtime.current().store
    )
    claims = sorted(reservation.claims, key=lambda claim: claim.at)
    return {
        **_reservation_json(reservation),
        "rule": reservation.rule,
        "delivery": reservation.delivery and _delivery_json(reservation.delivery),
        "claims": [
            {"at": iso_time(claim.at), "by": claim.by, "target": claim.target.value}
            for claim in claims
        ],
    }


@route(
    blueprint,
    "/reservations/{sid}/signature",
    methods=["GET"],
    action=Action.SEE_CALLBACKS,
    parameters=(),
)
def check_signature(principal: Principal, _parameters: Parameters, sid: str) -> dict[str, Any]:
    """Verify the signature of a recorded callback again, with the current keys."""
    from chalicelib.usecases import check_signature as check  # noqa: PLC0415  callbacks do not need it

    service = runtime.current()
    reservation_sid = checked_sid(sid, "WR", "sid")
    observability.bind(reservation_sid=reservation_sid)
    result = check.check_signature(
        reservation_sid, principal=principal, store=service.store, signatures=service.signatures
    )
    return {
        "reservation_sid": reservation_sid,
        "valid": result.is_valid,
        "likely_cause": result.likely_cause,
        **_delivery_json(result.delivery),
        "parameters_complete": result.is_valid is not None,
    }


@route(blueprint, "/reservations/{sid}/accept", methods=["POST"], action=Action.ACCEPT_RESERVATION)
def accept(principal: Principal, parameters: Parameters, sid: str) -> Response:
    """Accept a Reservation, so that TaskRouter assigns its Task to its Worker.

    The request may contain an assignment instruction for a phone call. If the Reservation is still
    pending afterward, the response is 202.
    """
    service, instruction = runtime.current(), None
    started = service.clock.now_ms()
    if "instruction" in parameters:
        instruction = _parse_instruction(parameters)
        authorize_instruction(
            instruction,
            reservation_sid=checked_sid(sid, "WR", "sid"),
            principal=principal,
            permissions=service.settings.worker_instructions,
            store=service.store,
        )
    else:
        check_names(parameters, _ACCEPT_PARAMETERS, _INSTRUCTION_HINTS)
    decided = _decide(
        Status.ACCEPTED, sid, principal, parameters, started=started, instruction=instruction
    )
    is_pending = decided["reservation_status"] == Status.PENDING
    return Response(decided, status_code=202 if is_pending else 200)


@route(
    blueprint,
    "/reservations/{sid}/reject",
    methods=["POST"],
    action=Action.REJECT_RESERVATION,
    parameters=("task_sid", "activity_sid"),
)
def reject(principal: Principal, parameters: Parameters, sid: str) -> dict[str, Any]:
    """Reject a Reservation; ``activity_sid`` selects the Activity that the Worker moves to."""
    return _decide(Status.REJECTED, sid, principal, parameters)


@route(
    blueprint,
    "/reservations/{sid}/complete",
    methods=["POST"],
    action=Action.COMPLETE_RESERVATION,
    parameters=("task_sid",),
)
def complete(principal: Principal, parameters: Parameters, sid: str) -> dict[str, Any]:
    """Complete an accepted or wrapping Reservation and its Task."""
    return _decide(Status.COMPLETED, sid, principal, parameters)


@route(
    blueprint,
    "/accept_reservation",
    methods=["GET", "POST"],
    action=Action.ACCEPT_RESERVATION,
    parameters=("task_sid", "reservation_sid"),
    tutorial_methods=("GET",),
)
def accept_reservation(principal: Principal, parameters: Parameters) -> dict[str, Any]:
    """Accept a Reservation, as in the quickstart, by its SID, its Task's SID or both."""
    service = runtime.current()
    started = service.clock.now_ms()
    reservation_sid = optional_sid(parameters, "reservation_sid", "WR")
    if reservation_sid is None:
        reservation_sid = find_reservation_to_accept(
            checked_sid(parameters.get("task_sid"), "WT", "task_sid"),
            principal=principal,
            taskrouter=service.taskrouter,
        )
    return _decide(Status.ACCEPTED, reservation_sid, principal, parameters, started=started)


def _decide(
    target: Status,
    sid: str,
    principal: Principal,
    parameters: Parameters,
    *,
    started: int | None = None,
    instruction: Instruction | None = None,
) -> dict[str, Any]:
    """Accept, reject or complete a Reservation, and return the response.

    Twilio's quickstart reads `worker_name` and `reservation_status`.
    """
    reservation_sid = checked_sid(sid, "WR", "sid")
    observability.bind(reservation_sid=reservation_sid, asked=target.value)
    decision = Decision(
        target=target,
        reservation_sid=reservation_sid,
        principal=principal,
        task_sid=optional_sid(parameters, "task_sid", "WT"),
        activity_sid=optional_sid(parameters, "activity_sid", "WA"),
        instruction=instruction,
    )
    reservation = decide(decision, runtime.current().collaborators, started=started)
    observability.bind(
        task_sid=reservation.task_sid,
        worker_sid=reservation.worker_sid,
        answer=reservation.status.value,
    )
    return {
        "reservation_sid": reservation.reservation_sid,
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "worker_name": reservation.worker_name,
        "reservation_status": reservation.status.value,
    }


def _parse_instruction(parameters: Parameters) -> Instruction:
    """Parse an accept request's instruction, in the format of a callback's answer."""
    name = parameters["instruction"]
    if name not in RINGING:
        similar = nearest_name(name, RINGING) if isinstance(name, str) else None
        suggested = f" Did you mean {similar}?" if similar else ""
        raise BadRequest(
            f"instruction must be one of {', '.join(RINGING)}, or be omitted.{suggested}"
        )
    _check_route_names(parameters, INSTRUCTION_TYPES[name])
    try:
        return parse_instruction(
            {name: value for name, value in parameters.items() if name != "task_sid"}
        )
    except InvalidInstruction as error:
        raise BadRequest(str(error)) from error


def _check_route_names(parameters: Parameters, instruction: type[Instruction]) -> None:
    """Raise BadRequest if a parameter of the route, rather than of the instruction, is misspelled.

    `parse_instruction` reports all other unknown parameters.
    """
    known = (*_ACCEPT_PARAMETERS, *instruction.parameters())
    unknown = [name for name in parameters if name not in known]
    misspelled = [
        name
        for name in unknown[:_MAX_CHECKED_NAMES]
        if nearest_name(name, known, instruction.hints()) in _ACCEPT_PARAMETERS
    ]
    check_names(misspelled, known)


def _parse_status(value: str | None) -> Status | None:
    if value is None:
        return None
    try:
        return Status(value)
    except ValueError as error:
        raise BadRequest(f"status must be one of {', '.join(Status)}.") from error


def parse_time(value: str | None, name: str) -> int | None:
    """Convert a parameter with an ISO 8601 time to epoch ms. The default offset is UTC."""
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
        return int(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)
    except ValueError as error:
        raise BadRequest(
            f"{name} must be an ISO 8601 time, such as 2026-11-22T01:00:00Z."
        ) from error


def _parse_limit(value: str | None) -> int:
    if value is None:
        return usecase.DEFAULT_LIMIT
    if not _NUMBER.fullmatch(value) or int(value) > usecase.MAX_LIMIT:
        raise BadRequest(f"limit must be a whole number from 1 to {usecase.MAX_LIMIT}.")
    return int(value)


def callback_text(reservation: Reservation, name: str) -> str | None:
    """Return a parameter of the callback; None if it is missing, empty or repeated."""
    value = reservation.parameters.get(name)
    return value if value and isinstance(value, str) else None


def names_json(reservation: Reservation) -> dict[str, str | None]:
    """Return the names of related resources, each None unless TaskRouter has reported it."""
    text = partial(callback_text, reservation)
    return {
        "worker_name": reservation.worker_name,
        "workflow_name": reservation.workflow_name or text("WorkflowName"),
        "task_queue_name": reservation.task_queue_name or text("TaskQueueName"),
        "task_channel_name": text("TaskChannelUniqueName"),
    }


def _reservation_json(reservation: Reservation) -> dict[str, Any]:
    previous_statuses = [None, *(entry.to.value for entry in reservation.history)]
    return {
        "reservation_sid": reservation.reservation_sid,
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "workflow_sid": reservation.workflow_sid,
        "task_queue_sid": reservation.task_queue_sid,
        **names_json(reservation),
        "status": reservation.status.value,
        "instruction": None if reservation.answer is None else without_secrets(reservation.answer),
        "reserved_at": iso_time(reservation.reserved_at),
        "expires_at": iso_time(reservation.expires_at),
        "task_attributes": parse_attributes(reservation.task_attributes),
        "worker_attributes": parse_attributes(reservation.worker_attributes),
        "instruction_sent": sent_json(reservation),
        "accepted_by": reservation.accepted_by,
        "callback": reservation.callback,
        "history": [
            {
                "at": iso_time(entry.at),
                "from": previous,
                "to": entry.to.value,
                "by": entry.by,
                "note": entry.note,
            }
            for previous, entry in zip(previous_statuses, reservation.history, strict=False)
        ],
    }


def _delivery_json(delivery: Delivery) -> dict[str, Any]:
    return {
        "received_at": iso_time(delivery.received_at),
        "answered_at": delivery.answered_at and iso_time(delivery.answered_at),
        "route": delivery.route,
        "checked_url": mask_signed_url(delivery.url, delivery.route),
    }


def mask_signed_url(url: str, route_path: str) -> str:
    """Return a signed URL, which may have a query string, with possible secrets masked."""
    address, _, query = url.partition("?")
    return mask_url(address, route_path, parse_qsl(query, keep_blank_values=True))


def sent_json(reservation: Reservation) -> dict[str, Any] | None:
    """Return the instruction sent or being sent over REST, without its secrets, and its sender."""
    sent = reservation.instruction_sent
    if sent is None:
        return None
    return {"by": sent.by, "instruction": without_secrets(sent.instruction)}


def iso_time(at: int) -> str:
    """Return epoch ms as ISO 8601, such as ``2026-11-22T01:12:26.000Z``."""
    time = datetime.fromtimestamp(at / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
