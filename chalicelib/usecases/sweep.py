"""Look at what is due, and mirror what TaskRouter says.

What a crash, a lost answer or a missed event leaves behind becomes due in time, and this is where
it heals. A sweep touches only what is due, so its cost does not grow with the table.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event, Lock

from chalicelib.domain.errors import (
    AppError,
    StoreUnavailable,
    SweepFailed,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.records import Due, News
from chalicelib.domain.reservations import Status
from chalicelib.domain.taskrouter import Seen
from chalicelib.usecases.ports import Clock, Store, TaskRouter
from chalicelib.usecases.timing import Timing

BY = "sweep"

# Nobody waits longer than a caller whose Reservation is still pending.
_ORDER = (Status.PENDING, Status.WRAPPING, Status.ACCEPTED)

_CONCURRENCY = 8
_ONE_LOOK_MS = 15_000
"""No look is begun with less time left: TaskRouter may take 10 s, and then we write."""

_PAUSES_WHEN_THROTTLED = (0.5, 1.0, 2.0)
"""Seconds. After the last, the rest of the sweep is left to the next one."""


class Look(StrEnum):
    """What came of looking at one Reservation."""

    MIRRORED = "mirrored"
    UNCHANGED = "unchanged"
    GONE = "gone"
    FAILED = "failed"
    LEFT = "left"


@dataclass
class _Sweep:
    """One run: what its looks share."""

    store: Store
    taskrouter: TaskRouter
    clock: Clock
    timing: Timing
    time_left_ms: Callable[[], int]
    counts: Counter[Look] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    stopped: Event = field(default_factory=Event)
    _workspace: Lock = field(default_factory=Lock)
    _workspace_known: bool = False

    def run(self) -> None:
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            for look in pool.map(self.look, self._all_due()):
                self.counts[look] += 1

    def _all_due(self) -> Iterator[Due]:
        now = self.clock.now_ms()
        for status in _ORDER:
            for due in self.store.due(status, now=now):
                yield due
                if not self._may_go_on():
                    return

    def _may_go_on(self) -> bool:
        return not self.stopped.is_set() and self.time_left_ms() >= _ONE_LOOK_MS

    def look(self, due: Due) -> Look:
        if not self._may_go_on():
            return Look.LEFT
        try:
            return self._look(due)
        except TaskRouterThrottled:
            self.stopped.set()
            return Look.LEFT
        except AppError as error:
            self.errors[error.code] += 1
            if isinstance(error, TaskRouterError) and not isinstance(error, TaskRouterUnavailable):
                # Our key or Workspace is refused: every other look would end the same way.
                self.stopped.set()
            return Look.FAILED

    def _look(self, due: Due) -> Look:
        try:
            seen = self._fetch(due)
        except TaskRouterNotFound:
            self._must_know_the_workspace()
            self._observe(due, Status.GONE, note="TaskRouter answered 404")
            return Look.GONE
        if seen.status is not due.status:
            self._observe(due, seen.status, worker_name=seen.worker_name)
            return Look.MIRRORED
        now = self.clock.now_ms()
        again = self.timing.next_look(
            due.status, now=now, expires_at=due.expires_at, checks=due.checks
        )
        self.store.look_again(due, at=again or now, checks=due.checks + 1)
        return Look.UNCHANGED

    def _fetch(self, due: Due) -> Seen:
        for pause in _PAUSES_WHEN_THROTTLED:
            try:
                return self._fetch_once(due)
            except TaskRouterThrottled:
                if not self._may_go_on():
                    raise
                self.clock.sleep(pause)
        return self._fetch_once(due)

    def _fetch_once(self, due: Due) -> Seen:
        return self.taskrouter.fetch_reservation(due.reservation_sid, task_sid=due.task_sid)

    def _must_know_the_workspace(self) -> None:
        with self._workspace:
            if not self._workspace_known:
                self.taskrouter.must_know_the_workspace()
                self._workspace_known = True

    def _observe(
        self, due: Due, status: Status, *, worker_name: str | None = None, note: str | None = None
    ) -> None:
        now = self.clock.now_ms()
        self.store.observe(
            due.reservation_sid,
            News(
                status=status,
                at=now,
                by=BY,
                next_look_at=self.timing.next_look(status, now=now, expires_at=due.expires_at),
                worker_name=worker_name,
                note=note,
            ),
        )


def sweep(
    *,
    store: Store,
    taskrouter: TaskRouter,
    clock: Clock,
    timing: Timing,
    time_left_ms: Callable[[], int],
    report: Callable[[dict[str, object]], None],
) -> None:
    """Go through what is due, within the time there is, and report the counts.

    Args:
        store: the records.
        taskrouter: the truth.
        clock: the time.
        timing: when things are due.
        time_left_ms: how long this run may still take, in ms.
        report: is given the counts once, also where the sweep fails: ``due``, one count a `Look`,
            ``errors`` by Code, ``at`` (epoch ms), ``duration_ms`` and ``ok``.

    Raises:
        SweepFailed: something due could not be looked at, so that an alarm fires. What merely
            had no time left, or was throttled, is counted as ``left`` and is due again next time.
    """
    started = clock.now_ms()
    run = _Sweep(store, taskrouter, clock, timing, time_left_ms)
    try:
        run.run()
    except StoreUnavailable as error:
        run.errors[error.code] += 1
    result: dict[str, object] = {
        "at": started,
        "duration_ms": clock.now_ms() - started,
        "due": run.counts.total(),
        **{look.value: run.counts[look] for look in Look},
        "errors": dict(run.errors),
        "ok": not run.errors,
    }
    try:
        store.save_sweep(result)
    except StoreUnavailable as error:
        run.errors[error.code] += 1
        result |= {"errors": dict(run.errors), "ok": False}
    report(result)
    if run.errors:
        raise SweepFailed(f"The sweep failed: {dict(run.errors)}.")
