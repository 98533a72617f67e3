"""Check the instruction of an accept request against the permissions of Workers."""

from chalicelib.domain.auth import OWN_VALUES, Action, InstructionPermissions, Principal
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.json_text import parse_attributes
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

    The record is read only if a Worker sets a parameter in OWN_VALUES. A Worker may set such a
    parameter to the value in the recorded attributes, because they come from TaskRouter.

    Raises:
        Forbidden: the caller is a Worker who may not send the instruction or set one of its
            parameters, or the Reservation belongs to a different Worker.
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
