"""Ask TaskRouter under a claim, and settle the record by what it says.

Settling does not depend on still owning the claim: whatever TaskRouter says is recorded where
OBSERVED allows.
"""

from contextlib import suppress
from dataclasses import replace

from chalicelib.domain.errors import (
    StoreUnavailable,
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.records import News
from chalicelib.domain.reservations import INSTRUCTION_CONFIRM_MS, Claim, Reservation, Status
from chalicelib.domain.taskrouter import Seen
from chalicelib.usecases.decision import Decision, Desk, outcome, unsettled

_ASK_AGAIN_BEFORE_MS = 15_000
"""TaskRouter may be asked for the truth only this early in a request: the question may take 10 s
and the function ends after 29."""


def ask(
    decision: Decision, record: Reservation, claim: Claim, desk: Desk, started: int
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


def _put(decision: Decision, record: Reservation, desk: Desk) -> Seen:
    sid, task_sid = record.reservation_sid, record.task_sid
    if decision.instruction:
        return desk.taskrouter.instruct(sid, task_sid=task_sid, instruction=decision.instruction)
    return desk.taskrouter.update_reservation(
        sid, task_sid=task_sid, to=decision.target, activity_sid=decision.activity_sid
    )


def _leave_to_taskrouter(record: Reservation, claim: Claim, desk: Desk) -> Reservation:
    """TaskRouter is carrying the instruction out; an event tells the end, or the sweep finds it."""
    now = desk.clock.now_ms()
    with suppress(StoreUnavailable):  # the claim lapses by itself
        desk.store.hand_over(record.reservation_sid, claim, due_at=now + INSTRUCTION_CONFIRM_MS)
    return record


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
    raise unsettled() from failure


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
    return outcome(decision, settled or heard)


def _settle_gone(decision: Decision, record: Reservation, desk: Desk) -> Reservation:
    """Record that it is gone, unless it is the Workspace that TaskRouter does not know."""
    try:
        desk.taskrouter.must_know_the_workspace()
    except TaskRouterError as error:
        raise unsettled() from error
    now = desk.clock.now_ms()
    news = News(
        status=Status.GONE,
        at=now,
        by=decision.principal.name,
        next_look_at=None,
        note="TaskRouter answered 404",
    )
    _, settled = desk.store.observe(record.reservation_sid, news)
    return outcome(decision, settled or replace(record, status=Status.GONE))


def _fetch(record: Reservation, desk: Desk) -> Seen:
    return desk.taskrouter.fetch_reservation(record.reservation_sid, task_sid=record.task_sid)


def _release(record: Reservation, claim: Claim, desk: Desk) -> None:
    """Give the claim up at once; where that fails, it lapses by itself."""
    now = desk.clock.now_ms()
    due_at = _next_look(record.status, record, desk, now) or now
    before = replace(record, instruction_sent=None) if claim.sends else record
    with suppress(StoreUnavailable):
        desk.store.release(record.reservation_sid, claim, due_at=due_at, acceptor=before.accepts_by)


def _next_look(status: Status, record: Reservation, desk: Desk, now: int) -> int | None:
    return desk.timing.next_look(
        status, now=now, reserved_at=record.reserved_at, expires_at=record.expires_at
    )
