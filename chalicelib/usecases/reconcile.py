"""Record Reservations and statuses whose callback or event was missed.

Reconciliation reads two lists from TaskRouter:

- The reserved Tasks. Their pending Reservations may be waiting for a decision.
- The Events since the last reconciliation. They reveal Reservations that were created and ended
  without being recorded, and statuses that were missed.

docs/adr/0009 explains why both are needed, and docs/adr/0027 how failed parts are repeated.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
from chalicelib.domain.reservations import is_allowed
from chalicelib.usecases.deadlines import CALLBACK_IN_TRANSIT_MS
from chalicelib.usecases.observe import observe, record_remote_reservation
from chalicelib.usecases.ports import Collaborators
from chalicelib.usecases.run_budget import RunBudget

BY_RECONCILE = "reconcile"

JOB = "last_reconcile"

_MINUTE_MS = 60_000
_INTERVAL_MS = 5 * _MINUTE_MS
_RETRY_MS = 50_000
"""Time until a run is repeated that did not complete all its parts. It is shorter than the interval
of the sweep, and begins when the latest sweep started, so that the next sweep repeats the parts,
however long this sweep checked due Reservations before the run."""
_OVERLAP_MS = 60_000
"""Maximum delay of Events in the list, plus the assumed difference from TaskRouter's clock."""
_WINDOW_MS = 10 * 60_000
"""Maximum length of a window. Events are read in windows so that an interrupted run keeps its
progress. A window with more Events than `list_events` returns is halved."""
_MIN_WINDOW_MS = 1_000
"""Minimum length of a window: the precision of TaskRouter's time filter."""
_FIRST_LOOKBACK_MS = 60 * 60_000
"""Length of the period that the first reconciliation reads, without the overlap."""
_EVENT_RETENTION_MS = 30 * 24 * 3_600_000
"""Maximum age of Events. TaskRouter redacts older Events."""


def _part(event_type: str) -> str:
    """Return the part that reads the Events of a type, such as ``created``."""
    return event_type.rpartition(".")[2]


TASKS = "tasks"
"""The part of the reconciliation that lists the reserved Tasks."""

_EVENTS = ""
"""The name under which the progress of all types of Events together is saved."""

