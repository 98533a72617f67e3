"""The sweep corrects the record after an interrupted decision, once the lease has expired."""

import pytest

from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.reservations import Status, StatusUpdate
from tests.usecases.conftest import Service


class Killed(BaseException):
    """Simulates SIGKILL. Derives from BaseException so that no handler catches it."""


def kill(*_args: object, **_kwargs: object) -> None:
    raise Killed


@pytest.mark.parametrize("target", [Status.ACCEPTED, Status.REJECTED])
@pytest.mark.parametrize("crash_point", ["before update", "after update"])
def test_sweep_corrects_record_after_crash_during_decision(
    service: Service, monkeypatch: pytest.MonkeyPatch, target: Status, crash_point: str
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote)
    with monkeypatch.context() as patch:
        if crash_point == "before update":
            service.taskrouter.when_called = kill
        else:
            patch.setattr(service.store, "record_status", kill)
        with pytest.raises(Killed):
            service.decide(remote, target)
    service.taskrouter.when_called = lambda _verb: None

    service.clock.now += 30_000
    service.sweep()

    actual = service.taskrouter.reservations[remote.reservation_sid].status
    record = service.record(remote)
    assert (record.status, record.claim) == (actual, None)
    assert service.decide(remote, target).status is target
    assert service.taskrouter.calls["update"] == (2 if crash_point == "before update" else 1)


def test_caller_gets_outcome_and_sweep_corrects_record_if_recording_fails(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_to_record(_sid: str, _update: StatusUpdate) -> None:
        raise StoreUnavailable("DynamoDB is down")

    remote = service.taskrouter.add()
    service.assign(remote)
    with monkeypatch.context() as patch:
        patch.setattr(service.store, "record_status", fail_to_record)
        assert service.accept(remote).status is Status.ACCEPTED
    assert service.record(remote).status is Status.PENDING

    service.clock.now += 30_000
    service.sweep()
    record = service.record(remote)
    assert (record.status, record.accepted_by) == (Status.ACCEPTED, "supervisor:ann")
