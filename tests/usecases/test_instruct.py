"""An instruction in an accept request may call a phone, so it is executed at most once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import (
    AppError,
    InstructionAlreadySent,
    OutcomeUnknown,
    ReservationGone,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Accept, Call, Conference, Dequeue, Instruction
from chalicelib.domain.reservations import Claim, RemoteReservation, Reservation, Status
from chalicelib.usecases.sweep import SweepPolicy
from tests.support import DEADLINES, NOW, sid
from tests.usecases.conftest import Service

DEQUEUE = Dequeue(from_="+15556667777", timeout=30)
CALL = Call(from_="+15556667777", url="https://desk.example/twiml")


def instruct(
    service: Service, remote: RemoteReservation, instruction: Instruction = DEQUEUE
) -> Reservation:
    return service.decide(remote, Status.ACCEPTED, instruction=instruction)


def test_instruction_is_sent_and_recorded_with_sender(
    service: Service, pending: RemoteReservation
) -> None:
    assert instruct(service, pending).status is Status.PENDING

    assert service.taskrouter.instructions == [DEQUEUE]
    record = service.record(pending)
    assert record.instruction_sent is not None
    assert record.instruction_sent.instruction == DEQUEUE.answer
    assert record.instruction_sent.by == "supervisor:ann"
    assert record.claim is None
    assert service.taskrouter.calls["update"] == 0


def test_immediately_answered_call_accepts_reservation(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.answers_calls = True

    assert instruct(service, pending).status is Status.ACCEPTED
    assert service.record(pending).accepted_by == "supervisor:ann"


@pytest.mark.parametrize("current", [Status.PENDING, Status.ACCEPTED, Status.COMPLETED])
def test_repeated_instruction_returns_current_status_and_is_not_sent_again(
    service: Service, pending: RemoteReservation, current: Status
) -> None:
    instruct(service, pending)
    service.taskrouter.set_status(pending.reservation_sid, current)
    service.post_event(pending, current)

    assert instruct(service, pending).status is current
    assert len(service.taskrouter.instructions) == 1


def test_different_second_instruction_is_refused(
    service: Service, pending: RemoteReservation
) -> None:
    instruct(service, pending)

    with pytest.raises(InstructionAlreadySent, match="dequeue instruction was already sent"):
        instruct(service, pending, CALL)
    assert service.taskrouter.instructions == [DEQUEUE]


def test_instruction_in_callback_answer_is_not_sent_again(service: Service) -> None:
    remote = service.taskrouter.add()
    service.assign(remote, DEQUEUE)

    with pytest.raises(OutcomeUnknown, match="may have been sent") as raised:
        instruct(service, remote)
    assert raised.value.retry_after == 15
    with pytest.raises(InstructionAlreadySent, match="may already have been sent"):
        instruct(service, remote, CALL)
    assert service.taskrouter.instructions == []
    assert service.accept(remote).status is Status.ACCEPTED


def test_callback_after_sent_instruction_is_deferred(service: Service) -> None:
    remote = service.taskrouter.add()
    service.decide(remote, Status.ACCEPTED, instruction=CALL, task_sid=remote.task_sid)

    assert service.assign(remote, DEQUEUE) == {}
    record = service.record(remote)
    assert (record.answer, record.status) == ({}, Status.PENDING)
    assert record.callback is not None


def test_instruction_in_concurrent_requests_is_sent_once(
    service: Service, pending: RemoteReservation
) -> None:
    before = service.clock.now

    def instruct_concurrently(verb: str) -> None:
        if verb == "instruct":
            with pytest.raises(
                OutcomeUnknown, match="may have been sent.* after 27 s. Retry in 27 s"
            ):
                instruct(service, pending)
            assert service.clock.now == before + 3_000

    service.taskrouter.when_called = instruct_concurrently
    assert instruct(service, pending).status is Status.PENDING

    assert instruct(service, pending).status is Status.PENDING
    assert len(service.taskrouter.instructions) == 1


@pytest.mark.parametrize("is_sent", [True, False])
def test_concurrent_request_returns_the_status_only_if_the_instruction_was_sent(
    service: Service, pending: RemoteReservation, *, is_sent: bool
) -> None:
    """The first request ends during the second request's first wait of 100 ms."""
    claim = Claim(
        until=service.clock.now + 30_000,
        target=Status.ACCEPTED,
        claim_id="first",
        by="supervisor:bob",
        instruction=DEQUEUE.answer,
    )
    service.store.claim(
        pending.reservation_sid, claim, now=service.clock.now, worker_sid=None, task_sid=None
    )

    def end_first_request() -> None:
        service.clock.when_sleeping = lambda: None
        if is_sent:
            service.store.confirm_sent(pending.reservation_sid, claim, due_at=NOW)
        else:
            service.store.release_claim(pending.reservation_sid, claim, due_at=NOW, acceptor=None)

    service.clock.when_sleeping = end_first_request
    if is_sent:
        assert instruct(service, pending).status is Status.PENDING
    else:
        with pytest.raises(OutcomeUnknown) as raised:
            instruct(service, pending)
        assert raised.value.retry_after == 1
    assert service.taskrouter.instructions == []


