"""Mirror an event: what TaskRouter says of a Reservation, in whatever order it comes.

It was posted to us, or found among TaskRouter's Events by a reconciliation.
"""

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

BY = "event"


def observe(
    event: ReservationEvent, *, store: ReservationStore, timing: Deadlines, now: int, by: str = BY
) -> bool:
    """Record what *event* says, unless it is late or repeated.

    A Reservation first heard of by event is recorded: its callback may never come.

    Args:
        event: the event, as TaskRouter has told it.
        store: the records.
        timing: the deadlines' settings.
        now: epoch ms.
        by: who brings it, for the history.

    Returns:
        Whether it was news.

    Raises:
        StoreUnavailable: nothing was recorded; the sweep will find out.
    """
    reserved_at = _reserved_at(event, now)
    expires_at = timing.expires_at(reserved_at, event.workflow_sid)
    look_at = timing.next_check(
        event.status, now=now, reserved_at=reserved_at, expires_at=expires_at
    )
    news = StatusUpdate(
        status=event.status,
        at=now,
        by=by,
        next_check_at=look_at,
        worker_name=event.worker_name,
    )
    moved, record = store.observe(event.reservation_sid, news)
    if record is not None:
        return moved
    reservation = Reservation(
        reservation_sid=event.reservation_sid,
        task_sid=event.task_sid,
        worker_sid=event.worker_sid,
        worker_name=event.worker_name,
        workflow_sid=event.workflow_sid,
        task_queue_sid=event.task_queue_sid,
        task_attributes=event.task_attributes,
        worker_attributes=event.worker_attributes,
        status=event.status,
        accepted_by=by if event.status in ACHIEVED[Status.ACCEPTED] else None,
        reserved_at=reserved_at,
        expires_at=expires_at,
        history=(HistoryEntry(at=now, to=event.status, by=by),),
    )
    if store.record_seen(reservation, due_at=look_at):
        return True
    # Somebody else made the record in between, so there is one to mirror into now.
    moved, _ = store.observe(event.reservation_sid, news)
    return moved


def _reserved_at(event: ReservationEvent, now: int) -> int:
    """Return since when the Reservation is there: the first event tells, a later one at least."""
    return min(event.at or now, now)


def record_remote_reservation(
    seen: RemoteReservation, *, store: ReservationStore, timing: Deadlines, now: int, by: str
) -> bool:
    """Record *seen*, unless there is a record.

    Args:
        seen: what TaskRouter told.
        store: the records.
        timing: the deadlines' settings.
        now: epoch ms.
        by: who asked, for the history.

    Returns:
        Whether there was none.

    Raises:
        StoreUnavailable: DynamoDB failed.
    """
    expires_at = timing.expires_at(seen.created_at, None)
    reservation = Reservation(
        reservation_sid=seen.reservation_sid,
        task_sid=seen.task_sid,
        worker_sid=seen.worker_sid,
        worker_name=seen.worker_name,
        status=seen.status,
        reserved_at=seen.created_at,
        expires_at=expires_at,
        history=(HistoryEntry(at=now, to=seen.status, by=by, note="no callback has told of it"),),
    )
    due_at = timing.next_check(
        seen.status, now=now, reserved_at=seen.created_at, expires_at=expires_at
    )
    return store.record_seen(reservation, due_at=due_at)
