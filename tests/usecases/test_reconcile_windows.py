"""The requests of the reconciliation, their order, and the progress that is saved."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.callbacks import EVENT_TYPES, EventPage, ReservationEvent
from chalicelib.domain.errors import StoreUnavailable, TaskRouterUnavailable
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.usecases import reconcile as subject
from chalicelib.usecases.reconcile import JOB, reconcile
from chalicelib.usecases.run_budget import RunBudget
from tests.support import NOW, FakeTaskRouter, ManualClock, make_event
from tests.usecases.conftest import Service

MINUTE = 60_000
END = NOW - 15_000
"""The end of the period that a run at NOW reads."""

EVENT_PARTS = [name.removeprefix("reservation.") for name in EVENT_TYPES]
PARTS = ["tasks", *EVENT_PARTS]


class RecordingTaskRouter(FakeTaskRouter):
    """Records the requests for lists.

    Attributes:
        requests: ``("tasks",)``, ``("list", task_sid)`` and ``("events", part, since, until)``,
            whose times are ms since END.
        failing: the parts whose list fails.
        reserved_tasks: the SIDs of reserved Tasks without pending Reservations.
        untimed: the Events that are listed without a time, by part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[Any, ...]] = []
        self.failing: set[str] = set()
        self.reserved_tasks: list[str] = []
        self.untimed: dict[str, list[ReservationEvent]] = {}

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
            [*page.events, *self.untimed.get(part, [])], page.is_complete, page.unreadable
        )

    def _record(self, part: str, *request: Any) -> None:
        self.requests.append(request)
        if part in self.failing:
            raise TaskRouterUnavailable("500")


@pytest.fixture
def taskrouter() -> RecordingTaskRouter:
    return RecordingTaskRouter()


@pytest.fixture
def service(store: DynamoReservationStore, taskrouter: RecordingTaskRouter) -> Service:
    return Service(store, taskrouter, ManualClock())


def run(service: Service, budget: RunBudget | None = None) -> list[int | None]:
    budget = budget or RunBudget(service.clock, lambda: 60_000)
    return reconcile(service.collaborators, budget, map)


def save_progress(service: Service, progress: Mapping[str, int]) -> None:
    """Save the progress of parts, in ms since END, as both done and finished."""
    times = {part: END + since_end for part, since_end in progress.items()}
    finished = {f"{part}_finished": at for part, at in times.items() if part}
    service.store.save_progress(JOB, times | finished)


def saved_progress(service: Service) -> dict[str, int]:
    item = service.store._client.get_item(TableName=service.store._state, Key={"id": {"S": JOB}})
    return {name: int(value["N"]) for name, value in item["Item"].items() if name != "id"}


def forget_progress(service: Service) -> None:
    service.store._client.delete_item(TableName=service.store._state, Key={"id": {"S": JOB}})


def windows(bounds: Sequence[int], parts: Iterable[str] = EVENT_PARTS) -> list[tuple[Any, ...]]:
    """Return the requests for Events in consecutive windows with these bounds, in ms since END."""
    return [("events", part, *window) for window in pairwise(bounds) for part in parts]


def add_canceled(service: Service, since_end: int) -> str:
    """Add the Event of a canceled Reservation, and return the Reservation's SID."""
    remote = service.taskrouter.add(Status.CANCELED)
    service.taskrouter.add_event(remote, Status.CANCELED, at=END + since_end)
    return remote.reservation_sid


