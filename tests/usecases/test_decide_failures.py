"""Decisions whose Reservation is missing, ringing or not recorded, or whose status is unknown."""

import pytest

from chalicelib.domain.errors import (
    ReservationGone,
    ReservationNotPending,
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterUnavailable,
    Unsettled,
)
from chalicelib.domain.instructions import Dequeue
from chalicelib.domain.reservations import RemoteReservation, Status
from tests.usecases.conftest import Service


@pytest.fixture
def pending(service: Service) -> RemoteReservation:
    remote = service.taskrouter.add()
    service.assign(remote)
    return remote


def test_ringing_reservation_cannot_be_completed(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote, Dequeue())
    with pytest.raises(ReservationNotPending, match=r"^The Reservation's status is pending\.$"):
        service.decide(remote, Status.COMPLETED)
    assert service.taskrouter.calls["update"] == 0


def test_note_explains_why_a_reservation_is_recorded_as_gone(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.remove(pending.reservation_sid)
    with pytest.raises(ReservationGone, match=r"^TaskRouter no longer has this Reservation\.$"):
        service.accept(pending)
    last = service.record(pending).history[-1]
    assert (last.to, last.by, last.note) == (
        Status.GONE,
        "supervisor:ann",
        "TaskRouter returned 404",
    )
    assert service.taskrouter.calls == {"update": 1, "workspace": 1}


@pytest.mark.parametrize("error", [TaskRouterUnavailable("500"), TaskRouterDenied("401")])
def test_outcome_is_unknown_if_the_status_cannot_be_fetched_after_a_refusal(
    service: Service, pending: RemoteReservation, error: TaskRouterError
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterRefused("no")]
    service.taskrouter.fail_before["fetch"] = [error]
    with pytest.raises(Unsettled) as raised:
        service.accept(pending)
    assert raised.value.retry_after == 30
    assert service.record(pending).claim is not None


def test_refused_reservation_that_is_missing_is_reported_as_gone(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterRefused("no")]
    service.taskrouter.fail_before["fetch"] = [TaskRouterNotFound("404")]
    with pytest.raises(ReservationGone):
        service.accept(pending)
    assert service.record(pending).status is Status.GONE


def test_reservation_that_cannot_be_recorded_yet_can_be_retried_after_a_second(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = service.taskrouter.add()
    monkeypatch.setattr(service.store, "create_record", lambda *_arguments, **_options: False)
    with pytest.raises(Unsettled, match=r"^The Reservation is not recorded yet\. ") as raised:
        service.accept(remote, task_sid=remote.task_sid)
    assert raised.value.retry_after == 1
    assert service.taskrouter.calls == {"fetch": 1}
