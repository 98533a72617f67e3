from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.domain.errors import (
    SweepFailed,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import OPEN, RemoteReservation, Status
from chalicelib.usecases import sweep
from tests.usecases.conftest import Service

PAST_DEADLINE_MS = 130_000


def test_every_open_status_is_swept() -> None:
    assert set(sweep._STATUS_ORDER) == OPEN


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


def test_reservation_pending_beyond_deadline_is_checked_at_growing_intervals(
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


def test_failure_does_not_stop_other_checks(service: Service) -> None:
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


def test_sweep_starts_no_check_if_time_is_short(service: Service) -> None:
    service.assign(service.taskrouter.add())
    service.clock.now += PAST_DEADLINE_MS

    assert service.sweep(time_left_ms=24_999)["left"] == 1
    assert not service.taskrouter.calls


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
