"""Item <-> Reservation: how a record lies in the table `reservations`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chalicelib.domain.reservations import (
    ACHIEVED,
    OPEN,
    Claim,
    HistoryEntry,
    Reservation,
    SentInstruction,
    Status,
)

_MS = 1000
_DAY_SECONDS = 86_400


def hour_of(at: int) -> str:
    """Return the UTC hour, such as ``2026-11-22T01``, in which *at* (epoch ms) lies."""
    return datetime.fromtimestamp(at // _MS, UTC).strftime("%Y-%m-%dT%H")


def expiry(reserved_at: int, retention_days: int) -> int:
    """Return when DynamoDB may delete the record, in epoch seconds."""
    return reserved_at // _MS + retention_days * _DAY_SECONDS


def history_item(change: HistoryEntry) -> dict[str, Any]:
    """Return a history entry as it is stored."""
    entry = {"at": change.at, "to": change.to.value, "by": change.by}
    return {**entry, "note": change.note} if change.note else entry


def initial_attributes(
    reservation: Reservation, *, due_at: int | None, retention_days: int
) -> dict[str, Any]:
    """Return what is written when a record is made, and never again."""
    is_open = reservation.status in OPEN
    return {
        "status": reservation.status.value,
        "open_as": reservation.status.value if is_open else None,
        "due_at": due_at if is_open else None,
        "reserved_at": reservation.reserved_at,
        "expires_at": reservation.expires_at,
        "hour": hour_of(reservation.reserved_at),
        "ttl": expiry(reservation.reserved_at, retention_days),
        "history": [history_item(change) for change in reservation.history],
        "acceptor": reservation.accepted_by,
    }


def callback_attributes(reservation: Reservation) -> dict[str, Any]:
    """Return what says whose Reservation it is, and what its callback carried."""
    return {
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "worker_name": reservation.worker_name,
        "workflow_sid": reservation.workflow_sid,
        "task_queue_sid": reservation.task_queue_sid,
        "task_attributes": reservation.task_attributes,
        "worker_attributes": reservation.worker_attributes,
        "parameters": dict(reservation.parameters) or None,
    }


def reservation_of(item: Mapping[str, Any]) -> Reservation:
    """Return the Reservation that *item* (Python values) holds."""
    return Reservation(
        reservation_sid=item["reservation_sid"],
        task_sid=item["task_sid"],
        worker_sid=item["worker_sid"],
        status=Status(item["status"]),
        reserved_at=int(item["reserved_at"]),
        expires_at=int(item["expires_at"]),
        workflow_sid=item.get("workflow_sid"),
        task_queue_sid=item.get("task_queue_sid"),
        worker_name=item.get("worker_name"),
        answer=item.get("answer"),
        task_attributes=item.get("task_attributes"),
        worker_attributes=item.get("worker_attributes"),
        parameters=item.get("parameters", {}),
        accepted_by=item.get("acceptor") if _was_accepted(item) else None,
        instruction_sent=_sent_of(item),
        claim=_claim_of(item),
        checks=int(item.get("checks", 0)),
        history=tuple(
            HistoryEntry(
                at=int(entry["at"]),
                to=Status(entry["to"]),
                by=entry["by"],
                note=entry.get("note"),
            )
            for entry in item.get("history", ())
        ),
    )


def _was_accepted(item: Mapping[str, Any]) -> bool:
    return any(entry["to"] in ACHIEVED[Status.ACCEPTED] for entry in item.get("history", ()))


def sent_instruction_item(sent: SentInstruction) -> dict[str, Any]:
    """Return how an instruction that is about to be sent is stored."""
    return {"claim_id": sent.claim_id, "by": sent.by, "instruction": dict(sent.instruction)}


def _sent_of(item: Mapping[str, Any]) -> SentInstruction | None:
    return SentInstruction(**item["instruction_sent"]) if "instruction_sent" in item else None


def _claim_of(item: Mapping[str, Any]) -> Claim | None:
    if "claim_until" not in item:
        return None
    return Claim(
        until=int(item["claim_until"]),
        target=Status(item["claim_target"]),
        claim_id=item["claim_id"],
        by=item["claim_by"],
    )
