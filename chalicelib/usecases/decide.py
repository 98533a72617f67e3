"""What somebody wants of a Reservation, whom it takes, and whether it has come about."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.errors import (
    BadRequest,
    InstructionAlreadySent,
    NotFound,
    ReservationGone,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
    Unsettled,
)
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import (
    ACHIEVED,
    INSTRUCTION_CONFIRM_MS,
    MOVES,
    Claim,
    RemoteReservation,
    Reservation,
    Status,
    StatusUpdate,
)
from chalicelib.usecases.deadlines import Deadlines
from chalicelib.usecases.observe import record_remote_reservation
from chalicelib.usecases.ports import Clock, ReservationStore, TaskRouter

_ACTIONS = {
    Status.ACCEPTED: Action.ACCEPT_RESERVATION,
    Status.REJECTED: Action.REJECT_RESERVATION,
    Status.COMPLETED: Action.COMPLETE_RESERVATION,
}


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
    def action(self) -> Action:
        """The action that the caller performs."""
        return _ACTIONS[self.target]

    @property
    def accepts(self) -> bool:
        """Whether TaskRouter accepts the Reservation by what it is asked for."""
        asked = self.instruction.accepts if self.instruction else True
        return self.target is Status.ACCEPTED and asked

    def was_given(self, record: Reservation) -> bool:
        """Tell whether TaskRouter was given the instruction, if this carries one."""
        return self.instruction is None or record.instructed == self.instruction.render()


@dataclass(frozen=True)
class Collaborators:
    """The collaborators of a decision; *new_id* makes a fresh claim id at each call."""

    store: ReservationStore
    taskrouter: TaskRouter
    clock: Clock
    timing: Deadlines
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


_WAIT_MS = 3_000
_POLL_SECONDS = 0.1


def decide(decision: Decision, desk: Collaborators, *, started: int | None = None) -> Reservation:
    """Bring *decision* about, or learn that somebody else has.

    Args:
        decision: what is wanted, and by whom.
        desk: the collaborators.
        started: epoch ms at which the request began, if that was before now.

    Returns:
        The Reservation, in a status which shows that it has come about; with an instruction it may
        be pending still, and a repeat sends nothing again.

    Raises:
        Forbidden: it is another Worker's.
        NotFound: neither we nor TaskRouter know it.
        BadRequest: it belongs to another Task than the one named.
        ReservationNotPending: it ended otherwise, or is being decided otherwise.
        InstructionAlreadySent: another instruction was sent for it.
        ReservationGone: TaskRouter no longer knows it.
        TaskRouterRefused: TaskRouter said no although it is pending.
        TaskRouterDenied: TaskRouter refuses our credentials.
        Unsettled: the outcome is not known yet.
        StoreUnavailable: DynamoDB failed before anything was asked.
    """
    started = desk.clock.now_ms() if started is None else started
    claim, (won, found) = _claim(decision, desk)
    if found is None:
        _record_from_taskrouter(decision, desk)
        claim, (won, found) = _claim(decision, desk)
    if found is None:
        raise Unsettled("The Reservation's record is not there yet; try again.")
    if not won:
        return _learn(decision, found, desk)
    return ask(decision, found, claim, desk, started)


def _claim(
    decision: Decision, desk: Collaborators
) -> tuple[Claim, tuple[bool, Reservation | None]]:
    now = desk.clock.now_ms()
    claim = Claim(
        until=now + desk.timing.claim_lease * 1000,
        target=decision.target,
        claim_id=desk.new_id(),
        by=decision.principal.name,
        accepts=decision.accepts,
        instruction=decision.instruction.render() if decision.instruction else None,
    )
    try:
        return claim, desk.store.claim(
            decision.reservation_sid,
            claim,
            now=now,
            worker_sid=decision.principal.confined_to(decision.action),
            task_sid=decision.task_sid,
        )
    except StoreUnavailable:
        # It may have been written all the same, and nobody else sends what was claimed for us.
        record_remote_reservation = desk.store.get(decision.reservation_sid)
        if (
            record_remote_reservation
            and record_remote_reservation.claim
            and record_remote_reservation.claim.claim_id == claim.claim_id
        ):
            return claim, (True, record_remote_reservation)
        raise


def _record_from_taskrouter(decision: Decision, desk: Collaborators) -> None:
    """Record a Reservation whose callback never reached us, if the caller may touch it."""
    worker_sid = decision.principal.confined_to(decision.action)
    if decision.task_sid is None and worker_sid is None:
        raise NotFound("No such Reservation is recorded; name its task_sid to ask TaskRouter.")
    try:
        seen = desk.taskrouter.fetch_reservation(
            decision.reservation_sid, task_sid=decision.task_sid, worker_sid=worker_sid
        )
    except TaskRouterNotFound as error:
        raise NotFound("Neither a record nor TaskRouter knows this Reservation.") from error
    decision.principal.authorize(decision.action, worker_sid=seen.worker_sid)
    record_remote_reservation(
        seen,
        store=desk.store,
        timing=desk.timing,
        now=desk.clock.now_ms(),
        by=decision.principal.name,
    )


def _learn(
    decision: Decision, record_remote_reservation: Reservation, desk: Collaborators
) -> Reservation:
    """Tell one who could not claim why, or wait for the outcome of the one who could."""
    decision.principal.authorize(decision.action, worker_sid=record_remote_reservation.worker_sid)
    if decision.task_sid not in (None, record_remote_reservation.task_sid):
        raise BadRequest("The Reservation belongs to another Task than the task_sid given.")
    if decision.instruction and (given := record_remote_reservation.instructed):
        if given != decision.instruction.render():
            raise InstructionAlreadySent(
                f"TaskRouter was given the instruction {given['instruction']} for this "
                "Reservation: a second one could ring twice.",
                reservation_status=record_remote_reservation.status,
            )
        return outcome(decision, record_remote_reservation)
    deadline = desk.clock.now_ms() + _WAIT_MS
    while decision.target in MOVES[record_remote_reservation.status]:
        now = desk.clock.now_ms()
        claim = record_remote_reservation.claimed_at(now)
        if claim and claim.target is not decision.target:
            raise ReservationNotPending(
                f"The Reservation is being decided otherwise: {claim.target} was asked for.",
                reservation_status=record_remote_reservation.status,
            )
        if claim is None or now >= deadline:
            raise Unsettled("TaskRouter's answer to an earlier request is awaited; try again.")
        desk.clock.sleep(_POLL_SECONDS)
        record_remote_reservation = (
            desk.store.get(record_remote_reservation.reservation_sid) or record_remote_reservation
        )
    return outcome(decision, record_remote_reservation)


_ASK_AGAIN_BEFORE_MS = 15_000
"""TaskRouter may be asked for the truth only this early in a request: the question may take 10 s
and the function ends after 29."""


def ask(
    decision: Decision, record: Reservation, claim: Claim, desk: Collaborators, started: int
) -> Reservation:
    """Ask TaskRouter under our claim, and settle the record by what it says."""
    try:
        seen = _put(decision, record, desk)
    except TaskRouterNotFound:
        return _settle_gone(decision, record, desk)
    except TaskRouterDenied:
        _release(record, claim, desk)
        raise
    except TaskRouterRefused as refusal:
        return _settle_refused(decision, record, claim, desk, refusal)
    except TaskRouterUnavailable as failure:
        seen = _truth_after(failure, record, claim, desk, started)
    if decision.instruction and seen.status is Status.PENDING:
        return _leave_to_taskrouter(record, claim, desk)
    return _settle(decision, record, seen, desk)


def _put(decision: Decision, record: Reservation, desk: Collaborators) -> RemoteReservation:
    sid, task_sid = record.reservation_sid, record.task_sid
    if decision.instruction:
        return desk.taskrouter.instruct(sid, task_sid=task_sid, instruction=decision.instruction)
    return desk.taskrouter.update_reservation(
        sid, task_sid=task_sid, to=decision.target, activity_sid=decision.activity_sid
    )


def _leave_to_taskrouter(record: Reservation, claim: Claim, desk: Collaborators) -> Reservation:
    """TaskRouter is carrying the instruction out; an event tells the end, or the sweep finds it."""
    now = desk.clock.now_ms()
    with suppress(StoreUnavailable):  # the claim lapses by itself
        desk.store.hand_over(record.reservation_sid, claim, due_at=now + INSTRUCTION_CONFIRM_MS)
    return record


def _settle_refused(
    decision: Decision,
    record: Reservation,
    claim: Claim,
    desk: Collaborators,
    refusal: TaskRouterRefused,
) -> Reservation:
    """TaskRouter said no: usually because the Reservation is no longer pending."""
    try:
        seen = _fetch(record, desk)
    except TaskRouterNotFound:
        return _settle_gone(decision, record, desk)
    except TaskRouterError as error:
        raise unsettled() from error
    if seen.status is record.status:
        _release(record, claim, desk)
        raise refusal
    if claim.sends:
        _release(record, claim, desk)
        record = replace(record, instruction_sent=None)
    return _settle(decision, record, seen, desk)


def _truth_after(
    failure: TaskRouterUnavailable,
    record: Reservation,
    claim: Claim,
    desk: Collaborators,
    started: int,
) -> RemoteReservation:
    """Ask once what became of a request whose answer we never heard.

    Raises:
        Unsettled: it can't be known yet. The claim stays, because the request may still be under
            way; only one that was never processed (429) gives it up, so that a retry can go ahead.
    """
    seen = None
    if desk.clock.now_ms() - started < _ASK_AGAIN_BEFORE_MS:
        try:
            seen = _fetch(record, desk)
        except TaskRouterError:
            # The first failure is the one to tell of; the sweep will ask again.
            seen = None
    if seen is not None and seen.status is not record.status:
        return seen
    if isinstance(failure, TaskRouterThrottled):
        _release(record, claim, desk)
    raise unsettled() from failure


def _settle(
    decision: Decision, record: Reservation, seen: RemoteReservation, desk: Collaborators
) -> Reservation:
    """Mirror what TaskRouter says. Where the news is late, the record knows better."""
    now = desk.clock.now_ms()
    news = StatusUpdate(
        status=seen.status,
        at=now,
        by=decision.principal.name,
        next_check_at=_next_look(seen.status, record, desk, now),
        worker_name=seen.worker_name,
    )
    heard = replace(record, status=seen.status, worker_name=seen.worker_name)
    try:
        _, settled = desk.store.observe(record.reservation_sid, news)
    except StoreUnavailable:
        # TaskRouter has decided, so the caller should know; the sweep mends the record as soon
        # as the claim has lapsed.
        settled = None
    return outcome(decision, settled or heard)


def _settle_gone(decision: Decision, record: Reservation, desk: Collaborators) -> Reservation:
    """Record that it is gone, unless it is the Workspace that TaskRouter does not know."""
    try:
        desk.taskrouter.must_know_the_workspace()
    except TaskRouterError as error:
        raise unsettled() from error
    now = desk.clock.now_ms()
    news = StatusUpdate(
        status=Status.GONE,
        at=now,
        by=decision.principal.name,
        next_check_at=None,
        note="TaskRouter answered 404",
    )
    _, settled = desk.store.observe(record.reservation_sid, news)
    return outcome(decision, settled or replace(record, status=Status.GONE))


def _fetch(record: Reservation, desk: Collaborators) -> RemoteReservation:
    return desk.taskrouter.fetch_reservation(record.reservation_sid, task_sid=record.task_sid)


def _release(record: Reservation, claim: Claim, desk: Collaborators) -> None:
    """Give the claim up at once; where that fails, it lapses by itself."""
    now = desk.clock.now_ms()
    due_at = _next_look(record.status, record, desk, now) or now
    before = replace(record, instruction_sent=None) if claim.sends else record
    with suppress(StoreUnavailable):
        desk.store.release(record.reservation_sid, claim, due_at=due_at, acceptor=before.accepts_by)


def _next_look(status: Status, record: Reservation, desk: Collaborators, now: int) -> int | None:
    return desk.timing.next_check(
        status, now=now, reserved_at=record.reserved_at, expires_at=record.expires_at
    )


def find_reservation_to_accept(
    task_sid: str, *, principal: Principal, taskrouter: TaskRouter
) -> str:
    """Ask TaskRouter for the Task's pending Reservation that *principal* may decide.

    Where none is pending it may be that this was asked before, and worked: then it is the one that
    was accepted.

    Returns:
        Its SID (WR…).

    Raises:
        NotFound: no such Task, or it has none pending nor accepted.
        Forbidden: it is another Worker's.
        BadRequest: several Workers are reserved at once, so it has to be named.
        TaskRouterError: TaskRouter could not be asked.
    """
    try:
        found = taskrouter.pending_reservations(task_sid)
        if not found:
            found = [
                seen
                for seen in taskrouter.reservations(task_sid)
                if seen.status in ACHIEVED[Status.ACCEPTED]
            ]
    except TaskRouterNotFound as error:
        raise NotFound("TaskRouter does not know this Task.") from error
    return _the_one(found, principal).reservation_sid


def _the_one(found: list[RemoteReservation], principal: Principal) -> RemoteReservation:
    action = Action.ACCEPT_RESERVATION
    own_worker_sid = principal.confined_to(action)
    own = [seen for seen in found if own_worker_sid in (None, seen.worker_sid)]
    if len(own) == 1:
        return own[0]
    if own:
        raise BadRequest("The Task has several pending Reservations; name the reservation_sid.")
    if found:
        principal.authorize(action, worker_sid=found[0].worker_sid)
    raise NotFound("The Task has no pending Reservation.")
