"""After a crash between two external calls, a sweep repairs the record once the lease expires."""

import pytest

from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.reservations import Status, StatusUpdate
from tests.usecases.conftest import World


class Killed(BaseException):
    """Simulates SIGKILL. Derives from BaseException, so that no handler catches it."""


def kill(*_args: object, **_kwargs: object) -> None:
    raise Killed


@pytest.mark.parametrize("target", [Status.ACCEPTED, Status.REJECTED])
@pytest.mark.parametrize("crash_point", ["before update", "after update"])
def test_sweep_repairs_record_after_crash_during_decision(
    world: World, monkeypatch: pytest.MonkeyPatch, target: Status, crash_point: str
) -> None:
    remote = world.taskrouter.add()
    world.assign(remote)
    with monkeypatch.context() as patch:
        if crash_point == "before update":
            world.taskrouter.when_called = kill
        else:
            patch.setattr(world.store, "record_status", kill)
        with pytest.raises(Killed):
            world.decide(remote, target)
    world.taskrouter.when_called = lambda _verb: None

    world.clock.now += 30_000
    world.sweep()

    actual = world.taskrouter.reservations[remote.reservation_sid].status
    record = world.record(remote)
    assert (record.status, record.claim) == (actual, None)
    assert world.decide(remote, target).status is target
    assert world.taskrouter.calls["update"] == (2 if crash_point == "before update" else 1)


def test_caller_gets_outcome_and_sweep_repairs_record_if_recording_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_sid: str, _update: StatusUpdate) -> None:
        raise StoreUnavailable("DynamoDB is down")

    remote = world.taskrouter.add()
    world.assign(remote)
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "record_status", unavailable)
        assert world.accept(remote).status is Status.ACCEPTED
    assert world.record(remote).status is Status.PENDING

    world.clock.now += 30_000
    world.sweep()
    record = world.record(remote)
    assert (record.status, record.accepted_by) == (Status.ACCEPTED, "supervisor:ann")
