"""Check due Reservations and record the statuses that TaskRouter returns.

Every open Reservation becomes due at the time of its next check. The sweep corrects records that
are outdated after a crash, a lost response or a missed event. The sweep queries only due records,
so its cost does not grow with the table.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from threading import Lock

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import (
    AppError,
    InstructionAlreadySent,
    ReservationGone,
    ReservationNotPending,
    SweepFailed,
    TaskRouterNotFound,
    TaskRouterThrottled,
)
from chalicelib.domain.reservations import DueReservation, Status, StatusUpdate
from chalicelib.observability import SweepLine
from chalicelib.usecases.decide import BY_FETCH, Decision, decide
from chalicelib.usecases.ports import Collaborators, StatisticsStore
from chalicelib.usecases.reconcile import BY_SWEEP, reconcile
from chalicelib.usecases.run_budget import CONCURRENCY, RunBudget
from chalicelib.usecases.summarize import summarize

_PRINCIPAL = Principal(Role.SERVICE, identity=BY_SWEEP)

_READ_AHEAD = 1_000
"""Maximum number of due Reservations that are read before they are checked. A sweep has time to
check a few thousand. Without a maximum, memory use would grow with the number of due records."""

STATUS_ORDER = (Status.PENDING, Status.WRAPPING, Status.ACCEPTED)
"""Pending Reservations are checked first, because their callers are waiting."""


class SweepOutcome(Enum):
    """The outcome of checking one Reservation. `SweepLine` counts each outcome."""

    MIRRORED = auto()  # includes decisions that the sweep left to another request
    UNCHANGED = auto()  # includes changes that an event recorded first
    GONE = auto()
    REJECTED = auto()
    COMPLETED = auto()
    FAILED = auto()
    LEFT = auto()


@dataclass(frozen=True)
class SweepPolicy:
    """The actions of a sweep other than recording statuses.

    Attributes:
        reject_activity_sid: WA… SID of the Activity that a Worker gets when a Reservation is
            rejected; None if the sweep rejects no Reservations.
        monitor_only: whether the sweep only counts the Reservations it would reject or complete.
    """

    reject_activity_sid: str | None = None
    monitor_only: bool = False


def sweep_due_reservations(
    collaborators: Collaborators,
    policy: SweepPolicy,
    statistics: StatisticsStore,
    *,
    time_left_ms: Callable[[], int],
    report: Callable[[SweepLine], None],
) -> None:
    """Reconcile if due, check due Reservations while time is left, update statistics, and report.

    Args:
        collaborators: the services to use.
        policy: the actions other than recording statuses.
        statistics: the statistics to update.
        time_left_ms: returns the remaining time of this sweep, in ms.
        report: receives the log line once, even if steps of the sweep fail.

    Raises:
        SweepFailed: a step, such as a check, failed. The alarm SweepFails fires if sweeps fail
            repeatedly. A check that is throttled, or for which no time is left, is not a failure:
            the Reservation is counted as ``left`` and remains due.
    """
    budget = RunBudget(collaborators.clock, time_left_ms)
    sweep = _Sweep(collaborators, policy, budget)
    outcomes: Counter[SweepOutcome] = Counter()
    reconciled: list[int | None] = []
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        # Half of the time is reserved for the checks.
        with budget.counting_failures():
            reconciled += reconcile(collaborators, budget.half(), pool.map)
        due = sweep.due_reservations()
        while batch := list(islice(due, _READ_AHEAD)):
            outcomes.update(pool.map(sweep.check, batch))
    line = sweep.line(outcomes, reconciled)
    summarize(collaborators, statistics, budget, line, late_sources=(BY_SWEEP, BY_FETCH))
    line = {**line, **budget.result()}
    with budget.counting_failures():
        collaborators.store.save_sweep(line)
    line = {**line, **budget.result()}
    report(line)
    if budget.errors:
        errors = ", ".join(f"{code} ({count})" for code, count in budget.errors.items())
        raise SweepFailed(" ".join([f"The sweep failed: {errors}.", *budget.reasons]))


class _Sweep:
    """The state of one sweep, shared by its threads."""

    def __init__(
        self, collaborators: Collaborators, policy: SweepPolicy, budget: RunBudget
    ) -> None:
        self._collaborators = collaborators
        self._policy = policy
        self._budget = budget
        self._workspace_lock = Lock()
        self._workspace_result: AppError | bool | None = None
        self._started = self._oldest_due_at = budget.started

    def line(self, outcomes: Counter[SweepOutcome], reconciled: list[int | None]) -> SweepLine:
        """Return the log line of this sweep; *reconciled* is the result of `reconcile`."""
        return SweepLine(
            at=self._started,
            due=outcomes.total(),
            oldest_due_ms=self._started - self._oldest_due_at,
            mirrored=outcomes[SweepOutcome.MIRRORED],
            unchanged=outcomes[SweepOutcome.UNCHANGED],
            gone=outcomes[SweepOutcome.GONE],
            rejected=outcomes[SweepOutcome.REJECTED],
            completed=outcomes[SweepOutcome.COMPLETED],
            failed=outcomes[SweepOutcome.FAILED],
            left=outcomes[SweepOutcome.LEFT],
            reconciled=sum(count or 0 for count in reconciled),
            unreconciled=reconciled.count(None),
            monitor_only=self._policy.monitor_only,
            reasons=self._budget.reasons,
            **self._budget.result(),
        )

    def due_reservations(self) -> Iterator[DueReservation]:
        """Yield due Reservations until time runs out; always yield the first of each status."""
        store = self._collaborators.store
        with self._budget.counting_failures():
            for status in STATUS_ORDER:
                for due in store.due_reservations(status, now=self._started):
                    self._oldest_due_at = min(self._oldest_due_at, due.due_at)
                    yield due
                    if not self._budget.may_continue():
                        break

    def check(self, due: DueReservation) -> SweepOutcome:
        """Check a Reservation if time is left; count any failure."""
        if not self._budget.may_continue():
            return SweepOutcome.LEFT
        with self._budget.counting_failures():
            try:
                return self._check(due)
            except TaskRouterThrottled:
                return SweepOutcome.LEFT
        return SweepOutcome.FAILED

    def _check(self, due: DueReservation) -> SweepOutcome:
        taskrouter = self._collaborators.taskrouter
        try:
            remote = self._budget.retry_throttled(
                lambda: taskrouter.fetch_reservation(due.reservation_sid, task_sid=due.task_sid)
            )
        except TaskRouterNotFound:
            if not self._budget.may_continue():
                return SweepOutcome.LEFT
            self._verify_workspace()
            changed = self._record_status(due, Status.GONE, note="TaskRouter returned 404")
            return SweepOutcome.GONE if changed else SweepOutcome.UNCHANGED
        if remote.status is not due.status:
            changed = self._record_status(due, remote.status, worker_name=remote.worker_name)
            return SweepOutcome.MIRRORED if changed else SweepOutcome.UNCHANGED
        now = self._collaborators.clock.now_ms()
        rejects_at = self._collaborators.deadlines.rejects_at(due.reserved_at)
        is_pending = due.status is Status.PENDING
        if is_pending and rejects_at is not None and rejects_at <= now < due.expires_at:
            return self._reject(due)
        completes_at = self._completes_at(due)
        if completes_at is not None and completes_at <= now:
            return self._decide(due, Status.COMPLETED, SweepOutcome.COMPLETED)
        self._reschedule(due, completes_at)
        return SweepOutcome.UNCHANGED

    def _reject(self, due: DueReservation) -> SweepOutcome:
        """Reject a Reservation, unless a phone may still be ringing.

        The answer to a fallback request may have called a phone even if the answer is not recorded
        (docs/adr/0029).
        """
        record = self._collaborators.store.get(due.reservation_sid)
        if record is not None:
            answer_may_ring = self._collaborators.answer_may_ring
            if not record.is_ringing_possible(answer_may_ring=answer_may_ring):
                # An instruction that is sent in the meantime makes the claim fail.
                with suppress(InstructionAlreadySent):
                    return self._decide(due, Status.REJECTED, SweepOutcome.REJECTED)
        self._reschedule(due)
        return SweepOutcome.UNCHANGED

    def _completes_at(self, due: DueReservation) -> int | None:
        """Return the time (epoch ms) at which to complete a Reservation.

        The time is based on the recorded start of the wrap-up. Return None if the Reservation is
        not recorded as wrapping, or if there is no limit.
        """
        deadlines = self._collaborators.deadlines
        if due.status is not Status.WRAPPING or deadlines.max_wrapup is None:
            return None
        record = self._collaborators.store.get(due.reservation_sid)
        if record is None or record.status is not Status.WRAPPING:
            return None
        return deadlines.completes_at(record.history[-1].at)

    def _decide(self, due: DueReservation, target: Status, outcome: SweepOutcome) -> SweepOutcome:
        """Ask TaskRouter to end a Reservation; a concurrent decision takes precedence."""
        if self._policy.monitor_only:
            self._reschedule(due)
            return outcome
        if not self._budget.may_continue():
            return SweepOutcome.LEFT
        decision = Decision(
            target=target,
            reservation_sid=due.reservation_sid,
            principal=_PRINCIPAL,
            activity_sid=self._policy.reject_activity_sid if target is Status.REJECTED else None,
            unless_ringing=target is Status.REJECTED,
        )
        try:
            decide(decision, self._collaborators)
        except (ReservationNotPending, ReservationGone):
            return SweepOutcome.MIRRORED
        return outcome

    def _verify_workspace(self) -> None:
        """Verify the Workspace once per sweep; do not repeat a failed or slow request."""
        with self._workspace_lock:
            if self._workspace_result is None:
                try:
                    self._collaborators.taskrouter.verify_workspace()
                    self._workspace_result = True
                except AppError as error:
                    self._workspace_result = error
            if isinstance(self._workspace_result, AppError):
                raise self._workspace_result

    def _record_status(
        self,
        due: DueReservation,
        status: Status,
        *,
        worker_name: str | None = None,
        note: str | None = None,
    ) -> bool:
        """Record a status, and return whether the record changed."""
        now = self._collaborators.clock.now_ms()
        update = StatusUpdate(
            status=status,
            at=now,
            by=BY_SWEEP,
            next_check_at=self._next_check(due, status, now, checks=0),
            worker_name=worker_name,
            note=note,
        )
        changed, _ = self._collaborators.store.record_status(due.reservation_sid, update)
        return changed

    def _reschedule(self, due: DueReservation, completes_at: int | None = None) -> None:
        """Schedule the next check of an unchanged Reservation and remove an expired claim."""
        store, now = self._collaborators.store, self._collaborators.clock.now_ms()
        at = self._next_check(due, due.status, now, checks=due.checks) or now
        if completes_at is not None:
            at = min(at, completes_at)
        record = store.get(due.reservation_sid) if due.is_claimed else None
        acceptor = record.instruction_acceptor if record else None
        store.reschedule_check(due, at=at, checks=due.checks + 1, acceptor=acceptor)

    def _next_check(
        self, due: DueReservation, status: Status, now: int, *, checks: int
    ) -> int | None:
        return self._collaborators.deadlines.next_check(
            status, now=now, reserved_at=due.reserved_at, expires_at=due.expires_at, checks=checks
        )
