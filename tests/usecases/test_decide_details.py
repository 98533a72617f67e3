"""The records, messages and retry times of decisions in edge cases."""

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.domain.errors import (
    OutcomeUnknown,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotSent,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Call, Dequeue, Instruction
from chalicelib.domain.reservations import Claim, RemoteReservation, Status
from chalicelib.usecases.decide import Decision, decide
from tests.support import DEADLINES, NOW
from tests.usecases.conftest import SUPERVISOR, Service

DEQUEUE = Dequeue(from_="+15556667777")
CALL = Call(from_="+15556667777", url="https://desk.example/twiml")
NOT_KNOWN = (
    "The outcome is not known yet. Fetch the Reservation to see its status, or retry in {} s."
)
WRAP_UP_MS = 600_000


@pytest.fixture
def wrapping(service: Service, pending: RemoteReservation) -> RemoteReservation:
    service.accept(pending)
    service.clock.now += 60_000
    service.taskrouter.set_status(pending.reservation_sid, Status.WRAPPING)
    service.post_event(pending, Status.WRAPPING)
    service.clock.now += 60_000
    return pending


def fail(*_arguments: object, **_options: object) -> Any:
    raise StoreUnavailable("DynamoDB is down")


def due_at(service: Service, remote: RemoteReservation) -> int:
    """Return when (epoch ms) the sweep checks the Reservation next."""
    status = service.record(remote).status
    (due,) = service.store.due_reservations(status, now=service.clock.now + 10**9)
    return due.due_at


def claim_for(service: Service, remote: RemoteReservation, target: Status) -> Claim:
    """Claim the Reservation for another request."""
    claim = Claim(
        until=service.clock.now + 30_000, target=target, claim_id="other", by="supervisor:bob"
    )
    service.store.claim(
        remote.reservation_sid, claim, now=service.clock.now, worker_sid=None, task_sid=None
    )
    return claim


@pytest.mark.parametrize("target", [Status.ACCEPTED, Status.REJECTED])
@pytest.mark.parametrize("with_task", [True, False])
def test_error_after_waiting_for_another_request_states_when_its_claim_expires(
    service: Service, pending: RemoteReservation, target: Status, *, with_task: bool
) -> None:
    claim_for(service, pending, target)
    task_sid = pending.task_sid if with_task else None
    with pytest.raises(OutcomeUnknown) as raised:
        service.decide(pending, target, task_sid=task_sid)
    assert raised.value.message == NOT_KNOWN.format(27)
    assert service.clock.now == NOW + 3_000
    assert not service.taskrouter.calls


def test_error_about_a_concurrent_request_states_the_status_that_is_being_set(
    service: Service, pending: RemoteReservation
) -> None:
    claim_for(service, pending, Status.ACCEPTED)
    with pytest.raises(ReservationNotPending) as raised:
        service.reject(pending)
    message = "Another request is changing the Reservation's status to accepted."
    assert (raised.value.message, raised.value.details) == (
        message,
        {"reservation_status": "pending"},
    )
    assert service.clock.now == NOW


def test_request_that_waited_until_a_claim_expired_may_be_retried_after_a_second(
    service: Service, pending: RemoteReservation
) -> None:
    claim_for(service, pending, Status.ACCEPTED)
    service.clock.now += 28_500
    with pytest.raises(OutcomeUnknown) as raised:
        service.accept(pending)
    assert raised.value.message == NOT_KNOWN.format(1)
    assert service.clock.now == NOW + 30_000


def test_request_waits_even_if_the_record_disappears(
    service: Service, pending: RemoteReservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_for(service, pending, Status.ACCEPTED)
    monkeypatch.setattr(service.store, "get", lambda _sid: None)
    with pytest.raises(OutcomeUnknown) as raised:
        service.accept(pending)
    assert raised.value.retry_after == 27


@pytest.mark.parametrize("with_task", [True, False])
def test_repeated_accept_succeeds_with_or_without_the_task_sid(
    service: Service, pending: RemoteReservation, *, with_task: bool
) -> None:
    service.accept(pending)
    task_sid = pending.task_sid if with_task else None
    assert service.accept(pending, task_sid=task_sid).status is Status.ACCEPTED
    assert service.taskrouter.calls == {"update": 1}


@pytest.mark.parametrize("record", ["missing", "unclaimed", "claimed by another request"])
def test_claim_that_was_not_written_is_not_used(
    service: Service, record: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = service.taskrouter.add()
    if record != "missing":
        service.assign(remote)
    if record == "claimed by another request":
        claim_for(service, remote, Status.ACCEPTED)
    monkeypatch.setattr(service.store, "claim", fail)
    with pytest.raises(StoreUnavailable):
        service.accept(remote, task_sid=remote.task_sid)
    assert not service.taskrouter.calls


@pytest.mark.parametrize(
    ("age", "fetches", "claims"), [(2_999, 1, 1), (3_000, 0, 1), (2_000, 1, 1), (1_999, 1, 2)]
)
def test_unrecorded_reservation_is_fetched_and_claimed_only_within_three_seconds(
    service: Service, monkeypatch: pytest.MonkeyPatch, age: int, fetches: int, claims: int
) -> None:
    """The fetch takes a second."""
    remote = service.taskrouter.add()
    claimed, claim = [], service.store.claim

    def claim_and_count(*arguments: Any, **options: Any) -> Any:
        claimed.append(arguments)
        return claim(*arguments, **options)

    def delay(verb: str) -> None:
        service.clock.now += 1_000 if verb == "fetch" else 0

    monkeypatch.setattr(service.store, "claim", claim_and_count)
    service.taskrouter.when_called = delay
    decision = Decision(
        Status.ACCEPTED, remote.reservation_sid, SUPERVISOR, task_sid=remote.task_sid
    )
    is_late = claims == 1
    if is_late:
        with pytest.raises(TaskRouterNotSent):
            decide(decision, service.collaborators, started=NOW - age)
    else:
        decide(decision, service.collaborators, started=NOW - age)
    assert (service.taskrouter.calls["fetch"], len(claimed)) == (fetches, claims)
    assert service.taskrouter.calls["update"] == (0 if is_late else 1)


def test_record_of_a_fetched_reservation_names_the_caller(service: Service) -> None:
    remote = service.taskrouter.add()
    service.accept(remote, task_sid=remote.task_sid)
    assert [(entry.to, entry.by, entry.note) for entry in service.record(remote).history] == [
        (Status.PENDING, "supervisor:ann", "no callback received"),
        (Status.ACCEPTED, "supervisor:ann", None),
    ]


@pytest.mark.parametrize(
    ("instruction", "by", "acceptor"),
    [
        (None, "supervisor:ann", "supervisor:ann"),
        (DEQUEUE, "supervisor:ann", "supervisor:ann"),
        (CALL, "fetch", "fetch"),
    ],
)
def test_status_in_the_response_is_recorded_with_its_source(
    service: Service,
    pending: RemoteReservation,
    instruction: Instruction | None,
    by: str,
    acceptor: str,
) -> None:
    service.taskrouter.answers_calls = True
    accepted = service.accept(pending, instruction=instruction)
    record = service.record(pending)
    assert (accepted.status, accepted.worker_name) == (Status.ACCEPTED, "Alice")
    assert (record.history[-1].to, record.history[-1].by) == (Status.ACCEPTED, by)
    assert (record.accepted_by, record.worker_name) == (acceptor, "Alice")
    assert due_at(service, pending) == NOW + 15 * 60_000


@pytest.mark.parametrize("instruction", [None, DEQUEUE])
def test_status_is_returned_even_if_it_cannot_be_recorded(
    service: Service,
    pending: RemoteReservation,
    monkeypatch: pytest.MonkeyPatch,
    instruction: Instruction | None,
) -> None:
    service.taskrouter.answers_calls = True
    monkeypatch.setattr(service.store, "record_status", fail)
    accepted = service.accept(pending, instruction=instruction)
    assert (accepted.status, accepted.worker_name) == (Status.ACCEPTED, "Alice")


def test_effect_of_an_instruction_is_checked_after_15_seconds(
    service: Service, pending: RemoteReservation
) -> None:
    sent = service.accept(pending, instruction=DEQUEUE).instruction_sent
    assert sent == service.record(pending).instruction_sent
    assert sent is not None
    assert (sent.instruction, sent.by, sent.is_confirmed) == (
        DEQUEUE.answer,
        "supervisor:ann",
        True,
    )
    assert due_at(service, pending) == NOW + 15_000


@pytest.mark.parametrize(
    ("failure", "retry_after"),
    [
        (TaskRouterDenied("401"), None),
        (TaskRouterNotSent("refused"), 30),
        (TaskRouterThrottled("429"), 30),
    ],
)
def test_retry_must_wait_until_the_lease_expires_if_a_claim_cannot_be_released(
    service: Service,
    pending: RemoteReservation,
    monkeypatch: pytest.MonkeyPatch,
    failure: TaskRouterError,
    retry_after: int | None,
) -> None:
    """If TaskRouter rejects the credentials, a retry is useless, so `retry_after` is None."""
    service.taskrouter.fail_before["update"] = [failure]
    monkeypatch.setattr(service.store, "release_claim", fail)
    with pytest.raises(type(failure)) as raised:
        service.accept(pending)
    assert raised.value.retry_after == retry_after


@pytest.mark.parametrize(
    ("target", "acceptor"), [(Status.ACCEPTED, "supervisor:ann"), (Status.REJECTED, "sweep")]
)
def test_only_a_request_to_accept_makes_its_caller_the_acceptor(
    service: Service, pending: RemoteReservation, target: Status, acceptor: str
) -> None:
    service.taskrouter.fail_before["update"] = [TaskRouterUnavailable("lost")]
    with pytest.raises(OutcomeUnknown):
        service.decide(pending, target)
    service.taskrouter.set_status(pending.reservation_sid, Status.ACCEPTED)
    service.clock.now += 30_000
    service.sweep()
    assert service.record(pending).accepted_by == acceptor


def test_outcome_of_a_completion_is_unknown_if_the_reservation_is_wrapping(
    service: Service, pending: RemoteReservation
) -> None:
    service.accept(pending)
    service.taskrouter.set_status(pending.reservation_sid, Status.WRAPPING)
    service.taskrouter.fail_before["update"] = [TaskRouterUnavailable("lost")]
    with pytest.raises(OutcomeUnknown) as raised:
        service.decide(pending, Status.COMPLETED)
    assert raised.value.message == NOT_KNOWN.format(30)
    assert service.record(pending).status is Status.WRAPPING


@pytest.mark.parametrize(
    ("max_wrapup", "expected"),
    [
        (None, NOW + 120_000 + 15 * 60_000),
        (WRAP_UP_MS // 1000, NOW + 60_000 + WRAP_UP_MS),
        (3600, NOW + 120_000 + 15 * 60_000),
    ],
)
def test_wrapping_reservation_is_checked_no_later_than_its_limit_if_the_completion_was_not_sent(
    service: Service, wrapping: RemoteReservation, max_wrapup: int | None, expected: int
) -> None:
    service.deadlines = replace(DEADLINES, max_wrapup=max_wrapup)
    service.taskrouter.fail_before["update"] = [TaskRouterNotSent("refused")]
    with pytest.raises(TaskRouterNotSent):
        service.decide(wrapping, Status.COMPLETED)
    assert service.record(wrapping).claim is None
    assert due_at(service, wrapping) == expected