def test_reservation_can_be_accepted_or_rejected_while_phone_rings(
    service: Service, pending: RemoteReservation
) -> None:
    instruct(service, pending, CALL)  # this instruction does not accept the Reservation

    assert service.accept(pending).status is Status.ACCEPTED
    other_reservation = service.taskrouter.add()
    service.assign(other_reservation)
    instruct(service, other_reservation, CALL)
    assert service.reject(other_reservation).status is Status.REJECTED


@pytest.mark.parametrize(
    "failure",
    [
        TaskRouterRefused("40140"),
        TaskRouterThrottled("429"),
        TaskRouterDenied("401"),
        TaskRouterNotSent("refused"),
    ],
    ids=lambda error: error.code,
)
def test_different_instruction_can_be_sent_if_first_was_not_executed(
    service: Service, pending: RemoteReservation, failure: AppError
) -> None:
    service.taskrouter.fail_before["instruct"] = [failure]
    with pytest.raises((type(failure), OutcomeUnknown)):
        instruct(service, pending)
    record = service.record(pending)
    assert (record.instruction_sent, record.claim, record.accepted_by) == (None, None, None)

    instruct(service, pending, CALL)
    assert service.taskrouter.instructions == [CALL]


@pytest.mark.parametrize("moment", ["fail_before", "fail_after"])
def test_instruction_that_may_have_been_executed_is_not_sent_again(
    service: Service, pending: RemoteReservation, moment: str
) -> None:
    getattr(service.taskrouter, moment)["instruct"] = [TaskRouterUnavailable("connection lost")]
    # TaskRouter returns the status pending, as it would while a phone rings.
    with pytest.raises(
        OutcomeUnknown, match="may have been sent, but its outcome is not known"
    ) as raised:
        instruct(service, pending)
    assert "The instruction will not be sent again." in raised.value.message
    assert raised.value.message.endswith(" Retry in 30 s.")
    assert raised.value.retry_after == 30

    for _ in range(2):
        service.clock.now += 31_000
        service.sweep()
        with pytest.raises(
            OutcomeUnknown, match="may have been sent, but its outcome is not"
        ) as raised:
            instruct(service, pending)
        assert raised.value.retry_after == 15
    with pytest.raises(InstructionAlreadySent, match="may already have been sent"):
        instruct(service, pending, CALL)
    assert len(service.taskrouter.instructions) == (moment == "fail_after")
    assert service.record(pending).claim is None


