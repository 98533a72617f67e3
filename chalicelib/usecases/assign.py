"""Answer an assignment callback: one write, then an assignment instruction."""

from typing import Any

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import (
    BY_INSTRUCTION,
    INSTRUCTION_CONFIRM_MS,
    HistoryEntry,
    Reservation,
    Status,
)
from chalicelib.usecases.deadlines import Deadlines
from chalicelib.usecases.ports import ReservationStore

BY = "assignment_callback"


def assign(
    callback: AssignmentCallback,
    instruction: Instruction,
    *,
    rule: str | None = None,
    store: ReservationStore,
    timing: Deadlines,
    now: int,
) -> dict[str, Any]:
    """Record the Reservation and return what to answer TaskRouter.

    The same Reservation posted again gets the answer that it got first, whatever has happened
    since: TaskRouter may post twice (a retried connection, or the fallback after a slow answer).

    Args:
        callback: the callback, its signature verified.
        instruction: what to answer if this is the first time.
        rule: the name of the rule that said so, for the history.
        store: the records.
        timing: the deadlines' settings.
        now: epoch ms.

    Raises:
        StoreUnavailable: nothing was recorded, so nothing may be answered.
    """
    answer = instruction.render()
    expires_at = timing.expires_at(now, callback.workflow_sid)
    deadline = timing.next_check(Status.PENDING, now=now, reserved_at=now, expires_at=expires_at)
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
        history=(HistoryEntry(at=now, to=Status.PENDING, by=BY, note=rule and f"rule {rule}"),),
    )
    due_at = now + INSTRUCTION_CONFIRM_MS if answer else deadline
    return store.record_callback(reservation, due_at=due_at or expires_at, now=now)
