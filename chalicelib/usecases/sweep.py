"""Look at what is due, and mirror what TaskRouter says.

What a crash, a lost answer or a missed event leaves behind becomes due in time, and this is where
it heals. A sweep touches only what is due, so its cost does not grow with the table.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import (
    AppError,
    ReservationGone,
    ReservationNotPending,
    StoreUnavailable,
    SweepFailed,
    TaskRouterNotFound,
    TaskRouterThrottled,
    Unsettled,
)
from chalicelib.domain.reservations import DueReservation, Status, StatusUpdate
from chalicelib.usecases.decide import Collaborators, Decision, decide
from chalicelib.usecases.reconcile import reconcile
from chalicelib.usecases.run import CONCURRENCY, RunBudget

BY = "sweep"

_PRINCIPAL = Principal(Role.SERVICE, identity=BY)

# Nobody waits longer than a caller whose Reservation is still pending.
_ORDER = (Status.PENDING, Status.WRAPPING, Status.ACCEPTED)


class SweepOutcome(StrEnum):
    """What came of looking at one Reservation."""

    MIRRORED = "mirrored"  # or being decided by somebody else at this moment
    UNCHANGED = "unchanged"
    GONE = "gone"
    REJECTED = "rejected"
    COMPLETED = "completed"
    FAILED = "failed"
    LEFT = "left"


@dataclass(frozen=True)
class SweepPolicy:
    """What a sweep may do besides mirroring.

    Attributes:
        reject_activity_sid: WA… that a Worker is moved to whose Reservation is rejected.
        monitor_only: only count what would be rejected and completed.
    """

    reject_activity_sid: str | None = None
    monitor_only: bool = False


class _Sweep:
    """One sweep: what its looks share."""

    def __init__(self, desk: Collaborators, orders: SweepPolicy, run: RunBudget) -> None:
        self._desk = desk
        self._orders = orders
        self._run = run
        self._workspace = Lock()
        self._workspace_answer: AppError | bool | None = None
        self._started = desk.clock.now_ms()
        self._oldest_due_at = self._started

    @property
    def oldest_due_ms(self) -> int:
        """For how long the oldest of what was found due had been due."""
        return self._started - self._oldest_due_at

    def all_due(self) -> Iterator[DueReservation]:
        for status in _ORDER:
            for due in self._desk.store.due(status, now=self._started):
                self._oldest_due_at = min(self._oldest_due_at, due.due_at)
                yield due
                if not self._run.may_go_on():
                    return

    def look(self, due: DueReservation) -> SweepOutcome:
        if not self._run.may_go_on():
            return SweepOutcome.LEFT
        try:
            return self._look(due)
        except TaskRouterThrottled:
            return SweepOutcome.LEFT
        except AppError as error:
            self._run.failed(error)
            return SweepOutcome.FAILED

    def _look(self, due: DueReservation) -> SweepOutcome:
        taskrouter = self._desk.taskrouter
        try:
            seen = self._run.patiently(
                lambda: taskrouter.fetch_reservation(due.reservation_sid, task_sid=due.task_sid)
            )
        except TaskRouterNotFound:
            self._must_know_the_workspace()
            self._observe(due, Status.GONE, note="TaskRouter answered 404")
            return SweepOutcome.GONE
        if seen.status is not due.status:
            self._observe(due, seen.status, worker_name=seen.worker_name)
            return SweepOutcome.MIRRORED
        if self._is_to_be_rejected(due):
            return self._reject(due)
        completes_at = self._completes_at(due)
        if completes_at is not None and completes_at <= self._desk.clock.now_ms():
            return self._act(due, Status.COMPLETED, SweepOutcome.COMPLETED)
        self._look_again(due, completes_at)
        return SweepOutcome.UNCHANGED

    def _look_again(self, due: DueReservation, appointment: int | None = None) -> None:
        now = self._desk.clock.now_ms()
        again = self._next_look(due, due.status, now, due.checks) or now
        at = again if appointment is None else min(again, appointment)
        record = self._desk.store.get(due.reservation_sid) if due.is_claimed else None
        acceptor = record.accepts_by if record else None
        self._desk.store.reschedule_check(due, at=at, checks=due.checks + 1, acceptor=acceptor)

    def _is_to_be_rejected(self, due: DueReservation) -> bool:
        at = self._desk.timing.rejects_at(due.reserved_at)
        if due.status is not Status.PENDING or at is None:
            return False
        return at <= self._desk.clock.now_ms() < due.expires_at

    def _reject(self, due: DueReservation) -> SweepOutcome:
        """Reject it, unless an instruction has somebody's phone ringing: that may take a while."""
        record = self._desk.store.get(due.reservation_sid)
        if record is None or record.rings:
            self._look_again(due)
            return SweepOutcome.UNCHANGED
        return self._act(due, Status.REJECTED, SweepOutcome.REJECTED)

    def _completes_at(self, due: DueReservation) -> int | None:
        """Return when a wrapping Reservation is to be completed; since when is in its record."""
        if due.status is not Status.WRAPPING or self._desk.timing.max_wrapup is None:
            return None
        record = self._desk.store.get(due.reservation_sid)
        if record is None or record.status is not Status.WRAPPING:
            return None
        return self._desk.timing.completes_at(record.history[-1].at)

    def _act(self, due: DueReservation, target: Status, done: SweepOutcome) -> SweepOutcome:
        """Ask TaskRouter for an end, as anybody would; who decides meanwhile has decided."""
        if self._orders.monitor_only:
            self._look_again(due)
            return done
        if not self._run.may_go_on():
            return SweepOutcome.LEFT
        decision = Decision(
            target=target,
            reservation_sid=due.reservation_sid,
            principal=_PRINCIPAL,
            activity_sid=self._orders.reject_activity_sid if target is Status.REJECTED else None,
        )
        try:
            decide(decision, self._desk)
        except (ReservationNotPending, ReservationGone):
            return SweepOutcome.MIRRORED
        except Unsettled as error:
            if isinstance(error.__cause__, TaskRouterThrottled):
                raise error.__cause__ from error
            raise
        return done

    def _must_know_the_workspace(self) -> None:
        """Ask once a sweep, also where the answer is no: the others would wait for the same."""
        with self._workspace:
            if self._workspace_answer is None:
                try:
                    self._desk.taskrouter.must_know_the_workspace()
                    self._workspace_answer = True
                except AppError as error:
                    self._workspace_answer = error
            if isinstance(self._workspace_answer, AppError):
                raise self._workspace_answer

    def _observe(
        self,
        due: DueReservation,
        status: Status,
        *,
        worker_name: str | None = None,
        note: str | None = None,
    ) -> None:
        now = self._desk.clock.now_ms()
        news = StatusUpdate(
            status=status,
            at=now,
            by=BY,
            next_check_at=self._next_look(due, status, now, 0),
            worker_name=worker_name,
            note=note,
        )
        self._desk.store.observe(due.reservation_sid, news)

    def _next_look(self, due: DueReservation, status: Status, now: int, checks: int) -> int | None:
        return self._desk.timing.next_check(
            status, now=now, reserved_at=due.reserved_at, expires_at=due.expires_at, checks=checks
        )