def test_instruction_from_a_crashed_process_is_not_reported_as_sent(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_before["instruct"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        instruct(service, pending)
    service.clock.now += 31_000
    with pytest.raises(OutcomeUnknown, match="may have been sent"):
        instruct(service, pending)

    service.accept(pending, principal=Principal(Role.SUPERVISOR, identity="bob"))
    with pytest.raises(ReservationNotPending, match="may have been sent") as raised:
        instruct(service, pending)
    assert raised.value.details == {"reservation_status": "accepted"}


def test_accepted_status_does_not_prove_that_an_instruction_without_response_was_sent(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_after["instruct"] = [TaskRouterUnavailable("connection lost")]
    with pytest.raises(OutcomeUnknown):
        instruct(service, pending)
    service.post_event(pending, Status.ACCEPTED)  # someone answered the call or accepted elsewhere

    with pytest.raises(ReservationNotPending, match="may have been sent"):
        instruct(service, pending)


def test_unsent_instruction_is_not_reported_as_sent_if_its_record_cannot_be_removed(
    service: Service, pending: RemoteReservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.taskrouter.fail_before["instruct"] = [TaskRouterNotSent("It was not sent. Retry.")]

    def fail(*_arguments: object, **_options: object) -> None:
        raise StoreUnavailable("DynamoDB is down")

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "release_claim", fail)
        with pytest.raises(TaskRouterNotSent) as raised:
            instruct(service, pending)
    assert raised.value.retry_after is None
    assert raised.value.message == "It was not sent. Accept without an instruction after 30 s."
    service.clock.now += 30_000
    with pytest.raises(OutcomeUnknown, match="may have been sent"):
        instruct(service, pending)


def test_instruction_recorded_by_an_earlier_version_is_not_reported_as_sent(
    service: Service, pending: RemoteReservation
) -> None:
    instruct(service, pending)
    service.store._client.update_item(
        TableName=service.store._reservations,
        Key={"reservation_sid": {"S": pending.reservation_sid}},
        UpdateExpression="REMOVE instruction_confirmed",
    )
    with pytest.raises(OutcomeUnknown, match="may have been sent"):
        instruct(service, pending)


def test_earlier_versions_can_read_a_confirmed_instruction(
    service: Service, pending: RemoteReservation
) -> None:
    instruct(service, pending)
    item = service.store._client.get_item(
        TableName=service.store._reservations,
        Key={"reservation_sid": {"S": pending.reservation_sid}},
    )["Item"]
    assert item["instruction_sent"]["M"].keys() == {"claim_id", "by", "instruction"}
    assert item["instruction_confirmed"] == {"BOOL": True}


def test_fetched_status_is_recorded_after_lost_response_to_instruction(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.answers_calls = True
    service.taskrouter.fail_after["instruct"] = [TaskRouterUnavailable("connection lost")]

    with pytest.raises(ReservationNotPending, match="may have been sent"):
        instruct(service, pending)
    record = service.record(pending)
    assert (record.status, record.accepted_by) == (Status.ACCEPTED, "fetch")


@pytest.mark.parametrize(
    ("end_reservation", "error"),
    [
        (
            lambda service, remote: service.taskrouter.remove(remote.reservation_sid),
            ReservationGone,
        ),
        (
            lambda service, remote: service.taskrouter.set_status(
                remote.reservation_sid, Status.CANCELED
            ),
            ReservationNotPending,
        ),
    ],
    ids=["gone", "caller hung up"],
)
def test_instruction_for_ended_reservation_is_refused(
    service: Service,
    pending: RemoteReservation,
    end_reservation: Callable[[Service, RemoteReservation], None],
    error: type[AppError],
) -> None:
    end_reservation(service, pending)
    for _ in range(2):
        with pytest.raises(error):
            instruct(service, pending)
    assert service.taskrouter.calls["instruct"] == 1


def test_sweep_records_an_acceptance_that_no_event_reported(
    service: Service, pending: RemoteReservation
) -> None:
    instruct(service, pending)
    service.taskrouter.set_status(pending.reservation_sid, Status.ACCEPTED)

    service.clock.now += 15_000
    assert service.sweep()["mirrored"] == 1
    record = service.record(pending)
    assert (record.status, record.accepted_by) == (Status.ACCEPTED, "supervisor:ann")


def test_sender_of_instruction_is_acceptor_even_if_the_phone_rings_for_45_seconds(
    service: Service, pending: RemoteReservation
) -> None:
    instruct(service, pending)
    for _ in range(3):
        service.clock.now += 15_000
        service.sweep()
    service.post_event(pending, Status.ACCEPTED)

    assert service.record(pending).accepted_by == "supervisor:ann"


def test_sweep_does_not_reject_reservation_while_phone_rings(service: Service) -> None:
    service.deadlines = replace(DEADLINES, reject_after=40)
    service.policy = SweepPolicy(reject_activity_sid=sid("WA"))
    remotes = [service.taskrouter.add() for _ in range(4)]
    sent_with_accept, sent_in_answer, accepted, _deferred = remotes
    instructions: dict[str, Any] = {
        sent_in_answer.reservation_sid: Conference(from_="+15556667777"),
        accepted.reservation_sid: Accept(),
    }
    for remote in remotes:
        service.assign(remote, instructions.get(remote.reservation_sid))
    instruct(service, sent_with_accept)
    service.clock.now += 15_000
    service.sweep()

    service.clock.now += 25_000
    assert service.sweep()["rejected"] == 2
    statuses = [service.record(remote).status for remote in remotes]
    assert statuses == [Status.PENDING, Status.PENDING, Status.REJECTED, Status.REJECTED]


def test_sender_of_a_call_instruction_that_does_not_accept_is_not_the_acceptor(
    service: Service, pending: RemoteReservation
) -> None:
    instruct(service, pending, CALL)
    service.post_event(pending, Status.ACCEPTED)  # the Worker accepted in another client

    assert service.record(pending).accepted_by == "event"


def test_sender_is_not_acceptor_after_lost_response_to_instruction(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_after["instruct"] = [TaskRouterUnavailable("connection lost")]
    with pytest.raises(OutcomeUnknown):
        instruct(service, pending)
    service.clock.now += 31_000
    service.sweep()
    service.post_event(pending, Status.ACCEPTED)  # someone answered the call

    assert service.record(pending).accepted_by == "event"


@pytest.mark.parametrize("with_accept", [True, False], ids=["with accept", "in answer"])
@pytest.mark.parametrize("outcome", ["refused", "unknown"])
def test_failed_accept_while_phone_rings_does_not_change_acceptor(
    service: Service, *, with_accept: bool, outcome: str
) -> None:
    remote = service.taskrouter.add()
    service.assign(remote, None if with_accept else DEQUEUE)
    if with_accept:
        instruct(service, remote)
    worker = Principal(Role.WORKER, worker_sid=remote.worker_sid)
    failure = (
        TaskRouterRefused("not pending")
        if outcome == "refused"
        else TaskRouterUnavailable("connection lost")
    )
    service.taskrouter.fail_before["update"] = [failure]
    with pytest.raises((TaskRouterRefused, OutcomeUnknown)):
        service.accept(remote, principal=worker)
    if outcome == "unknown":
        service.clock.now += 31_000
        service.sweep()
    service.post_event(remote, Status.ACCEPTED)  # someone answered the call

    expected = "supervisor:ann" if with_accept else "assignment_instruction"
    assert service.record(remote).accepted_by == expected


def test_instruction_after_plain_accept_is_refused(
    service: Service, pending: RemoteReservation
) -> None:
    service.accept(pending)

    with pytest.raises(ReservationNotPending) as raised:
        instruct(service, pending)
    assert raised.value.details == {"reservation_status": "accepted"}
    assert service.taskrouter.instructions == []


def test_instruction_refused_after_accept_by_another_client_is_not_recorded_as_sent(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.set_status(pending.reservation_sid, Status.ACCEPTED)  # in another client

    for _ in range(2):
        with pytest.raises(ReservationNotPending):
            instruct(service, pending)
    record = service.record(pending)
    assert (record.status, record.instruction_sent) == (Status.ACCEPTED, None)


def test_claim_is_used_if_dynamodb_wrote_it_but_the_response_was_lost(
    service: Service, pending: RemoteReservation
) -> None:
    claim = service.store.claim

    def write_and_lose_response(*args: Any, **kwargs: Any) -> Any:
        claim(*args, **kwargs)
        raise StoreUnavailable("read timeout")

    service.store.claim = write_and_lose_response  # type: ignore[method-assign]
    assert instruct(service, pending).status is Status.PENDING
    assert service.taskrouter.instructions == [DEQUEUE]
    assert service.record(pending).claim is None


def test_no_instruction_is_sent_if_claim_fails(
    service: Service, pending: RemoteReservation
) -> None:
    claim = service.store.claim

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise StoreUnavailable("throttled")

    service.store.claim = fail  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        instruct(service, pending)
    service.store.claim = claim  # type: ignore[method-assign]
    service.accept(pending)
    assert service.taskrouter.instructions == []


def test_no_instruction_is_sent_if_dynamodb_is_down(
    service: Service, pending: RemoteReservation
) -> None:
    class UnavailableStore:
        def __getattr__(self, _name: str) -> Any:
            raise StoreUnavailable("DynamoDB is down")

    service = replace(service, store=UnavailableStore())  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        instruct(service, pending)
    assert service.taskrouter.instructions == []
