"""Sweeps update the statistics. If an update fails, the checks are not affected."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.metering import item_size
from chalicelib.adapters.dynamodb import statistics as adapter
from chalicelib.adapters.dynamodb.client import to_item, utc_hour
from chalicelib.domain import statistics as domain
from chalicelib.domain.callbacks import EventPage
from chalicelib.domain.errors import (
    AppError,
    StoreUnavailable,
    SweepFailed,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.domain.statistics import (
    HOUR_MS,
    AcceptanceTimes,
    ActivityCount,
    HourCount,
    Statistics,
    WaitingTask,
    WorkspaceStatistics,
)
from chalicelib.usecases import summarize
from chalicelib.usecases.sweep import sweep_due_reservations
from tests.support import NOW, make_event, make_statistics, sid
from tests.usecases.conftest import Service

HOUR_START = NOW - NOW % HOUR_MS
MINUTE_MS = 60_000
WORKSPACE = WorkspaceStatistics(
    WaitingTask("WT" + "1" * 32, 113), (ActivityCount("WA" + "2" * 32, "Idle", 4),)
)


@pytest.fixture(autouse=True)
def clock_at_half_past(service: Service) -> None:
    service.clock.now = HOUR_START + HOUR_MS // 2


def run_sweep(service: Service, time_left_ms: int | Callable[[], int] = 60_000) -> dict[str, Any]:
    """Sweep and return the log line, even if the sweep fails."""
    lines = list[Any]()
    try:
        sweep_due_reservations(
            service.collaborators,
            service.policy,
            make_statistics(service.store),
            time_left_ms=time_left_ms if callable(time_left_ms) else lambda: time_left_ms,
            report=lines.append,
        )
    except SweepFailed:
        assert not lines[0]["ok"]
    (line,) = lines
    return line


def read(service: Service) -> Statistics:
    statistics = make_statistics(service.store).get_statistics()
    assert statistics is not None
    return statistics


def get_hour_count(service: Service, start: int) -> HourCount:
    (hour,) = (hour for hour in read(service).hours if hour.start == start)
    return hour


def add_record(service: Service, status: Status, at: int, **attributes: Any) -> str:
    """Add a record that has a history but no due time."""
    reservation_sid = sid("WR")
    created = {"at": at, "to": "pending", "by": "event"}
    history = [created, {"at": at + 2_000, "to": status.value, "by": "event"}]
    record = {
        "reservation_sid": reservation_sid,
        "worker_sid": "WK1",
        "hour": utc_hour(at),
        "reserved_at": at,
        "status": status.value,
        "history": history,
        **attributes,
    }
    service.store._client.put_item(TableName=service.store._reservations, Item=to_item(record))
    return reservation_sid


def fail(error: Exception) -> Callable[..., Any]:
    def raise_error(*_arguments: Any, **_options: Any) -> None:
        raise error

    return raise_error


def test_first_sweep_counts_the_reservations_of_the_last_24_hours(service: Service) -> None:
    for status, at in [
        (Status.PENDING, service.clock.now),
        (Status.COMPLETED, HOUR_START),
        (Status.COMPLETED, HOUR_START + 5),
        (Status.TIMEOUT, HOUR_START - 1),
        (Status.REJECTED, HOUR_START - 23 * HOUR_MS),
        (Status.REJECTED, HOUR_START - 23 * HOUR_MS - 1),
    ]:
        add_record(service, status, at)
    run_sweep(service)

    counts = {hour.start: dict(hour.by_status) for hour in read(service).hours if hour.by_status}
    assert counts == {
        HOUR_START: {"pending": 1, "completed": 2},
        HOUR_START - HOUR_MS: {"timeout": 1},
        HOUR_START - 23 * HOUR_MS: {"rejected": 1},
    }
    assert [hour.start for hour in read(service).hours] == [
        HOUR_START - number * HOUR_MS for number in reversed(range(24))
    ]
    assert all(hour.is_complete for hour in read(service).hours)
    assert {hour.counted_at for hour in read(service).hours} == {service.clock.now}
    assert read(service).at == service.clock.now


def test_later_sweeps_count_only_hours_whose_counts_may_change_and_one_other_hour(
    service: Service,
) -> None:
    add_record(service, Status.WRAPPING, HOUR_START - 9 * HOUR_MS)
    run_sweep(service)
    service.clock.now += MINUTE_MS
    run_sweep(service)

    counted = [h.start for h in read(service).hours if h.counted_at == service.clock.now]
    # Among hours that were counted at the same time, the newest is counted again first.
    assert counted == [HOUR_START - number * HOUR_MS for number in (9, 2, 1, 0)]


def test_hours_before_the_last_24_are_dropped(service: Service) -> None:
    run_sweep(service)
    service.clock.now += 3 * HOUR_MS
    run_sweep(service)
    starts = [hour.start for hour in read(service).hours]
    assert starts == [HOUR_START + (3 - number) * HOUR_MS for number in reversed(range(24))]


def test_hour_with_more_reservations_than_the_maximum_is_incomplete(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_PAGE_SIZE", 2)
    monkeypatch.setattr(summarize, "MAX_PER_HOUR", 4)
    for number in range(5):
        add_record(service, Status.COMPLETED, HOUR_START + number)
    for number in range(4):
        add_record(service, Status.COMPLETED, HOUR_START - 2 * HOUR_MS + number)
    add_record(service, Status.REJECTED, HOUR_START - HOUR_MS)
    run_sweep(service)

    assert get_hour_count(service, HOUR_START).by_status == {"completed": 4}
    assert not get_hour_count(service, HOUR_START).is_complete
    assert get_hour_count(service, HOUR_START - HOUR_MS).is_complete


def test_sweep_reads_a_limited_number_of_pages_and_later_sweeps_read_the_remaining_pages(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summarize, "MAX_PAGES", 10)
    known = []
    for _ in range(3):
        assert run_sweep(service)["ok"]
        known.append(len(read(service).hours))
        service.clock.now += MINUTE_MS
    assert known == [10, 18, 24]


def test_acceptance_times_of_the_last_hour_are_measured(service: Service) -> None:
    add_record(service, Status.ACCEPTED, service.clock.now - HOUR_MS)
    add_record(service, Status.ACCEPTED, service.clock.now - HOUR_MS - 1)
    add_record(service, Status.REJECTED, service.clock.now)
    created = {"at": NOW, "to": "pending", "by": "event"}
    late = {"at": NOW, "to": "accepted", "by": "sweep"}
    add_record(service, Status.ACCEPTED, service.clock.now, history=[created, late])
    run_sweep(service)
    assert read(service).acceptance == AcceptanceTimes(service.clock.now, 1, (2_000,) * 4)


def test_acceptance_found_by_the_reconciliation_is_measured_with_the_time_of_its_event(
    service: Service,
) -> None:
    remote = service.taskrouter.add(Status.ACCEPTED)
    reserved_at = service.clock.now - 10 * MINUTE_MS
    for status, after in ((Status.PENDING, 0), (Status.ACCEPTED, 7_000)):
        service.taskrouter.add_event(remote, status, at=reserved_at + after)
    assert run_sweep(service)["reconciled"] == 1
    assert {entry.by for entry in service.record(remote).history} == {"reconcile"}
    assert read(service).acceptance == AcceptanceTimes(service.clock.now, 1, (7_000,) * 4)


def test_acceptance_whose_event_created_the_record_is_not_measured(service: Service) -> None:
    remote = service.taskrouter.add(Status.ACCEPTED)
    service.taskrouter.add_event(remote, Status.ACCEPTED, at=service.clock.now - 10 * MINUTE_MS)
    assert run_sweep(service)["reconciled"] == 1
    acceptance = read(service).acceptance
    assert acceptance is not None
    assert acceptance.count == 0


def test_acceptance_found_after_a_refused_request_is_not_measured(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.taskrouter.set_status(remote.reservation_sid, Status.ACCEPTED)
    service.clock.now += MINUTE_MS
    service.taskrouter.fail_before["update"] = [TaskRouterRefused("already accepted")]
    assert service.accept(remote).accepted_by == "fetch"
    run_sweep(service)
    acceptance = read(service).acceptance
    assert acceptance is not None
    assert acceptance.count == 0


def test_acceptance_reported_by_an_event_without_a_time_is_not_measured(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.taskrouter.set_status(remote.reservation_sid, Status.ACCEPTED)
    service.clock.now += 7 * MINUTE_MS
    event = replace(make_event(remote, Status.ACCEPTED), at=None)
    monkeypatch.setattr(
        service.taskrouter,
        "list_events",
        lambda event_type, **_times: EventPage([event] if event_type.endswith("accepted") else []),
    )
    assert run_sweep(service)["reconciled"] == 1
    acceptance = read(service).acceptance
    assert acceptance is not None
    assert acceptance.count == 0


@pytest.mark.parametrize(("pages", "count"), [(1, None), (2, 1)])
def test_acceptance_times_are_measured_only_if_the_current_and_previous_hours_were_read(
    service: Service, monkeypatch: pytest.MonkeyPatch, pages: int, count: int | None
) -> None:
    monkeypatch.setattr(summarize, "MAX_PAGES", pages)
    add_record(service, Status.ACCEPTED, service.clock.now)
    run_sweep(service)
    acceptance = read(service).acceptance
    assert (acceptance and acceptance.count) == count


def test_statistics_of_the_workspace_are_saved_with_their_time(service: Service) -> None:
    service.taskrouter.statistics = WORKSPACE
    run_sweep(service)
    saved = read(service)
    assert (saved.workspace, saved.workspace_at) == (WORKSPACE, service.clock.now)
    assert saved.workspace_error is None
    assert service.taskrouter.calls["statistics"] == 1


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (TaskRouterUnavailable("503"), True),
        (TaskRouterNotSent("no connection"), True),
        (TaskRouterThrottled("429"), False),
        (TaskRouterDenied("403"), False),
        (TaskRouterNotFound("404"), False),
        (TaskRouterRefused("400"), False),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_failed_statistics_request_preserves_the_last_values_and_their_time(
    service: Service, error: AppError, *, counted: bool
) -> None:
    service.taskrouter.statistics = WORKSPACE
    run_sweep(service)
    first = service.clock.now
    service.clock.now += MINUTE_MS
    service.taskrouter.fail_before["statistics"] = [error]

    line = run_sweep(service)
    saved = read(service)
    assert (saved.workspace, saved.workspace_at, saved.workspace_error) == (
        WORKSPACE,
        first,
        error.code,
    )
    assert saved.at == service.clock.now
    assert line["errors"] == saved.sweeps[0]["errors"] == ({error.code: 1} if counted else {})
    assert line["ok"] is saved.sweeps[0]["ok"] is not counted

    service.clock.now += MINUTE_MS
    assert run_sweep(service)["ok"]
    assert read(service).workspace_error is None


def test_throttled_sweep_requests_no_statistics(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.clock.now += 131_000
    service.taskrouter.fail_before["fetch"] = [TaskRouterThrottled("429")] * 9
    run_sweep(service)
    assert service.taskrouter.calls["statistics"] == 0
    assert read(service).workspace is None


def add_due_reservation(service: Service) -> RemoteReservation:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.taskrouter.set_status(remote.reservation_sid, Status.TIMEOUT)
    service.clock.now += 131_000
    return remote


@pytest.mark.parametrize(
    "method", ["get_statistics", "read_hour", "fetch_histories", "save_statistics"]
)
@pytest.mark.parametrize("error", [StoreUnavailable("DynamoDB failed"), KeyError("a bug")])
def test_failure_of_a_read_or_write_is_reported_but_does_not_affect_checks(
    service: Service, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception
) -> None:
    remote = add_due_reservation(service)
    monkeypatch.setattr(adapter.DynamoStatistics, method, fail(error))
    line = run_sweep(service)
    assert line["mirrored"] == 1
    assert service.record(remote).status is Status.TIMEOUT
    assert line["errors"] == {getattr(error, "code", type(error).__name__): 1}


def test_counts_and_their_time_are_preserved_if_a_later_read_fails(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_sweep(service)
    first = service.clock.now
    service.clock.now += MINUTE_MS
    with monkeypatch.context() as patch:
        patch.setattr(adapter.DynamoStatistics, "read_hour", fail(StoreUnavailable("slow")))
        run_sweep(service)
    saved = read(service)
    assert {hour.counted_at for hour in saved.hours} == {first}
    assert saved.acceptance == AcceptanceTimes(first, 0, ())
    assert saved.at == service.clock.now


def test_saved_statistics_contain_the_last_20_sweeps_newest_first_but_no_failure_reasons(
    service: Service,
) -> None:
    started = []
    for _ in range(22):
        started.append(service.clock.now)
        line = run_sweep(service)
        service.clock.now += MINUTE_MS
    sweeps = read(service).sweeps
    assert [each["at"] for each in sweeps] == started[:1:-1]
    assert sweeps[0] == {name: value for name, value in line.items() if name != "reasons"}


def test_statistics_contain_the_counts_of_the_sweep(service: Service) -> None:
    add_due_reservation(service)
    run_sweep(service)
    assert (read(service).sweeps[0]["due"], read(service).sweeps[0]["mirrored"]) == (1, 1)


def test_duration_of_a_sweep_includes_the_update_of_the_statistics(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delay(target: Any, name: str, ms: int) -> None:
        method = getattr(target, name)

        def run_slowly(*arguments: Any) -> Any:
            service.clock.now += ms
            return method(*arguments)

        monkeypatch.setattr(target, name, run_slowly)

    saved = list[dict[str, Any]]()
    monkeypatch.setattr(service.store, "save_sweep", lambda line: saved.append(dict(line)))
    delay(service.taskrouter, "fetch_statistics", 300)
    delay(adapter.DynamoStatistics, "save_statistics", 40)
    delay(service.store, "save_sweep", 5)
    line = run_sweep(service)
    assert read(service).sweeps[0]["duration_ms"] == 300
    assert saved[0]["duration_ms"] == 340
    assert line["duration_ms"] == 345


@pytest.mark.parametrize(("time_left_ms", "is_updated"), [(12_999, False), (13_000, True)])
def test_statistics_are_updated_only_if_at_least_13_seconds_are_left(
    service: Service, *, time_left_ms: int, is_updated: bool
) -> None:
    assert run_sweep(service, time_left_ms)["ok"]
    assert (make_statistics(service.store).get_statistics() is not None) is is_updated


def test_workspace_statistics_are_not_requested_if_reading_saved_statistics_takes_too_long(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [60_000]

    def read_slowly(_store: Any) -> None:
        left[0] = 12_999

    with monkeypatch.context() as patch:
        patch.setattr(adapter.DynamoStatistics, "get_statistics", read_slowly)
        assert run_sweep(service, lambda: left[0])["ok"]
    assert service.taskrouter.calls["statistics"] == 0
    assert read(service).workspace_at is None


@pytest.mark.parametrize("reads", [0, 1, 2, 5])
def test_reads_stop_when_time_runs_out_but_the_sweep_is_recorded(
    service: Service, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    read_hour, done = adapter.DynamoStatistics.read_hour, list[int]()

    def read_and_count(store: Any, start: int, cursor: Any) -> Any:
        done.append(start)
        return read_hour(store, start, cursor)

    monkeypatch.setattr(adapter.DynamoStatistics, "read_hour", read_and_count)
    requests = service.taskrouter.calls
    line = run_sweep(
        service, lambda: 60_000 if len(done) < reads or not requests["statistics"] else 0
    )
    saved = read(service)
    assert line["ok"]
    assert len(saved.hours) == len(done) == reads
    assert saved.acceptance is None
    assert len(saved.sweeps) == 1


def test_later_statistics_are_not_replaced_by_earlier_statistics(service: Service) -> None:
    store = make_statistics(service.store)
    assert store.save_statistics(Statistics(NOW, workspace_error="later"))
    assert not store.save_statistics(Statistics(NOW - 1, workspace_error="earlier"))
    assert read(service).workspace_error == "later"
    assert store.save_statistics(Statistics(NOW, workspace_error="repeated"))
    assert store.save_statistics(Statistics(NOW + 1))
    assert read(service) == Statistics(NOW + 1)


def test_largest_statistics_fit_in_an_item(service: Service) -> None:
    counts = dict.fromkeys((status.value for status in Status), 20_000)
    hour = HourCount(HOUR_START, NOW, counts, is_complete=False)
    line = {**run_sweep(service), "errors": {f"Error{number}" * 5: 10**6 for number in range(30)}}
    del line["reasons"]
    activity = ActivityCount("WA" + "2" * 32, "\N{GRINNING FACE}" * 64, 15_000)
    waiting = WaitingTask("WT" + "1" * 32, 10**6)
    saved = make_statistics(service.store).save_statistics(
        Statistics(
            at=service.clock.now,
            hours=(hour,) * domain.HOURS,
            acceptance=AcceptanceTimes(NOW, 100, (10**7,) * 4),
            workspace=WorkspaceStatistics(waiting, (activity,) * domain.MAX_ACTIVITIES),
            workspace_at=NOW,
            sweeps=(line,) * domain.MAX_SWEEPS,
        )
    )
    assert saved
    item = service.store._client.get_item(
        TableName=service.store._state, Key={"id": {"S": "statistics"}}
    )["Item"]
    assert item_size(item) < 100_000
    assert read(service).sweeps[0] == line
