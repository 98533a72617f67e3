"""Check whether the instruction of an accept request may be sent."""

from chalicelib.domain.auth import OWN_VALUES, Action, InstructionPermissions, Principal
from chalicelib.domain.errors import AnswerUnknown, InstructionAlreadySent, Unsettled
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import Claim, Reservation, Status, parse_attributes
from chalicelib.usecases.deadlines import CALLBACK_IN_TRANSIT_MS
from chalicelib.usecases.ports import ReservationStore


def authorize_instruction(
    instruction: Instruction,
    *,
    reservation_sid: str,
    principal: Principal,
    permissions: InstructionPermissions,
    store: ReservationStore,
) -> None:
    """Check that the caller may send an instruction that accepts a Reservation.

    The record is read only if a Worker sets a parameter to its own phone or call. The attributes
    in the record come from TaskRouter's callback.

    Raises:
        Forbidden: the caller is a Worker that may not send the instruction or set one of its
            parameters, or the Reservation belongs to another Worker.
        StoreUnavailable: DynamoDB failed.
    """
    action, own_values = Action.ACCEPT_RESERVATION, dict[str, object]()
    is_worker = principal.confined_to(action) is not None
    if is_worker and not OWN_VALUES.keys().isdisjoint(instruction.answer):
        record = store.get(reservation_sid)
        if record is not None:
            principal.authorize(action, worker_sid=record.worker_sid)
            worker = parse_attributes(record.worker_attributes) or {}
            task = parse_attributes(record.task_attributes) or {}
            own_values = {"to": worker.get("contact_uri"), "call_sid": task.get("call_sid")}
    principal.authorize_instruction(instruction, permissions, own_values)


def was_sent(instruction: Instruction, record: Reservation, claim: Claim, *, now: int) -> bool:
    """Return whether an instruction was sent before; raise an error if it must not be sent.

    Args:
        instruction: the instruction of the request.
        record: the Reservation, whose claim failed.
        claim: the claim that failed.
        now: epoch ms.

    Raises:
        InstructionAlreadySent: another instruction was sent for the Reservation.
        Unsettled: the callback may still be answered with another instruction.
        AnswerUnknown: the callback may have been answered with another instruction.
    """
    if sent := record.ringing_instruction:
        if sent != instruction.answer:
            raise InstructionAlreadySent(
                f"The instruction {sent['instruction']} was already sent to TaskRouter for this "
                "Reservation. A second instruction could ring a phone again.",
                reservation_status=record.status,
            )
        return True
    if claim.needs_answer and not record.is_answer_known and record.status is Status.PENDING:
        known_at = record.reserved_at + CALLBACK_IN_TRANSIT_MS
        if now < known_at:
            message = "The answer to the Reservation's callback is not recorded yet."
            raise Unsettled.until(known_at, now=now, message=message)
        raise AnswerUnknown(
            "The answer to the Reservation's callback is not recorded and may have rung a phone. "
            "Accept the Reservation without an instruction.",
            reservation_status=record.status,
        )
    return False
