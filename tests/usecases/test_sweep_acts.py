"""What the sweep does besides mirroring: reject in time, complete what is stuck."""

from collections import Counter
from dataclasses import replace

import pytest

from chalicelib.domain.errors import (
    SweepFailed,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
    Unsettled,
)
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.usecases.sweep import SweepPolicy
from tests.support import DEADLINES, NOW, sid
from tests.usecases.conftest import World

ACTIVITY = sid("WA")


@pytest.fixture
def rejecting(world: World) -> World:
    """120 s to decide; rejected after 40."""
    world.deadlines = replace(DEADLINES, reject_after=40)
    world.policy = SweepPolicy(reject_activity_sid=ACTIVITY)
    return world


@pytest.fixture
def wrapping(world: World) -> tuple[World, RemoteReservation]:
    """Wrapping since 15 minutes after it was accepted; to be completed after 5 minutes of it."""
    world.deadlines = replace(DEADLINES, max_wrapup=300)
    seen = world.taskrouter.add()
    world.assign(seen)
    world.accept(seen)
    world.taskrouter.becomes(seen.reservation_sid, Status.WRAPPING)
    world.clock.now += 15 * 60_000
    assert world.sweep()["mirrored"] == 1
    return world, seen


def test_a_pending_reservation_is_rejected_before_it_would_put_the_worker_offline(
    rejecting: World,
) -> None:
    seen = rejecting.taskrouter.add()
    rejecting.assign(seen)

    rejecting.clock.now = NOW + 39_999
    assert rejecting.sweep()["due"] == 0
    rejecting.clock.now = NOW + 40_000
    assert rejecting.sweep()["rejected"] == 1

    record = rejecting.record(seen)
    assert (record.status, record.history[-1].by) == (Status.REJECTED, "service:sweep")
    assert rejecting.taskrouter.activities == [ACTIVITY]


def test_nothing_is_rejected_past_its_time_out(rejecting: World) -> None:
    seen = rejecting.taskrouter.add()
    rejecting.assign(seen)
    rejecting.clock.now = NOW + 120_000

    assert rejecting.sweep()["unchanged"] == 1
    assert rejecting.taskrouter.calls["update"] == 0


def test_who_accepts_first_is_not_rejected(rejecting: World) -> None:
    seen = rejecting.taskrouter.add()
    rejecting.assign(seen)
    rejecting.clock.now = NOW + 40_000

    def accept_meanwhile(verb: str) -> None:
        if verb == "fetch":
            rejecting.taskrouter.when_called = lambda _verb: None
            rejecting.accept(seen)

    rejecting.taskrouter.when_called = accept_meanwhile
    assert rejecting.sweep()["mirrored"] == 1
    assert rejecting.record(seen).status is Status.ACCEPTED
    assert rejecting.taskrouter.calls["update"] == 1


def test_a_rejection_that_is_never_heard_of_fails_the_sweep_and_heals(rejecting: World) -> None:
    seen = rejecting.taskrouter.add()
    rejecting.assign(seen)
    rejecting.clock.now = NOW + 40_000
    rejecting.taskrouter.fail_after["update"] = [TaskRouterUnavailable("cut")]
    rejecting.taskrouter.fail_before["fetch"] = []

    def lose_the_truth_too(verb: str) -> None:
        if verb == "update":
            rejecting.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("cut")]

    rejecting.taskrouter.when_called = lose_the_truth_too
    with pytest.raises(SweepFailed):
        rejecting.sweep()
    rejecting.clock.now += 30_000
    assert rejecting.sweep()["mirrored"] == 1
    assert rejecting.record(seen).status is Status.REJECTED
    assert rejecting.taskrouter.calls["update"] == 1


def test_a_monitor_only_counts_and_asks_for_nothing(rejecting: World) -> None:
    rejecting.policy = replace(rejecting.policy, monitor_only=True)
    seen = rejecting.taskrouter.add()
    rejecting.assign(seen)
    rejecting.clock.now = NOW + 40_000

    assert rejecting.sweep()["rejected"] == 1
    assert rejecting.taskrouter.calls["update"] == 0
    assert rejecting.record(seen).status is Status.PENDING


