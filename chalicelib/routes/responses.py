"""How Reservations look in answers: times as ISO 8601 in UTC, attributes as objects."""

from datetime import UTC, datetime
from typing import Any

from chalicelib.domain.instructions import without_secrets
from chalicelib.domain.json_text import JsonError, parse_json
from chalicelib.domain.reservations import Reservation, attributes_object
from chalicelib.domain.tasks import CreatedTask


def iso_time(at: int) -> str:
    """Return epoch ms as ISO 8601, such as ``2026-11-22T01:12:26.000Z``."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reservation_json(reservation: Reservation) -> dict[str, Any]:
    """Return the whole record."""
    return {
        "reservation_sid": reservation.reservation_sid,
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "worker_name": reservation.worker_name,
        "workflow_sid": reservation.workflow_sid,
        "task_queue_sid": reservation.task_queue_sid,
        "status": reservation.status.value,
        "instruction": None if reservation.answer is None else without_secrets(reservation.answer),
        "reserved_at": iso_time(reservation.reserved_at),
        "expires_at": iso_time(reservation.expires_at),
        "task_attributes": attributes_object(reservation.task_attributes),
        "worker_attributes": attributes_object(reservation.worker_attributes),
        "instruction_sent": _sent(reservation),
        "accepted_by": reservation.accepted_by,
        "callback": reservation.callback,
        "history": _history(reservation),
    }


def _sent(reservation: Reservation) -> dict[str, Any] | None:
    sent = reservation.instruction_sent
    return {"by": sent.by, "instruction": without_secrets(sent.instruction)} if sent else None


def _history(reservation: Reservation) -> list[dict[str, Any]]:
    before = [None, *(change.to.value for change in reservation.history)]
    return [
        {
            "at": iso_time(change.at),
            "from": previous,
            "to": change.to.value,
            "by": change.by,
            "note": change.note,
        }
        for previous, change in zip(before, reservation.history, strict=False)
    ]


def decision_json(reservation: Reservation) -> dict[str, Any]:
    """Return what accepting and rejecting answer; the quickstart reads the last two."""
    return {
        "reservation_sid": reservation.reservation_sid,
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "worker_name": reservation.worker_name,
        "reservation_status": reservation.status.value,
    }


def task_json(task: CreatedTask) -> dict[str, Any]:
    """Return a Task that was created."""
    try:
        attributes = parse_json(task.attributes)
    except (JsonError, TypeError):
        attributes = None
    return {
        "sid": task.sid,
        "attributes": attributes,
        "assignment_status": task.assignment_status,
        "workflow_sid": task.workflow_sid,
        "task_queue_sid": task.task_queue_sid,
        "priority": task.priority,
    }
