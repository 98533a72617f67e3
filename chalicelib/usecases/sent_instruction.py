"""Determines whether the instruction of a Reservation was sent, or may have been sent.

docs/adr/0026 explains why the response to a repeated request reports only confirmed outcomes.
docs/adr/0029 explains why no instruction is sent before the answer to the callback is known.
"""

from collections.abc import Mapping
from typing import Any

from chalicelib.domain.errors import (
    AnswerUnknown,
    InstructionAlreadySent,
    OutcomeUnknown,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterError,
)
from chalicelib.domain.reservations import ACHIEVED, Claim, Reservation, Status
from chalicelib.usecases.deadlines import CALLBACK_IN_TRANSIT_MS, INSTRUCTION_CHECK_MS
from chalicelib.usecases.ports import Collaborators

_MAYBE_SENT = "The instruction may have been sent, but its outcome is not known."


def is_known_to_be_sent(answer: Mapping[str, Any] | None, record: Reservation) -> bool:
    """Return whether the instruction of a repeated request is known to have been sent.

    Args:
        answer: the instruction, as the JSON object of a callback's answer; None if the request has
            no instruction.
        record: the Reservation.

    Raises:
        InstructionAlreadySent: a different instruction was sent, or may have been.
        ReservationNotPending: the Reservation was accepted, and whether the instruction was sent
            is not known. Another client may have accepted the Reservation.
    """
    recorded = record.ringing_instruction
    if answer is None or recorded is None:
        return False
    # An answer is recorded before it is sent, so the record does not prove that it was sent.
    is_known = record.instruction_sent is not None and record.instruction_sent.is_confirmed
    if recorded != answer:
        raise InstructionAlreadySent(
            f"The {recorded['instruction']} instruction "
            f"{'was already' if is_known else 'may already have been'} sent to TaskRouter for this "
            "Reservation. A second instruction could make a phone ring again.",
            reservation_status=record.status,
        )
    if record.status in ACHIEVED[Status.ACCEPTED] and not is_known:
        raise ReservationNotPending(
            f"The Reservation's status is {record.status}. {_MAYBE_SENT}",
            reservation_status=record.status,
        )
    return is_known


def require_answer(claim: Claim, record: Reservation, *, now: int) -> None:
    """Raise an error if *claim* failed because a phone may be ringing.

    Args:
        claim: the claim that failed.
        record: the Reservation.
        now: epoch ms.

    Raises:
        InstructionAlreadySent: a phone may be ringing because of a recorded instruction.
        OutcomeUnknown: the callback may still be answered with an instruction.
        AnswerUnknown: the callback may have been answered with an instruction.
    """
    if claim.unless_ringing and record.may_be_ringing:
        raise InstructionAlreadySent(
            "A phone may be ringing because of an earlier instruction.",
            reservation_status=record.status,
        )
    if not claim.needs_answer or record.is_answer_known or record.ringing_instruction:
        return
    if record.status is not Status.PENDING:
        return
    known_at = record.reserved_at + CALLBACK_IN_TRANSIT_MS
    if now < known_at:
        message = "The answer to the Reservation's callback is not recorded yet."
        raise OutcomeUnknown.until(known_at, now=now, message=message)
    live = record.live_claim(now)
    raise AnswerUnknown(
        "The answer to the Reservation's callback is not recorded, so the answer may have called a "
        f"phone. Accept without an instruction{_delay(live.until - now if live else 0)}.",
        reservation_status=record.status,
    )


def release_unused(
    claim: Claim, reservation_sid: str, collaborators: Collaborators, failure: StoreUnavailable
) -> None:
    """Release a claim that may have been written but whose request was not sent.

    If the release fails too, a retry may have to wait until the claim expires.
    """
    now = collaborators.clock.now_ms()
    try:
        collaborators.store.release_claim(reservation_sid, claim, due_at=now, acceptor=None)
    except StoreUnavailable:
        failure.retry_after = OutcomeUnknown.until(claim.until, now=now).retry_after


def outcome_unknown(
    claimed_until: int | None, *, now: int, failure: TaskRouterError | None = None
) -> OutcomeUnknown:
    """Build the error for an instruction that may have been sent.

    Args:
        claimed_until: epoch ms at which the claim expires; None if there is no live claim.
        now: epoch ms.
        failure: the error from this request's attempt to send the instruction, if any.
    """
    delay = _delay(0 if claimed_until is None else claimed_until - now)
    message = (
        f"{_MAYBE_SENT} The instruction will not be sent again. Wait until the Reservation's "
        f"status changes, or accept without an instruction{delay}."
    )
    retry_at = now + INSTRUCTION_CHECK_MS if claimed_until is None else claimed_until
    return OutcomeUnknown.until(retry_at, now=now, failure=failure, message=message)


def advise_plain_accept(failure: TaskRouterError) -> None:
    """Replace the advice to retry with the advice to accept without an instruction.

    Call this function if the instruction's record could not be removed. A recorded instruction is
    not sent again, so a retry could not succeed. A request without an instruction can succeed after
    `failure.retry_after` seconds, when the claim expires.
    """
    delay = _delay((failure.retry_after or 0) * 1000)
    failure.message = (
        f"{failure.message.removesuffix(' Retry.')} Accept without an instruction{delay}."
    )
    failure.retry_after = None


def _delay(ms: int) -> str:
    """Return a delay as text, such as " after 3 s"; return "" if there is no delay."""
    return f" after {-(-ms // 1000)} s" if ms > 0 else ""
