"""Bring in what nobody has told us: neither a callback nor an event reached us, or was recorded.

TaskRouter is asked two things. Which Tasks are reserved now: their pending Reservations may be
waiting for a decision of which nobody knows. And what has happened to Reservations since the last
time, by its own Events: that finds those too that were made and ended while we heard nothing, and
the ends of those that we know. docs/adr/0009 tells why it takes both.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Protocol, TypeVar

from chalicelib.domain.callbacks import EVENT_TYPES, EventPage, ReservationEvent
from chalicelib.domain.errors import (
    AppError,
    StoreUnavailable,
    TaskRouterNotFound,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import is_allowed
from chalicelib.usecases.decide import Collaborators
from chalicelib.usecases.observe import observe, record_remote_reservation
from chalicelib.usecases.run import RunBudget

BY = "reconcile"

JOB = "last_reconcile"

_EVERY_MS = 5 * 60_000
_IN_FLIGHT_MS = 15_000
"""A callback may take 5 s, its fallback as long: what is younger may be on its way to us."""
_OVERLAP_MS = 60_000
"""How late an Event may show up in the list, and how far TaskRouter's clock may be from ours."""
_WINDOW_MS = 10 * 60_000
"""So much is read at once: what was caught up with is not lost where a run comes to its end. Where
TaskRouter has more to tell of it than one question may ask for, half of it, and so on."""
_LEAST_WINDOW_MS = 1_000
"""TaskRouter is asked to the second."""
_AT_FIRST_MS = 60 * 60_000
"""How far the very first reconciliation looks back."""
_KEPT_MS = 30 * 24 * 3_600_000
"""TaskRouter redacts older Events."""

_One = TypeVar("_One")
_Found = TypeVar("_Found")


class Each(Protocol):
    """Does the same for each, perhaps several at once; results in order."""

    def __call__(self, do: Callable[[_One], _Found], ones: Iterable[_One], /) -> Iterator[_Found]:
        """Return an iterator over what *do* returned for each of *ones*."""


def reconcile(desk: Collaborators, run: RunBudget, each: Each) -> list[int | None]:
    """Reconcile, if it is time to: every 5 minutes, whoever does it.

    Args:
        desk: the collaborators.
        run: the run that this is a part of.
        each: how to do the same for many.

    Returns:
        A number for each thing there was to look at, a reserved Task or ten minutes of Events: how
        many Reservations' records were missing or behind; None where there was no time to look,
        or it failed.
    """
    now = desk.clock.now_ms()
    one = _Reconciliation(desk, run, each)
    begun = one.tried(lambda: desk.store.begin(JOB, now=now, every_ms=_EVERY_MS))
    match begun:
        case (True, done_until):
            parts = [partial(one.record_pending, now), partial(one.catch_up, done_until, now)]
            # In turn each is first, so that neither can take all the time of every run.
            if now // _EVERY_MS % 2:
                parts.reverse()
            return [count for part in parts for count in part()]
    return []


@dataclass(frozen=True)
class _Reconciliation:
    desk: Collaborators
    run: RunBudget
    each: Each

    def record_pending(self, now: int) -> list[int | None]:
        """Record the pending Reservations of the Tasks that are reserved now."""
        tasks = self.tried(lambda: self.run.patiently(self.desk.taskrouter.reserved_tasks))
        if tasks is None:
            return [None]
        # Each time the list begins elsewhere, so that a run that does not come to its end does not
        # neglect the same Tasks every time.
        begin = now // _EVERY_MS % len(tasks) if tasks else 0
        in_turn = tasks[begin:] + tasks[:begin]
        return list(self.each(lambda sid: self.tried(lambda: self._record(sid)), in_turn))

    def _record(self, task_sid: str) -> int:
        desk = self.desk
        try:
            pending = self.run.patiently(lambda: desk.taskrouter.pending_reservations(task_sid))
        except TaskRouterNotFound:
            return 0  # the Task has ended meanwhile
        now = desk.clock.now_ms()
        return sum(
            record_remote_reservation(seen, store=desk.store, timing=desk.timing, now=now, by=BY)
            for seen in pending
        )

    def catch_up(self, done_until: int | None, now: int) -> list[int | None]:
        """Mirror the Events since *done_until* (epoch ms), a window at a time."""
        end = now - _IN_FLIGHT_MS
        since = end - _AT_FIRST_MS if done_until is None else done_until
        since = max(since - _OVERLAP_MS, now - _KEPT_MS)
        window, found = _WINDOW_MS, list[int | None]()
        while since < end and None not in found:
            until = min(since + window, end)
            told = self._all(partial(self._events, since, until), EVENT_TYPES)
            if told and window > _LEAST_WINDOW_MS and not all(one.are_all for one in told):
                window = max((until - since) // 2, _LEAST_WINDOW_MS)
                continue
            found.append(None if told is None else self._mirror_window(told, until))
            since, window = until, min(window * 2, _WINDOW_MS)
        return found

    def _events(self, since: int, until: int, event_type: str) -> EventPage:
        ask = self.desk.taskrouter.reservation_events
        return self.run.patiently(lambda: ask(event_type, since=since, until=until))

    def _mirror_window(self, told: list[EventPage], until: int) -> int | None:
        if unreadable := sum(one.unreadable for one in told):
            # The others go on; somebody has to look at these, or at how we read them.
            self.run.failed(TaskRouterUnavailable(f"{unreadable} Events can't be read."))
        news = self.tried(lambda: self._news(chain(*(one.events for one in told))))
        mirrored = None if news is None else self._all(self._mirror, news)
        if mirrored is None:
            return None
        # Also where no time is left for a question: else all of it would be done again.
        try:
            self.desk.store.has_done(JOB, until=until)
        except StoreUnavailable as error:
            self.run.failed(error)
        return mirrored.count(True)

    def _news(self, events: Iterable[ReservationEvent]) -> Iterable[list[ReservationEvent]]:
        """Return, by Reservation and in their order, the events that our records do not show."""
        in_order = sorted(events, key=lambda event: event.at or 0)
        recorded = self.desk.store.statuses({event.reservation_sid for event in in_order})
        news: dict[str, list[ReservationEvent]] = defaultdict(list)
        for event in in_order:
            if is_allowed(event.status, recorded.get(event.reservation_sid)):
                news[event.reservation_sid].append(event)
        return news.values()

    def _mirror(self, story: Iterable[ReservationEvent]) -> bool:
        """Mirror one Reservation's events; tell whether any of them was news still."""
        desk, moved = self.desk, False
        for event in story:
            now = desk.clock.now_ms()
            moved |= observe(event, store=desk.store, timing=desk.timing, now=now, by=BY)
        return moved

    def _all(self, do: Callable[[_One], _Found], ones: Iterable[_One]) -> list[_Found] | None:
        """Do the same for each; None where it was not done for all."""
        found = list(self.each(lambda one: self.tried(lambda: do(one)), ones))
        done = [one for one in found if one is not None]
        return done if len(done) == len(found) else None

    def tried(self, do: Callable[[], _Found]) -> _Found | None:
        """Do it, if there is time; None where there is not, or it fails."""
        if not self.run.may_go_on():
            return None
        try:
            return do()
        except TaskRouterThrottled:
            return None
        except AppError as error:
            self.run.failed(error)
            return None
