"""Deadlines: when Reservations expire, when the sweep checks them, and when API requests end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.domain.errors import TaskRouterNotSent
from chalicelib.domain.reservations import OPEN, Status

REQUEST_LIMIT_MS = 6_000
"""Maximum time from the start of an API request to the end of its last request to TaskRouter. While
TaskRouter does not respond, API requests occupy the Lambda concurrency that callbacks need
(docs/adr/0038)."""

LATEST_REQUEST_MS = REQUEST_LIMIT_MS - 3_000
"""Maximum age at which an API request may send a request to TaskRouter. Each request to TaskRouter
takes up to 3 s. If TaskRouter does not respond to the first, no time is left for a second."""

INSTRUCTION_CHECK_MS = 15_000
"""Time from sending an instruction until the sweep checks its effect."""

CALLBACK_IN_TRANSIT_MS = 15_000
"""Maximum age of a Reservation whose callback may not have been answered yet. A callback may take
5 s, and so may its fallback."""

_RETRY_MS = 15_000

_PENDING_BACKOFF_MS = (15_000, 15 * 60_000)
_ASSIGNED_BACKOFF_MS = (15 * 60_000, 6 * 3_600_000)
"""The first and the longest interval between two checks, in ms. Each check doubles the interval."""


@dataclass(frozen=True)
class Deadlines:
    """The settings that determine deadlines, all in seconds.

    Attributes:
        reservation_timeout: the Workflow's TaskReservationTimeout, which callbacks don't include.
        by_workflow: timeouts of individual Workflows, by SID (WW…).
        grace: time from a Reservation's timeout until the sweep checks the Reservation.
        claim_lease: how long a claim is exclusive.
        reject_after: the age at which the sweep rejects a pending Reservation, or None if the sweep
            rejects no Reservations.
        max_wrapup: how long a Reservation may be wrapping before the sweep completes it, or None
            for no limit.
    """

    reservation_timeout: int
    grace: int
    claim_lease: int
    by_workflow: Mapping[str, int] = field(default_factory=dict)
    reject_after: int | None = None
    max_wrapup: int | None = None

    def expires_at(self, reserved_at: int, workflow_sid: str | None) -> int:
        """Return the time (epoch ms) at which TaskRouter times out a Reservation."""
        timeout = self.by_workflow.get(workflow_sid or "", self.reservation_timeout)
        return reserved_at + timeout * 1000

    def rejects_at(self, reserved_at: int) -> int | None:
        """Return the time (epoch ms) at which the sweep rejects a Reservation, or None."""
        return None if self.reject_after is None else reserved_at + self.reject_after * 1000

    def completes_at(self, wrapping_since: int) -> int | None:
        """Return the time (epoch ms) at which the sweep completes a Reservation, or None."""
        return None if self.max_wrapup is None else wrapping_since + self.max_wrapup * 1000

    def next_check(
        self, status: Status, *, now: int, reserved_at: int, expires_at: int, checks: int = 0
    ) -> int | None:
        """Return the time of the sweep's next check of a Reservation.

        A pending Reservation is checked at its deadlines, and again 15 s later if its rejection is
        overdue. After the last deadline, it is checked at growing intervals, because a ringing call
        can keep it pending for minutes after its timeout. An accepted or wrapping Reservation is
        checked at growing intervals in case its events are lost. A wrapping Reservation is also
        checked when the sweep may complete it.

        Args:
            status: the status of the Reservation.
            now: epoch ms.
            reserved_at: epoch ms.
            expires_at: epoch ms.
            checks: number of checks since the status last changed.

        Returns:
            Epoch ms, or None if the status is final.
        """
        if status not in OPEN:
            return None
        first, longest = _PENDING_BACKOFF_MS if status is Status.PENDING else _ASSIGNED_BACKOFF_MS
        check_at = now + min(first << checks, longest)
        if status is Status.PENDING:
            rejects_at = self.rejects_at(reserved_at)
            if rejects_at is not None and rejects_at <= now < expires_at:
                rejects_at = now + _RETRY_MS  # the rejection is overdue
            deadlines = (rejects_at, expires_at + self.grace * 1000)
            return min((at for at in deadlines if at is not None and at > now), default=check_at)
        if status is Status.WRAPPING:
            # The wrap-up may have started before now, so it may reach its limit before this check.
            # When the sweep checks the Reservation, it reads the start of the wrap-up from the
            # record.
            return min(check_at, self.completes_at(now) or check_at)
        return check_at


def require_time(*, now: int, started: int) -> None:
    """Raise an error if no time is left for a request to TaskRouter.

    Args:
        now: epoch ms.
        started: epoch ms at which the API request started.

    Raises:
        TaskRouterNotSent: the API request is too old.
    """
    if now - started >= LATEST_REQUEST_MS:
        raise TaskRouterNotSent(
            "TaskRouter or DynamoDB is responding too slowly. The request was not sent. Retry."
        )
