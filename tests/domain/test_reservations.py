"""Reservation statuses, their transitions, and the instructions in a record."""

from dataclasses import replace

import pytest

from chalicelib.domain.json_text import parse_attributes
from chalicelib.domain.reservations import (
    ACHIEVED,
    BY_INSTRUCTION,
    MOVES,
    OBSERVED,
    OPEN,
    RINGING,
    Claim,
    DueReservation,
    Reservation,
    SentInstruction,
    Status,
    is_allowed,
)
from tests.support import NOW, sid


def test_transition_tables_contain_every_status() -> None:
    assert set(MOVES) == set(OBSERVED) == set(Status)


def test_every_transition_that_can_be_requested_can_also_be_observed() -> None:
    for status, targets in MOVES.items():
        assert targets <= OBSERVED[status]


def test_gone_is_the_only_final_status_that_can_change() -> None:
    final = set(Status) - {*OPEN, Status.GONE}
    assert all(not OBSERVED[status] for status in final)
    assert OBSERVED[Status.GONE] == final


def test_observed_transitions_have_no_cycle() -> None:
    def reachable(start: Status) -> set[Status]:
        reached, queue = set(), [start]
        while queue:
            for status in OBSERVED[queue.pop()] - reached:
                reached.add(status)
                queue.append(status)
        return reached

    assert all(status not in reachable(status) for status in Status)


def test_report_of_the_requested_status_proves_that_the_request_succeeded() -> None:
    all_targets = {target for targets in MOVES.values() for target in targets}
    assert all_targets == set(ACHIEVED)
    assert all(target in statuses for target, statuses in ACHIEVED.items())


def test_phone_instructions_are_dequeue_call_redirect_and_conference() -> None:
    assert set(RINGING) == {"dequeue", "call", "redirect", "conference"}


def make_record(**values: object) -> Reservation:
    return Reservation(
        **{
            "reservation_sid": sid("WR"),
            "task_sid": sid("WT"),
            "worker_sid": sid("WK"),
            "status": Status.PENDING,
            "reserved_at": NOW,
            "expires_at": NOW,
            **values,
        }
    )


def sent(instruction: dict[str, object]) -> SentInstruction:
    return SentInstruction(claim_id="1", by="supervisor:ann", instruction=instruction)


def test_status_tables_have_exactly_the_expected_contents() -> None:
    assert {
        "pending": {"accepted", "rejected"},
        "accepted": {"completed"},
        "wrapping": {"completed"},
        **dict.fromkeys(
            ("rejected", "timeout", "canceled", "rescinded", "completed", "gone"), frozenset()
        ),
    } == MOVES
    assert {
        "pending": set(Status) - {"pending"},
        "accepted": {"wrapping", "completed", "canceled", "gone"},
        "wrapping": {"completed", "canceled", "gone"},
        "gone": {"rejected", "timeout", "canceled", "rescinded", "completed"},
        **dict.fromkeys(("rejected", "timeout", "canceled", "rescinded", "completed"), frozenset()),
    } == OBSERVED
    assert OPEN == ("pending", "accepted", "wrapping")
    assert {
        "accepted": {"accepted", "wrapping", "completed"},
        "rejected": {"rejected"},
        "completed": {"completed"},
    } == ACHIEVED


@pytest.mark.parametrize("status", Status)
def test_new_record_may_have_any_status_but_later_changes_must_be_allowed_transitions(
    status: Status,
) -> None:
    assert is_allowed(status, None)
    for current in Status:
        assert is_allowed(status, current) is (status in OBSERVED[current])


@pytest.mark.parametrize(
    ("until", "is_live"), [(None, False), (NOW - 1, False), (NOW, False), (NOW + 1, True)]
)
def test_claim_is_live_until_it_expires(until: int | None, *, is_live: bool) -> None:
    claim = until and Claim(until=until, target=Status.ACCEPTED, claim_id="1", by="event")
    assert make_record(claim=claim).live_claim(NOW) == (claim if is_live else None)


def test_claim_for_a_status_change_has_no_instruction_and_no_further_conditions() -> None:
    claim = Claim(until=NOW, target=Status.REJECTED, claim_id="1", by="sweep")
    assert claim.instruction is None
    assert [claim.accepts, claim.unless_ringing, claim.needs_answer] == [False] * 3


def test_new_record_has_never_been_checked_or_claimed() -> None:
    assert make_record().checks == 0
    assert make_record().claim is None
    assert make_record().parameters == {}
    due = DueReservation("WR1", "WT1", "WK1", Status.PENDING, NOW, NOW, NOW, checks=0)
    assert due.is_claimed is False


