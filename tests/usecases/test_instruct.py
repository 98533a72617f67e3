"""An accept may carry an instruction, which makes a phone ring: it is sent once at most."""

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
    seen = world.taskrouter.add()
    world.assign(seen)
    return seen


def instruct(
    world: World, seen: RemoteReservation, instruction: Instruction = DEQUEUE
) -> Reservation:
    return world.decide(seen, Status.ACCEPTED, instruction=instruction)


def test_an_instruction_is_sent_and_recorded_with_who_sent_it(
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


def test_a_call_that_is_answered_at_once_accepts(world: World, pending: RemoteReservation) -> None:
    world.taskrouter.answers_the_phone = True

    assert instruct(world, pending).status is Status.ACCEPTED
    assert world.record(pending).accepted_by == "supervisor:ann"


@pytest.mark.parametrize("today", [Status.PENDING, Status.ACCEPTED, Status.COMPLETED])
def test_a_repeat_tells_todays_status_and_never_sends_again(
    world: World, pending: RemoteReservation, today: Status
) -> None:
    instruct(world, pending)
    world.taskrouter.becomes(pending.reservation_sid, today)
    world.event(pending, today)

    assert instruct(world, pending).status is today
    assert len(world.taskrouter.instructions) == 1


def test_another_instruction_is_refused(world: World, pending: RemoteReservation) -> None:
    instruct(world, pending)

    with pytest.raises(InstructionAlreadySent, match="given the instruction dequeue"):
        instruct(world, pending, CALL)
    assert world.taskrouter.instructions == [DEQUEUE]


def test_an_instruction_that_the_callback_was_answered_with_is_not_sent_again(
    world: World,
) -> None:
    seen = world.taskrouter.add()
    world.assign(seen, DEQUEUE)

    assert instruct(world, seen).status is Status.PENDING
    with pytest.raises(InstructionAlreadySent):
        instruct(world, seen, CALL)
    assert world.taskrouter.instructions == []


def test_a_callback_that_comes_after_the_instruction_is_answered_to_wait(world: World) -> None:
    seen = world.taskrouter.add()
    world.decide(seen, Status.ACCEPTED, instruction=CALL, task_sid=seen.task_sid)

    assert world.assign(seen, DEQUEUE) == {}
    record = world.record(seen)
    assert (record.answer, record.status) == ({}, Status.PENDING)
    assert record.callback is not None


def test_many_who_ask_at_once_make_it_ring_once(world: World, pending: RemoteReservation) -> None:
    answers: list[Reservation] = []

    def another(verb: str) -> None:
        if verb == "instruct" and not answers:
            answers.append(instruct(world, pending))

    world.taskrouter.when_called = another
    answers.append(instruct(world, pending))

    assert [one.status for one in answers] == [Status.PENDING, Status.PENDING]
    assert len(world.taskrouter.instructions) == 1


def test_while_it_rings_one_may_accept_or_reject_outright(
    world: World, pending: RemoteReservation
) -> None:
    instruct(world, pending, CALL)  # which does not accept by itself

    assert world.accept(pending).status is Status.ACCEPTED
    another = world.taskrouter.add()
    world.assign(another)
    instruct(world, another, CALL)
    assert world.reject(another).status is Status.REJECTED


@pytest.mark.parametrize(
    "failure",
    [TaskRouterRefused("40140"), TaskRouterThrottled("429"), TaskRouterDenied("401")],
    ids=lambda error: error.code,
)
def test_what_was_never_carried_out_can_be_sent_again(
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
def test_what_may_have_been_carried_out_is_never_sent_again(
    world: World, pending: RemoteReservation, moment: str
) -> None:
    getattr(world.taskrouter, moment)["instruct"] = [TaskRouterUnavailable("cut")]
    with pytest.raises(Unsettled):
        # TaskRouter says that it is pending, as it does while a phone rings.
        instruct(world, pending)

    assert instruct(world, pending).status is Status.PENDING
    world.clock.now += 31_000
    world.sweep()
    assert instruct(world, pending).status is Status.PENDING
    assert len(world.taskrouter.instructions) == (moment == "fail_after")
    assert world.record(pending).claim is None


def test_an_answer_that_was_never_heard_is_asked_for(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.answers_the_phone = True
    world.taskrouter.fail_after["instruct"] = [TaskRouterUnavailable("cut")]

    assert instruct(world, pending).status is Status.ACCEPTED


@pytest.mark.parametrize(
    ("ends", "error"),
    [
        (lambda world, seen: world.taskrouter.forget(seen.reservation_sid), ReservationGone),
        (
            lambda world, seen: world.taskrouter.becomes(seen.reservation_sid, Status.CANCELED),
            ReservationNotPending,
        ),
    ],
    ids=["gone", "the caller has hung up"],
)
def test_what_has_ended_meanwhile_is_told(
    world: World,
    pending: RemoteReservation,
    ends: Callable[[World, RemoteReservation], None],
    error: type[AppError],
) -> None:
    ends(world, pending)
    for _ in range(2):
        with pytest.raises(error):
            instruct(world, pending)
    assert world.taskrouter.calls["instruct"] == 1


def test_the_sweep_confirms_what_no_event_told(world: World, pending: RemoteReservation) -> None:
    instruct(world, pending)
    world.taskrouter.becomes(pending.reservation_sid, Status.ACCEPTED)

    world.clock.now += 15_000
    assert world.sweep()["mirrored"] == 1
    record = world.record(pending)
    assert (record.status, record.accepted_by) == (Status.ACCEPTED, "supervisor:ann")


def test_who_had_it_ring_has_it_accepted_however_long_it_rang(
    world: World, pending: RemoteReservation
) -> None:
    instruct(world, pending)
    for _ in range(3):
        world.clock.now += 15_000
        world.sweep()
    world.event(pending, Status.ACCEPTED)

    assert world.record(pending).accepted_by == "supervisor:ann"


def test_the_sweep_rejects_nobody_whose_phone_may_be_ringing(world: World) -> None:
    world.deadlines = replace(DEADLINES, reject_after=40)
    world.policy = SweepPolicy(reject_activity_sid=sid("WA"))
    sent, answered, accepted, quiet = (world.taskrouter.add() for _ in range(4))
    instructions: dict[str, Any] = {
        answered.reservation_sid: Conference(from_="+15556667777"),
        accepted.reservation_sid: Accept(),
    }
    for seen in (sent, answered, accepted, quiet):
        world.assign(seen, instructions.get(seen.reservation_sid))
    instruct(world, sent)
    world.clock.now += 15_000
    world.sweep()

    world.clock.now += 25_000
    assert world.sweep()["rejected"] == 2
    statuses = [world.record(seen).status for seen in (sent, answered, accepted, quiet)]
    assert statuses == [Status.PENDING, Status.PENDING, Status.REJECTED, Status.REJECTED]


def test_who_had_a_call_placed_that_does_not_accept_has_not_had_it_accepted(
    world: World, pending: RemoteReservation
) -> None:
    instruct(world, pending, CALL)
    world.event(pending, Status.ACCEPTED)  # the Worker accepted at the desk

    assert world.record(pending).accepted_by == "event"


def test_an_instruction_whose_answer_was_never_heard_is_still_whose_it_was(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.fail_after["instruct"] = [TaskRouterUnavailable("cut")]
    with pytest.raises(Unsettled):
        instruct(world, pending)
    world.clock.now += 31_000
    world.sweep()
    world.event(pending, Status.ACCEPTED)  # somebody has picked up

    assert world.record(pending).accepted_by == "supervisor:ann"


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "answered"])
@pytest.mark.parametrize("ends", ["refused", "crashed"])
def test_who_tried_in_vain_while_it_rang_has_not_had_it_accepted(
    world: World, *, sent: bool, ends: str
) -> None:
    seen = world.taskrouter.add()
    world.assign(seen, None if sent else DEQUEUE)
    if sent:
        instruct(world, seen)
    worker = Principal(Role.WORKER, worker_sid=seen.worker_sid)
    failure = TaskRouterRefused("no") if ends == "refused" else TaskRouterUnavailable("cut")
    world.taskrouter.fail_before["update"] = [failure]
    with pytest.raises((TaskRouterRefused, Unsettled)):
        world.accept(seen, principal=worker)
    if ends == "crashed":
        world.clock.now += 31_000
        world.sweep()
    world.event(seen, Status.ACCEPTED)  # somebody has picked up

    expected = "supervisor:ann" if sent else "assignment_instruction"
    assert world.record(seen).accepted_by == expected


def test_accepted_without_its_instruction_is_not_what_was_asked_for(
    world: World, pending: RemoteReservation
) -> None:
    world.accept(pending)

    with pytest.raises(ReservationNotPending) as raised:
        instruct(world, pending)
    assert raised.value.details == {"reservation_status": "accepted"}
    assert world.taskrouter.instructions == []


def test_a_refused_instruction_is_not_taken_for_sent_because_it_was_accepted_elsewhere(
    world: World, pending: RemoteReservation
) -> None:
    world.taskrouter.becomes(pending.reservation_sid, Status.ACCEPTED)  # at the desk

    for _ in range(2):
        with pytest.raises(ReservationNotPending):
            instruct(world, pending)
    record = world.record(pending)
    assert (record.status, record.instruction_sent) == (Status.ACCEPTED, None)


def test_a_claim_whose_writing_was_not_confirmed_is_found_and_used(
    world: World, pending: RemoteReservation
) -> None:
    claim = world.store.claim

    def written_but_not_told(*given: Any, **named: Any) -> Any:
        claim(*given, **named)
        raise StoreUnavailable("read time-out")

    world.store.claim = written_but_not_told  # type: ignore[method-assign]
    assert instruct(world, pending).status is Status.PENDING
    assert world.taskrouter.instructions == [DEQUEUE]
    assert world.record(pending).claim is None


def test_a_claim_that_was_not_written_sends_nothing(
    world: World, pending: RemoteReservation
) -> None:
    claim = world.store.claim

    def fails(*_given: Any, **_named: Any) -> Any:
        raise StoreUnavailable("throttled")

    world.store.claim = fails  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        instruct(world, pending)
    world.store.claim = claim  # type: ignore[method-assign]
    world.accept(pending)
    assert world.taskrouter.instructions == []


def test_without_dynamodb_nothing_rings(world: World, pending: RemoteReservation) -> None:
    class Down:
        def __getattr__(self, _name: str) -> Any:
            raise StoreUnavailable("down")

    world = replace(world, store=Down())  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        instruct(world, pending)
    assert world.taskrouter.instructions == []
