"""The sweep rejects pending Reservations in time and completes Reservations stuck in wrapping."""

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
def rejecting_world(world: World) -> World:
    """A service that rejects after 40 s of the 120 s until the timeout."""
    world.deadlines = replace(DEADLINES, reject_after=40)
    world.policy = SweepPolicy(reject_activity_sid=ACTIVITY)
    return world


@pytest.fixture
def wrapping_reservation(world: World) -> tuple[World, RemoteReservation]:
    """A Reservation that is wrapping 15 minutes after its acceptance, with a limit of 5 minutes."""
    world.deadlines = replace(DEADLINES, max_wrapup=300)
    remote = world.taskrouter.add()
    world.assign(remote)
    world.accept(remote)
    world.taskrouter.set_status(remote.reservation_sid, Status.WRAPPING)
    world.clock.now += 15 * 60_000
    assert world.sweep()["mirrored"] == 1
    return world, remote


def test_pending_reservation_is_rejected_before_timeout_puts_worker_offline(
    rejecting_world: World,
) -> None:
    remote = rejecting_world.taskrouter.add()
    rejecting_world.assign(remote)

    rejecting_world.clock.now = NOW + 39_999
    assert rejecting_world.sweep()["due"] == 0
    rejecting_world.clock.now = NOW + 40_000
    assert rejecting_world.sweep()["rejected"] == 1

    record = rejecting_world.record(remote)
    assert (record.status, record.history[-1].by) == (Status.REJECTED, "service:sweep")
    assert rejecting_world.taskrouter.activities == [ACTIVITY]


def test_reservation_is_not_rejected_after_its_timeout(rejecting_world: World) -> None:
    remote = rejecting_world.taskrouter.add()
    rejecting_world.assign(remote)
    rejecting_world.clock.now = NOW + 120_000

    assert rejecting_world.sweep()["unchanged"] == 1
    assert rejecting_world.taskrouter.calls["update"] == 0


def test_concurrent_accept_prevents_rejection(rejecting_world: World) -> None:
    remote = rejecting_world.taskrouter.add()
    rejecting_world.assign(remote)
    rejecting_world.clock.now = NOW + 40_000

    def accept_meanwhile(verb: str) -> None:
        if verb == "fetch":
            rejecting_world.taskrouter.when_called = lambda _verb: None
            rejecting_world.accept(remote)

    rejecting_world.taskrouter.when_called = accept_meanwhile
    assert rejecting_world.sweep()["mirrored"] == 1
    assert rejecting_world.record(remote).status is Status.ACCEPTED
    assert rejecting_world.taskrouter.calls["update"] == 1


def test_rejection_with_lost_response_fails_sweep_and_is_recorded_later(
    rejecting_world: World,
) -> None:
    remote = rejecting_world.taskrouter.add()
    rejecting_world.assign(remote)
    rejecting_world.clock.now = NOW + 40_000
    rejecting_world.taskrouter.fail_after["update"] = [TaskRouterUnavailable("cut")]
    rejecting_world.taskrouter.fail_before["fetch"] = []

    def fail_next_fetch(verb: str) -> None:
        if verb == "update":
            rejecting_world.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("cut")]

    rejecting_world.taskrouter.when_called = fail_next_fetch
    with pytest.raises(SweepFailed):
        rejecting_world.sweep()
    rejecting_world.clock.now += 30_000
    assert rejecting_world.sweep()["mirrored"] == 1
    assert rejecting_world.record(remote).status is Status.REJECTED
    assert rejecting_world.taskrouter.calls["update"] == 1


def test_monitor_only_counts_without_rejecting(rejecting_world: World) -> None:
    rejecting_world.policy = replace(rejecting_world.policy, monitor_only=True)
    remote = rejecting_world.taskrouter.add()
    rejecting_world.assign(remote)
    rejecting_world.clock.now = NOW + 40_000

    assert rejecting_world.sweep()["rejected"] == 1
    assert rejecting_world.taskrouter.calls["update"] == 0
    assert rejecting_world.record(remote).status is Status.PENDING


def test_rejection_does_not_start_if_time_is_short(rejecting_world: World) -> None:
    rejecting_world.assign(rejecting_world.taskrouter.add())
    rejecting_world.clock.now = NOW + 40_000

    def too_little_time_after_the_fetch() -> int:
        return 24_999 if rejecting_world.taskrouter.calls["fetch"] else 60_000

    assert rejecting_world.sweep(time_left_ms=too_little_time_after_the_fetch)["left"] == 1
    assert rejecting_world.taskrouter.calls["update"] == 0


def test_refused_rejection_does_not_stop_others(
    rejecting_world: World,
) -> None:
    remotes = [rejecting_world.taskrouter.add() for _ in range(20)]
    for remote in remotes:
        rejecting_world.assign(remote)
    rejecting_world.taskrouter.fail_before["update"] = [TaskRouterRefused("no such Activity")]
    rejecting_world.clock.now = NOW + 40_000

    with pytest.raises(SweepFailed):
        rejecting_world.sweep()
    statuses = Counter(rejecting_world.record(remote).status for remote in remotes)
    assert statuses == {Status.REJECTED: 19, Status.PENDING: 1}


def test_throttled_rejection_is_left_to_next_sweep_without_failure(
    rejecting_world: World,
) -> None:
    remote = rejecting_world.taskrouter.add()
    rejecting_world.assign(remote)
    rejecting_world.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    rejecting_world.clock.now = NOW + 40_000

    report = rejecting_world.sweep()
    assert (report["left"], report["ok"]) == (1, True)
    rejecting_world.clock.now += 60_000
    assert rejecting_world.sweep()["rejected"] == 1


def test_throttled_accept_does_not_prevent_rejection(rejecting_world: World) -> None:
    remote = rejecting_world.taskrouter.add()
    rejecting_world.assign(remote)
    rejecting_world.clock.now = NOW + 41_000
    rejecting_world.taskrouter.fail_before["update"] = [TaskRouterThrottled("429")]
    with pytest.raises(Unsettled):
        rejecting_world.accept(remote)

    rejecting_world.clock.now += 60_000
    assert rejecting_world.sweep()["rejected"] == 1


def test_reservation_stuck_in_wrapping_is_completed(
    wrapping_reservation: tuple[World, RemoteReservation],
) -> None:
    world, remote = wrapping_reservation

    world.clock.now += 299_999
    assert world.sweep()["due"] == 0
    world.clock.now += 1
    assert world.sweep()["completed"] == 1
    assert world.record(remote).status is Status.COMPLETED


def test_long_wrap_up_is_completed_at_its_limit(world: World) -> None:
    world.deadlines = replace(DEADLINES, max_wrapup=1_200)
    remote = world.taskrouter.add(Status.WRAPPING)
    world.event(remote, Status.WRAPPING)

    world.clock.now += 900_000
    assert world.sweep()["unchanged"] == 1
    world.clock.now += 300_000
    assert world.sweep()["completed"] == 1


def test_late_wrap_up_event_keeps_claim_to_complete(
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
    world.taskrouter.set_status(accepted.reservation_sid, Status.COMPLETED)
    world.clock.now += 30_000
    world.sweep()
    assert world.record(accepted).status is Status.COMPLETED


def test_wrapping_reservation_is_not_completed_by_default(world: World) -> None:
    remote = world.taskrouter.add(Status.WRAPPING)
    world.event(remote, Status.WRAPPING)
    world.clock.now += 10 * 3_600_000

    assert world.sweep()["unchanged"] == 1
    assert world.taskrouter.calls["update"] == 0
