"""The progress that the reconciliation saves, and the steps that it repeats."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.reservations import Status
from chalicelib.usecases import reconcile as subject
from chalicelib.usecases.run_budget import RunBudget
from tests.support import NOW, ManualClock, make_event
from tests.usecases.conftest import Service
from tests.usecases.reconciliation import (
    END,
    MINUTE,
    PARTS,
    RecordingTaskRouter,
    add_canceled,
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


def test_combined_progress_of_events_is_the_progress_of_the_slowest_type(
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


def test_unfinished_part_is_repeated_by_the_next_run_even_if_its_progress_is_recent(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "BATCH_SIZE", 1)
    save_progress(service, dict.fromkeys(["", *PARTS], -300_000))
    for at in (-2_000, -1_000):
        add_canceled(service, at)
    create_record = service.store.create_record
    created = []

    def create_once(reservation: Any, **options: Any) -> bool:
        if created:
            raise StoreUnavailable("DynamoDB is down")
        created.append(reservation.reservation_sid)
        return create_record(reservation, **options)

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "create_record", create_once)
        run(service)
    saved = saved_progress(service)
    assert saved["done_until_canceled"] == END - 2_000
    assert saved["done_until_canceled_finished"] == END - 300_000

    service.clock.now += MINUTE
    assert sum(run(service)) == 1


def record_saves(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that collects the progress of the ``canceled`` part, in ms relative to END."""
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
        (
            [-350, -340, -150],
            [-300, 0],
        ),  # the minute that overlaps with the previous window
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
    monkeypatch.setattr(subject, "BATCH_SIZE", 2)
    save_progress(service, dict.fromkeys(["", *PARTS], -300_000))
    for seconds in times:
        if seconds is None:
            event = make_event(taskrouter.add(), Status.CANCELED, at=None)
            taskrouter.events_without_time.setdefault("canceled", []).append(event)
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
def test_batch_has_at_most_800_events_whose_records_are_read_100_at_a_time(
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


def test_event_that_could_not_be_recorded_is_retried_before_later_windows_are_read(
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


def test_unreadable_events_in_all_lists_count_as_one_failure_per_window(
    service: Service, taskrouter: RecordingTaskRouter
) -> None:
    save_progress(service, dict.fromkeys(["", *PARTS], -300_000))
    taskrouter.unreadable_events = 2
    budget = RunBudget(service.clock, lambda: 60_000)
    assert run(service, budget) == [0]
    assert budget.errors == {"TaskRouterUnavailable": 1}
    assert budget.reasons == ["Unreadable Events: 16."]
