"""Open Reservations are checked by each deadline, and ended Reservations are never checked."""

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.reservations import OPEN, Status
from chalicelib.usecases.deadlines import Deadlines
from tests.support import NOW

GRACE = 10
SIX_HOURS_MS = 6 * 3_600_000

times = st.integers(NOW - 10**9, NOW + 10**9)
limits = st.none() | st.integers(1, 86_400)


def make_deadlines(reject_after: int | None, max_wrapup: int | None) -> Deadlines:
    return Deadlines(
        reservation_timeout=120,
        grace=GRACE,
        claim_lease=30,
        reject_after=reject_after,
        max_wrapup=max_wrapup,
    )


@given(
    status=st.sampled_from(sorted(OPEN)),
    reserved_at=times,
    expires_at=times,
    reject_after=limits,
    max_wrapup=limits,
    checks=st.integers(0, 10_000),
)
def test_open_reservation_is_checked_within_six_hours_or_by_its_last_deadline(
    *,
    status: Status,
    reserved_at: int,
    expires_at: int,
    reject_after: int | None,
    max_wrapup: int | None,
    checks: int,
) -> None:
    deadlines = make_deadlines(reject_after, max_wrapup)
    check_at = deadlines.next_check(
        status, now=NOW, reserved_at=reserved_at, expires_at=expires_at, checks=checks
    )
    assert check_at is not None
    rejects_at = deadlines.rejects_at(reserved_at) or 0
    assert NOW < check_at <= max(NOW + SIX_HOURS_MS, expires_at + GRACE * 1000, rejects_at)


@given(
    reserved_at=times,
    expires_at=times,
    reject_after=limits,
    checks=st.integers(0, 10_000),
)
def test_pending_reservation_is_checked_by_its_next_deadline(
    *, reserved_at: int, expires_at: int, reject_after: int | None, checks: int
) -> None:
    deadlines = make_deadlines(reject_after, None)
    check_at = deadlines.next_check(
        Status.PENDING, now=NOW, reserved_at=reserved_at, expires_at=expires_at, checks=checks
    )
    future_deadlines = [
        at
        for at in (expires_at + GRACE * 1000, deadlines.rejects_at(reserved_at))
        if at is not None and at > NOW
    ]
    assert check_at is not None
    assert all(check_at <= at for at in future_deadlines)


@given(max_wrapup=st.integers(1, 86_400), checks=st.integers(0, 10_000))
def test_wrapping_reservation_is_checked_by_its_wrap_up_limit(
    *, max_wrapup: int, checks: int
) -> None:
    deadlines = make_deadlines(None, max_wrapup)
    check_at = deadlines.next_check(
        Status.WRAPPING, now=NOW, reserved_at=NOW, expires_at=NOW, checks=checks
    )
    assert check_at is not None
    assert check_at <= NOW + max_wrapup * 1000


@given(status=st.sampled_from(sorted(set(Status) - OPEN)), expires_at=times)
def test_ended_reservation_is_never_checked(status: Status, expires_at: int) -> None:
    deadlines = make_deadlines(40, 300)
    assert deadlines.next_check(status, now=NOW, reserved_at=NOW, expires_at=expires_at) is None
