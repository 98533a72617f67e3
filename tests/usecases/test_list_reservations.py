"""Reading and listing recorded Reservations, and finding a Task's Reservation in TaskRouter."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import BadRequest, Forbidden, NotFound, TaskRouterNotFound
from chalicelib.domain.reservation_lists import ReservationPage, ReservationQuery
from chalicelib.domain.reservations import (
    Reservation,
    Status,
)
from chalicelib.usecases.find_reservation import find_reservation_to_accept, not_recorded
from chalicelib.usecases.list_reservations import get_reservation, list_reservations
from tests.support import NOW, FakeTaskRouter, sid
from tests.usecases.conftest import SUPERVISOR, Service

DAY = 86_400_000
WORKER_SID, TASK_SID = sid("WK"), sid("WT")
WORKER = Principal(Role.WORKER, worker_sid=WORKER_SID)
RECORD = Reservation(
    reservation_sid=sid("WR"),
    task_sid=TASK_SID,
    worker_sid=WORKER_SID,
    status=Status.PENDING,
    reserved_at=NOW,
    expires_at=NOW,
)


@dataclass
class Listing:
    """A listing that returns the same page for every query, and records the queries."""

    page: ReservationPage = field(default_factory=lambda: ReservationPage([], "next"))
    queries: list[tuple[ReservationQuery, str | None, int]] = field(default_factory=list)

    def fetch_page(
        self, query: ReservationQuery, cursor: str | None, *, now: int
    ) -> ReservationPage:
        self.queries.append((query, cursor, now))
        return self.page

    def cursor_after(self, reservation: Reservation) -> str:
        return f"after {reservation.checks}"


def list_page(
    listing: Listing,
    *,
    principal: Principal = SUPERVISOR,
    sizes: list[int] | None = None,
    **options: Any,
) -> ReservationPage:
    return list_reservations(
        principal=principal,
        listing=listing,
        size_of=lambda reservation: (sizes or [])[reservation.checks],
        now=NOW,
        **{"retention_days": 30, **options},
    )


@pytest.mark.parametrize(
    ("principal", "options", "query"),
    [
        (SUPERVISOR, {}, ReservationQuery(NOW - DAY, 50)),
        (SUPERVISOR, {"retention_days": 1}, ReservationQuery(NOW - DAY, 50)),
        (SUPERVISOR, {"limit": 7}, ReservationQuery(NOW - DAY, 7)),
        (
            SUPERVISOR,
            {"status": Status.PENDING},
            ReservationQuery(NOW - 30 * DAY, 50, Status.PENDING),
        ),
        (
            SUPERVISOR,
            {"worker_sid": WORKER_SID},
            ReservationQuery(NOW - 30 * DAY, 50, None, WORKER_SID),
        ),
        (WORKER, {}, ReservationQuery(NOW - 30 * DAY, 50, None, WORKER_SID)),
        (
            WORKER,
            {"worker_sid": WORKER_SID, "status": Status.GONE, "since": NOW},
            ReservationQuery(NOW, 50, Status.GONE, WORKER_SID),
        ),
        (SUPERVISOR, {"since": NOW - 31 * DAY}, ReservationQuery(NOW - 30 * DAY, 50)),
        (SUPERVISOR, {"since": NOW - 29 * DAY}, ReservationQuery(NOW - 29 * DAY, 50)),
        (SUPERVISOR, {"since": 0}, ReservationQuery(NOW - 30 * DAY, 50)),
    ],
)
def test_start_of_a_list_has_a_default_and_is_within_the_retention_period(
    principal: Principal, options: dict[str, Any], query: ReservationQuery
) -> None:
    listing = Listing()
    assert list_page(listing, principal=principal, **options) is listing.page
    assert list_page(listing, principal=principal, cursor="a", **options) is listing.page
    assert listing.queries == [(query, None, NOW), (query, "a", NOW)]


def test_worker_cannot_list_the_reservations_of_another_worker() -> None:
    listing = Listing()
    with pytest.raises(Forbidden):
        list_page(listing, principal=WORKER, worker_sid=sid("WK"))
    assert listing.queries == []


@pytest.mark.parametrize(
    ("sizes", "count", "cursor"),
    [
        ([900_000], 1, "next"),
        ([900_001], 1, "next"),
        ([400_000, 400_000, 100_000], 3, "next"),
        ([400_000, 400_000, 100_001], 2, "after 1"),
        ([900_001, 1, 1], 1, "after 0"),
        ([900_000, 1], 1, "after 0"),
    ],
)
def test_page_has_at_most_900_000_bytes_or_a_single_reservation(
    sizes: list[int], count: int, cursor: str
) -> None:
    records = [replace(RECORD, checks=number) for number in range(len(sizes))]
    page = list_page(Listing(ReservationPage(records, "next")), sizes=sizes)
    assert page == ReservationPage(records[:count], cursor)


def test_recorded_reservation_is_returned_to_its_worker_and_supervisors_but_not_to_other_workers(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    own = Principal(Role.WORKER, worker_sid=remote.worker_sid)
    for principal in (own, SUPERVISOR):
        record = get_reservation(remote.reservation_sid, principal=principal, store=service.store)
        assert record == service.record(remote)
    with pytest.raises(Forbidden):
        get_reservation(remote.reservation_sid, principal=WORKER, store=service.store)
    with pytest.raises(NotFound):
        get_reservation(sid("WR"), principal=SUPERVISOR, store=service.store)


def find(taskrouter: FakeTaskRouter, principal: Principal = SUPERVISOR) -> str:
    return find_reservation_to_accept(TASK_SID, principal=principal, taskrouter=taskrouter)  # type: ignore[arg-type]


ACCEPTED = (Status.ACCEPTED, Status.WRAPPING, Status.COMPLETED)


@pytest.mark.parametrize("status", Status)
def test_pending_or_accepted_reservation_of_the_task_is_found(status: Status) -> None:
    taskrouter = FakeTaskRouter()
    remote = taskrouter.add(status, task_sid=TASK_SID)
    taskrouter.add(task_sid=sid("WT"))
    if status in (Status.PENDING, *ACCEPTED):
        assert find(taskrouter) == remote.reservation_sid
    else:
        with pytest.raises(NotFound, match=r"^The Task has no pending Reservation\.$"):
            find(taskrouter)


def test_pending_reservation_is_preferred_over_accepted_reservations() -> None:
    taskrouter = FakeTaskRouter()
    for status in ACCEPTED:
        taskrouter.add(status, task_sid=TASK_SID)
    pending = taskrouter.add(task_sid=TASK_SID)
    assert find(taskrouter) == pending.reservation_sid


def test_worker_finds_its_own_reservation_among_several() -> None:
    taskrouter = FakeTaskRouter()
    remotes = [taskrouter.add(task_sid=TASK_SID) for _ in range(3)]
    for remote in remotes:
        own = Principal(Role.WORKER, worker_sid=remote.worker_sid)
        assert find(taskrouter, own) == remote.reservation_sid
    with pytest.raises(BadRequest, match="The Task has several Reservations. Send reservation_sid"):
        find(taskrouter)
    with pytest.raises(Forbidden):
        find(taskrouter, WORKER)


def test_task_without_reservations_is_distinguished_from_an_unknown_task() -> None:
    taskrouter = FakeTaskRouter()
    with pytest.raises(NotFound, match="The Task has no pending Reservation"):
        find(taskrouter, WORKER)
    taskrouter.fail_before["list"] = [TaskRouterNotFound("404")]
    with pytest.raises(NotFound, match=r"^TaskRouter has no such Task\.$") as raised:
        find(taskrouter)
    assert raised.value.reason == "404"


@pytest.mark.parametrize(
    ("task_sid", "worker_sid", "text"),
    [
        (None, None, "Only this service's records were searched. Send task_sid"),
        (None, WORKER_SID, "your Worker has no such Reservation"),
        (TASK_SID, None, "the Task in task_sid has no such Reservation"),
        (TASK_SID, WORKER_SID, "the Task in task_sid has no such Reservation"),
    ],
)
def test_error_names_the_searched_resources(
    task_sid: str | None, worker_sid: str | None, text: str
) -> None:
    assert text in not_recorded(task_sid, worker_sid).message
