"""Helpers for testing the reconciliation's requests and saved progress."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from chalicelib.domain.callbacks import EVENT_TYPES, EventPage, ReservationEvent
from chalicelib.domain.errors import TaskRouterUnavailable
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.usecases.reconcile import JOB, reconcile
from chalicelib.usecases.run_budget import RunBudget
from tests.support import NOW, FakeTaskRouter
from tests.usecases.conftest import Service

MINUTE = 60_000
END = NOW - 15_000
"""The end of the period that a run at NOW reads."""

EVENT_PARTS = [name.removeprefix("reservation.") for name in EVENT_TYPES]
PARTS = ["tasks", *EVENT_PARTS]


class RecordingTaskRouter(FakeTaskRouter):
    """A fake TaskRouter that records the requests for lists.

    Attributes:
        requests: ``("tasks",)``, ``("list", task_sid)`` and ``("events", part, since, until)``,
            with times in ms since END.
        failing: the parts whose requests for lists fail.
        reserved_tasks: the SIDs of reserved Tasks without pending Reservations.
        events_without_time: the Events that are listed without a time, by part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[Any, ...]] = []
        self.failing: set[str] = set()
        self.reserved_tasks: list[str] = []
        self.events_without_time: dict[str, list[ReservationEvent]] = {}

    def list_reserved_tasks(self) -> list[str]:
        self._record("tasks", "tasks")
        return self.reserved_tasks

    def list_pending_reservations(self, task_sid: str) -> list[RemoteReservation]:
        self._record("list", "list", task_sid)
        return []

    def list_events(self, event_type: str, *, since: int, until: int) -> EventPage:
        part = event_type.removeprefix("reservation.")
        self._record(part, "events", part, since - END, until - END)
        page = super().list_events(event_type, since=since, until=until)
        return EventPage(
            [*page.events, *self.events_without_time.get(part, [])],
            page.is_complete,
            page.unreadable,
        )

    def _record(self, part: str, *request: Any) -> None:
        self.requests.append(request)
        if part in self.failing:
            raise TaskRouterUnavailable("500")


def run(service: Service, budget: RunBudget | None = None) -> list[int | None]:
    budget = budget or RunBudget(service.clock, lambda: 60_000)
    return reconcile(service.collaborators, budget, map)


def save_progress(service: Service, progress: Mapping[str, int]) -> None:
    """Set each part's progress, and the end of its last finished run, to the time given for it.

    The times are in ms since END.
    """
    times = {part: END + since_end for part, since_end in progress.items()}
    finished = {f"{part}_finished": at for part, at in times.items() if part}
    service.store.save_progress(JOB, times | finished)


def saved_progress(service: Service) -> dict[str, int]:
    item = service.store._client.get_item(TableName=service.store._state, Key={"id": {"S": JOB}})
    return {name: int(value["N"]) for name, value in item["Item"].items() if "N" in value}


def delete_progress(service: Service) -> None:
    service.store._client.delete_item(TableName=service.store._state, Key={"id": {"S": JOB}})


def windows(bounds: Sequence[int], parts: Iterable[str] = EVENT_PARTS) -> list[tuple[Any, ...]]:
    """Return the requests for Events in consecutive windows with these bounds, in ms since END."""
    return [("events", part, *window) for window in pairwise(bounds) for part in parts]


def add_canceled(service: Service, since_end: int) -> str:
    """Add the Event of a canceled Reservation, and return the Reservation's SID."""
    remote = service.taskrouter.add(Status.CANCELED)
    service.taskrouter.add_event(remote, Status.CANCELED, at=END + since_end)
    return remote.reservation_sid
