"""The requests that the reconciliation sends, and their order."""

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from tests.support import NOW, ManualClock
from tests.usecases.conftest import Service
from tests.usecases.reconciliation import (
    END,
    EVENT_PARTS,
    MINUTE,
    PARTS,
    RecordingTaskRouter,
    add_canceled,
    delete_progress,
    run,
    save_progress,
    saved_progress,
    windows,
)


@pytest.fixture
def taskrouter() -> RecordingTaskRouter:
    return RecordingTaskRouter()


@pytest.fixture
def service(store: DynamoReservationStore, taskrouter: RecordingTaskRouter) -> Service:
    return Service(store, taskrouter, ManualClock())


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
def test_first_window_starts_a_minute_before_the_saved_position(
    service: Service, taskrouter: RecordingTaskRouter, done_until: int, bounds: list[int]
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], done_until))
    assert run(service) == [0] * (len(bounds) - 1)
    assert taskrouter.requests == [*windows(bounds), ("tasks",)]


def test_lagging_event_type_is_read_alone_until_it_catches_up(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], -990_000) | {"created": -1_140_000})
    run(service)
    assert taskrouter.requests == [
        ("events", "created", -1_200_000, -1_050_000),
        *windows([-1_050_000, -750_000, -150_000, 0]),
        ("tasks",),
    ]


def test_each_event_type_is_read_from_its_saved_position(
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
"""Windows requested when every list that contains the Event at -200 s is incomplete."""


def test_windows_are_halved_until_their_lists_are_complete_but_not_below_a_second(
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
def test_only_the_failed_part_is_repeated_after_50_seconds(
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


def test_only_the_first_window_of_events_is_read_if_all_event_lists_fail(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], -1_200_000))
    before = saved_progress(service)
    taskrouter.failing = {*PARTS}
    assert run(service) == [None, None]
    assert taskrouter.requests == [*windows([-1_260_000, -1_110_000]), ("tasks",)]
    assert saved_progress(service) == {**before, "at": NOW, "due_at": NOW + 50_000}


def test_first_part_of_a_run_alternates_between_tasks_and_events(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    first = []
    for minute in range(4):
        delete_progress(service)
        service.clock.now = NOW + minute * MINUTE
        run(service)
        first.append(taskrouter.requests[0][0])
        taskrouter.requests.clear()
    assert first == ["events", "tasks", "events", "tasks"]


def test_each_run_starts_at_a_different_task(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    tasks = taskrouter.reserved_tasks = [f"WT{number:032x}" for number in range(13)]
    first = []
    for minute in range(13):
        delete_progress(service)
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
        (dict.fromkeys(["", *PARTS], -299_999), []),
        (dict.fromkeys(["", *EVENT_PARTS], -299_999) | {"tasks": -300_000}, ["tasks"]),
        (dict.fromkeys(["", *PARTS], -299_999) | {"timeout": -300_000}, ["events"]),
    ],
)
def test_part_is_due_five_minutes_after_its_last_finished_run(
    service: Service,
    taskrouter: RecordingTaskRouter,
    progress: dict[str, int],
    requested: list[str],
) -> None:
    """An earlier version saved a single progress value, which applies to all parts."""
    save_progress(service, progress)
    run(service)
    assert sorted({request[0] for request in taskrouter.requests}) == requested


def test_tasks_part_without_saved_progress_is_due_immediately(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    save_progress(service, dict.fromkeys(["", *EVENT_PARTS], -299_999))
    run(service)
    assert {request[0] for request in taskrouter.requests} == {"tasks"}
