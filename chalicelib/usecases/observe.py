"""Record TaskRouter's status reports, which may be late, repeated or out of order."""

from dataclasses import replace

from chalicelib.domain.callbacks import ReservationEvent
from chalicelib.domain.reservations import (
    ACHIEVED,
    HistoryEntry,
    RemoteReservation,
    Reservation,
    Status,
    StatusUpdate,
)
from chalicelib.usecases.deadlines import Deadlines
from chalicelib.usecases.ports import ReservationStore

BY_EVENT = "event"


def observe(
    event: ReservationEvent,
    *,
    store: ReservationStore,
    deadlines: Deadlines,
    now: int,
    by: str = BY_EVENT,
) -> bool:
    """Record the status reported by an event, unless the event is late or repeated.

    If there is no record yet, the event creates it, because the callback may never arrive.

    Args:
        event: an event that TaskRouter posted or that is in TaskRouter's list of Events.
        store: the Reservation records.
        deadlines: the deadline settings.
        now: epoch ms.
        by: source of the report, for the history.

    Returns:
        Whether the event created or changed the record.

    Raises:
        StoreUnavailable: DynamoDB failed. The status may not have been recorded; the sweep
            corrects the record.
    """
    # Use the event's own time, if any, because the event may arrive minutes after the change.
    changed_at = min(event.at or now, now)
    # The best known creation time: exact for the first event, an upper bound for later events.
    reserved_at = changed_at
    expires_at = deadlines.expires_at(reserved_at, event.workflow_sid)
    next_check_at = deadlines.next_check(
        event.status, now=now, reserved_at=reserved_at, expires_at=expires_at
    )
    update = StatusUpdate(
        status=event.status,
        at=now,
        changed_at=changed_at,
        by=by,
        next_check_at=next_check_at,
        worker_name=event.worker_name,
        workflow_name=event.workflow_name,
        task_queue_name=event.task_queue_name,
    )
    if event.status is Status.PENDING and event.at is not None:
        # If the event lacks the Workflow, keep the recorded expiry, which is at least as accurate.
        update = replace(
            update, reserved_at=reserved_at, expires_at=expires_at if event.workflow_sid else None
        )
    changed, record = store.record_status(event.reservation_sid, update)
    if record is not None:
        return changed
    reservation = _to_reservation(event, reserved_at=reserved_at, expires_at=expires_at, by=by)
    if store.create_record(reservation, due_at=next_check_at):
        return True
    # Another request created the record in the meantime, so the status can be recorded now.
    changed, _ = store.record_status(event.reservation_sid, update)
    return changed


def _to_reservation(
    event: ReservationEvent, *, reserved_at: int, expires_at: int, by: str
) -> Reservation:
    return Reservation(
        reservation_sid=event.reservation_sid,
        task_sid=event.task_sid,
        worker_sid=event.worker_sid,
        worker_name=event.worker_name,
        workflow_name=event.workflow_name,
        task_queue_name=event.task_queue_name,
        workflow_sid=event.workflow_sid,
        task_queue_sid=event.task_queue_sid,
        task_attributes=event.task_attributes,
        worker_attributes=event.worker_attributes,
        status=event.status,
        accepted_by=by if event.status in ACHIEVED[Status.ACCEPTED] else None,
        reserved_at=reserved_at,
        expires_at=expires_at,
        history=(HistoryEntry(at=reserved_at, to=event.status, by=by),),
    )


def record_remote_reservation(
    remote: RemoteReservation, *, store: ReservationStore, deadlines: Deadlines, now: int, by: str
) -> bool:
    """Record a Reservation fetched from TaskRouter, unless it is already recorded.

    Args:
        remote: the Reservation.
        store: the Reservation records.
        deadlines: the deadline settings.
        now: epoch ms.
        by: name of the process or caller that fetched the Reservation, for the history.

    Returns:
        Whether a record was created.

    Raises:
        StoreUnavailable: DynamoDB failed. Whether the record was created is unknown.
    """
    expires_at = deadlines.expires_at(remote.created_at, None)
    reservation = Reservation(
        reservation_sid=remote.reservation_sid,
        task_sid=remote.task_sid,
        worker_sid=remote.worker_sid,
        worker_name=remote.worker_name,
        status=remote.status,
        reserved_at=remote.created_at,
        expires_at=expires_at,
        history=(HistoryEntry(at=now, to=remote.status, by=by, note="no callback received"),),
    )
    due_at = deadlines.next_check(
        remote.status, now=now, reserved_at=remote.created_at, expires_at=expires_at
    )
    return store.create_record(reservation, due_at=due_at)
