"""Answer an assignment callback: choose an instruction and record the Reservation."""

from dataclasses import dataclass, replace
from typing import Any

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import BY_INSTRUCTION, HistoryEntry, Reservation, Status
from chalicelib.domain.rules import Rules
from chalicelib.usecases.deadlines import INSTRUCTION_CHECK_MS, Deadlines
from chalicelib.usecases.ports import ReservationStore

BY_CALLBACK = "assignment_callback"


@dataclass(frozen=True)
class Assignment:
    """The answer to an assignment callback.

    Attributes:
        answer: the JSON object that instructs TaskRouter.
        rule: name of the rule that chose the answer; None if no rule did.
        failed_rules: failures of the rules; see `RuleResult`.
        error: reason why the Reservation may not have been recorded; None if it was recorded.
        unreadable: name of the callback's parameter that the rules can't parse, or None.
    """

    answer: dict[str, Any]
    rule: str | None
    failed_rules: tuple[str, ...]
    error: StoreUnavailable | None = None
    unreadable: str | None = None


def answer_callback(
    callback: AssignmentCallback,
    *,
    rules: Rules,
    store: ReservationStore,
    deadlines: Deadlines,
    now: int,
) -> Assignment:
    """Choose the answer to a callback, and record the Reservation with the answer.

    If DynamoDB fails, the chosen answer is returned with the error. The fallback route sends the
    answer anyway.

    Args:
        callback: the callback, with a verified signature.
        rules: the rules that choose the instruction.
        store: the records.
        deadlines: the deadline settings.
        now: epoch ms.
    """
    chosen = rules.decide(callback)
    error = None
    try:
        answer = assign(
            callback,
            chosen.instruction,
            rule=chosen.rule,
            store=store,
            deadlines=deadlines,
            now=now,
        )
    except StoreUnavailable as failure:
        answer, error = dict(chosen.instruction.answer), failure
    # If the answers differ, the chosen rule did not determine the answer: an earlier answer was
    # repeated, or the answer is `{}` because the Reservation was claimed or no longer pending.
    rule = chosen.rule if answer == chosen.instruction.answer else None
    return Assignment(answer, rule, chosen.failures, error, chosen.unreadable)


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
    callback a second time when it retries a connection, or when it requests the fallback URL after
    a slow response.

    Args:
        callback: the callback, with a verified signature.
        instruction: the answer, unless the callback was answered before, or the Reservation was
            claimed or is no longer pending.
        rule: the name of the rule that chose the instruction, for the record.
        store: the Reservation records.
        deadlines: the deadline settings.
        now: epoch ms.

    Raises:
        StoreUnavailable: DynamoDB failed. Whether the Reservation was recorded is unknown.
    """
    callback = callback.within_size_limit()
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
        rule=rule,
        delivery=callback.delivery and replace(callback.delivery, answered_at=now),
        reserved_at=now,
        expires_at=expires_at,
        accepted_by=BY_INSTRUCTION if instruction.accepts else None,
        history=(created,),
    )
    return store.record_callback(reservation, due_at=due_at or expires_at, now=now)