def test_a_decision_is_not_begun_without_time_for_it(rejecting: World) -> None:
    rejecting.assign(rejecting.taskrouter.add())
    rejecting.clock.now = NOW + 40_000

    def no_time_left_after_the_fetch() -> int:
        return 24_999 if rejecting.taskrouter.calls["fetch"] else 60_000

    assert rejecting.sweep(time_left_ms=no_time_left_after_the_fetch)["left"] == 1
    assert rejecting.taskrouter.calls["update"] == 0


def test_one_refused_rejection_does_not_keep_the_others_from_being_looked_at(
    rejecting: World,
) -> None:
    many = [rejecting.taskrouter.add() for _ in range(20)]
    for seen in many:
        rejecting.assign(seen)
    rejecting.taskrouter.fail_before["update"] = [TaskRouterRefused("no such Activity")]
    rejecting.clock.now = NOW + 40_000

    with pytest.raises(SweepFailed):
        rejecting.sweep()
    statuses = Counter(rejecting.record(seen).status for seen in many)
    assert statuses == {Status.REJECTED: 19, Status.PENDING: 1}


def test_a_throttled_rejection_is_left_to_the_next_sweep_and_is_no_failure(
    rejecting: World,
) -> None:
    seen = rejecting.taskrouter.add()
    rejecting.assign(seen)
    rejecting.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    rejecting.clock.now = NOW + 40_000

    report = rejecting.sweep()
    assert (report["left"], report["ok"]) == (1, True)
    rejecting.clock.now += 60_000
    assert rejecting.sweep()["rejected"] == 1


def test_an_agents_throttled_accept_does_not_lose_the_rejection(rejecting: World) -> None:
    seen = rejecting.taskrouter.add()
    rejecting.assign(seen)
    rejecting.clock.now = NOW + 41_000
    rejecting.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(Unsettled):
        rejecting.accept(seen)

    rejecting.clock.now += 60_000
    assert rejecting.sweep()["rejected"] == 1


def test_what_is_stuck_in_wrapping_is_completed(wrapping: tuple[World, RemoteReservation]) -> None:
    world, seen = wrapping

    world.clock.now += 299_999
    assert world.sweep()["due"] == 0
    world.clock.now += 1
    assert world.sweep()["completed"] == 1
    assert world.record(seen).status is Status.COMPLETED


def test_a_long_wrap_up_is_completed_in_time_not_at_the_next_doubling(world: World) -> None:
    world.deadlines = replace(DEADLINES, max_wrapup=1_200)
    seen = world.taskrouter.add(Status.WRAPPING)
    world.event(seen, Status.WRAPPING)

    world.clock.now += 900_000
    assert world.sweep()["unchanged"] == 1
    world.clock.now += 300_000
    assert world.sweep()["completed"] == 1


def test_a_wrap_up_heard_of_late_leaves_a_claim_to_complete_alone(
    world: World,
) -> None:
    accepted = world.taskrouter.add()
    world.assign(accepted)
    world.accept(accepted)

    def wrapup_in_between(verb: str) -> None:
        if verb == "update":
            world.event(accepted, Status.WRAPPING)
            raise KeyboardInterrupt

    world.taskrouter.when_called = wrapup_in_between
    with pytest.raises(KeyboardInterrupt):
        world.decide(accepted, Status.COMPLETED)
    record = world.record(accepted)
    assert (record.status, record.live_claim(world.clock.now) is not None) == (
        Status.WRAPPING,
        True,
    )
    world.taskrouter.when_called = lambda _verb: None
    world.taskrouter.becomes(accepted.reservation_sid, Status.COMPLETED)
    world.clock.now += 30_000
    world.sweep()
    assert world.record(accepted).status is Status.COMPLETED


def test_what_is_wrapping_is_left_alone_by_default(world: World) -> None:
    seen = world.taskrouter.add(Status.WRAPPING)
    world.event(seen, Status.WRAPPING)
    world.clock.now += 10 * 3_600_000

    assert world.sweep()["unchanged"] == 1
    assert world.taskrouter.calls["update"] == 0
