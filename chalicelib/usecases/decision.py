"""What somebody wants of a Reservation, whom it takes, and whether it has come about."""

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.domain.errors import (
    ReservationGone,
    ReservationNotPending,
    Unsettled,
)
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.principals import Principal
from chalicelib.domain.reservations import ACHIEVED, MOVES, Reservation, Status
from chalicelib.usecases.ports import Clock, Store, TaskRouter
from chalicelib.usecases.timing import Timing


@dataclass(frozen=True)
class Decision:
    """What somebody wants of a Reservation.

    Attributes:
        target: the status to ask TaskRouter for.
        reservation_sid: WR….
        principal: who wants it.
        task_sid: WT…, where the caller named it.
        activity_sid: WA… that a rejection moves the Worker to, if any.
        instruction: what TaskRouter is to do for it to be accepted, if anything: ring, as a rule.
    """

    target: Status
    reservation_sid: str
    principal: Principal
    task_sid: str | None = None
    activity_sid: str | None = None
    instruction: Instruction | None = None

    @property
    def accepts(self) -> bool:
        """Whether TaskRouter accepts the Reservation by what it is asked for."""
        asked = self.instruction.accepts if self.instruction else True
        return self.target is Status.ACCEPTED and asked

    def was_given(self, record: Reservation) -> bool:
        """Tell whether TaskRouter was given the instruction, if this carries one."""
        return self.instruction is None or record.instructed == self.instruction.render()


@dataclass(frozen=True)
class Desk:
    """The collaborators of a decision; *new_id* makes a fresh claim id at each call."""

    store: Store
    taskrouter: TaskRouter
    clock: Clock
    timing: Timing
    new_id: Callable[[], str]


def outcome(decision: Decision, record: Reservation) -> Reservation:
    """Return *record* if it shows that the decision has come about, else say why it has not.

    An instruction has come about once it was sent: what comes of it may take minutes. Accepted
    without it is something else: nobody is on the phone.
    """
    if record.status in ACHIEVED[decision.target] and decision.was_given(record):
        return record
    if decision.instruction and record.rings:
        return record  # somebody's phone rings
    if record.status is Status.GONE:
        raise ReservationGone("TaskRouter no longer knows this Reservation.")
    if decision.target in MOVES[record.status]:
        raise unsettled()
    raise ReservationNotPending(
        f"The Reservation is {record.status}.", reservation_status=record.status
    )


def unsettled() -> Unsettled:
    """Return the error of one who can't be told yet."""
    return Unsettled("TaskRouter's answer is not known yet; try again, or read the Reservation.")
