"""The Reservation and its state machine.

As much of it as possible is in the two tables below: the storage conditions and the diagram in
``docs/state-machine.md`` are made from them. TaskRouter is the truth; a record mirrors it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chalicelib.domain.instructions import INSTRUCTION_TYPES
from chalicelib.domain.json_text import JsonError, parse_json_object


class Status(StrEnum):
    """TaskRouter's ReservationStatus, and ``gone``: TaskRouter answers 404, the end unknown."""

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
"""What we may ask TaskRouter for, by the status that it is in."""

OBSERVED: Mapping[Status, frozenset[Status]] = {
    _S.PENDING: frozenset(_S) - {_S.PENDING},
    _S.ACCEPTED: frozenset({_S.WRAPPING, _S.COMPLETED, _S.CANCELED, _S.GONE}),
    _S.WRAPPING: frozenset({_S.COMPLETED, _S.CANCELED, _S.GONE}),
    # The real end, once it is heard after all.
    _S.GONE: frozenset({_S.REJECTED, _S.TIMEOUT, _S.CANCELED, _S.RESCINDED, _S.COMPLETED}),
    _S.REJECTED: frozenset(),
    _S.TIMEOUT: frozenset(),
    _S.CANCELED: frozenset(),
    _S.RESCINDED: frozenset(),
    _S.COMPLETED: frozenset(),
}
"""What a mirror may record when TaskRouter says so; other news is late or repeated: dropped."""

OPEN = frozenset({_S.PENDING, _S.ACCEPTED, _S.WRAPPING})
"""The statuses that the sweep still has to look at."""

ACHIEVED: Mapping[Status, frozenset[Status]] = {
    _S.ACCEPTED: frozenset({_S.ACCEPTED, _S.WRAPPING, _S.COMPLETED}),
    _S.REJECTED: frozenset({_S.REJECTED}),
    _S.COMPLETED: frozenset({_S.COMPLETED}),
}
"""By what was asked for: the statuses which show that it has come about."""


def sources(table: Mapping[Status, frozenset[Status]], to: Status) -> list[Status]:
    """Return the statuses from which *table* leads to *to*, in the order of `Status`."""
    return [status for status in Status if to in table[status]]


def is_allowed(status: Status, of: Status | None) -> bool:
    """Tell whether OBSERVED lets a record in the status *of*, None where there is none, take it."""
    return of is None or status in OBSERVED[of]


INSTRUCTION_CONFIRM_MS = 15_000
"""How long after an answered instruction the sweep makes sure of its effect."""

_PENDING_LOOKS_MS = (15_000, 15 * 60_000)
_ASSIGNED_LOOKS_MS = (15 * 60_000, 6 * 3_600_000)


def next_check(status: Status, *, now: int, appointments: Iterable[int], checks: int) -> int | None:
    """Return when the sweep should look at a Reservation, or None where it has ended.

    A pending one is looked at when its deadline has passed, and then less and less often: voice
    can hold a Reservation for minutes beyond its time-out. An accepted one is looked at now and
    then, as a backstop to the events.

    Args:
        status: the Reservation's.
        now: epoch ms.
        appointments: epoch ms at which there is something to do, in any order. Those of a pending
            one (its deadline among them) take the place of looking now and then until the last
            has passed; an earlier one of an assigned one comes first.
        checks: how often the sweep has looked in vain since the status changed.
    """
    if status not in OPEN:
        return None
    ahead = sorted(at for at in appointments if at > now)
    if status is Status.PENDING and ahead:
        return ahead[0]
    first, most = _PENDING_LOOKS_MS if status is Status.PENDING else _ASSIGNED_LOOKS_MS
    return min([now + int(min(first * 2 ** min(checks, 20), most)), *ahead])


@dataclass(frozen=True)
class HistoryEntry:
    """One entry of a record's history.

    Attributes:
        at: epoch ms.
        to: the status from then on; the one before is the previous entry's.
        by: who brought the news: ``assignment_callback``, ``sweep``, or a Principal's name.
        note: what a reader should know besides, else None.
    """

    at: int
    to: Status
    by: str
    note: str | None = None


@dataclass(frozen=True)
class Claim:
    """Somebody is asking TaskRouter at this moment.

    Attributes:
        until: epoch ms at which the claim lapses, whatever became of its owner.
        target: the status asked for.
        claim_id: tells the owner's own claim from another's, also after a retried write.
        by: the owner's name.
        accepts: whether TaskRouter accepts the Reservation by what is asked for.
        instruction: what is sent with it, as a callback would have been answered; None where it is
            only a status that is asked for.
    """

    until: int
    target: Status
    claim_id: str
    by: str
    accepts: bool = False
    instruction: Mapping[str, Any] | None = None

    @property
    def sends(self) -> "SentInstruction | None":
        """What this claim is for sending, if it is an instruction."""
        if self.instruction is None:
            return None
        return SentInstruction(claim_id=self.claim_id, by=self.by, instruction=self.instruction)


