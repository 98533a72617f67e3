"""Record Reservations and statuses whose callback or event was missed.

Reconciliation reads two lists from TaskRouter:

- The reserved Tasks. Their pending Reservations may be waiting for a decision.
- The Events since the last reconciliation. They reveal Reservations that were created and ended
  without being recorded, and statuses that were missed.

docs/adr/0009 explains why both are needed, and docs/adr/0027 how failed parts are repeated.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from chalicelib.domain.callbacks import EVENT_TYPES, EventPage, ReservationEvent
from chalicelib.domain.errors import (
    TaskRouterNotFound,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import RemoteReservation, Status, is_allowed
from chalicelib.usecases.deadlines import CALLBACK_IN_TRANSIT_MS
from chalicelib.usecases.observe import observe, record_remote_reservation
from chalicelib.usecases.ports import Collaborators
from chalicelib.usecases.run_budget import CONCURRENCY, RunBudget

BY_RECONCILE = "reconcile"
BY_SWEEP = "sweep"
"""Source of a status whose time is unknown: a check found the status, or the Event has no time."""

JOB = "last_reconcile"

MINUTE_MS = 60_000
INTERVAL_MS = 5 * MINUTE_MS
RETRY_MS = 50_000
"""Time until an incomplete run is repeated. The time is shorter than the sweep's interval, so that
the next sweep repeats the parts that failed."""
OVERLAP_MS = 60_000
"""Assumed maximum time until an Event appears in the list, plus an allowance for clock skew."""
WINDOW_MS = 10 * 60_000
"""Maximum length of a window. Events are read in windows so that an interrupted run keeps its
progress. A window with more Events than `list_events` returns is halved."""
CATCH_UP_WINDOW_MS = WINDOW_MS // 4
"""Length of the first window if more than one window remains. A run can finish a short window even
if requests are slow, so each run makes progress."""
MIN_WINDOW_MS = 1_000
"""Minimum length of a window: the precision of TaskRouter's time filter."""
FIRST_LOOKBACK_MS = 60 * 60_000
"""Length of the period that the first reconciliation reads, without the overlap."""
READ_SIZE = 100
"""Maximum number of recorded statuses that a step reads: one BatchGetItem request."""
BATCH_SIZE = CONCURRENCY * READ_SIZE
"""Maximum number of Events that are recorded before the progress is saved."""
_GOLDEN_RATIO = (5**0.5 - 1) / 2
_EVENT_RETENTION_MS = 30 * 24 * 3_600_000
"""Maximum age of the Events to read. TaskRouter redacts attributes in older Events."""


def _part(event_type: str) -> str:
    """Return the name of the part that reads the Events of a type, such as ``created``."""
    return event_type.rpartition(".")[2]


TASKS = "tasks"
"""The part of the reconciliation that lists the reserved Tasks."""

_EVENTS = ""
"""The name under which the earliest progress among the Event types is saved."""

_PARTS = (TASKS, *map(_part, EVENT_TYPES))


