"""The Reservation and its state machine.

TaskRouter is the source of truth; a record mirrors TaskRouter's status. MOVES and OBSERVED define
the state machine. The DynamoDB conditions for status changes are generated from these two tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chalicelib.domain.instructions import INSTRUCTION_TYPES


class Status(StrEnum):
    """The values of TaskRouter's ReservationStatus, and ``gone`` for a 404 response."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    RESCINDED = "rescinded"
    WRAPPING = "wrapping"
    COMPLETED = "completed"
    GONE = "gone"


_S = Status

MOVES: Mapping[Status, frozenset[Status]] = {
    _S.PENDING: frozenset({_S.ACCEPTED, _S.REJECTED}),
    _S.ACCEPTED: frozenset({_S.COMPLETED}),
    _S.WRAPPING: frozenset({_S.COMPLETED}),
    _S.REJECTED: frozenset(),
    _S.TIMEOUT: frozenset(),
    _S.CANCELED: frozenset(),
    _S.RESCINDED: frozenset(),
    _S.COMPLETED: frozenset(),
    _S.GONE: frozenset(),
}
"""For each status, the statuses that this service may request from TaskRouter."""

OBSERVED: Mapping[Status, frozenset[Status]] = {
    _S.PENDING: frozenset(_S) - {_S.PENDING},
    _S.ACCEPTED: frozenset({_S.WRAPPING, _S.COMPLETED, _S.CANCELED, _S.GONE}),
    _S.WRAPPING: frozenset({_S.COMPLETED, _S.CANCELED, _S.GONE}),
    # TaskRouter may report the final status later, for example in an event.
    _S.GONE: frozenset({_S.REJECTED, _S.TIMEOUT, _S.CANCELED, _S.RESCINDED, _S.COMPLETED}),
    _S.REJECTED: frozenset(),
    _S.TIMEOUT: frozenset(),
    _S.CANCELED: frozenset(),
    _S.RESCINDED: frozenset(),
    _S.COMPLETED: frozenset(),
}
"""For each status, the statuses that a record may change to when TaskRouter reports them. Any other
reported status is late or repeated, and is ignored."""

OPEN = (_S.PENDING, _S.ACCEPTED, _S.WRAPPING)
"""The non-final statuses, in life-cycle order. The sweep checks Reservations in these statuses."""

ACHIEVED: Mapping[Status, frozenset[Status]] = {
    _S.ACCEPTED: frozenset({_S.ACCEPTED, _S.WRAPPING, _S.COMPLETED}),
    _S.REJECTED: frozenset({_S.REJECTED}),
    _S.COMPLETED: frozenset({_S.COMPLETED}),
}
"""For each requested status, the statuses that prove that the request succeeded."""


def is_allowed(status: Status, current: Status | None) -> bool:
    """Return whether OBSERVED allows a record to change to *status*.

    Args:
        status: the status reported by TaskRouter.
        current: the status of the record; None if there is no record, so any status is allowed.
    """
    return current is None or status in OBSERVED[current]


@dataclass(frozen=True)
class HistoryEntry:
    """One status change in the history of a record.

    Attributes:
        at: epoch ms.
        to: the new status. The previous entry contains the previous status.
        by: source of the change: ``assignment_callback``, ``event``, ``sweep``,
            ``reconcile``, ``fetch``, or the name of a Principal.
        note: an explanation for readers, or None.
    """

    at: int
    to: Status
    by: str
    note: str | None = None


@dataclass(frozen=True)
class Claim:
    """The exclusive, time-limited right to ask TaskRouter to change a Reservation.

    Attributes:
        until: epoch ms at which the claim expires, even if its owner crashed.
        target: the requested status.
        claim_id: lets the owner recognize its own claim after a retried write.
        by: the name of the owner.
        accepts: whether the request makes TaskRouter accept the Reservation.
        instruction: the instruction to send, as the JSON object of a callback's answer. None if
            only a status is requested.
        unless_ringing: whether the claim fails if a phone may be ringing because of a recorded
            instruction. A claim with an instruction always fails in this case.
        needs_answer: whether the claim fails unless the answer to the callback is known.
    """

    until: int
    target: Status
    claim_id: str
    by: str
    accepts: bool = False
    instruction: Mapping[str, Any] | None = None
    unless_ringing: bool = False
    needs_answer: bool = False


