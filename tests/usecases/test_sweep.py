from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.domain.errors import (
    SweepFailed,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import RemoteReservation, Status
from tests.usecases.conftest import World

PAST_THE_DEADLINE = 130_000


def test_nothing_due_asks_taskrouter_nothing(world: World) -> None:
    world.assign(world.taskrouter.add())
    world.clock.now += PAST_THE_DEADLINE - 1

    assert world.sweep()["due"] == 0
    assert world.taskrouter.calls["fetch"] == 0


def test_a_reservation_that_timed_out_is_mirrored(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)
    world.taskrouter.becomes(seen.reservation_sid, Status.TIMEOUT)
    world.clock.now += PAST_THE_DEADLINE

    report = world.sweep()

    assert (report["due"], report["mirrored"], report["ok"]) == (1, 1, True)
    record = world.record(seen)
    assert record.status is Status.TIMEOUT
    assert [change.by for change in record.history] == ["assignment_callback", "sweep"]


def gaps_between_looks(world: World, seen: RemoteReservation, looks: int) -> list[int]:
    """Sweep just before each time that the record is due, and then; return the seconds between."""
    gaps = []
    for _ in range(looks):
        due_at = next_due(world, seen)
        gaps.append((due_at - world.clock.now) // 1_000)
        world.clock.now = due_at - 1
        assert world.sweep()["due"] == 0
        world.clock.now = due_at
        assert world.sweep()["unchanged"] == 1
    return gaps


def next_due(world: World, seen: RemoteReservation) -> int:
    (due,) = world.store.due_reservations(world.record(seen).status, now=world.clock.now + 10**9)
    return due.due_at


def test_a_reservation_held_beyond_its_deadline_is_looked_at_less_and_less(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)

    assert gaps_between_looks(world, seen, 9) == [130, 15, 30, 60, 120, 240, 480, 900, 900]


def test_an_accepted_reservation_is_looked_at_after_15_minutes_up_to_6_hours(
    world: World,
) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)
    world.accept(seen)

    minutes = [gap // 60 for gap in gaps_between_looks(world, seen, 8)]
    assert minutes == [15, 15, 30, 60, 120, 240, 360, 360]


def test_what_taskrouter_no_longer_knows_is_gone(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)
    world.taskrouter.forget(seen.reservation_sid)
    world.clock.now += PAST_THE_DEADLINE

    assert world.sweep()["gone"] == 1
    assert world.record(seen).status is Status.GONE


@pytest.mark.parametrize("error", [TaskRouterDenied("401"), TaskRouterNotFound("404")])
def test_a_wrong_key_or_workspace_ends_no_record_and_raises(world: World, error: Exception) -> None:
    many = [world.taskrouter.add() for _ in range(20)]
    for seen in many:
        world.assign(seen)
        world.taskrouter.forget(seen.reservation_sid)
    world.taskrouter.workspace_error = error
    world.clock.now += PAST_THE_DEADLINE

    with pytest.raises(SweepFailed):
        world.sweep()

    assert {world.record(seen).status for seen in many} == {Status.PENDING}
    world.taskrouter.workspace_error = None
    assert world.sweep()["gone"] == 20


def test_a_workspace_that_can_not_be_asked_for_is_asked_for_once(world: World) -> None:
    for _ in range(20):
        seen = world.taskrouter.add()
        world.assign(seen)
        world.taskrouter.forget(seen.reservation_sid)
    world.taskrouter.workspace_error = TaskRouterUnavailable("slow")
    world.clock.now += PAST_THE_DEADLINE

    with pytest.raises(SweepFailed):
        world.sweep()
    assert world.taskrouter.calls["workspace"] == 1


def test_two_sweeps_at_once_do_no_harm(world: World) -> None:
    many = [world.taskrouter.add() for _ in range(30)]
    for number, seen in enumerate(many):
        world.assign(seen)
        ends = (Status.TIMEOUT, Status.ACCEPTED, Status.PENDING)
        world.taskrouter.becomes(seen.reservation_sid, ends[number % 3])
    world.clock.now += PAST_THE_DEADLINE

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: world.sweep(), range(2)))

    assert all(report["ok"] for report in reports)
    for seen in many:
        record = world.record(seen)
        assert record.status is world.taskrouter.known[seen.reservation_sid].status
        assert len(record.history) == (1 if record.status is Status.PENDING else 2)


def test_one_failure_does_not_keep_the_others_from_being_mirrored(world: World) -> None:
    many = [world.taskrouter.add() for _ in range(10)]
    for seen in many:
        world.assign(seen)
        world.taskrouter.becomes(seen.reservation_sid, Status.CANCELED)
    world.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("cut")]
    world.clock.now += PAST_THE_DEADLINE

    with pytest.raises(SweepFailed):
        world.sweep()
    assert world.sweep()["mirrored"] == 1
    assert {world.record(seen).status for seen in many} == {Status.CANCELED}


def test_a_throttled_sweep_pauses_and_goes_on(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)
    world.taskrouter.becomes(seen.reservation_sid, Status.TIMEOUT)
    world.taskrouter.fail_before["fetch"] = [TaskRouterThrottled("429")] * 3
    world.clock.now += PAST_THE_DEADLINE
    before = world.clock.now

    assert world.sweep()["mirrored"] == 1
    assert world.clock.now == before + 3_500


def test_a_sweep_that_stays_throttled_leaves_the_rest_to_the_next(world: World) -> None:
    for _ in range(20):
        world.assign(world.taskrouter.add())
    world.taskrouter.fail_before["fetch"] = [TaskRouterThrottled("429")] * 1000
    world.clock.now += PAST_THE_DEADLINE

    report = world.sweep()

    assert report["left"] == report["due"] > 0
    assert report["ok"]
    assert world.taskrouter.calls["fetch"] <= 8 * 4


def test_a_sweep_without_time_begins_no_look(world: World) -> None:
    world.assign(world.taskrouter.add())
    world.clock.now += PAST_THE_DEADLINE

    assert world.sweep(time_left_ms=24_999)["left"] == 1
    assert not world.taskrouter.calls


def test_the_last_result_is_kept(world: World, dynamodb: object) -> None:
    report = world.sweep()
    item = world.store._client.get_item(
        TableName=world.store._state, Key={"id": {"S": "last_sweep"}}
    )["Item"]

    assert item["at"] == {"N": str(report["at"])}
    assert item["ok"] == {"BOOL": True}


def test_a_claim_that_lapsed_on_a_pending_reservation_is_cleared(world: World) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)
    world.taskrouter.fail_before["update"] = [TaskRouterUnavailable("cut")]
    with pytest.raises(Exception, match="not known yet"):
        world.accept(seen)
    world.clock.now += 30_000

    assert world.sweep()["unchanged"] == 1
    record = world.record(seen)
    assert (record.status, record.claim) == (Status.PENDING, None)
