"""Simulates the sweeps of a `World`, with the service's own budget and back-off."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from math import ceil
from operator import itemgetter

from benchmarks.simulated_taskrouter import FETCH, LIST_EVENTS, LIST_RESERVATIONS, LIST_TASKS
from benchmarks.simulation import DueRecord, Group, Scenario, World
from benchmarks.timeline import Process, Subroutine, run_concurrently
from chalicelib.domain.callbacks import EVENT_TYPES
from chalicelib.domain.reservations import Status
from chalicelib.usecases.deadlines import CALLBACK_IN_TRANSIT_MS
from chalicelib.usecases.reconcile import (
    BATCH_SIZE,
    CATCH_UP_WINDOW_MS,
    FIRST_LOOKBACK_MS,
    INTERVAL_MS,
    MIN_WINDOW_MS,
    MINUTE_MS,
    OVERLAP_MS,
    READ_SIZE,
    RETRY_MS,
    TASKS,
    WINDOW_MS,
)
from chalicelib.usecases.run_budget import RunBudget
from chalicelib.usecases.sweep import STATUS_ORDER

_PAGE_SIZE = 1_000
"""Number of Tasks or Events per page."""

_LIST_MS = 16_000
"""Time limit for reading all pages of a list."""

_PARTS = (TASKS, *EVENT_TYPES)


@dataclass
class Sweep:
    """The result of one sweep.

    Attributes:
        at: Start time (ms).
        due: Number of due Reservations.
        oldest_due_ms: Time since the oldest due Reservation became due.
        checked: Number of Reservations that were checked.
        ended_at: End time (ms).
        unreconciled: Number of reconciliation steps that failed or were not started.
        reconciled: Number of records that the reconciliation corrected.
        tasks_age_ms: Time since the end of the last period whose reserved Tasks were read
            completely, with their pending Reservations (ms). A period ends CALLBACK_IN_TRANSIT_MS
            before the start of the sweep that reads it. Until the first complete read, the age
            is measured from FIRST_LOOKBACK_MS before the end of the first period.
        events_age_ms: The corresponding age for Events (ms): the largest age of any Event type.
    """

    at: int
    due: int = 0
    oldest_due_ms: int = 0
    checked: int = 0
    ended_at: int = 0
    unreconciled: int = 0
    reconciled: int = 0
    tasks_age_ms: int = 0
    events_age_ms: int = 0

    @property
    def unchecked(self) -> int:
        """Number of due Reservations that were not checked."""
        return self.due - self.checked


def simulate(scenario: Scenario) -> tuple[World, list[Sweep]]:
    """Return the state at the end of a scenario, and the results of its sweeps."""
    sweeps = Sweeps(World(scenario))
    world = sweeps.world
    world.timeline.start(world.arrivals())
    world.timeline.start(sweeps.start_periodically())
    world.timeline.run(until=scenario.seconds * 1000)
    return world, sweeps.finished


class Sweeps:
    """The sweeps of a world, which share the progress of the reconciliation.

    Attributes:
        world: The simulated Reservations, Events and TaskRouter.
        finished: The results of the sweeps that have ended.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.finished: list[Sweep] = []
        self._reconciles_at = 0
        self._progress: dict[str, int] = {}
        self._last_complete_end: dict[str, int] = {}

    def start_periodically(self) -> Process:
        """Start a sweep at the end of each interval."""
        while True:
            yield self.world.scenario.sweep_interval_s * 1000
            self.world.timeline.start(self.sweep())

    def sweep(self) -> Process:
        """Reconcile if the reconciliation is due, and check due Reservations while time is left."""
        clock = self.world.timeline
        ends_at = clock.now_ms() + self.world.scenario.sweep_s * 1000
        budget = RunBudget(clock, lambda: ends_at - clock.now_ms())
        sweep = Sweep(budget.started)
        yield from self._reconcile(budget.half(), sweep)
        due = [record for status in STATUS_ORDER for record in self.world.due(status, now=sweep.at)]
        sweep.due = sum(each.size for each in due)
        sweep.oldest_due_ms = max((sweep.at - each.due_at for each in due), default=0)
        yield from self._concurrently(self._checks(due, budget, sweep))
        yield self.world.scenario.dynamodb_ms  # to save the result
        sweep.ended_at = clock.now_ms()
        ages = {part: sweep.at - at for part, at in self._last_complete_end.items()}
        sweep.tasks_age_ms = ages.pop(TASKS)
        sweep.events_age_ms = max(ages.values())
        self.finished.append(sweep)

    def _concurrently(self, processes: Iterable[Process]) -> Process:
        return run_concurrently(processes, self.world.scenario.concurrency)

    def _checks(
        self, due: Iterable[DueRecord], budget: RunBudget, sweep: Sweep
    ) -> Iterator[Process]:
        for each in due:
            for _ in range(each.size):
                if not budget.may_continue():
                    return
                yield self._check(each, budget, sweep)

    def _check(self, due: DueRecord, budget: RunBudget, sweep: Sweep) -> Process:
        if (yield from self._request(FETCH, budget)):
            yield self.world.scenario.dynamodb_ms
            self.world.check(due)
            sweep.checked += 1

    def _request(self, operation: str, budget: RunBudget, pages: int = 1) -> Subroutine:
        """Send a request, and retry after a pause while TaskRouter throttles the request.

        Args:
            operation: The operation.
            budget: The budget of the sweep, or of the part of the sweep that sends the request. No
                further step starts after the last attempt is throttled.
            pages: Number of pages, which are requested sequentially.

        Returns:
            Whether TaskRouter responded in time.
        """
        taskrouter, latency_ms = self.world.taskrouter, self.world.scenario.taskrouter.latency_ms
        pauses = budget.pauses_if_throttled()
        while True:
            for _ in range(min(pages, ceil(_LIST_MS / max(latency_ms, 1)))):
                started = taskrouter.start(operation)
                yield latency_ms
                taskrouter.end(started)
                if not started:
                    break
            else:
                return pages * latency_ms <= _LIST_MS
            pause_s = next(pauses, None)
            if pause_s is None:
                return False
            yield pause_s * 1000

    def _reconcile(self, budget: RunBudget, sweep: Sweep) -> Process:
        """Reconcile the parts that are due, as `chalicelib.usecases.reconcile` does."""
        now, end = budget.started, budget.started - CALLBACK_IN_TRANSIT_MS
        yield self.world.scenario.dynamodb_ms
        if now < self._reconciles_at:
            return
        self._reconciles_at = now + RETRY_MS
        for part in _PARTS:
            self._progress.setdefault(part, end - FIRST_LOOKBACK_MS)
            self._last_complete_end.setdefault(part, self._progress[part])
        reconcilers = [self._list_tasks, self._list_events]
        if now // MINUTE_MS % 2:
            reconcilers.reverse()
        for reconcile in reconcilers:
            yield from reconcile(end, budget, sweep)
        next_end = min(self._last_complete_end.values()) + INTERVAL_MS
        if next_end > end:
            self._reconciles_at = next_end + CALLBACK_IN_TRANSIT_MS

    def _is_due(self, part: str, end: int) -> bool:
        return self._last_complete_end[part] + INTERVAL_MS <= end

    def _save(self, parts: Iterable[str], until: int, end: int) -> Process:
        """Save the time up to which parts have been reconciled."""
        yield self.world.scenario.dynamodb_ms
        for part in parts:
            self._progress[part] = max(until, self._progress[part])
            if until >= end:
                self._last_complete_end[part] = until

    def _list_tasks(self, end: int, budget: RunBudget, sweep: Sweep) -> Process:
        """List the reserved Tasks, and the pending Reservations of each Task."""
        if not self._is_due(TASKS, end):
            return
        pages = self.world.reserved // _PAGE_SIZE + 1
        if not (budget.may_continue() and (yield from self._request(LIST_TASKS, budget, pages))):
            sweep.unreconciled += 1
            return
        tasks, unreconciled_before = self.world.reserved, sweep.unreconciled
        sweep.unreconciled += tasks
        yield from self._concurrently(self._list_reservations(tasks, budget, sweep))
        if sweep.unreconciled == unreconciled_before:
            yield from self._save([TASKS], end, end)

    def _list_reservations(self, tasks: int, budget: RunBudget, sweep: Sweep) -> Iterator[Process]:
        """Yield processes that each list one Task's pending Reservations, while time is left."""
        for _ in range(tasks):
            if not budget.may_continue():
                return
            yield self._list_task_reservations(budget, sweep)

    def _list_task_reservations(self, budget: RunBudget, sweep: Sweep) -> Process:
        if (yield from self._request(LIST_RESERVATIONS, budget)):
            yield self.world.scenario.dynamodb_ms  # BatchGetItem
            sweep.unreconciled -= 1

    def _list_events(self, end: int, budget: RunBudget, sweep: Sweep) -> Process:
        """List the unread Events of each type, window by window."""
        starts = {
            name: self._progress[name] - OVERLAP_MS
            for name in EVENT_TYPES
            if self._is_due(name, end)
        }
        window = WINDOW_MS
        if starts and min(starts.values()) + window < end:
            window = CATCH_UP_WINDOW_MS
        while starts and (since := min(starts.values())) < end:
            until = min(since + window, end)
            types = [name for name, start in starts.items() if start < until]
            read: dict[str, bool] = {}
            yield from self._concurrently(
                self._list_type(name, starts[name], until, budget, read) for name in types
            )
            for name in types:
                if name not in read:
                    del starts[name]
            sweep.unreconciled += len(read) < len(types)
            if window > MIN_WINDOW_MS and not all(read.values()):
                window = max((until - since) // 2, MIN_WINDOW_MS)
                continue
            if read:
                unreconciled_before = sweep.unreconciled
                ranges = {name: (starts[name], until) for name in read}
                yield from self._record_events(ranges, end, budget, sweep)
                if sweep.unreconciled > unreconciled_before:
                    return
            starts |= dict.fromkeys(read, until)
            window = min(window * 2, WINDOW_MS)

    def _list_type(
        self, name: str, since: int, until: int, budget: RunBudget, read: dict[str, bool]
    ) -> Process:
        """List the Events of a type; store in *read* whether the list is complete."""
        if not budget.may_continue():
            return
        limit, number = self.world.scenario.taskrouter.max_events, self._count(name, since, until)
        pages = min(number, limit - 1) // _PAGE_SIZE + 1
        if (yield from self._request(LIST_EVENTS, budget, pages)):
            read[name] = number < limit

    def _count(self, name: str, since: int, until: int) -> int:
        """Return the number of Events in a period, at TaskRouter's precision of one second."""
        events = self.world.events[EVENT_TYPES[name]]
        return events.count(since // 1000 * 1000, until // 1000 * 1000)

    def _events(self, name: str, since: int, until: int) -> Iterator[tuple[int, Group, Status]]:
        """Yield the time, the group and the status of the listed Events of a type."""
        remaining, status = self.world.scenario.taskrouter.max_events, EVENT_TYPES[name]
        for at, group in self.world.events[status].between(
            since // 1000 * 1000, until // 1000 * 1000
        ):
            if remaining <= 0:
                return
            remaining -= group.size
            yield at, group, status

    def _record_events(
        self,
        ranges: Mapping[str, tuple[int, int]],
        end: int,
        budget: RunBudget,
        sweep: Sweep,
    ) -> Process:
        """Record the Events of a window in batches, oldest first; save the progress."""
        until = max(until for _, until in ranges.values())
        lists = (self._events(name, *period) for name, period in ranges.items())
        batches = list(_split(merge(*lists, key=itemgetter(0)))) or [[]]
        for batch in batches:
            if not budget.may_continue():
                sweep.unreconciled += 1
                return
            size = sum(group.size for _, group, _ in batch)
            yield from self._concurrently(
                self._request_dynamodb() for _ in range(ceil(size / READ_SIZE))
            )
            yield from self._concurrently(self._writes(batch, sweep))
            is_last = batch is batches[-1]
            yield from self._save(ranges, until if is_last else batch[-1][0], end)

    def _request_dynamodb(self) -> Process:
        yield self.world.scenario.dynamodb_ms

    def _writes(
        self, batch: Iterable[tuple[int, Group, Status]], sweep: Sweep
    ) -> Iterator[Process]:
        """Record the statuses that the event callbacks did not report; yield the writes."""
        for _, group, status in batch:
            changed = self.world.record(group, status)
            sweep.reconciled += changed
            for _ in range(changed):
                yield self._request_dynamodb()


def _split(
    events: Iterable[tuple[int, Group, Status]],
) -> Iterator[list[tuple[int, Group, Status]]]:
    """Yield batches of about BATCH_SIZE Events."""
    batch: list[tuple[int, Group, Status]] = []
    size = 0
    for event in events:
        batch.append(event)
        size += event[1].size
        if size >= BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
