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
from tests.usecases.conftest import World

PAST_DEADLINE_MS = 130_000


def test_every_open_status_is_swept() -> None:
    assert set(sweep._STATUS_ORDER) == OPEN


def test_sweep_without_due_reservations_does_not_call_taskrouter(world: World) -> None:
    world.assign(world.taskrouter.add())
    world.clock.now += PAST_DEADLINE_MS - 1

    assert world.sweep()["due"] == 0
    assert world.taskrouter.calls["fetch"] == 0


def test_timed_out_reservation_is_recorded(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)
    world.taskrouter.set_status(remote.reservation_sid, Status.TIMEOUT)
    world.clock.now += PAST_DEADLINE_MS

    report = world.sweep()

    assert (report["due"], report["mirrored"], report["ok"]) == (1, 1, True)
    record = world.record(remote)
    assert record.status is Status.TIMEOUT
    assert [change.by for change in record.history] == ["assignment_callback", "sweep"]


def intervals_between_checks(world: World, remote: RemoteReservation, checks: int) -> list[int]:
    """Sweep just before and at each due time; return the seconds between the checks."""
    intervals = []
    for _ in range(checks):
        due_at = next_due(world, remote)
        intervals.append((due_at - world.clock.now) // 1_000)
        world.clock.now = due_at - 1
        assert world.sweep()["due"] == 0
        world.clock.now = due_at
        assert world.sweep()["unchanged"] == 1
    return intervals


def next_due(world: World, remote: RemoteReservation) -> int:
    (due,) = world.store.due_reservations(world.record(remote).status, now=world.clock.now + 10**9)
    return due.due_at


def test_reservation_pending_beyond_deadline_is_checked_at_growing_intervals(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)

    assert intervals_between_checks(world, remote, 9) == [130, 15, 30, 60, 120, 240, 480, 900, 900]


def test_accepted_reservation_is_checked_at_intervals_from_15_minutes_to_6_hours(
    world: World,
) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)
    world.accept(remote)

    minutes = [seconds // 60 for seconds in intervals_between_checks(world, remote, 8)]
    assert minutes == [15, 15, 30, 60, 120, 240, 360, 360]


def test_reservation_deleted_by_taskrouter_is_recorded_as_gone(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)
    world.taskrouter.remove(remote.reservation_sid)
    world.clock.now += PAST_DEADLINE_MS

    assert world.sweep()["gone"] == 1
    assert world.record(remote).status is Status.GONE


@pytest.mark.parametrize("error", [TaskRouterDenied("401"), TaskRouterNotFound("404")])
def test_wrong_key_or_workspace_fails_sweep_and_changes_no_record(
    world: World, error: Exception
) -> None:
    remotes = [world.taskrouter.add() for _ in range(20)]
    for remote in remotes:
        world.assign(remote)
        world.taskrouter.remove(remote.reservation_sid)
    world.taskrouter.workspace_error = error
    world.clock.now += PAST_DEADLINE_MS

    with pytest.raises(SweepFailed):
        world.sweep()

    assert {world.record(remote).status for remote in remotes} == {Status.PENDING}
    world.taskrouter.workspace_error = None
    assert world.sweep()["gone"] == 20


def test_failing_workspace_request_is_sent_once(world: World) -> None:
    for _ in range(20):
        remote = world.taskrouter.add()
        world.assign(remote)
        world.taskrouter.remove(remote.reservation_sid)
    world.taskrouter.workspace_error = TaskRouterUnavailable("slow")
    world.clock.now += PAST_DEADLINE_MS

    with pytest.raises(SweepFailed):
        world.sweep()
    assert world.taskrouter.calls["workspace"] == 1


def test_concurrent_sweeps_record_each_status_once(world: World) -> None:
    remotes = [world.taskrouter.add() for _ in range(30)]
    for number, remote in enumerate(remotes):
        world.assign(remote)
        statuses = (Status.TIMEOUT, Status.ACCEPTED, Status.PENDING)
        world.taskrouter.set_status(remote.reservation_sid, statuses[number % 3])
    world.clock.now += PAST_DEADLINE_MS

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: world.sweep(), range(2)))

    assert all(report["ok"] for report in reports)
    for remote in remotes:
        record = world.record(remote)
        assert record.status is world.taskrouter.reservations[remote.reservation_sid].status
        assert len(record.history) == (1 if record.status is Status.PENDING else 2)


def test_failure_does_not_stop_other_checks(world: World) -> None:
    remotes = [world.taskrouter.add() for _ in range(10)]
    for remote in remotes:
        world.assign(remote)
        world.taskrouter.set_status(remote.reservation_sid, Status.CANCELED)
    world.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("cut")]
    world.clock.now += PAST_DEADLINE_MS

    with pytest.raises(SweepFailed):
        world.sweep()
    assert world.sweep()["mirrored"] == 1
    assert {world.record(remote).status for remote in remotes} == {Status.CANCELED}


def test_sweep_retries_throttled_requests(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)
    world.taskrouter.set_status(remote.reservation_sid, Status.TIMEOUT)
    world.taskrouter.fail_before["fetch"] = [TaskRouterThrottled("429")] * 3
    world.clock.now += PAST_DEADLINE_MS
    before = world.clock.now

    assert world.sweep()["mirrored"] == 1
    assert world.clock.now == before + 3_500


def test_persistently_throttled_sweep_leaves_rest_to_next(world: World) -> None:
    for _ in range(20):
        world.assign(world.taskrouter.add())
    world.taskrouter.fail_before["fetch"] = [TaskRouterThrottled("429")] * 1000
    world.clock.now += PAST_DEADLINE_MS

    report = world.sweep()

    assert report["left"] == report["due"] > 0
    assert report["ok"]
    assert world.taskrouter.calls["fetch"] <= 8 * 4


def test_sweep_without_time_starts_no_check(world: World) -> None:
    world.assign(world.taskrouter.add())
    world.clock.now += PAST_DEADLINE_MS

    assert world.sweep(time_left_ms=24_999)["left"] == 1
    assert not world.taskrouter.calls


def test_result_of_last_sweep_is_saved(world: World, dynamodb: object) -> None:
    report = world.sweep()
    item = world.store._client.get_item(
        TableName=world.store._state, Key={"id": {"S": "last_sweep"}}
    )["Item"]

    assert item["at"] == {"N": str(report["at"])}
    assert item["ok"] == {"BOOL": True}


def test_expired_claim_on_pending_reservation_is_removed(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)
    world.taskrouter.fail_before["update"] = [TaskRouterUnavailable("cut")]
    with pytest.raises(Exception, match="not known yet"):
        world.accept(remote)
    world.clock.now += 30_000

    assert world.sweep()["unchanged"] == 1
    record = world.record(remote)
    assert (record.status, record.claim) == (Status.PENDING, None)