def test_first_run_reads_an_hour_in_windows_that_grow_to_ten_minutes(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    assert run(service) == [0] * 8

    seconds = [-3660, -3510, -3210, -2610, -2010, -1410, -810, -210, 0]
    assert taskrouter.requests == [*windows([1000 * at for at in seconds]), ("tasks",)]
    names = [f"done_until_{part}{suffix}" for part in PARTS for suffix in ("", "_finished")]
    assert saved_progress(service) == {
        "at": NOW,
        "due_at": NOW + 5 * MINUTE,
        "done_until": END,
        **dict.fromkeys(names, END),
    }


@pytest.mark.parametrize(
    ("done_until", "bounds"),
    [
        (-300_000, [-360_000, 0]),
        (-539_999, [-599_999, 0]),
        (-540_000, [-600_000, 0]),
        (-540_001, [-600_001, -450_001, -150_001, 0]),
        (-1_200_000, [-1_260_000, -1_110_000, -810_000, -210_000, 0]),
    ],
)
def test_windows_begin_a_minute_before_the_progress(
    service: Service, taskrouter: RecordingTaskRouter, done_until: int, bounds: list[int]
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], done_until))
    assert run(service) == [0] * (len(bounds) - 1)
    assert taskrouter.requests == [*windows(bounds), ("tasks",)]


def test_type_that_is_behind_is_read_alone_up_to_the_start_of_the_others(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], -990_000) | {"created": -1_140_000})
    run(service)
    assert taskrouter.requests == [
        ("events", "created", -1_200_000, -1_050_000),
        *windows([-1_050_000, -750_000, -150_000, 0]),
        ("tasks",),
    ]


def test_each_type_is_read_from_its_own_progress(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], -301_000) | {"completed": -400_000})
    run(service)
    starts = dict.fromkeys(EVENT_PARTS, -361_000) | {"completed": -460_000}
    expected = [("events", part, start, 0) for part, start in starts.items()]
    assert taskrouter.requests == [*expected, ("tasks",)]


HALVED = [
    (-360_000, 0),
    (-360_000, -180_000),
    (-360_000, -270_000),
    (-270_000, -90_000),
    (-270_000, -180_000),
    (-270_000, -225_000),
    (-225_000, -135_000),
    (-225_000, -180_000),
    (-225_000, -202_500),
    (-202_500, -157_500),
    (-202_500, -180_000),
    (-202_500, -191_250),
    (-202_500, -196_875),
    (-202_500, -199_688),
    (-202_500, -201_094),
    (-201_094, -198_282),
    (-201_094, -199_688),
    (-201_094, -200_094),
    (-200_094, -198_094),
    (-200_094, -199_094),
    (-199_094, -197_094),
    (-199_094, -198_094),
    (-198_094, -196_094),
    (-196_094, -192_094),
    (-192_094, -184_094),
    (-184_094, -168_094),
    (-168_094, -136_094),
    (-136_094, -72_094),
    (-72_094, 0),
]
"""The windows in which an Event at -200 s is listed if each page contains at most one Event."""


def test_windows_are_halved_until_their_list_is_complete_but_not_below_a_second(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    taskrouter.max_events = 1  # a list with an Event is incomplete
    add_canceled(service, -200_000)
    save_progress(service, dict.fromkeys(["", *PARTS], -300_000))
    run(service)
    requested = [request[2:] for request in taskrouter.requests if request[1:2] == ("canceled",)]
    assert requested == HALVED


@pytest.mark.parametrize("minutes", [0, 1])
def test_finished_run_is_repeated_after_five_minutes(
    service: Service, taskrouter: RecordingTaskRouter, minutes: int
) -> None:
    """The order of the parts depends on the minute."""
    service.clock.now += minutes * MINUTE
    run(service)
    taskrouter.requests.clear()
    service.clock.now += 5 * MINUTE - 1
    assert run(service) == []
    assert taskrouter.requests == []

    service.clock.now += 1
    assert run(service) == [0]
    assert sorted(request[0] for request in taskrouter.requests) == ["events"] * 8 + ["tasks"]
    assert saved_progress(service)["due_at"] == service.clock.now + 5 * MINUTE


@pytest.mark.parametrize("minutes", [0, 1])
@pytest.mark.parametrize("part", PARTS)
def test_failed_part_alone_is_repeated_after_50_seconds(
    service: Service, taskrouter: RecordingTaskRouter, part: str, minutes: int
) -> None:
    service.clock.now += minutes * MINUTE
    save_progress(service, dict.fromkeys(["", *PARTS], minutes * MINUTE - 5 * MINUTE))
    taskrouter.failing = {part}
    results = [None, 0] if part != "tasks" or minutes else [0, None]
    assert run(service) == results
    taskrouter.requests.clear()
    service.clock.now += 49_999
    assert run(service) == []

    service.clock.now += 1
    assert run(service) == [None]
    expected = part if part == "tasks" else "events"
    assert [request[0] for request in taskrouter.requests] == [expected]


def test_run_whose_lists_of_events_all_fail_reads_no_further_window(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], -1_200_000))
    before = saved_progress(service)
    taskrouter.failing = {*PARTS}
    assert run(service) == [None, None]
    assert taskrouter.requests == [*windows([-1_260_000, -1_110_000]), ("tasks",)]
    assert saved_progress(service) == {**before, "at": NOW, "due_at": NOW + 50_000}


