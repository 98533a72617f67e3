"""Decide a Reservation: claim it, ask TaskRouter, settle the record.

The claim is a lease in the record, so that of many who ask for the same only one asks TaskRouter.
Settling does not depend on still owning it: whatever TaskRouter says is recorded where OBSERVED
allows. Whoever dies in between leaves a claim that lapses, and the sweep learns the truth.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from chalicelib.domain.errors import (
    BadRequest,
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
from chalicelib.domain.principals import Principal
from chalicelib.domain.records import News
from chalicelib.domain.reservations import (
    ACHIEVED,
    MOVES,
    Claim,
    Reservation,
    Status,
)
from chalicelib.domain.taskrouter import Seen
from chalicelib.usecases.ports import Clock, Store, TaskRouter
from chalicelib.usecases.record import record
from chalicelib.usecases.timing import Timing

_WAIT_MS = 3_000
_POLL_SECONDS = 0.1
_ASK_AGAIN_BEFORE_MS = 15_000
"""TaskRouter may be asked for the truth only this early in a request: the question may take 10 s
and the function ends after 29."""


@dataclass(frozen=True)
class Decision:
    """What somebody wants of a Reservation.

    Attributes:
        target: the status to ask TaskRouter for.
        reservation_sid: WR….
        principal: who wants it.
        task_sid: WT…, where the caller named it.
        activity_sid: WA… that a rejection moves the Worker to, if any.
    """

    target: Status
    reservation_sid: str
    principal: Principal
    task_sid: str | None = None
    activity_sid: str | None = None


@dataclass(frozen=True)
class Desk:
    """The collaborators of a decision; *new_id* makes a fresh claim id at each call."""

    store: Store
    taskrouter: TaskRouter
    clock: Clock
    timing: Timing
    new_id: Callable[[], str]


def decide(decision: Decision, desk: Desk, *, started: int | None = None) -> Reservation:
    """Bring *decision* about, or learn that somebody else has.

    Args:
        decision: what is wanted, and by whom.
        desk: the collaborators.
        started: epoch ms at which the request began, if that was before now.

    Returns:
        The Reservation, in a status which shows that it has come about.

    Raises:
        Forbidden: it is another Worker's.
        NotFound: neither we nor TaskRouter know it.
        BadRequest: it belongs to another Task than the one named.
        ReservationNotPending: it ended otherwise, or is being decided otherwise.
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
    return _ask(decision, found, claim, desk, started)


def _claim(decision: Decision, desk: Desk) -> tuple[Claim, tuple[bool, Reservation | None]]:
    now = desk.clock.now_ms()
    claim = Claim(
        until=now + desk.timing.claim_lease * 1000,
        target=decision.target,
        claim_id=desk.new_id(),
        by=decision.principal.name,
    )
    return claim, desk.store.claim(
        decision.reservation_sid,
        claim,
        now=now,
        worker_sid=decision.principal.confined_to,
        task_sid=decision.task_sid,
    )


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
    return _outcome(decision, record)


def _ask(
    decision: Decision, record: Reservation, claim: Claim, desk: Desk, started: int
) -> Reservation:
    """Ask TaskRouter under our claim, and settle the record by what it says."""
    try:
        seen = desk.taskrouter.update_reservation(
            record.reservation_sid,
            task_sid=record.task_sid,
            to=decision.target,
            activity_sid=decision.activity_sid,
        )
    except TaskRouterNotFound:
        return _settle_gone(decision, record, desk)
    except TaskRouterDenied:
        _release(record, claim, desk)
        raise
    except TaskRouterRefused as refusal:
        return _settle_refused(decision, record, claim, desk, refusal)
    except TaskRouterUnavailable as failure:
        seen = _truth_after(failure, record, claim, desk, started)
    return _settle(decision, record, seen, desk)


def _settle_refused(
    decision: Decision,
    record: Reservation,
    claim: Claim,
    desk: Desk,
    refusal: TaskRouterRefused,
) -> Reservation:
    """TaskRouter said no: usually because the Reservation is no longer pending."""
    try:
        seen = _fetch(record, desk)
    except TaskRouterNotFound:
        return _settle_gone(decision, record, desk)
    except TaskRouterError as error:
        raise _unsettled() from error
    if seen.status is record.status:
        _release(record, claim, desk)
        raise refusal
    return _settle(decision, record, seen, desk)


def _truth_after(
    failure: TaskRouterUnavailable,
    record: Reservation,
    claim: Claim,
    desk: Desk,
    started: int,
) -> Seen:
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
    raise _unsettled() from failure


def _settle(decision: Decision, record: Reservation, seen: Seen, desk: Desk) -> Reservation:
    """Mirror what TaskRouter says. Where the news is late, the record knows better."""
    now = desk.clock.now_ms()
    news = News(
        status=seen.status,
        at=now,
        by=decision.principal.name,
        next_look_at=_next_look(seen.status, record, desk, now),
        worker_name=seen.worker_name,
    )
    heard = replace(record, status=seen.status, worker_name=seen.worker_name)
    try:
        _, settled = desk.store.observe(record.reservation_sid, news)
    except StoreUnavailable:
        # TaskRouter has decided, so the caller should know; the sweep mends the record as soon
        # as the claim has lapsed.
        settled = None
    return _outcome(decision, settled or heard)


def _settle_gone(decision: Decision, record: Reservation, desk: Desk) -> Reservation:
    """Record that it is gone, unless it is the Workspace that TaskRouter does not know."""
    try:
        desk.taskrouter.must_know_the_workspace()
    except TaskRouterError as error:
        raise _unsettled() from error
    now = desk.clock.now_ms()
    news = News(
        status=Status.GONE,
        at=now,
        by=decision.principal.name,
        next_look_at=None,
        note="TaskRouter answered 404",
    )
    _, settled = desk.store.observe(record.reservation_sid, news)
    return _outcome(decision, settled or replace(record, status=Status.GONE))


def _outcome(decision: Decision, record: Reservation) -> Reservation:
    """Return *record* if it shows that the decision has come about, else say why it has not."""
    if record.status in ACHIEVED[decision.target]:
        return record
    if record.status is Status.GONE:
        raise ReservationGone("TaskRouter no longer knows this Reservation.")
    if decision.target in MOVES[record.status]:
        raise _unsettled()
    raise ReservationNotPending(
        f"The Reservation is {record.status}.", reservation_status=record.status
    )


def _fetch(record: Reservation, desk: Desk) -> Seen:
    return desk.taskrouter.fetch_reservation(record.reservation_sid, task_sid=record.task_sid)


def _release(record: Reservation, claim: Claim, desk: Desk) -> None:
    """Give the claim up at once; where that fails, it lapses by itself."""
    now = desk.clock.now_ms()
    due_at = _next_look(record.status, record, desk, now)
    with suppress(StoreUnavailable):
        desk.store.release(record.reservation_sid, claim, due_at=due_at or now)


def _next_look(status: Status, record: Reservation, desk: Desk, now: int) -> int | None:
    return desk.timing.next_look(
        status, now=now, reserved_at=record.reserved_at, expires_at=record.expires_at
    )


def _unsettled() -> Unsettled:
    return Unsettled("TaskRouter's answer is not known yet; try again, or read the Reservation.")