@pytest.mark.parametrize(
    ("answer", "withheld", "is_known"),
    [
        (None, None, False),
        ({}, None, True),
        ({"instruction": "accept"}, None, True),
        ({}, "call", False),
        (None, "call", False),
    ],
)
def test_answer_is_known_if_it_is_recorded_and_no_other_answer_was_withheld(
    answer: dict[str, str] | None, withheld: str | None, *, is_known: bool
) -> None:
    assert make_record(answer=answer, withheld=withheld).is_answer_known is is_known


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("answer_may_ring", [True, False])
@pytest.mark.parametrize(
    ("answer", "withheld", "is_possible"),
    [
        (None, None, None),
        ({}, None, False),
        ({"instruction": "accept"}, None, False),
        ({"instruction": "call"}, None, True),
        ({}, "call", True),
        (None, "call", True),
    ],
)
def test_phone_may_ring_only_for_a_pending_reservation_whose_answer_is_unknown_or_calls_a_phone(
    answer: dict[str, str] | None,
    withheld: str | None,
    status: Status,
    *,
    is_possible: bool | None,
    answer_may_ring: bool,
) -> None:
    """Without a recorded answer or withheld instruction, `answer_may_ring` decides."""
    record = make_record(answer=answer, withheld=withheld, status=status)
    expected = answer_may_ring if is_possible is None else is_possible
    assert record.is_ringing_possible(answer_may_ring=answer_may_ring) is (
        expected and status is Status.PENDING
    )


PHONE_INSTRUCTIONS = [{"instruction": name} for name in RINGING]


@pytest.mark.parametrize("answer", [None, {}, {"instruction": "accept"}, {"instruction": "reject"}])
def test_answer_without_a_phone_instruction_calls_no_phone(
    answer: dict[str, object] | None,
) -> None:
    assert make_record(answer=answer).ringing_instruction is None
    assert not make_record(answer=answer).may_be_ringing


@pytest.mark.parametrize("instruction", PHONE_INSTRUCTIONS)
@pytest.mark.parametrize("status", Status)
def test_phone_may_be_ringing_after_a_phone_instruction_until_the_reservation_is_decided(
    status: Status, instruction: dict[str, object]
) -> None:
    for record in (
        make_record(status=status, answer=instruction),
        make_record(status=status, answer={}, instruction_sent=sent(instruction)),
        make_record(
            status=status, answer=PHONE_INSTRUCTIONS[0], instruction_sent=sent(instruction)
        ),
    ):
        assert record.ringing_instruction == instruction
        assert record.may_be_ringing is (status is Status.PENDING)


@pytest.mark.parametrize(
    ("instruction", "accepts"),
    [
        ({"instruction": "accept"}, True),
        ({"instruction": "dequeue"}, True),
        ({"instruction": "conference"}, True),
        ({"instruction": "call"}, False),
        ({"instruction": "call", "accept": False}, False),
        ({"instruction": "call", "accept": True}, True),
        ({"instruction": "redirect"}, False),
        ({"instruction": "redirect", "accept": True}, True),
        ({"instruction": "reject"}, False),
        ({}, False),
    ],
)
def test_acceptor_is_known_if_the_answer_or_a_confirmed_instruction_accepts_the_reservation(
    instruction: dict[str, object], *, accepts: bool
) -> None:
    expected = BY_INSTRUCTION if accepts else None
    assert make_record(answer=instruction).instruction_acceptor == expected
    assert make_record().instruction_acceptor is None
    if instruction:
        unconfirmed = sent(instruction)
        assert make_record(answer={}, instruction_sent=unconfirmed).instruction_acceptor is None
        confirmed = replace(unconfirmed, is_confirmed=True)
        confirmed_record = make_record(answer={}, instruction_sent=confirmed)
        assert confirmed_record.instruction_acceptor == ("supervisor:ann" if accepts else None)
        with_call_sent = make_record(
            answer=instruction, instruction_sent=sent({"instruction": "call", "accept": False})
        )
        assert with_call_sent.instruction_acceptor == expected


def test_callback_has_the_parameters_that_were_received() -> None:
    parameters = {"TaskAge": "1", "Repeated": ["a", "b"]}
    full = make_record(
        answer={},
        workflow_sid=sid("WW"),
        task_queue_sid=sid("WQ"),
        task_attributes="{}",
        worker_attributes="",
        parameters=parameters,
    )
    required = {
        "ReservationSid": full.reservation_sid,
        "TaskSid": full.task_sid,
        "WorkerSid": full.worker_sid,
    }
    assert full.callback == required | parameters | {
        "WorkflowSid": full.workflow_sid,
        "TaskQueueSid": full.task_queue_sid,
        "TaskAttributes": "{}",
        "WorkerAttributes": "",
    }
    assert make_record(parameters=parameters).callback is None
    minimal = make_record(answer={"instruction": "accept"})
    assert minimal.callback == {
        "ReservationSid": minimal.reservation_sid,
        "TaskSid": minimal.task_sid,
        "WorkerSid": minimal.worker_sid,
    }


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        (None, None),
        ("", None),
        ("[]", None),
        ("{", None),
        ("{}", {}),
        ('{"a": NaN}', {"a": None}),
    ],
)
def test_attributes_are_none_unless_the_text_is_a_json_object(
    text: str | None, attributes: dict[str, object] | None
) -> None:
    assert parse_attributes(text) == attributes
