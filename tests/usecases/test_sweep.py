from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import pytest

from chalicelib.domain.errors import (
    StoreUnavailable,
    SweepFailed,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import OPEN, DueReservation, RemoteReservation, Status
from chalicelib.usecases import sweep
from chalicelib.usecases.sweep import SweepOutcome, SweepPolicy, sweep_due_reservations
from tests.support import NOW, make_collaborators, make_statistics, sid
from tests.usecases.conftest import Service

PAST_DEADLINE_MS = 130_000


def test_sweep_checks_reservations_with_every_open_status() -> None:
    assert set(sweep.STATUS_ORDER) == set(OPEN)


def test_sweep_fetches_no_reservation_before_it_is_due(service: Service) -> None:
    service.assign(service.taskrouter.add())
    service.clock.now += PAST_DEADLINE_MS - 1

    assert service.sweep()["due"] == 0
    assert service.taskrouter.calls["fetch"] == 0


def test_timeout_of_reservation_is_recorded(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.taskrouter.set_status(remote.reservation_sid, Status.TIMEOUT)
    service.clock.now += PAST_DEADLINE_MS

    report = service.sweep()

    assert (report["due"], report["mirrored"], report["ok"]) == (1, 1, True)
    record = service.record(remote)
    assert record.status is Status.TIMEOUT
    assert [change.by for change in record.history] == ["assignment_callback", "sweep"]


def intervals_between_checks(service: Service, remote: RemoteReservation, checks: int) -> list[int]:
    """Sweep just before and at each due time; return the seconds between the checks."""
    intervals = []
    for _ in range(checks):
        due_at = next_check_at(service, remote)
        intervals.append((due_at - service.clock.now) // 1_000)
        service.clock.now = due_at - 1
        assert service.sweep()["due"] == 0
        service.clock.now = due_at
        assert service.sweep()["unchanged"] == 1
    return intervals


def next_check_at(service: Service, remote: RemoteReservation) -> int:
    (due,) = service.store.due_reservations(
        service.record(remote).status, now=service.clock.now + 10**9
    )
    return due.due_at


def test_overdue_pending_reservation_is_checked_at_intervals_from_15_seconds_to_15_minutes(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)

    assert intervals_between_checks(service, remote, 9) == [
        130,
        15,
        30,
        60,
        120,
        240,
        480,
        900,
        900,
    ]


def test_accepted_reservation_is_checked_at_intervals_from_15_minutes_to_6_hours(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.accept(remote)

    minutes = [seconds // 60 for seconds in intervals_between_checks(service, remote, 8)]
    assert minutes == [15, 15, 30, 60, 120, 240, 360, 360]


def test_reservation_deleted_by_taskrouter_is_recorded_as_gone(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.taskrouter.remove(remote.reservation_sid)
    service.clock.now += PAST_DEADLINE_MS

    assert service.sweep()["gone"] == 1
    assert service.record(remote).status is Status.GONE


@pytest.mark.parametrize("error", [TaskRouterDenied("401"), TaskRouterNotFound("404")])
def test_wrong_key_or_workspace_fails_sweep_and_changes_no_record(
    service: Service, error: Exception
) -> None:
    remotes = [service.taskrouter.add() for _ in range(20)]
    for remote in remotes:
        service.assign(remote)
        service.taskrouter.remove(remote.reservation_sid)
    service.taskrouter.workspace_error = error
    service.clock.now += PAST_DEADLINE_MS

    with pytest.raises(SweepFailed):
        service.sweep()

    assert {service.record(remote).status for remote in remotes} == {Status.PENDING}
    service.taskrouter.workspace_error = None
    assert service.sweep()["gone"] == 20


def test_failing_workspace_request_is_sent_once(service: Service) -> None:
    for _ in range(20):
        remote = service.taskrouter.add()
        service.assign(remote)
        service.taskrouter.remove(remote.reservation_sid)
    service.taskrouter.workspace_error = TaskRouterUnavailable("slow")
    service.clock.now += PAST_DEADLINE_MS

    with pytest.raises(SweepFailed):
        service.sweep()
    assert service.taskrouter.calls["workspace"] == 1


def test_concurrent_sweeps_record_each_status_once(service: Service) -> None:
    remotes = [service.taskrouter.add() for _ in range(30)]
    for number, remote in enumerate(remotes):
        service.assign(remote)
        statuses = (Status.TIMEOUT, Status.ACCEPTED, Status.PENDING)
        service.taskrouter.set_status(remote.reservation_sid, statuses[number % 3])
    service.clock.now += PAST_DEADLINE_MS

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: service.sweep(), range(2)))

    assert all(report["ok"] for report in reports)
    for remote in remotes:
        record = service.record(remote)
        assert record.status is service.taskrouter.reservations[remote.reservation_sid].status
        assert len(record.history) == (1 if record.status is Status.PENDING else 2)


@pytest.mark.parametrize("is_gone", [True, False])
def test_change_that_an_event_records_first_is_not_counted_as_a_correction(
    service: Service, *, is_gone: bool
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.clock.now += PAST_DEADLINE_MS
    if is_gone:
        service.taskrouter.remove(remote.reservation_sid)
    else:
        service.taskrouter.set_status(remote.reservation_sid, Status.TIMEOUT)

    def post_event(verb: str) -> None:
        if verb == "fetch":
            service.post_event(remote, Status.TIMEOUT)

    service.taskrouter.when_called = post_event
    report = service.sweep()

    counts = [report[name] for name in ("due", "mirrored", "gone", "unchanged")]
    assert counts == [1, 0, 0, 1]
    assert [change.by for change in service.record(remote).history[1:]] == ["event"]


def test_failed_check_does_not_stop_other_checks(service: Service) -> None:
    remotes = [service.taskrouter.add() for _ in range(10)]
    for remote in remotes:
        service.assign(remote)
        service.taskrouter.set_status(remote.reservation_sid, Status.CANCELED)
    service.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("connection lost")]
    service.clock.now += PAST_DEADLINE_MS

    with pytest.raises(SweepFailed):
        service.sweep()
    assert service.sweep()["mirrored"] == 1
    assert {service.record(remote).status for remote in remotes} == {Status.CANCELED}


def test_sweep_retries_throttled_requests(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.taskrouter.set_status(remote.reservation_sid, Status.TIMEOUT)
    service.taskrouter.fail_before["fetch"] = [TaskRouterThrottled("429")] * 3
    service.clock.now += PAST_DEADLINE_MS
    before = service.clock.now

    assert service.sweep()["mirrored"] == 1
    assert service.clock.now == before + 3_500


def test_persistently_throttled_sweep_leaves_checks_to_next_sweep(service: Service) -> None:
    for _ in range(20):
        service.assign(service.taskrouter.add())
    service.taskrouter.fail_before["fetch"] = [TaskRouterThrottled("429")] * 1000
    service.clock.now += PAST_DEADLINE_MS

    report = service.sweep()

    assert report["left"] == report["due"] > 0
    assert report["ok"]
    assert service.taskrouter.calls["fetch"] <= 8 * 4


def test_sweep_reads_a_limited_number_of_due_reservations_in_advance(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_READ_AHEAD", 10)
    read, checked, waiting = list[int](), list[DueReservation](), list[int]()

    def due_reservations(status: Status, *, now: int) -> Iterator[DueReservation]:
        for number in range(55 if status is Status.PENDING else 3):
            read.append(number)
            waiting.append(len(read) - len(checked))
            sids = (sid("WR"), sid("WT"), sid("WK"))
            yield DueReservation(*sids, status, now, now, now, checks=0, is_claimed=False)

    def check(_sweep: object, due: DueReservation) -> SweepOutcome:
        checked.append(due)
        return SweepOutcome.UNCHANGED

    monkeypatch.setattr(service.store, "due_reservations", due_reservations)
    monkeypatch.setattr("chalicelib.usecases.sweep._Sweep.check", check)
    line = service.sweep()

    assert line["due"] == line["unchanged"] == 61
    assert max(waiting) <= 10


def test_sweep_starts_no_check_if_time_is_short(service: Service) -> None:
    for _ in range(3):
        service.assign(service.taskrouter.add())
    service.clock.now += PAST_DEADLINE_MS

    report = service.sweep(time_left_ms=24_999)
    # After the first due Reservation, the sweep stops reading.
    assert (report["due"], report["left"]) == (1, 1)
    assert service.taskrouter.calls == {"statistics": 1}


def test_result_of_last_sweep_is_saved(service: Service, dynamodb: object) -> None:
    report = service.sweep()
    item = service.store._client.get_item(
        TableName=service.store._state, Key={"id": {"S": "last_sweep"}}
    )["Item"]

    assert item["at"] == {"N": str(report["at"])}
    assert item["ok"] == {"BOOL": True}


def test_expired_claim_on_pending_reservation_is_removed(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    service.taskrouter.fail_before["update"] = [TaskRouterUnavailable("connection lost")]
    with pytest.raises(Exception, match="not known yet"):
        service.accept(remote)
    service.clock.now += 30_000

    assert service.sweep()["unchanged"] == 1
    record = service.record(remote)
    assert (record.status, record.claim) == (Status.PENDING, None)


def sweep_report(service: Service) -> dict[str, Any]:
    """Sweep and return the report, even if the sweep fails."""
    reports: list[dict[str, Any]] = []
    collaborators = make_collaborators(
        service.store, service.taskrouter, service.clock, service.deadlines
    )
    with suppress(SweepFailed):
        sweep_due_reservations(
            collaborators,
            service.policy,
            make_statistics(service.store),
            time_left_ms=lambda: 60_000,
            report=reports.append,
        )
    (report,) = reports
    return report


EMPTY_REPORT = {
    "due": 0,
    "oldest_due_ms": 0,
    "mirrored": 0,
    "unchanged": 0,
    "gone": 0,
    "rejected": 0,
    "completed": 0,
    "failed": 0,
    "left": 0,
    "reconciled": 0,
    "unreconciled": 0,
    "monitor_only": False,
    "errors": {},
    "reasons": [],
    "ok": True,
    "duration_ms": 0,
}


def test_counts_in_the_report_of_a_sweep_without_due_reservations_are_zero(
    service: Service,
) -> None:
    assert sweep_report(service) == EMPTY_REPORT | {"at": NOW}


def test_report_counts_outcomes_and_failures(service: Service) -> None:
    service.policy = SweepPolicy(monitor_only=True)
    unchanged, timed_out, missing, failing = (service.taskrouter.add() for _ in range(4))
    for remote in (unchanged, timed_out, missing, failing):
        service.assign(remote)
    service.taskrouter.set_status(timed_out.reservation_sid, Status.TIMEOUT)
    service.taskrouter.remove(missing.reservation_sid)
    unrecorded = service.taskrouter.add()
    fetch = service.taskrouter.fetch_reservation

    def fetch_or_fail(reservation_sid: str, **options: Any) -> RemoteReservation:
        if reservation_sid == failing.reservation_sid:
            raise TaskRouterUnavailable("connection lost")
        return fetch(reservation_sid, **options)

    def delay(verb: str) -> None:
        service.clock.now += 7 if verb == "workspace" else 0

    service.taskrouter.fetch_reservation = fetch_or_fail  # type: ignore[method-assign]
    service.taskrouter.when_called = delay
    service.clock.now += PAST_DEADLINE_MS + 5_000

    assert sweep_report(service) == EMPTY_REPORT | {
        "at": NOW + PAST_DEADLINE_MS + 5_000,
        "duration_ms": 7,
        "due": 4,
        "oldest_due_ms": 5_000,
        "mirrored": 1,
        "unchanged": 1,
        "gone": 1,
        "failed": 1,
        "reconciled": 1,
        "monitor_only": True,
        "errors": {"TaskRouterUnavailable": 1},
        "reasons": ["connection lost"],
        "ok": False,
    }
    assert service.record(unrecorded).status is Status.PENDING
    assert service.record(missing).history[-1].note == "TaskRouter returned 404"
    assert service.record(timed_out).worker_name == "Alice"


@pytest.mark.parametrize("method", ["due_reservations", "save_sweep"])
def test_dynamodb_failure_is_reported_and_fails_the_sweep(
    service: Service, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise StoreUnavailable("DynamoDB is down")

    monkeypatch.setattr(service.store, method, fail)
    report = sweep_report(service)
    assert (report["errors"], report["ok"]) == ({"StoreUnavailable": 1}, False)
    with pytest.raises(SweepFailed, match=r"^The sweep failed: StoreUnavailable \(1\)\. DynamoDB"):
        service.sweep()


def test_workspace_is_verified_once_per_sweep(service: Service) -> None:
    for _ in range(5):
        remote = service.taskrouter.add()
        service.assign(remote)
        service.taskrouter.remove(remote.reservation_sid)
    service.clock.now += PAST_DEADLINE_MS

    assert service.sweep()["gone"] == 5
    assert service.taskrouter.calls["workspace"] == 1


def test_status_recorded_by_the_sweep_restarts_the_check_intervals(
    service: Service,
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    intervals_between_checks(service, remote, 4)
    service.taskrouter.set_status(remote.reservation_sid, Status.ACCEPTED)
    service.clock.now = next_check_at(service, remote)
    assert service.sweep()["mirrored"] == 1
    assert intervals_between_checks(service, remote, 3) == [900, 900, 1_800]


def test_eight_reservations_are_checked_at_the_same_time(service: Service) -> None:
    for _ in range(8):
        service.assign(service.taskrouter.add())
    service.clock.now += PAST_DEADLINE_MS
    barrier = Barrier(8, timeout=10)

    def wait_for_others(verb: str) -> None:
        if verb == "fetch":
            barrier.wait()

    service.taskrouter.when_called = wait_for_others
    assert service.sweep()["unchanged"] == 8


UNEXPECTED = [RecursionError("secret"), KeyError("secret"), OverflowError("secret"), Exception()]


@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("verb", ["fetch", "workspace", "tasks", "list", "events"])
def test_unexpected_error_in_one_step_fails_the_sweep_but_not_the_other_steps(
    service: Service, verb: str, error: Exception
) -> None:
    remotes = [service.taskrouter.add() for _ in range(3)]
    for remote in remotes:
        service.assign(remote)
        service.taskrouter.set_status(remote.reservation_sid, Status.TIMEOUT)
    unrecorded = [service.taskrouter.add() for _ in range(2)]
    if verb == "workspace":
        service.taskrouter.remove(remotes[0].reservation_sid)
    service.clock.now += PAST_DEADLINE_MS

    service.taskrouter.fail_before[verb] = [error]
    report = sweep_report(service)

    assert (report["errors"], report["ok"]) == ({type(error).__name__: 1}, False)
    assert report["reasons"] == []
    recorded = [service.store.get(remote.reservation_sid) for remote in unrecorded]
    assert recorded.count(None) == {"tasks": 2, "list": 1}.get(verb, 0)
    mirrored = [service.record(remote).status for remote in remotes].count(Status.TIMEOUT)
    assert mirrored == report["mirrored"] == (2 if verb in ("fetch", "workspace") else 3)


@pytest.mark.parametrize("method", ["due_reservations", "start_periodic_job", "save_sweep"])
def test_report_contains_only_the_type_of_an_unexpected_store_error(
    service: Service, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(service.store, method, fail)
    with pytest.raises(SweepFailed, match=r"^The sweep failed: KeyError \(1\)\.$"):
        service.sweep()
    assert sweep_report(service)["errors"] == {"KeyError": 1}


def test_sweep_can_be_interrupted(service: Service) -> None:
    service.assign(service.taskrouter.add())
    service.clock.now += PAST_DEADLINE_MS

    def interrupt(_verb: str) -> None:
        raise KeyboardInterrupt

    service.taskrouter.when_called = interrupt
    with pytest.raises(KeyboardInterrupt):
        sweep_due_reservations(
            make_collaborators(service.store, service.taskrouter, service.clock),
            SweepPolicy(),
            make_statistics(service.store),
            time_left_ms=lambda: 60_000,
            report=lambda _line: None,
        )