@dataclass(frozen=True)
class SentInstruction:
    """An instruction that was, or is about to be, sent to TaskRouter over REST.

    The instruction is recorded before it is sent, so that no phone rings twice.

    Attributes:
        claim_id: the claim under which the instruction is sent.
        by: the name of the sender.
        instruction: the instruction, as the JSON object of a callback's answer.
        is_confirmed: whether TaskRouter has confirmed the instruction. If not, the instruction may
            not have been sent.
    """

    claim_id: str
    by: str
    instruction: Mapping[str, Any]
    is_confirmed: bool = False


@dataclass(frozen=True)
class Delivery:
    """The request that delivered an assignment callback, with a verified signature.

    Attributes:
        received_at: epoch ms at which the request started.
        route: the path of the route, such as ``/assignment_callback``.
        url: the URL that Twilio signed. It may contain a secret (CALLBACK_PATH_SECRETS).
        signature: the X-Twilio-Signature header.
        settings: the X-Twilio-Webhooks-Signature-Settings header, if present.
        absent: of the parameters that a record stores as separate attributes, those that the
            callback lacked. An event may have set their attributes.
        answered_at: epoch ms just before the answer was chosen, or None in older records.
    """

    received_at: int
    route: str
    url: str
    signature: str
    settings: str | None = None
    absent: tuple[str, ...] = ()
    answered_at: int | None = None


@dataclass(frozen=True)
class LastClaim:
    """The last claim for one target, which is kept after the claim ends.

    Attributes:
        at: epoch ms at which the claim was made.
        by: the name of the claim's owner.
        target: the requested status.
    """

    at: int
    by: str
    target: Status


RINGING = tuple(
    name
    for name, instruction in INSTRUCTION_TYPES.items()
    if "Instruction" in instruction.base_form
)
"""The instructions that call a phone or move a caller. At most one of them is sent per Reservation,
unless TaskRouter refuses the first one."""

BY_INSTRUCTION = "assignment_instruction"
"""The value of `Reservation.accepted_by` if the callback's answer accepted the Reservation."""


@dataclass(frozen=True)
class Reservation:
    """A Reservation as recorded. Times are epoch ms.

    Attributes:
        reservation_sid: WR….
        task_sid: WT….
        worker_sid: WK….
        status: the last status reported by TaskRouter.
        reserved_at: the best known creation time.
        expires_at: when TaskRouter times out the Reservation.
        workflow_sid: WW…, or None until a callback or event reports it.
        task_queue_sid: WQ…, or None until a callback or event reports it.
        worker_name, workflow_name, task_queue_name: the friendly names of the Worker, the Workflow
            and the TaskQueue, or None until TaskRouter reports them.
        answer: the assignment instruction that answered the callback, or None if no callback
            arrived.
        rule: the name of the rule that chose the answer, or None.
        delivery: the request that delivered the callback, or None if it is not recorded.
        withheld: name of the RINGING instruction that the rules chose, if ``{}`` was recorded
            instead because the Reservation was claimed or no longer pending. If the answer ``{}``
            was lost and DynamoDB then failed, the fallback route answered with the instruction.
        task_attributes: JSON text as received.
        worker_attributes: JSON text as received.
        parameters: all other parameters of the callback as received, including unknown ones.
        accepted_by: the Principal or instruction that accepted the Reservation or, if neither is
            known, the source of the report; None if the Reservation was not accepted.
        instruction_sent: the instruction sent over REST, if any.
        claim: the claim on the Reservation, live or expired, if any.
        claims: the last claim for each target, even if it has ended.
        checks: number of sweep checks since the status last changed.
        history: the status changes, in the order in which they were recorded.
    """

    reservation_sid: str
    task_sid: str
    worker_sid: str
    status: Status
    reserved_at: int
    expires_at: int
    workflow_sid: str | None = None
    task_queue_sid: str | None = None
    worker_name: str | None = None
    workflow_name: str | None = None
    task_queue_name: str | None = None
    answer: Mapping[str, Any] | None = None
    rule: str | None = None
    delivery: Delivery | None = None
    withheld: str | None = None
    task_attributes: str | None = None
    worker_attributes: str | None = None
    parameters: Mapping[str, str | list[str]] = field(default_factory=dict)
    accepted_by: str | None = None
    instruction_sent: SentInstruction | None = None
    claim: Claim | None = None
    claims: tuple[LastClaim, ...] = ()
    checks: int = 0
    history: tuple[HistoryEntry, ...] = ()

    def live_claim(self, now: int) -> Claim | None:
        """Return the claim unless it has expired by *now* (epoch ms)."""
        return self.claim if self.claim and self.claim.until > now else None

    @property
    def is_answer_known(self) -> bool:
        """Whether the recorded answer is the only answer that TaskRouter can have received.

        If DynamoDB fails, the fallback route may return an instruction that the record withholds.
        """
        return self.answer is not None and self.withheld is None

    @property
    def ringing_instruction(self) -> Mapping[str, Any] | None:
        """The RINGING instruction sent over REST or as the callback's answer, if any."""
        if self.instruction_sent:
            return self.instruction_sent.instruction
        return self.answer if self.answer and self.answer["instruction"] in RINGING else None

    @property
    def instruction_acceptor(self) -> str | None:
        """The `accepted_by` value for an instruction that accepts the Reservation, if any.

        The sender of an unconfirmed instruction is not returned.
        """
        sent = self.instruction_sent
        if sent and sent.is_confirmed and _accepts(sent.instruction):
            return sent.by
        return BY_INSTRUCTION if self.answer and _accepts(self.answer) else None

    @property
    def may_be_ringing(self) -> bool:
        """Whether a phone may be ringing because of a recorded instruction."""
        return self.status is Status.PENDING and self.ringing_instruction is not None

    def is_ringing_possible(self, *, answer_may_ring: bool) -> bool:
        """Return whether a phone may be ringing, possibly because of an unrecorded instruction.

        Args:
            answer_may_ring: whether a callback whose answer is not recorded may have been answered
                with a RINGING instruction.
        """
        is_unknown = self.withheld is not None or (answer_may_ring and not self.is_answer_known)
        return self.may_be_ringing or (self.status is Status.PENDING and is_unknown)

    @property
    def callback(self) -> dict[str, str | list[str]] | None:
        """The callback's parameters as received, or None if no callback arrived."""
        if self.answer is None:
            return None
        columns = {
            "ReservationSid": self.reservation_sid,
            "TaskSid": self.task_sid,
            "WorkerSid": self.worker_sid,
            "WorkflowSid": self.workflow_sid,
            "TaskQueueSid": self.task_queue_sid,
            "TaskAttributes": self.task_attributes,
            "WorkerAttributes": self.worker_attributes,
        }
        absent = self.delivery.absent if self.delivery else ()
        received = {
            name: value
            for name, value in columns.items()
            if value is not None and name not in absent
        }
        return {**received, **self.parameters}