@dataclass(frozen=True)
class SentInstruction:
    """An instruction that was sent to TaskRouter over REST, or was about to be.

    It is recorded before it is sent, so that nobody's phone ever rings twice.

    Attributes:
        claim_id: the claim under which it was sent.
        by: who sent it.
        instruction: the instruction, as a callback would have been answered.
    """

    claim_id: str
    by: str
    instruction: Mapping[str, Any]


RINGING = ("dequeue", "call", "redirect", "conference")
"""The instructions that make a phone ring, or move a caller: each is given once at most."""

BY_INSTRUCTION = "assignment_instruction"
"""Who got it accepted where the callback's answer did."""


@dataclass(frozen=True)
class Reservation:
    """A Reservation as recorded. Times are epoch ms.

    Attributes:
        reservation_sid: WR….
        task_sid: WT….
        worker_sid: WK….
        status: the mirror of TaskRouter's.
        reserved_at: when it was made, as far as we know.
        expires_at: when TaskRouter times it out.
        workflow_sid: WW…, once a callback has told.
        task_queue_sid: WQ…, once a callback has told.
        worker_name: once TaskRouter has told.
        answer: the assignment instruction that the callback was answered with; None where no
            callback has come.
        task_attributes: JSON text as received.
        worker_attributes: JSON text as received.
        parameters: the callback's other parameters as received, unknown ones too.
        accepted_by: who got it accepted.
        instruction_sent: the instruction that somebody had sent over REST, if anybody did.
        claim: the claim on it, live or lapsed.
        checks: how often the sweep has looked in vain.
        history: oldest first.
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
    answer: Mapping[str, Any] | None = None
    task_attributes: str | None = None
    worker_attributes: str | None = None
    parameters: Mapping[str, str | list[str]] = field(default_factory=dict)
    accepted_by: str | None = None
    instruction_sent: SentInstruction | None = None
    claim: Claim | None = None
    checks: int = 0
    history: tuple[HistoryEntry, ...] = ()

    def claimed_at(self, now: int) -> Claim | None:
        """Return the claim that is live at *now* (epoch ms), if there is one."""
        return self.claim if self.claim and self.claim.until > now else None

    @property
    def instructed(self) -> Mapping[str, Any] | None:
        """The one of RINGING that TaskRouter was given, over REST or in answer to the callback."""
        if self.instruction_sent:
            return self.instruction_sent.instruction
        return self.answer if self.answer and self.answer["instruction"] in RINGING else None

    @property
    def accepts_by(self) -> str | None:
        """Who gave TaskRouter an instruction by which it accepts, if anybody did."""
        sent = self.instruction_sent
        if sent and _accepts(sent.instruction):
            return sent.by
        return BY_INSTRUCTION if self.answer and _accepts(self.answer) else None

    @property
    def rings(self) -> bool:
        """Whether somebody's phone may be ringing now."""
        return self.status is Status.PENDING and self.instructed is not None

    @property
    def callback(self) -> dict[str, str | list[str]] | None:
        """Each parameter of the assignment callback as received; None where none has come."""
        if self.answer is None:
            return None
        stored_by_themselves = {
            "ReservationSid": self.reservation_sid,
            "TaskSid": self.task_sid,
            "WorkerSid": self.worker_sid,
            "WorkflowSid": self.workflow_sid,
            "TaskQueueSid": self.task_queue_sid,
            "TaskAttributes": self.task_attributes,
            "WorkerAttributes": self.worker_attributes,
        }
        given = {name: value for name, value in stored_by_themselves.items() if value is not None}
        return {**given, **self.parameters}


def _accepts(instruction: Mapping[str, Any]) -> bool:
    kind = INSTRUCTION_TYPES[instruction["instruction"]]
    return kind.accepts_always or bool(instruction.get("accept"))


def attributes_object(text: str | None) -> dict[str, Any] | None:
    """Return attributes as an object; None where there are none, or none that are JSON."""
    if text is None:
        return None
    try:
        return parse_json_object(text)
    except JsonError:
        return None


@dataclass(frozen=True)
class DueReservation:
    """An entry of the index ``due``: what the sweep needs, no more. Times are epoch ms."""

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
    """What has been heard of a Reservation's status.

    Attributes:
        status: the status heard.
        at: epoch ms.
        by: who brought it.
        next_check_at: epoch ms of the sweep's next look; None where the status is an end.
        worker_name: where it was told.
        note: for the history.
    """

    status: Status
    at: int
    by: str
    next_check_at: int | None
    worker_name: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class ReservationQuery:
    """Which Reservations to list.

    Attributes:
        since: epoch ms; only those made then or later.
        status: only those in it now.
        worker_sid: only that Worker's.
        limit: at most so many in a page.
    """

    since: int
    status: Status | None = None
    worker_sid: str | None = None
    limit: int = 50


@dataclass(frozen=True)
class ReservationPage:
    """A page of a list, and the cursor to its next page, None where this is the last."""

    reservations: list[Reservation]
    next_cursor: str | None


@dataclass(frozen=True)
class RemoteReservation:
    """A Reservation as TaskRouter tells it; times are epoch ms."""

    reservation_sid: str
    task_sid: str
    worker_sid: str
    worker_name: str | None
    status: Status
    created_at: int
