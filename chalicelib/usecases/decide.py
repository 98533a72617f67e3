"""Decide a Reservation: claim it, ask TaskRouter, settle the record.

The claim is a lease in the record, so that of many who ask for the same only one asks TaskRouter.
Whoever dies in between leaves a claim that lapses, and the sweep learns the truth.
"""

from chalicelib.domain.errors import (
    BadRequest,
    InstructionAlreadySent,
    NotFound,
    ReservationNotPending,
    StoreUnavailable,
    TaskRouterNotFound,
    Unsettled,
)
from chalicelib.domain.reservations import MOVES, Claim, Reservation
from chalicelib.usecases.asking import ask
from chalicelib.usecases.decision import Decision, Desk, outcome
from chalicelib.usecases.record import record

_WAIT_MS = 3_000
_POLL_SECONDS = 0.1


def decide(decision: Decision, desk: Desk, *, started: int | None = None) -> Reservation:
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


def _claim(decision: Decision, desk: Desk) -> tuple[Claim, tuple[bool, Reservation | None]]:
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
            worker_sid=decision.principal.confined_to,
            task_sid=decision.task_sid,
        )
    except StoreUnavailable:
        # It may have been written all the same, and nobody else sends what was claimed for us.
        record = desk.store.get(decision.reservation_sid)
        if record and record.claim and record.claim.claim_id == claim.claim_id:
            return claim, (True, record)
        raise


def _record_from_taskrouter(decision: Decision, desk: Desk) -> None:
    """Record a Reservation whose callback never reached us, if the caller may touch it."""
    worker_sid = decision.principal.confined_to
    if decision.task_sid is None and worker_sid is None:
        raise NotFound("No such Reservation is recorded; name its task_sid to ask TaskRouter.")
    try:
        seen = desk.taskrouter.fetch_reservation(
            decision.reservation_sid, task_sid=decision.task_sid, worker_sid=worker_sid
        )
    except TaskRouterNotFound as error:
        raise NotFound("Neither a record nor TaskRouter knows this Reservation.") from error
    decision.principal.must_reach(seen.worker_sid)
    record(
        seen,
        store=desk.store,
        timing=desk.timing,
        now=desk.clock.now_ms(),
        by=decision.principal.name,
    )


def _learn(decision: Decision, record: Reservation, desk: Desk) -> Reservation:
    """Tell one who could not claim why, or wait for the outcome of the one who could."""
    decision.principal.must_reach(record.worker_sid)
    if decision.task_sid not in (None, record.task_sid):
        raise BadRequest("The Reservation belongs to another Task than the task_sid given.")
    if decision.instruction and (given := record.instructed):
        if given != decision.instruction.render():
            raise InstructionAlreadySent(
                f"TaskRouter was given the instruction {given['instruction']} for this "
                "Reservation: a second one could ring twice.",
                reservation_status=record.status,
            )
        return outcome(decision, record)
    deadline = desk.clock.now_ms() + _WAIT_MS
    while decision.target in MOVES[record.status]:
        now = desk.clock.now_ms()
        claim = record.claimed_at(now)
        if claim and claim.target is not decision.target:
            raise ReservationNotPending(
                f"The Reservation is being decided otherwise: {claim.target} was asked for.",
                reservation_status=record.status,
            )
        if claim is None or now >= deadline:
            raise Unsettled("TaskRouter's answer to an earlier request is awaited; try again.")
        desk.clock.sleep(_POLL_SECONDS)
        record = desk.store.get(record.reservation_sid) or record
    return outcome(decision, record)
