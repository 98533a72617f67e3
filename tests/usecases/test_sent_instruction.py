"""Results and errors of requests whose instruction may already have been sent."""

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.domain.errors import (
    AnswerUnknown,
    InstructionAlreadySent,
    OutcomeUnknown,
    ReservationNotPending,
)
from chalicelib.domain.reservations import Claim, Reservation, SentInstruction, Status
from chalicelib.usecases.sent_instruction import (
    is_known_to_be_sent,
    outcome_unknown,
    require_answer,
)
from tests.support import NOW, sid

CALL = {"instruction": "call", "from": "+15556667777", "url": "https://a.example", "accept": True}
DEQUEUE = {"instruction": "dequeue"}
RECORD = Reservation(
    reservation_sid=sid("WR"),
    task_sid=sid("WT"),
    worker_sid=sid("WK"),
    status=Status.PENDING,
    reserved_at=NOW,
    expires_at=NOW + 120_000,
    answer={},
)


def make_record_with_instruction(
    status: Status = Status.PENDING, *, is_confirmed: bool, accepted_by: str | None = None
) -> Reservation:
    instruction = SentInstruction("1", "supervisor:ann", CALL, is_confirmed=is_confirmed)
    return replace(RECORD, status=status, instruction_sent=instruction, accepted_by=accepted_by)


@pytest.mark.parametrize(
    ("answer", "record", "expected"),
    [
        (None, RECORD, False),
        (None, make_record_with_instruction(is_confirmed=True), False),
        (CALL, RECORD, False),
        (CALL, replace(RECORD, answer={"instruction": "accept"}), False),
        (CALL, replace(RECORD, answer=CALL), False),
        (CALL, make_record_with_instruction(is_confirmed=True), True),
        (CALL, make_record_with_instruction(is_confirmed=False), False),
        (
            CALL,
            make_record_with_instruction(Status.ACCEPTED, is_confirmed=True, accepted_by="event"),
            True,
        ),
        (
            CALL,
            make_record_with_instruction(Status.CANCELED, is_confirmed=False, accepted_by="event"),
            False,
        ),
    ],
)
def test_instruction_is_known_to_be_sent_only_if_confirmed(
    answer: dict[str, Any] | None, record: Reservation, *, expected: bool
) -> None:
    assert is_known_to_be_sent(answer, record) is expected


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.WRAPPING, Status.COMPLETED])
@pytest.mark.parametrize("acceptor", ["event", "supervisor:ann"])
def test_outcome_of_an_unconfirmed_instruction_stays_unknown_after_an_accept(
    status: Status, acceptor: str
) -> None:
    with pytest.raises(ReservationNotPending) as raised:
        is_known_to_be_sent(
            CALL, make_record_with_instruction(status, is_confirmed=False, accepted_by=acceptor)
        )
    assert raised.value.details == {"reservation_status": status}
    assert raised.value.message == (
        f"The Reservation's status is {status}. "
        "The instruction may have been sent, but its outcome is not known."
    )


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.COMPLETED])
def test_instruction_in_the_answer_is_not_known_to_be_sent(status: Status) -> None:
    """The answer is recorded before it is sent in the response, which may be lost."""
    with pytest.raises(ReservationNotPending, match="may have been sent"):
        is_known_to_be_sent(CALL, replace(RECORD, answer=CALL, status=status))


@pytest.mark.parametrize(
    ("record", "verb"),
    [
        (replace(RECORD, answer=CALL), "may already have been"),
        (make_record_with_instruction(is_confirmed=True), "was already"),
        (make_record_with_instruction(is_confirmed=False), "may already have been"),
        (
            make_record_with_instruction(Status.ACCEPTED, is_confirmed=False),
            "may already have been",
        ),
    ],
)
def test_different_instruction_is_refused(record: Reservation, verb: str) -> None:
    with pytest.raises(InstructionAlreadySent) as raised:
        is_known_to_be_sent(DEQUEUE, record)
    assert raised.value.details == {"reservation_status": record.status}
    assert raised.value.message == (
        f"The call instruction {verb} sent to TaskRouter for this Reservation. "
        "A second instruction could make a phone ring again."
    )


CLAIM = Claim(
    until=NOW, target=Status.ACCEPTED, claim_id="1", by="supervisor:ann", needs_answer=True
)
UNANSWERED = replace(RECORD, answer=None)
LATER = NOW + 15_000


@pytest.mark.parametrize(
    ("claim", "record"),
    [
        (replace(CLAIM, needs_answer=False), UNANSWERED),
        (CLAIM, RECORD),
        (
            CLAIM,
            replace(
                UNANSWERED,
                instruction_sent=make_record_with_instruction(is_confirmed=True).instruction_sent,
            ),
        ),
        *[
            (CLAIM, replace(UNANSWERED, status=status))
            for status in Status
            if status is not Status.PENDING
        ],
    ],
)
def test_no_error_is_raised_if_the_answer_is_known_or_not_needed(
    claim: Claim, record: Reservation
) -> None:
    for now in (NOW, LATER):
        require_answer(claim, record, now=now)


@pytest.mark.parametrize("record", [UNANSWERED, replace(RECORD, withheld="call")])
def test_unrecorded_answer_is_pending_for_15_seconds_and_then_unknown(record: Reservation) -> None:
    for now, seconds in ((NOW, 15), (NOW + 14_999, 1)):
        with pytest.raises(OutcomeUnknown) as pending:
            require_answer(CLAIM, record, now=now)
        assert pending.value.retry_after == seconds
        assert pending.value.message == (
            f"The answer to the Reservation's callback is not recorded yet. Retry in {seconds} s."
        )
    for now in (LATER, LATER + 1):
        with pytest.raises(AnswerUnknown, match="Accept without") as unknown:
            require_answer(CLAIM, record, now=now)
        assert unknown.value.details == {"reservation_status": "pending"}


@pytest.mark.parametrize(
    ("claimed_until", "delay", "seconds"),
    [
        (15_000, " after 15 s", 15),
        (15_001, " after 16 s", 16),
        (1, " after 1 s", 1),
        (0, "", 1),
        (None, "", 15),
    ],
)
def test_retry_after_an_unknown_outcome_waits_until_the_claim_expires_or_the_next_check(
    claimed_until: int | None, delay: str, seconds: int
) -> None:
    error = outcome_unknown(claimed_until, now=0)
    assert error.retry_after == seconds
    assert error.message == (
        "The instruction may have been sent, but its outcome is not known. The instruction will "
        "not be sent again. Wait until the Reservation's status changes, or accept without an "
        f"instruction{delay}. "
        f"Retry in {seconds} s."
    )


@pytest.mark.parametrize(
    ("until", "advice"),
    [
        (LATER + 2_500, "Accept without an instruction after 3 s."),
        (LATER, "Accept without an instruction."),
    ],
)
def test_advice_includes_a_delay_only_while_another_claim_lasts(until: int, advice: str) -> None:
    with pytest.raises(AnswerUnknown) as unknown:
        require_answer(CLAIM, replace(UNANSWERED, claim=replace(CLAIM, until=until)), now=LATER)
    assert unknown.value.message.endswith(f"may have called a phone. {advice}")
