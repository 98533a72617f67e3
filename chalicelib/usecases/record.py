"""Record a Reservation that TaskRouter told of when asked, not by a callback."""

from chalicelib.domain.reservations import Change, Reservation
from chalicelib.domain.taskrouter import Seen
from chalicelib.usecases.ports import Store
from chalicelib.usecases.timing import Timing


def record(seen: Seen, *, store: Store, timing: Timing, now: int, by: str) -> bool:
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
        history=(Change(at=now, to=seen.status, by=by, note="no callback has told of it"),),
    )
    due_at = timing.next_look(
        seen.status, now=now, reserved_at=seen.created_at, expires_at=expires_at
    )
    return store.record_seen(reservation, due_at=due_at)
