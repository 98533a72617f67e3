"""Responses report an instruction as sent only if the service knows that it was sent.

In most tests, another client accepts the Reservation while the request with the instruction is in
progress. The event that reports the acceptance removes the request's claim.
"""

import pytest

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import (
    OutcomeUnknown,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotSent,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Call, Conference, Dequeue, Instruction
from chalicelib.domain.reservations import RemoteReservation, Reservation, Status
from tests.usecases.conftest import Service

FROM, URL = "+15556667777", "https://desk.example/twiml"
INSTRUCTIONS = [
    Conference(from_=FROM),
    Dequeue(from_=FROM),
    Call(from_=FROM, url=URL, accept=True),
    Call(from_=FROM, url=URL),
]
NOT_EXECUTED: list[TaskRouterError] = [
    TaskRouterDenied("401"),
    TaskRouterNotSent("The connection was refused. Retry."),
    TaskRouterRefused("40140"),
    TaskRouterThrottled("429"),
]
UNKNOWN = "The instruction may have been sent, but its outcome is not known."
ANN, BOB = (Principal(Role.SUPERVISOR, identity=name) for name in ("ann", "bob"))

with_every_instruction = pytest.mark.parametrize(
    "instruction",
    INSTRUCTIONS,
    ids=["conference", "dequeue", "call with accept", "call"],
)


def instruct(
    service: Service,
    remote: RemoteReservation,
    instruction: Instruction,
    principal: Principal = ANN,
) -> Reservation:
    return service.accept(remote, instruction=instruction, principal=principal)


def accept_elsewhere(
    service: Service,
    remote: RemoteReservation,
    during: str = "instruct",
    statuses: tuple[Status, ...] = (Status.ACCEPTED,),
) -> None:
    """Make another client accept the Reservation during a request, such as "fetch"."""

    def accept(verb: str) -> None:
        if verb == during:
            service.taskrouter.when_called = lambda _verb: None
            for status in statuses:
                service.taskrouter.set_status(remote.reservation_sid, status)
                service.post_event(remote, status)

    service.taskrouter.when_called = accept


@with_every_instruction
@pytest.mark.parametrize(
    "statuses",
    [
        (Status.ACCEPTED,),
        (Status.WRAPPING,),
        (Status.ACCEPTED, Status.WRAPPING),
        (Status.ACCEPTED, Status.COMPLETED),
    ],
)
@pytest.mark.parametrize("failure", NOT_EXECUTED, ids=lambda failure: failure.code)
def test_instruction_that_was_not_executed_is_not_recorded(
    service: Service,
    pending: RemoteReservation,
    instruction: Instruction,
    statuses: tuple[Status, ...],
    failure: TaskRouterError,
) -> None:
    service.taskrouter.fail_before["instruct"] = [failure]
    accept_elsewhere(service, pending, statuses=statuses)

    expected = ReservationNotPending if isinstance(failure, TaskRouterRefused) else type(failure)
    with pytest.raises(expected):
        instruct(service, pending, instruction)
    for principal in (ANN, BOB):
        with pytest.raises(ReservationNotPending) as repeated:
            instruct(service, pending, instruction, principal)
        assert repeated.value.message == f"The Reservation's status is {statuses[-1]}."
    record = service.record(pending)
    assert (record.instruction_sent, record.accepted_by) == (None, "event")
    assert service.taskrouter.instructions == []


@with_every_instruction
@pytest.mark.parametrize("moment", ["fail_before", "fail_after"])
@pytest.mark.parametrize("during", ["instruct", "fetch", "no request"])
@pytest.mark.parametrize("with_event", [True, False])
def test_accept_by_another_client_does_not_prove_that_an_instruction_was_sent(
    service: Service,
    pending: RemoteReservation,
    instruction: Instruction,
    moment: str,
    during: str,
    *,
    with_event: bool,
) -> None:
    """The request or its response is lost."""
    if moment == "fail_after" and during == "instruct":
        during = "fetch"  # TaskRouter would refuse the instruction
    getattr(service.taskrouter, moment)["instruct"] = [TaskRouterUnavailable("lost")]
    accept_elsewhere(service, pending, during)
    if not with_event:
        service.post_event = lambda *_arguments: True  # type: ignore[method-assign]

    if during == "no request":
        with pytest.raises(OutcomeUnknown, match=UNKNOWN):
            instruct(service, pending, instruction)
        service.taskrouter.when_called("no request")
        service.clock.now += 31_000
        service.sweep()
    for principal in (ANN, ANN, BOB):
        with pytest.raises(ReservationNotPending) as raised:
            instruct(service, pending, instruction, principal)
        assert raised.value.message == f"The Reservation's status is accepted. {UNKNOWN}"
    record = service.record(pending)
    assert record.accepted_by in {"event", "fetch", "sweep"}


@with_every_instruction
def test_plain_accept_by_the_sender_does_not_prove_that_the_instruction_was_sent(
    service: Service, pending: RemoteReservation, instruction: Instruction
) -> None:
    service.taskrouter.fail_before["instruct"] = [TaskRouterUnavailable("lost")]
    with pytest.raises(OutcomeUnknown, match=UNKNOWN):
        instruct(service, pending, instruction)
    service.clock.now += 30_000
    assert service.accept(pending, principal=ANN).accepted_by == "supervisor:ann"

    with pytest.raises(ReservationNotPending, match=UNKNOWN):
        instruct(service, pending, instruction)


@with_every_instruction
@pytest.mark.parametrize("statuses", [(Status.ACCEPTED,), (Status.ACCEPTED, Status.COMPLETED)])
def test_confirmed_instruction_is_reported_as_sent_even_if_another_client_accepts(
    service: Service,
    pending: RemoteReservation,
    instruction: Instruction,
    statuses: tuple[Status, ...],
) -> None:
    """The event is recorded before TaskRouter's response to the instruction arrives."""
    send = service.taskrouter.send_instruction

    def send_and_post_events(*arguments: object, **options: object) -> RemoteReservation:
        response = send(*arguments, **options)  # type: ignore[arg-type]
        accept_elsewhere(service, pending, "response", statuses)
        service.taskrouter.when_called("response")
        return response

    service.taskrouter.send_instruction = send_and_post_events  # type: ignore[method-assign]
    instruct(service, pending, instruction)

    assert instruct(service, pending, instruction).status is statuses[-1]
    record = service.record(pending)
    assert record.instruction_sent is not None
    assert record.instruction_sent.is_confirmed
    accepts = instruction is not INSTRUCTIONS[-1]
    assert record.accepted_by == ("supervisor:ann" if accepts else "event")


@with_every_instruction
def test_instruction_is_confirmed_if_the_response_shows_the_status_accepted(
    service: Service, pending: RemoteReservation, instruction: Instruction
) -> None:
    service.taskrouter.answers_calls = True
    for _ in range(2):
        assert instruct(service, pending, instruction).status is Status.ACCEPTED
    assert len(service.taskrouter.instructions) == 1


def fail(*_arguments: object, **_options: object) -> None:
    raise StoreUnavailable("DynamoDB is down")


@pytest.mark.parametrize("failure", NOT_EXECUTED, ids=lambda failure: failure.code)
def test_instruction_whose_record_cannot_be_removed_is_not_reported_as_sent(
    service: Service,
    pending: RemoteReservation,
    failure: TaskRouterError,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.taskrouter.fail_before["instruct"] = [failure]
    accept_elsewhere(service, pending)
    with monkeypatch.context() as patch:
        patch.setattr(service.store, "release_claim", fail)
        with pytest.raises((type(failure), ReservationNotPending)):
            instruct(service, pending, INSTRUCTIONS[0])
    with pytest.raises(ReservationNotPending, match=UNKNOWN):
        instruct(service, pending, INSTRUCTIONS[0])
    assert service.record(pending).accepted_by == "event"


def test_only_a_repeated_request_has_an_unknown_outcome_if_the_confirmation_is_not_recorded(
    service: Service, pending: RemoteReservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.taskrouter.answers_calls = True
    with monkeypatch.context() as patch:
        patch.setattr(service.store, "confirm_sent", fail)
        assert instruct(service, pending, INSTRUCTIONS[0]).status is Status.ACCEPTED
    with pytest.raises(ReservationNotPending, match=UNKNOWN):
        instruct(service, pending, INSTRUCTIONS[0])


def test_refused_instruction_is_removed_even_if_the_status_cannot_be_fetched(
    service: Service, pending: RemoteReservation
) -> None:
    service.taskrouter.fail_before["instruct"] = [TaskRouterRefused("40140")]
    service.taskrouter.fail_before["fetch"] = [TaskRouterUnavailable("lost")]
    with pytest.raises(TaskRouterRefused):
        instruct(service, pending, INSTRUCTIONS[0])
    record = service.record(pending)
    assert (record.instruction_sent, record.claim) == (None, None)

    instruct(service, pending, INSTRUCTIONS[0])
    assert service.taskrouter.instructions == [INSTRUCTIONS[0]]


@pytest.mark.parametrize("failure", NOT_EXECUTED[1::2], ids=lambda failure: failure.code)
def test_caller_whose_plain_accept_was_not_processed_is_not_the_acceptor(
    service: Service, pending: RemoteReservation, failure: TaskRouterError
) -> None:
    service.taskrouter.fail_before["update"] = [failure]
    accept_elsewhere(service, pending, "update")

    with pytest.raises(type(failure)):
        service.accept(pending)
    assert service.accept(pending).accepted_by == "event"
