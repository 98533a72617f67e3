"""Record the Reservations whose callback never came, and of which no event told either."""

from chalicelib.domain.errors import AppError, TaskRouterNotFound, TaskRouterThrottled
from chalicelib.usecases.decide import Desk
from chalicelib.usecases.record import record
from chalicelib.usecases.run import Run

BY = "reconcile"

_JOB = "last_reconcile"
_EVERY_MS = 5 * 60_000


def reserved_tasks(desk: Desk, run: Run) -> list[str]:
    """List the reserved Tasks' SIDs (WT…), if it is time to: every 5 minutes, whoever does it.

    Each time the list begins elsewhere, so that a run that does not come to its end does not
    neglect the same Tasks every time.
    """
    now = desk.clock.now_ms()
    try:
        if run.may_go_on() and desk.store.begin(_JOB, now=now, every_ms=_EVERY_MS):
            tasks = run.patiently(desk.taskrouter.reserved_tasks)
            begin = now // _EVERY_MS % len(tasks) if tasks else 0
            return tasks[begin:] + tasks[:begin]
    except AppError as error:
        run.failed(error)
    return []


def reconcile(task_sid: str, desk: Desk, run: Run) -> int | None:
    """Record a reserved Task's (WT…) pending Reservations.

    Returns:
        How many were missing; None where there was no time to look, or TaskRouter throttles.
    """
    if not run.may_go_on():
        return None
    try:
        pending = run.patiently(lambda: desk.taskrouter.pending_reservations(task_sid))
        now = desk.clock.now_ms()
        return sum(
            record(seen, store=desk.store, timing=desk.timing, now=now, by=BY) for seen in pending
        )
    except TaskRouterNotFound:
        return 0  # the Task has ended meanwhile
    except TaskRouterThrottled:
        return None
    except AppError as error:
        run.failed(error)
        return None