def _accepts(instruction: Mapping[str, Any]) -> bool:
    instruction_type = INSTRUCTION_TYPES[instruction["instruction"]]
    return instruction_type.accepts_always or bool(instruction.get("accept"))


@dataclass(frozen=True)
class DueReservation:
    """An entry in the ``due`` index, with the attributes that the sweep needs.

    Attributes:
        reservation_sid: WR….
        task_sid: WT….
        worker_sid: WK….
        status: the recorded status.
        due_at: epoch ms of the sweep's next check.
        reserved_at, expires_at: epoch ms.
        checks: number of sweep checks since the status last changed.
        is_claimed: whether the record has a claim, live or expired.
    """

    reservation_sid: str
    task_sid: str
    worker_sid: str
    status: Status
    due_at: int
    reserved_at: int
    expires_at: int
    checks: int
    is_claimed: bool = False


@dataclass(frozen=True)
class StatusUpdate:
    """A status reported by TaskRouter.

    Attributes:
        status: the reported status.
        at: epoch ms of the report.
        by: source of the report, for the history.
        next_check_at: epoch ms of the sweep's next check, or None if the status is final.
        worker_name, workflow_name, task_queue_name: the friendly names, if reported.
        note: a note for the history.
        reserved_at, expires_at: epoch ms, based on a ``reservation.created`` event, or None.
        changed_at: epoch ms of the change, or None if the report does not contain this time.
    """

    status: Status
    at: int
    by: str
    next_check_at: int | None
    worker_name: str | None = None
    workflow_name: str | None = None
    task_queue_name: str | None = None
    note: str | None = None
    reserved_at: int | None = None
    expires_at: int | None = None
    changed_at: int | None = None


@dataclass(frozen=True)
class RemoteReservation:
    """A Reservation as returned by TaskRouter.

    Attributes:
        reservation_sid: WR….
        task_sid: WT….
        worker_sid: WK….
        worker_name: the Worker's friendly name.
        status: the current status.
        created_at: epoch ms.
    """

    reservation_sid: str
    task_sid: str
    worker_sid: str
    worker_name: str | None
    status: Status
    created_at: int