def sweep_due_reservations(
    desk: Collaborators,
    orders: SweepPolicy,
    *,
    time_left_ms: Callable[[], int],
    report: Callable[[dict[str, object]], None],
) -> None:
    """Go through what is due, within the time there is, then reconcile; report the counts.

    Args:
        desk: the collaborators.
        orders: what to do besides mirroring.
        time_left_ms: how long this run may still take, in ms.
        report: is given the counts once, also where the sweep fails: ``due``, ``oldest_due_ms``
            (for how long the oldest of these had been due), one count a `Look`,
            ``reconciled`` Reservations, ``unreconciled`` questions that it did not come to the end
            of, ``errors`` by Code, ``at`` (epoch ms), ``duration_ms``,
            ``monitor_only`` and ``ok``.

    Raises:
        SweepFailed: something due could not be looked at, so that an alarm fires. What merely
            had no time left, or was throttled, is counted as ``left`` and is due again next time.
    """
    started = desk.clock.now_ms()
    run = RunBudget(desk.clock, time_left_ms)
    one = _Sweep(desk, orders, run)
    looks: Counter[SweepOutcome] = Counter()
    recorded: list[int | None] = []
    try:
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            looks.update(pool.map(one.look, one.all_due()))
            recorded += reconcile(desk, run, pool.map)
    except StoreUnavailable as error:
        run.failed(error)
    result: dict[str, object] = {
        "at": started,
        "duration_ms": desk.clock.now_ms() - started,
        "due": looks.total(),
        "oldest_due_ms": one.oldest_due_ms,
        **{look.value: looks[look] for look in SweepOutcome},
        "reconciled": sum(count or 0 for count in recorded),
        "unreconciled": recorded.count(None),
        "monitor_only": orders.monitor_only,
        "errors": dict(run.errors),
        "ok": not run.errors,
    }
    try:
        desk.store.save_sweep(result)
    except StoreUnavailable as error:
        run.failed(error)
        result |= {"errors": dict(run.errors), "ok": False}
    report(result)
    if run.errors:
        raise SweepFailed(f"The sweep failed: {dict(run.errors)}.")
