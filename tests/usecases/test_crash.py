"""A process that dies between two outside calls: a lease and a sweep later all is right."""

import pytest

from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.reservations import Status, StatusUpdate
from tests.usecases.conftest import World


class Killed(BaseException):
    """Not an Exception: nothing may catch it, as nothing catches SIGKILL."""


def killed(*_given: object, **_named: object) -> None:
    raise Killed


@pytest.mark.parametrize("target", [Status.ACCEPTED, Status.REJECTED])
@pytest.mark.parametrize("point", ["before TaskRouter", "after TaskRouter"])
def test_killed_while_deciding(
    world: World, monkeypatch: pytest.MonkeyPatch, target: Status, point: str
) -> None:
    seen = world.taskrouter.add()
    world.assign(seen)
    with monkeypatch.context() as patch:
        if point == "before TaskRouter":
            world.taskrouter.when_called = killed
        else:
            patch.setattr(world.store, "record_status", killed)
        with pytest.raises(Killed):
            world.decide(seen, target)
    world.taskrouter.when_called = lambda _verb: None

    world.clock.now += 30_000
    world.sweep()

    truth = world.taskrouter.known[seen.reservation_sid].status
    record = world.record(seen)
    assert (record.status, record.claim) == (truth, None)
    assert world.decide(seen, target).status is target
    assert world.taskrouter.calls["update"] == (2 if point == "before TaskRouter" else 1)


def test_where_the_record_can_not_be_settled_the_caller_still_learns_and_the_sweep_mends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_sid: str, _news: StatusUpdate) -> None:
        raise StoreUnavailable("DynamoDB is down")

    seen = world.taskrouter.add()
    world.assign(seen)
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "record_status", unavailable)
        assert world.accept(seen).status is Status.ACCEPTED
    assert world.record(seen).status is Status.PENDING

    world.clock.now += 30_000
    world.sweep()
    record = world.record(seen)
    assert (record.status, record.accepted_by) == (Status.ACCEPTED, "supervisor:ann")