def _finished_key(part: str) -> str:
    """Return the name under which the `end` of the last finished run of a part is saved."""
    return f"{part}_finished"


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""A function like `map` that may make its calls concurrently."""


def reconcile(collaborators: Collaborators, budget: RunBudget, map_: Map) -> list[int | None]:
    """Run the parts of the reconciliation that no process has finished in the last 5 minutes.

    The parts are the list of reserved Tasks, and the list of Events of each type. If a part fails,
    or the process crashes, the next sweep repeats the part.

    Args:
        collaborators: the services to use.
        budget: the budget of the sweep.
        map_: applies a function to items, possibly concurrently.

    Returns:
        The results of the steps. A step records, for example, the Reservations of a reserved Task
        or a batch of Events. A result is the number of Reservations whose records were missing or
        outdated. None means that the step, or a part of the step, failed or was not started.
    """
    now = collaborators.clock.now_ms()
    end = now - CALLBACK_IN_TRANSIT_MS
    run, run_id = _Reconciliation(collaborators, budget, map_, end, {}), collaborators.new_id()
    started = run.attempt(
        lambda: collaborators.store.start_periodic_job(
            JOB, now=now, retry_at=now + RETRY_MS, run_id=run_id
        )
    )
    if started is None:
        return [None]
    is_due, saved = started
    if not is_due:
        return []
    default = saved.get(_EVENTS, end - FIRST_LOOKBACK_MS)
    if saved.keys() > {_EVENTS}:
        saved = {TASKS: 0, **saved}  # without TASKS, no run has finished that part
    for part in _PARTS:
        run.progress[part] = saved.get(part, default)
        run.progress[_finished_key(part)] = saved.get(_finished_key(part), run.progress[part])
    phases = [run.record_pending, run.record_events]
    # Alternate the order so that neither phase can use up the time of every run.
    if now // MINUTE_MS % 2:
        phases.reverse()
    return [count for phase in phases for count in phase()]


@dataclass(frozen=True)
class _Reconciliation:
    """One run of the reconciliation.

    Attributes:
        collaborators: the services to use.
        budget: the budget of the sweep.
        map_: applies a function to items, possibly concurrently.
        end: epoch ms up to which the run reads Events, and up to which each finished part is done.
        progress: epoch ms up to which each part is done and, under the name that `_finished_key`
            returns, the `end` of its last finished run.
    """

    collaborators: Collaborators
    budget: RunBudget
    map_: Map
    end: int
    progress: dict[str, int]

    def _is_due(self, part: str) -> bool:
        return self.progress[_finished_key(part)] + INTERVAL_MS <= self.end

    def _save(self, parts: Iterable[str], until: int) -> None:
        """Record that *parts* are done at least up to *until* (epoch ms).

        If no part is still due, schedule the next run.
        """
        done = dict[str, int]()
        for part in parts:
            done[part] = max(until, self.progress[part])
            # An unfinished part stays due, regardless of its progress.
            is_finished, name = until >= self.end, _finished_key(part)
            done[name] = until if is_finished else self.progress[name]
        progress = self.progress | done
        events_done_until = min(progress[part] for part in _PARTS if part != TASKS)
        next_end = min(progress[_finished_key(part)] for part in _PARTS) + INTERVAL_MS
        due_at = next_end + CALLBACK_IN_TRANSIT_MS if next_end > self.end else None
        with self.budget.counting_failures():
            self.collaborators.store.save_progress(
                JOB, {**done, _EVENTS: events_done_until}, due_at=due_at
            )
            self.progress.update(done)

    def record_pending(self) -> list[int | None]:
        """Record the pending Reservations of the reserved Tasks."""
        if not self._is_due(TASKS):
            return []
        taskrouter = self.collaborators.taskrouter
        tasks = self.attempt(lambda: self.budget.retry_throttled(taskrouter.list_reserved_tasks))
        if tasks is None:
            return [None]
        # Incomplete runs start at different Tasks, so that together the runs process all Tasks.
        # Multiples of the golden ratio are spread evenly, whatever the number of Tasks.
        first = int(self.end // MINUTE_MS * _GOLDEN_RATIO % 1 * len(tasks))
        rotated = tasks[first:] + tasks[:first]
        counts = list(chain.from_iterable(self.map_(self._record_task, rotated)))
        if None not in counts:
            self._save([TASKS], self.end)
        return counts

    def _record_task(self, task_sid: str) -> list[int | None]:
        """Record a Task's pending Reservations that are not recorded yet."""
        pending = self.attempt(lambda: self._list_pending(task_sid))
        if pending is None:
            return [None]
        # This step already runs in a thread of `map_`. If all threads waited for further calls of
        # `map_`, they could wait forever, so the step uses `map`.
        statuses = self._fetch_statuses([remote.reservation_sid for remote in pending], map)
        if statuses is None:
            return [None]
        missing = [remote for remote in pending if remote.reservation_sid not in statuses]
        return self._attempt_all(self._record_pending_reservation, missing, map)

    def _list_pending(self, task_sid: str) -> list[RemoteReservation]:
        list_pending = self.collaborators.taskrouter.list_pending_reservations
        try:
            return self.budget.retry_throttled(lambda: list_pending(task_sid))
        except TaskRouterNotFound:
            return []  # the Task has ended in the meantime

    def _record_pending_reservation(self, remote: RemoteReservation) -> bool:
        return record_remote_reservation(
            remote,
            store=self.collaborators.store,
            deadlines=self.collaborators.deadlines,
            now=self.collaborators.clock.now_ms(),
            by=BY_RECONCILE,
        )

    def record_events(self) -> list[int | None]:
        """Record the Events that have not been read yet, window by window.

        A type whose Events can't be read does not hold up the other types.
        """
        oldest = self.end + CALLBACK_IN_TRANSIT_MS - _EVENT_RETENTION_MS
        starts = {
            event_type: max(self.progress[part] - OVERLAP_MS, oldest)
            for event_type in EVENT_TYPES
            if self._is_due(part := _part(event_type))
        }
        counts: list[int | None] = []
        window = WINDOW_MS
        if starts and min(starts.values()) + window < self.end:
            window = CATCH_UP_WINDOW_MS
        while starts and (since := min(starts.values())) < self.end:
            until = min(since + window, self.end)
            pages = self._read_window(starts, until)
            for event_type in [name for name, page in pages.items() if page is None]:
                del starts[event_type]
            read = {name: page for name, page in pages.items() if page is not None}
            if len(read) < len(pages):
                counts.append(None)
            if window > MIN_WINDOW_MS and not all(page.is_complete for page in read.values()):
                window = max((until - since) // 2, MIN_WINDOW_MS)
                continue
            if read:
                counts += self._record_window(read, until)
                if counts[-1] is None:
                    break
            starts |= dict.fromkeys(read, until)
            window = min(window * 2, WINDOW_MS)
        return counts

    def _read_window(self, starts: Mapping[str, int], until: int) -> dict[str, EventPage | None]:
        """Return a page of Events, or None after a failure, for each type to read.

        Args:
            starts: epoch ms from which to read the Events of each type.
            until: epoch ms up to which to read. Types that do not start earlier are omitted.
        """
        types = [event_type for event_type, start in starts.items() if start < until]
        pages = self.map_(
            lambda name: self.attempt(lambda: self._list_events(starts[name], until, name)), types
        )
        return dict(zip(types, pages, strict=True))

    def _list_events(self, since: int, until: int, event_type: str) -> EventPage:
        list_events = self.collaborators.taskrouter.list_events
        return self.budget.retry_throttled(
            lambda: list_events(event_type, since=since, until=until)
        )

    def _record_window(self, pages: Mapping[str, EventPage], until: int) -> list[int | None]:
        """Record the Events of a window that ends at *until*, oldest first.

        The progress is saved after each batch. If this run is interrupted, the next run need not
        record the same Events again.
        """
        if unreadable := sum(page.unreadable for page in pages.values()):
            # The other Events are still recorded, but the sweep fails.
            self.budget.count_failure(TaskRouterUnavailable(f"Unreadable Events: {unreadable}."))
        events = sorted(
            chain.from_iterable(page.events for page in pages.values()),
            key=lambda event: event.at or 0,
        )
        counts: list[int | None] = []
        for batch in _split(events, BATCH_SIZE) or [[]]:
            counts += self._record_batch(batch)
            if None in counts:
                break
            is_last = not batch or batch[-1] is events[-1]
            self._save(map(_part, pages), until if is_last else batch[-1].at or 0)
        return counts

    def _record_batch(self, events: Sequence[ReservationEvent]) -> list[int | None]:
        """Record Events that are in chronological order."""
        sids = list({event.reservation_sid for event in events})
        statuses = self._fetch_statuses(sids, self.map_)
        if statuses is None:
            return [None]
        selected: dict[str, list[ReservationEvent]] = defaultdict(list)
        for event in events:
            if is_allowed(event.status, statuses.get(event.reservation_sid)):
                selected[event.reservation_sid].append(event)
        return self._attempt_all(self._record_reservation, selected.values(), self.map_)

    def _record_reservation(self, events: Iterable[ReservationEvent]) -> bool | None:
        """Record one Reservation's events.

        Returns:
            Whether any event changed the record, or None if there was no time for all events.
        """
        collaborators, changed = self.collaborators, False
        for event in events:
            if not self.budget.may_continue():
                return None
            changed |= observe(
                event,
                store=collaborators.store,
                deadlines=collaborators.deadlines,
                now=collaborators.clock.now_ms(),
                by=BY_RECONCILE if event.at else BY_SWEEP,
            )
        return changed

    def _fetch_statuses(
        self, reservation_sids: Sequence[str], map_: Map
    ) -> dict[str, Status] | None:
        """Return the recorded statuses, or None if they could not all be read."""
        fetch, read = self.collaborators.store.fetch_statuses, dict[str, Status]()
        for statuses in map_(
            lambda sids: self.attempt(lambda: fetch(sids)), _split(reservation_sids, READ_SIZE)
        ):
            if statuses is None:
                return None
            read |= statuses
        return read

    def _attempt_all(
        self, step: Callable[[_Item], bool | None], items: Iterable[_Item], map_: Map
    ) -> list[int | None]:
        """Attempt a step for each item.

        Returns:
            The number of changed records, followed by None if any step failed or was incomplete.
        """
        results = list(map_(lambda item: self.attempt(lambda: step(item)), items))
        return [results.count(True), *([None] if None in results else [])]

    def attempt(self, step: Callable[[], _Result]) -> _Result | None:
        """Run a step; return None if no time is left or if the step fails."""
        if not self.budget.may_continue():
            return None
        with self.budget.counting_failures(), suppress(TaskRouterThrottled):
            return step()
        return None


def _split(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
