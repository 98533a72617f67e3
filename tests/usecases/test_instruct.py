"""An instruction sent with an accept rings a phone, so it is sent at most once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import (
    AppError,
    InstructionAlreadySent,
    ReservationGone,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
    Unsettled,
)
from chalicelib.domain.instructions import Accept, Call, Conference, Dequeue, Instruction
from chalicelib.domain.reservations import RemoteReservation, Reservation, Status
from chalicelib.usecases.sweep import SweepPolicy
from tests.support import DEADLINES, sid
from tests.usecases.conftest import World

DEQUEUE = Dequeue(from_="+15556667777", timeout=30)
CALL = Call(from_="+15556667777", url="https://desk.example/twiml")


@pytest.fixture
def pending(world: World) -> RemoteReservation:
    remote = world.taskrouter.add()
    world.assign(remote)
    return remote


def instruct(
    world: World, remote: RemoteReservation, instruction: Instruction = DEQUEUE
) -> Reservation:
    return world.decide(remote, Status.ACCEPTED, instruction=instruction)


def test_instruction_is_sent_and_recorded_with_sender(
    world: World, pending: RemoteReservation
) -> None:
    assert instruct(world, pending).status is Status.PENDING

    assert world.taskrouter.instructions == [DEQUEUE]
    record = world.record(pending)
    assert record.instruction_sent is not None
    assert record.instruction_sent.instruction == DEQUEUE.answer
    assert record.instruction_sent.by == "supervisor:ann"
    assert record.claim is None
    assert world.taskrouter.calls["update"] == 0


def test_immediately_answered_call_accepts_reservation(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.answers_calls = True

    assert instruct(world, pending).status is Status.ACCEPTED
    assert world.record(pending).accepted_by == "supervisor:ann"


@pytest.mark.parametrize("current", [Status.PENDING, Status.ACCEPTED, Status.COMPLETED])
def test_repeated_instruction_returns_current_status_and_is_not_sent_again(
    world: World, pending: RemoteReservation, current: Status
) -> None:
    instruct(world, pending)
    world.taskrouter.set_status(pending.reservation_sid, current)
    world.event(pending, current)

    assert instruct(world, pending).status is current
    assert len(world.taskrouter.instructions) == 1


def test_second_different_instruction_is_refused(world: World, pending: RemoteReservation) -> None:
    instruct(world, pending)

    with pytest.raises(InstructionAlreadySent, match="given the instruction dequeue"):
        instruct(world, pending, CALL)
    assert world.taskrouter.instructions == [DEQUEUE]


def test_instruction_in_callback_answer_is_not_sent_again(world: World) -> None:
    remote = world.taskrouter.add()
    world.assign(remote, DEQUEUE)

    assert instruct(world, remote).status is Status.PENDING
    with pytest.raises(InstructionAlreadySent):
        instruct(world, remote, CALL)
    assert world.taskrouter.instructions == []


def test_callback_after_sent_instruction_is_deferred(world: World) -> None:
    remote = world.taskrouter.add()
    world.decide(remote, Status.ACCEPTED, instruction=CALL, task_sid=remote.task_sid)

    assert world.assign(remote, DEQUEUE) == {}
    record = world.record(remote)
    assert (record.answer, record.status) == ({}, Status.PENDING)
    assert record.callback is not None


def test_concurrent_instructions_are_sent_once(world: World, pending: RemoteReservation) -> None:
    answers: list[Reservation] = []

    def instruct_concurrently(verb: str) -> None:
        if verb == "instruct" and not answers:
            answers.append(instruct(world, pending))

    world.taskrouter.when_called = instruct_concurrently
    answers.append(instruct(world, pending))

    assert [reservation.status for reservation in answers] == [Status.PENDING, Status.PENDING]
    assert len(world.taskrouter.instructions) == 1


def test_reservation_can_be_accepted_or_rejected_while_phone_rings(
    world: World, pending: RemoteReservation
) -> None:
    instruct(world, pending, CALL)  # an instruction that does not accept

    assert world.accept(pending).status is Status.ACCEPTED
    other = world.taskrouter.add()
    world.assign(other)
    instruct(world, other, CALL)
    assert world.reject(other).status is Status.REJECTED


@pytest.mark.parametrize(
    "failure",
    [TaskRouterRefused("40140"), TaskRouterThrottled("429"), TaskRouterDenied("401")],
    ids=lambda error: error.code,
)
def test_instruction_that_was_not_executed_can_be_sent_again(
    world: World, pending: RemoteReservation, failure: AppError
) -> None:
    world.taskrouter.fail_before["instruct"] = [failure]
    with pytest.raises((type(failure), Unsettled)):
        instruct(world, pending)
    record = world.record(pending)
    assert (record.instruction_sent, record.claim, record.accepted_by) == (None, None, None)

    instruct(world, pending, CALL)
    assert world.taskrouter.instructions == [CALL]


@pytest.mark.parametrize("moment", ["fail_before", "fail_after"])
def test_instruction_that_may_have_been_executed_is_not_sent_again(
    world: World, pending: RemoteReservation, moment: str
) -> None:
    getattr(world.taskrouter, moment)["instruct"] = [TaskRouterUnavailable("cut")]
    with pytest.raises(Unsettled):
        # TaskRouter returns the status pending, as it does while a phone rings.
        instruct(world, pending)

    assert instruct(world, pending).status is Status.PENDING
    world.clock.now += 31_000
    world.sweep()
    assert instruct(world, pending).status is Status.PENDING
    assert len(world.taskrouter.instructions) == (moment == "fail_after")
    assert world.record(pending).claim is None


def test_status_is_fetched_after_lost_response_to_instruction(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.answers_calls = True
    world.taskrouter.fail_after["instruct"] = [TaskRouterUnavailable("cut")]

    assert instruct(world, pending).status is Status.ACCEPTED


@pytest.mark.parametrize(
    ("end_reservation", "error"),
    [
        (lambda world, remote: world.taskrouter.remove(remote.reservation_sid), ReservationGone),
        (
            lambda world, remote: world.taskrouter.set_status(
                remote.reservation_sid, Status.CANCELED
            ),
            ReservationNotPending,
        ),
    ],
    ids=["gone", "caller hung up"],
)
def test_instruction_for_ended_reservation_is_refused(
    world: World,
    pending: RemoteReservation,
    end_reservation: Callable[[World, RemoteReservation], None],
    error: type[AppError],
) -> None:
    end_reservation(world, pending)
    for _ in range(2):
        with pytest.raises(error):
            instruct(world, pending)
    assert world.taskrouter.calls["instruct"] == 1


def test_sweep_records_acceptance_without_event(world: World, pending: RemoteReservation) -> None:
    instruct(world, pending)
    world.taskrouter.set_status(pending.reservation_sid, Status.ACCEPTED)

    world.clock.now += 15_000
    assert world.sweep()["mirrored"] == 1
    record = world.record(pending)
    assert (record.status, record.accepted_by) == (Status.ACCEPTED, "supervisor:ann")


def test_sender_of_instruction_is_acceptor_after_long_ringing(
    world: World, pending: RemoteReservation
) -> None:
    instruct(world, pending)
    for _ in range(3):
        world.clock.now += 15_000
        world.sweep()
    world.event(pending, Status.ACCEPTED)

    assert world.record(pending).accepted_by == "supervisor:ann"


def test_sweep_does_not_reject_reservation_while_phone_rings(world: World) -> None:
    world.deadlines = replace(DEADLINES, reject_after=40)
    world.policy = SweepPolicy(reject_activity_sid=sid("WA"))
    remotes = [world.taskrouter.add() for _ in range(4)]
    sent_with_accept, sent_in_answer, accepted, _deferred = remotes
    instructions: dict[str, Any] = {
        sent_in_answer.reservation_sid: Conference(from_="+15556667777"),
        accepted.reservation_sid: Accept(),
    }
    for remote in remotes:
        world.assign(remote, instructions.get(remote.reservation_sid))
    instruct(world, sent_with_accept)
    world.clock.now += 15_000
    world.sweep()

    world.clock.now += 25_000
    assert world.sweep()["rejected"] == 2
    statuses = [world.record(remote).status for remote in remotes]
    assert statuses == [Status.PENDING, Status.PENDING, Status.REJECTED, Status.REJECTED]


def test_sender_of_call_that_does_not_accept_is_not_acceptor(
    world: World, pending: RemoteReservation
) -> None:
    instruct(world, pending, CALL)
    world.event(pending, Status.ACCEPTED)  # the Worker accepted in another client

    assert world.record(pending).accepted_by == "event"


def test_sender_is_acceptor_after_lost_response_to_instruction(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.fail_after["instruct"] = [TaskRouterUnavailable("cut")]
    with pytest.raises(Unsettled):
        instruct(world, pending)
    world.clock.now += 31_000
    world.sweep()
    world.event(pending, Status.ACCEPTED)  # someone answered the call

    assert world.record(pending).accepted_by == "supervisor:ann"


@pytest.mark.parametrize("with_accept", [True, False], ids=["with accept", "in answer"])
@pytest.mark.parametrize("outcome", ["refused", "unknown"])
def test_failed_accept_while_phone_rings_does_not_change_acceptor(
    world: World, *, with_accept: bool, outcome: str
) -> None:
    remote = world.taskrouter.add()
    world.assign(remote, None if with_accept else DEQUEUE)
    if with_accept:
        instruct(world, remote)
    worker = Principal(Role.WORKER, worker_sid=remote.worker_sid)
    failure = TaskRouterRefused("no") if outcome == "refused" else TaskRouterUnavailable("cut")
    world.taskrouter.fail_before["update"] = [failure]
    with pytest.raises((TaskRouterRefused, Unsettled)):
        world.accept(remote, principal=worker)
    if outcome == "unknown":
        world.clock.now += 31_000
        world.sweep()
    world.event(remote, Status.ACCEPTED)  # someone answered the call

    expected = "supervisor:ann" if with_accept else "assignment_instruction"
    assert world.record(remote).accepted_by == expected


def test_instruction_after_plain_accept_is_refused(
    world: World, pending: RemoteReservation
) -> None:
    world.accept(pending)

    with pytest.raises(ReservationNotPending) as raised:
        instruct(world, pending)
    assert raised.value.details == {"reservation_status": "accepted"}
    assert world.taskrouter.instructions == []


def test_instruction_refused_after_acceptance_elsewhere_is_not_recorded_as_sent(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.set_status(pending.reservation_sid, Status.ACCEPTED)  # in another client

    for _ in range(2):
        with pytest.raises(ReservationNotPending):
            instruct(world, pending)
    record = world.record(pending)
    assert (record.status, record.instruction_sent) == (Status.ACCEPTED, None)


def test_written_claim_is_used_after_its_response_is_lost(
    world: World, pending: RemoteReservation
) -> None:
    claim = world.store.claim

    def write_and_lose_response(*args: Any, **kwargs: Any) -> Any:
        claim(*args, **kwargs)
        raise StoreUnavailable("read timeout")

    world.store.claim = write_and_lose_response  # type: ignore[method-assign]
    assert instruct(world, pending).status is Status.PENDING
    assert world.taskrouter.instructions == [DEQUEUE]
    assert world.record(pending).claim is None


def test_failed_claim_sends_no_instruction(world: World, pending: RemoteReservation) -> None:
    claim = world.store.claim

    def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise StoreUnavailable("throttled")

    world.store.claim = fail  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        instruct(world, pending)
    world.store.claim = claim  # type: ignore[method-assign]
    world.accept(pending)
    assert world.taskrouter.instructions == []


def test_no_instruction_is_sent_without_dynamodb(world: World, pending: RemoteReservation) -> None:
    class Down:
        def __getattr__(self, _name: str) -> Any:
            raise StoreUnavailable("down")

    world = replace(world, store=Down())  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        instruct(world, pending)
    assert world.taskrouter.instructions == []
