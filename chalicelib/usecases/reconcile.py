"""Record Reservations and statuses whose callback or event was missed.

Reconciliation reads two lists from TaskRouter:

- The reserved Tasks. Their pending Reservations may be waiting for a decision.
- The Events since the last reconciliation. They reveal Reservations that were created and ended
  without being recorded, and statuses that were missed.

docs/adr/0009 explains why both are needed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from chalicelib.domain.callbacks import EVENT_TYPES, EventPage, ReservationEvent
from chalicelib.domain.errors import (
    AppError,
    StoreUnavailable,
    TaskRouterNotFound,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import is_allowed
from chalicelib.usecases.deadlines import CALLBACK_IN_TRANSIT_MS
from chalicelib.usecases.decide import Collaborators
from chalicelib.usecases.observe import observe, record_remote_reservation
from chalicelib.usecases.run_budget import RunBudget

BY_RECONCILE = "reconcile"

JOB = "last_reconcile"

_INTERVAL_MS = 5 * 60_000
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

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""A function such as `map`, which may make its calls concurrently."""


def reconcile(collaborators: Collaborators, budget: RunBudget, map_: Map) -> list[int | None]:
    """Reconcile if 5 minutes have passed since the last reconciliation by any process.

    Args:
        collaborators: the services to use.
        budget: the budget of the sweep.
        map_: applies a function to items, possibly concurrently.

    Returns:
        One entry per step. A step processes a reserved Task or a window of Events. The entry is the
        number of Reservations whose records were missing or outdated, or None if the step failed
        or was not started.
    """
    now = collaborators.clock.now_ms()
    reconciliation = _Reconciliation(collaborators, budget, map_)
    started = reconciliation.attempt(
        lambda: collaborators.store.start_periodic_job(JOB, now=now, every_ms=_INTERVAL_MS)
    )
    match started:
        case (True, done_until):
            parts = [
                partial(reconciliation.record_pending, now),
                partial(reconciliation.record_events, done_until, now),
            ]
            # Alternate the order so that neither part can use up the time of every run.
            if now // _INTERVAL_MS % 2:
                parts.reverse()
            return [count for part in parts for count in part()]
    return []


@dataclass(frozen=True)
class _Reconciliation:
    collaborators: Collaborators
    budget: RunBudget
    map_: Map

    def record_pending(self, now: int) -> list[int | None]:
        """Record the pending Reservations of the reserved Tasks."""
        taskrouter = self.collaborators.taskrouter
        tasks = self.attempt(lambda: self.budget.retry_throttled(taskrouter.list_reserved_tasks))
        if tasks is None:
            return [None]
        # Each run starts at a different Task, so that incomplete runs miss different Tasks.
        first = now // _INTERVAL_MS % len(tasks) if tasks else 0
        rotated = tasks[first:] + tasks[:first]
        return list(self.map_(lambda sid: self.attempt(lambda: self._record_task(sid)), rotated))

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

    def record_events(self, done_until: int | None, now: int) -> list[int | None]:
        """Record the Events since *done_until* (epoch ms), window by window."""
        # Callbacks that may still be in transit will record newer Reservations.
        end = now - CALLBACK_IN_TRANSIT_MS
        since = end - _FIRST_LOOKBACK_MS if done_until is None else done_until
        since = max(since - _OVERLAP_MS, now - _EVENT_RETENTION_MS)
        window, counts = _WINDOW_MS, list[int | None]()
        while since < end and None not in counts:
            until = min(since + window, end)
            pages = self._attempt_all(partial(self._list_events, since, until), EVENT_TYPES)
            is_complete = pages is None or all(page.is_complete for page in pages)
            if not is_complete and window > _MIN_WINDOW_MS:
                window = max((until - since) // 2, _MIN_WINDOW_MS)
                continue
            counts.append(None if pages is None else self._record_window(pages, until))
            since, window = until, min(window * 2, _WINDOW_MS)
        return counts

    def _list_events(self, since: int, until: int, event_type: str) -> EventPage:
        list_events = self.collaborators.taskrouter.list_events
        return self.budget.retry_throttled(
            lambda: list_events(event_type, since=since, until=until)
        )

    def _record_window(self, pages: list[EventPage], until: int) -> int | None:
        """Record a window's Events; return the number of changed records, or None on failure."""
        if unreadable := sum(page.unreadable for page in pages):
            # The other Events are still recorded. The failure alerts an operator.
            self.budget.count_failure(TaskRouterUnavailable(f"{unreadable} Events can't be read."))
        events = list(chain(*(page.events for page in pages)))
        by_reservation = self.attempt(lambda: self._select_unrecorded(events))
        if by_reservation is None:
            return None
        changed = self._attempt_all(self._record_reservation, by_reservation)
        if changed is None:
            return None
        # Save progress even if no time is left for another request, to avoid repeated work.
        try:
            self.collaborators.store.save_progress(JOB, done_until=until)
        except StoreUnavailable as error:
            self.budget.count_failure(error)
        return changed.count(True)

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
        try:
            return step()
        except TaskRouterThrottled:
            return None
        except AppError as error:
            self.budget.count_failure(error)
            return None