def test_tasks_and_events_take_turns_at_being_first(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    first = []
    for minute in range(4):
        forget_progress(service)
        service.clock.now = NOW + minute * MINUTE
        run(service)
        first.append(taskrouter.requests[0][0])
        taskrouter.requests.clear()
    assert first == ["events", "tasks", "events", "tasks"]


def test_each_run_starts_at_another_task(service: Service, taskrouter: RecordingTaskRouter) -> None:
    tasks = taskrouter.reserved_tasks = [f"WT{number:032x}" for number in range(13)]
    first = []
    for minute in range(13):
        forget_progress(service)
        service.clock.now = NOW + minute * MINUTE
        save_progress(service, {"tasks": -MINUTE * 60, **dict.fromkeys(["", *EVENT_PARTS], MINUTE)})
        taskrouter.requests.clear()
        assert run(service)[:13] == [0] * 13
        listed = [request[1] for request in taskrouter.requests if request[0] == "list"]
        start = tasks.index(listed[0])
        assert listed == tasks[start:] + tasks[:start]
        first.append(start)
    assert first == [10, 5, 0, 8, 3, 11, 6, 1, 9, 4, 12, 7, 2]


@pytest.mark.parametrize(
    ("progress", "requested"),
    [
        ({"": -299_999}, []),
        ({"": -300_000}, ["events", "tasks"]),
        (dict.fromkeys(["", *EVENT_PARTS], -299_999), ["tasks"]),
        (dict.fromkeys(["", *PARTS], -299_999), []),
        (dict.fromkeys(["", *EVENT_PARTS], -299_999) | {"tasks": -300_000}, ["tasks"]),
        (dict.fromkeys(["", *PARTS], -299_999) | {"timeout": -300_000}, ["events"]),
    ],
)
def test_parts_are_due_five_minutes_after_their_progress_and_unknown_tasks_at_once(
    service: Service,
    taskrouter: RecordingTaskRouter,
    progress: dict[str, int],
    requested: list[str],
) -> None:
    """An earlier version saved only the progress of all types of Events together."""
    save_progress(service, progress)
    run(service)
    assert sorted({request[0] for request in taskrouter.requests}) == requested


def test_progress_of_events_together_is_that_of_the_slowest_type(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    times = {part: -400_000 - number for number, part in enumerate(PARTS)}
    save_progress(service, times | {"": min(times.values())})
    taskrouter.failing = {"tasks", "rejected", "wrapup"}
    run(service)
    done = {part: times[part] if part in taskrouter.failing else 0 for part in PARTS}
    expected = {
        f"done_until_{part}{s}": END + at for part, at in done.items() for s in ("", "_finished")
    }
    assert saved_progress(service) == {
        "at": NOW,
        "due_at": NOW + 50_000,
        "done_until": END + times["wrapup"],
        **expected,
    }


def record_saves(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the saved progress of canceled Reservations, in ms since END."""
    saves: list[int] = []
    save = service.store.save_progress

    def save_and_record(job: str, progress: Mapping[str, int], **options: Any) -> None:
        if "canceled" in progress:
            saves.append(progress["canceled"] - END)
        save(job, progress, **options)

    monkeypatch.setattr(service.store, "save_progress", save_and_record)
    return saves


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([-250, -200], [0]),
        ([-250, -200, -150], [-200, 0]),
        ([-250, -200, -150, -100], [-200, 0]),
        ([-250, -200, -150, -100, -50], [-200, -100, 0]),
        ([-350, -340, -150], [-300, 0]),  # Events of the last run's final minute
        ([None, None, -150], [-300, 0]),
        ([-150, None], [0]),
    ],
)
def test_progress_is_saved_after_each_batch_but_never_decreases(
    service: Service,
    taskrouter: RecordingTaskRouter,
    monkeypatch: pytest.MonkeyPatch,
    times: list[int | None],
    expected: list[int],
) -> None:
    monkeypatch.setattr(subject, "_BATCH_SIZE", 2)
    save_progress(service, dict.fromkeys(["", *PARTS], -300_000))
    for seconds in times:
        if seconds is None:
            event = make_event(taskrouter.add(), Status.CANCELED, at=None)
            taskrouter.untimed.setdefault("canceled", []).append(event)
        else:
            add_canceled(service, seconds * 1000)
    saves = record_saves(service, monkeypatch)
    batches = -(-len(times) // 2)
    assert run(service) == [min(2, len(times) - 2 * number) for number in range(batches)]
    assert saves == [1000 * seconds for seconds in expected]


@pytest.mark.parametrize(
    ("count", "sizes", "expected"),
    [(800, [100] * 8, [0]), (801, [*[100] * 8, 1], [-201_000, 0])],
)
def test_batch_has_800_events_whose_records_are_read_100_at_a_time(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    sizes: list[int],
    expected: list[int],
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], -300_000))
    for number in range(count):
        add_canceled(service, -200_000 if number == 800 else -201_000)
    fetched = []

    def fetch_statuses(sids: Sequence[str]) -> dict[str, Status]:
        fetched.append(len(sids))
        return dict.fromkeys(sids, Status.CANCELED)

    monkeypatch.setattr(service.store, "fetch_statuses", fetch_statuses)
    saves = record_saves(service, monkeypatch)
    run(service)
    assert (fetched, saves) == (sizes, expected)


def test_failure_to_record_an_event_is_repeated_before_later_windows_are_read(
    service: Service, taskrouter: RecordingTaskRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], -1_200_000))
    recorded, failed = add_canceled(service, -1_205_000), add_canceled(service, -1_200_000)
    before = saved_progress(service)
    create_record = service.store.create_record

    def create_or_fail(reservation: Any, **options: Any) -> bool:
        if reservation.reservation_sid == failed:
            raise StoreUnavailable("DynamoDB is down")
        return create_record(reservation, **options)

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "create_record", create_or_fail)
        assert run(service) == [1, None]
    assert taskrouter.requests == [*windows([-1_260_000, -1_110_000]), ("tasks",)]
    done = dict.fromkeys(["done_until_tasks", "done_until_tasks_finished"], END)
    assert saved_progress(service) == {**before, **done, "at": NOW, "due_at": NOW + 50_000}

    service.clock.now += MINUTE
    assert sum(count or 0 for count in run(service)) == 1
    assert service.store.fetch_statuses([recorded, failed]) == dict.fromkeys(
        [recorded, failed], Status.CANCELED
    )


def test_unreadable_events_of_all_lists_are_counted_as_one_failure_per_window(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], -300_000))
    taskrouter.unreadable_events = 2
    budget = RunBudget(service.clock, lambda: 60_000)
    assert run(service, budget) == [0]
    assert budget.errors == {"TaskRouterUnavailable": 1}
    assert budget.reasons == ["16 Events can't be read."]
