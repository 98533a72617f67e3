"""Open Reservations are checked by their next deadline; ended Reservations are never checked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import TaskRouterNotSent
from chalicelib.domain.reservations import OPEN, Status
from chalicelib.usecases.deadlines import Deadlines, require_time
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
def test_wrapping_reservation_is_checked_no_later_than_its_wrap_up_limit(
    *, max_wrapup: int, checks: int
) -> None:
    deadlines = make_deadlines(None, max_wrapup)
    check_at = deadlines.next_check(
        Status.WRAPPING, now=NOW, reserved_at=NOW, expires_at=NOW, checks=checks
    )
    assert check_at is not None
    assert check_at <= NOW + max_wrapup * 1000


@given(status=st.sampled_from(sorted(set(Status) - set(OPEN))), expires_at=times)
def test_ended_reservation_is_never_checked(status: Status, expires_at: int) -> None:
    deadlines = make_deadlines(40, 300)
    assert deadlines.next_check(status, now=NOW, reserved_at=NOW, expires_at=expires_at) is None


SECOND, MINUTE = 1_000, 60_000


def test_workflow_timeout_replaces_the_default_timeout() -> None:
    deadlines = Deadlines(120, 10, 30, by_workflow={"WW1": 300})
    for workflow_sid, seconds in ((None, 120), ("", 120), ("WW2", 120), ("WW1", 300)):
        assert deadlines.expires_at(NOW, workflow_sid) == NOW + seconds * SECOND


def test_rejection_and_completion_are_due_after_the_configured_times_or_never() -> None:
    deadlines = make_deadlines(40, 300)
    assert deadlines.rejects_at(NOW) == NOW + 40 * SECOND
    assert deadlines.completes_at(NOW) == NOW + 300 * SECOND
    deadlines = make_deadlines(None, None)
    assert deadlines.rejects_at(NOW) is deadlines.completes_at(NOW) is None


PENDING_INTERVALS = [15, 30, 60, 120, 240, 480, 900, 900, 900]
ASSIGNED_INTERVALS = [minutes * 60 for minutes in (15, 30, 60, 120, 240, 360, 360, 360, 360)]


@pytest.mark.parametrize(
    ("status", "intervals"),
    [
        (Status.PENDING, PENDING_INTERVALS),
        (Status.ACCEPTED, ASSIGNED_INTERVALS),
        (Status.WRAPPING, ASSIGNED_INTERVALS),
    ],
)
def test_interval_between_checks_doubles_up_to_its_maximum(
    status: Status, intervals: list[int]
) -> None:
    deadlines = make_deadlines(None, None)
    times = {"now": NOW, "reserved_at": 0, "expires_at": 0}
    assert [
        deadlines.next_check(status, **times, checks=checks) - NOW
        for checks in range(len(intervals))
    ] == [seconds * SECOND for seconds in intervals]
    assert deadlines.next_check(status, **times) == NOW + intervals[0] * SECOND
    assert deadlines.next_check(status, **times, checks=10**5) == NOW + intervals[-1] * SECOND


@pytest.mark.parametrize(
    ("age", "reject_after", "delay"),
    [
        (0, None, 130_000),
        (0, 40, 40_000),
        (0, 200, 130_000),
        (39_999, 40, 1),
        (40_000, 40, 15_000),  # the rejection is overdue
        (110_000, 40, 15_000),
        (116_000, 40, 14_000),  # the grace period ends before a retry is due
        (119_999, 40, 10_001),
        (120_000, 40, 10_000),
        (129_999, 40, 1),
        (130_000, 40, 15_000),  # all deadlines have passed
        (130_000, None, 15_000),
        (130_000, 200, 70_000),
    ],
)
def test_pending_reservation_is_checked_at_its_next_deadline_or_after_the_interval(
    age: int, reject_after: int | None, delay: int
) -> None:
    deadlines = make_deadlines(reject_after, 1)
    now = NOW + age
    check_at = deadlines.next_check(
        Status.PENDING, now=now, reserved_at=NOW, expires_at=NOW + 120_000
    )
    assert check_at is not None
    assert check_at - now == delay


@pytest.mark.parametrize(
    ("max_wrapup", "delay"),
    [(None, 15 * MINUTE), (600, 10 * MINUTE), (900, 15 * MINUTE), (1_200, 15 * MINUTE)],
)
def test_wrapping_reservation_is_checked_at_its_limit_or_after_the_interval(
    max_wrapup: int | None, delay: int
) -> None:
    deadlines = make_deadlines(1, max_wrapup)
    times = {"now": NOW, "reserved_at": NOW, "expires_at": NOW}
    assert deadlines.next_check(Status.WRAPPING, **times) == NOW + delay
    assert deadlines.next_check(Status.ACCEPTED, **times) == NOW + 15 * MINUTE


def test_overdue_rejection_is_not_rescheduled_after_the_timeout() -> None:
    deadlines = Deadlines(120, grace=20, claim_lease=30, reject_after=40)
    for age, delay in ((119_999, 15_000), (120_000, 20_000)):
        now = NOW + age
        times = {"now": now, "reserved_at": NOW, "expires_at": NOW + 120_000}
        assert deadlines.next_check(Status.PENDING, **times) == now + delay


def test_no_time_is_left_for_a_request_to_taskrouter_after_three_seconds() -> None:
    require_time(now=NOW + 2_999, started=NOW)
    with pytest.raises(TaskRouterNotSent, match=r"The request was not sent\. Retry\.$"):
        require_time(now=NOW + 3_000, started=NOW)
