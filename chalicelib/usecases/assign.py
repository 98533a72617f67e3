"""Answer an assignment callback: record the Reservation in one write, then instruct TaskRouter."""

from typing import Any

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import BY_INSTRUCTION, HistoryEntry, Reservation, Status
from chalicelib.usecases.deadlines import INSTRUCTION_CHECK_MS, Deadlines
from chalicelib.usecases.ports import ReservationStore

BY_CALLBACK = "assignment_callback"


def assign(
    callback: AssignmentCallback,
    instruction: Instruction,
    *,
    rule: str | None = None,
    store: ReservationStore,
    deadlines: Deadlines,
    now: int,
) -> dict[str, Any]:
    """Record a Reservation and return the answer to its assignment callback.

    A repeated callback gets the first answer, regardless of later changes. TaskRouter may post a
    callback twice: after a retried connection, or to the fallback URL after a slow response.

    Args:
        callback: the callback, with a verified signature.
        instruction: the answer, unless the callback was answered before.
        rule: the name of the rule that chose the instruction, for the history.
        store: the Reservation records.
        deadlines: the deadline settings.
        now: epoch ms.

    Raises:
        StoreUnavailable: DynamoDB failed. Whether the Reservation was recorded is unknown.
    """
    answer = instruction.answer
    expires_at = deadlines.expires_at(now, callback.workflow_sid)
    due_at: int | None = now + INSTRUCTION_CHECK_MS
    if not answer:
        due_at = deadlines.next_check(
            Status.PENDING, now=now, reserved_at=now, expires_at=expires_at
        )
    note = rule and f"rule {rule}"
    created = HistoryEntry(at=now, to=Status.PENDING, by=BY_CALLBACK, note=note)
    reservation = Reservation(
        reservation_sid=callback.reservation_sid,
        task_sid=callback.task_sid,
        worker_sid=callback.worker_sid,
        workflow_sid=callback.workflow_sid,
        task_queue_sid=callback.task_queue_sid,
        task_attributes=callback.task_attributes,
        worker_attributes=callback.worker_attributes,
        parameters=callback.parameters,
        status=Status.PENDING,
        answer=answer,
        reserved_at=now,
        expires_at=expires_at,
        accepted_by=BY_INSTRUCTION if instruction.accepts else None,
        history=(created,),
    )
    return store.record_callback(reservation, due_at=due_at or expires_at, now=now)
