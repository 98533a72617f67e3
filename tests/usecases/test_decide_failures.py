"""Decisions on missing or unrecorded Reservations, decisions while a phone rings, and failures."""

from typing import Any

import pytest

from chalicelib.domain.errors import (
    OutcomeUnknown,
    ReservationGone,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Dequeue, Instruction
from chalicelib.domain.reservations import RemoteReservation, Status
from tests.usecases.conftest import Service


def test_reservation_cannot_be_completed_while_phone_rings(service: Service) -> None:
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
def test_outcome_is_unknown_if_the_status_cannot_be_fetched_after_a_refused_request(
    service: Service, pending: RemoteReservation, error: TaskRouterError
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterRefused("no")]
    service.taskrouter.fail_before["fetch"] = [error]
    with pytest.raises(OutcomeUnknown) as raised:
        service.accept(pending)
    assert raised.value.retry_after == 30
    assert service.record(pending).claim is not None


def test_reservation_that_is_missing_after_a_refused_request_is_reported_as_gone(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterRefused("no")]
    service.taskrouter.fail_before["fetch"] = [TaskRouterNotFound("404")]
    with pytest.raises(ReservationGone):
        service.accept(pending)
    assert service.record(pending).status is Status.GONE


def test_accept_can_be_retried_after_a_second_if_the_reservation_cannot_be_recorded_yet(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = service.taskrouter.add()
    monkeypatch.setattr(service.store, "create_record", lambda *_arguments, **_options: False)
    with pytest.raises(OutcomeUnknown, match=r"^The Reservation is not recorded yet\. ") as raised:
        service.accept(remote, task_sid=remote.task_sid)
    assert raised.value.retry_after == 1
    assert service.taskrouter.calls == {"fetch": 1}


def lose_responses(
    service: Service, monkeypatch: pytest.MonkeyPatch, operations: dict[str, bool]
) -> None:
    """Make each store operation fail once, after (True) or before (False) it takes effect."""

    def lose_response(name: str, *, is_executed: bool) -> None:
        operation = getattr(service.store, name)

        def fail(*args: Any, **options: Any) -> None:
            monkeypatch.setattr(service.store, name, operation)
            if is_executed:
                operation(*args, **options)
            raise StoreUnavailable(f"{name} failed. Retry.")

        monkeypatch.setattr(service.store, name, fail)

    for name, is_executed in operations.items():
        lose_response(name, is_executed=is_executed)


DECISIONS = [(Status.ACCEPTED, None), (Status.ACCEPTED, Dequeue()), (Status.REJECTED, None)]


@pytest.mark.parametrize(("target", "instruction"), DECISIONS)
@pytest.mark.parametrize("is_claimed", [True, False])
def test_claim_with_an_unknown_outcome_is_released_if_the_record_cannot_be_read(
    service: Service,
    pending: RemoteReservation,
    monkeypatch: pytest.MonkeyPatch,
    target: Status,
    instruction: Instruction | None,
    *,
    is_claimed: bool,
) -> None:
    lose_responses(service, monkeypatch, {"claim": is_claimed, "get": False})
    with pytest.raises(StoreUnavailable, match=r"^claim failed\. Retry\.$") as raised:
        service.decide(pending, target, instruction=instruction)
    assert raised.value.retry_after == 1
    record = service.record(pending)
    assert (record.claim, record.instruction_sent, record.accepted_by) == (None, None, None)
    assert service.taskrouter.calls == {}

    service.decide(pending, target, instruction=instruction)
    assert service.taskrouter.calls == {"instruct" if instruction else "update": 1}


def test_retry_must_wait_until_the_lease_expires_if_an_unused_claim_cannot_be_released(
    service: Service, pending: RemoteReservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_responses(service, monkeypatch, {"claim": True, "get": False, "release_claim": False})
    with pytest.raises(StoreUnavailable, match=r"^claim failed\. Retry\.$") as raised:
        service.accept(pending)
    assert raised.value.retry_after == 30
    service.clock.now += 30_000
    assert service.accept(pending).status is Status.ACCEPTED


def test_release_of_an_unused_claim_does_not_change_accepted_by(
    service: Service, pending: RemoteReservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.accept(pending)
    lose_responses(service, monkeypatch, {"claim": False, "get": False})
    with pytest.raises(StoreUnavailable):
        service.accept(pending)
    assert service.record(pending).accepted_by == "supervisor:ann"