_PARTS = (TASKS, *map(_part, EVENT_TYPES))

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""A function such as `map`, which may make its calls concurrently."""


def reconcile(collaborators: Collaborators, budget: RunBudget, map_: Map) -> list[int | None]:
    """Repeat each part of the reconciliation 5 minutes after it last succeeded in any process.

    The parts are the list of reserved Tasks, and the list of Events of each type. If a part fails,
    or the process crashes, the next sweep repeats the part.

    Args:
        collaborators: the services to use.
        budget: the budget of the sweep.
        map_: applies a function to items, possibly concurrently.

    Returns:
        One entry per step. A step processes a reserved Task or a window of Events. The entry is the
        number of Reservations whose records were missing or outdated, or None if the step failed
        or was not started. A window of which some types could not be read has one entry for these
        types and one for the others.
    """
    now = collaborators.clock.now_ms()
    end = now - CALLBACK_IN_TRANSIT_MS
    latest_sweep_at = now - (now - budget.started) % _MINUTE_MS
    retry_at = latest_sweep_at + _RETRY_MS
    run = _Reconciliation(collaborators, budget, map_, end, {})
    started = run.attempt(
        lambda: collaborators.store.start_periodic_job(JOB, now=now, retry_at=retry_at)
    )
    match started:
        case (True, saved):
            default = saved.get(_EVENTS, end - _FIRST_LOOKBACK_MS)
            run.progress.update({part: saved.get(part, default) for part in _PARTS})
            parts = [run.record_pending, run.record_events]
            # Alternate the order so that neither part can use up the time of every run.
            if now // _MINUTE_MS % 2:
                parts.reverse()
            return [count for part in parts for count in part()]
    return []


@dataclass(frozen=True)
class _Reconciliation:
    """One run of the reconciliation.

    Attributes:
        collaborators: the services to use.
        budget: the budget of the sweep.
        map_: applies a function to items, possibly concurrently.
        end: epoch ms up to which the parts read Events or list Tasks.
        progress: epoch ms up to which each part is done.
    """

    collaborators: Collaborators
    budget: RunBudget
    map_: Map
    end: int
    progress: dict[str, int]

    def _is_due(self, part: str) -> bool:
        return self.progress[part] + _INTERVAL_MS <= self.end

    def _save(self, parts: Iterable[str], until: int) -> None:
        """Save that *parts* are done until a time (epoch ms); schedule the next run."""
        done = dict.fromkeys(parts, until)
        progress = self.progress | done
        events_done_until = min(at for part, at in progress.items() if part != TASKS)
        next_end = min(progress.values()) + _INTERVAL_MS
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
        # Each run starts at a different Task, so that incomplete runs miss different Tasks.
        first = self.end // _MINUTE_MS % len(tasks) if tasks else 0
        rotated = tasks[first:] + tasks[:first]
        counts = list(self.map_(lambda sid: self.attempt(lambda: self._record_task(sid)), rotated))
        if None not in counts:
            self._save([TASKS], self.end)
        return counts

    def _record_task(self, task_sid: str) -> int:
        """Record a Task's pending Reservations; return how many were missing."""
        collaborators = self.collaborators
        try:
            pending = self.budget.retry_throttled(
                lambda: collaborators.taskrouter.list_pending_reservations(task_sid)
            )
        except TaskRouterNotFound:
            return 0  # the Task has ended in the meantime
        now = collaborators.clock.now_ms()
        return sum(
            record_remote_reservation(
                remote,
                store=collaborators.store,
                deadlines=collaborators.deadlines,
                now=now,
                by=BY_RECONCILE,
            )
            for remote in pending
        )

    def record_events(self) -> list[int | None]:
        """Record the Events that were not read yet, window by window.

        A type whose Events can't be read does not hold up the other types.
        """
        oldest = self.end + CALLBACK_IN_TRANSIT_MS - _EVENT_RETENTION_MS
        starts = {
            event_type: max(self.progress[part] - _OVERLAP_MS, oldest)
            for event_type in EVENT_TYPES
            if self._is_due(part := _part(event_type))
        }
        window, counts = _WINDOW_MS, list[int | None]()
        while starts and (since := min(starts.values())) < self.end:
            until = min(since + window, self.end)
            pages = self._read_window(starts, until)
            for event_type in [name for name, page in pages.items() if page is None]:
                del starts[event_type]
            read = {name: page for name, page in pages.items() if page is not None}
            if len(read) < len(pages):
                counts.append(None)
            if window > _MIN_WINDOW_MS and not all(page.is_complete for page in read.values()):
                window = max((until - since) // 2, _MIN_WINDOW_MS)
                continue
            if read:
                counts.append(self._record_window(read.values()))
                if counts[-1] is None:
                    break
                self._save(map(_part, read), until)
            starts |= dict.fromkeys(read, until)
            window = min(window * 2, _WINDOW_MS)
        return counts

    def _read_window(self, starts: Mapping[str, int], until: int) -> dict[str, EventPage | None]:
        """List the Events of the types whose start is before *until*; None for a failed list."""
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

    def _record_window(self, pages: Collection[EventPage]) -> int | None:
        """Record a window's Events; return the number of changed records, or None on failure."""
        if unreadable := sum(page.unreadable for page in pages):
            # The other Events are still recorded. The failure alerts an operator.
            self.budget.count_failure(TaskRouterUnavailable(f"{unreadable} Events can't be read."))
        events = list(chain(*(page.events for page in pages)))
        by_reservation = self.attempt(lambda: self._select_unrecorded(events))
        if by_reservation is None:
            return None
        changed = self._attempt_all(self._record_reservation, by_reservation)
        return None if changed is None else changed.count(True)

    def _select_unrecorded(
        self, events: Iterable[ReservationEvent]
    ) -> Iterable[list[ReservationEvent]]:
        """Return the events that may change a record, by Reservation, oldest first."""
        in_order = sorted(events, key=lambda event: event.at or 0)
        statuses = self.collaborators.store.fetch_statuses(
            {event.reservation_sid for event in in_order}
        )
        selected: dict[str, list[ReservationEvent]] = defaultdict(list)
        for event in in_order:
            if is_allowed(event.status, statuses.get(event.reservation_sid)):
                selected[event.reservation_sid].append(event)
        return selected.values()

    def _record_reservation(self, events: Iterable[ReservationEvent]) -> bool:
        """Record one Reservation's events; return whether any of them changed the record."""
        collaborators, changed = self.collaborators, False
        for event in events:
            changed |= observe(
                event,
                store=collaborators.store,
                deadlines=collaborators.deadlines,
                now=collaborators.clock.now_ms(),
                by=BY_RECONCILE,
            )
        return changed

    def _attempt_all(
        self, step: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> list[_Result] | None:
        """Attempt a step for each item; return the results, or None if any attempt failed."""
        results = list(self.map_(lambda item: self.attempt(lambda: step(item)), items))
        return None if None in results else results

    def attempt(self, step: Callable[[], _Result]) -> _Result | None:
        """Run a step; return None if no time is left or if the step fails."""
        if not self.budget.may_continue():
            return None
        with self.budget.counting_failures(), suppress(TaskRouterThrottled):
            return step()
        return None
