"""Record the Reservations whose callback never came, and of which no event told either."""

from collections.abc import Iterable

from chalicelib.domain.errors import AppError, TaskRouterNotFound, TaskRouterThrottled
from chalicelib.usecases.decide import Desk
from chalicelib.usecases.record import record
from chalicelib.usecases.run import Run

BY = "reconcile"

_JOB = "last_reconcile"
_EVERY_MS = 5 * 60_000


def reserved_tasks(desk: Desk, run: Run) -> Iterable[str]:
    """List the reserved Tasks' SIDs (WT…), if it is time to: every 5 minutes, whoever does it."""
    try:
        if run.may_go_on() and desk.store.begin(_JOB, now=desk.clock.now_ms(), every_ms=_EVERY_MS):
            return run.patiently(desk.taskrouter.reserved_tasks)
    except TaskRouterThrottled:
        pass
    except AppError as error:
        run.failed(error)
    return ()


def reconcile(task_sid: str, desk: Desk, run: Run) -> int:
    """Record a reserved Task's (WT…) pending Reservations; return how many were missing."""
    if not run.may_go_on():
        return 0
    try:
        pending = run.patiently(lambda: desk.taskrouter.pending_reservations(task_sid))
        now = desk.clock.now_ms()
        return sum(
            record(seen, store=desk.store, timing=desk.timing, now=now, by=BY) for seen in pending
        )
    except (TaskRouterNotFound, TaskRouterThrottled):
        # The Task has ended meanwhile, or the next reconciliation will come to it.
        return 0
    except AppError as error:
        run.failed(error)
        return 0
