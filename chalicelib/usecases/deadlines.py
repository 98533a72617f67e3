"""How long Reservations live, and when the sweep should look."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.domain.reservations import Status, next_check

_TRY_AGAIN_MS = 15_000


@dataclass(frozen=True)
class Deadlines:
    """The settings that say when something is due. All are in seconds.

    Attributes:
        reservation_timeout: the Workflow's TaskReservationTimeout, which a callback does not tell.
        by_workflow: the same for single Workflows (WW…).
        grace: how long a Reservation may outlive its time-out before the sweep looks.
        claim_lease: for how long a claim keeps others from asking TaskRouter.
        reject_after: at which age the sweep rejects a pending Reservation; None for never.
        max_wrapup: after how long in wrapping the sweep completes one; None for never.
    """

    reservation_timeout: int
    grace: int
    claim_lease: int
    by_workflow: Mapping[str, int] = field(default_factory=dict)
    reject_after: int | None = None
    max_wrapup: int | None = None

    def expires_at(self, reserved_at: int, workflow_sid: str | None) -> int:
        """Return when TaskRouter times a Reservation out, in epoch ms."""
        timeout = self.by_workflow.get(workflow_sid or "", self.reservation_timeout)
        return reserved_at + timeout * 1000

    def rejects_at(self, reserved_at: int) -> int | None:
        """Return when the sweep rejects a Reservation that is still pending, in epoch ms."""
        return None if self.reject_after is None else reserved_at + self.reject_after * 1000

    def completes_at(self, wrapping_since: int) -> int | None:
        """Return when the sweep completes a Reservation that is still wrapping, in epoch ms."""
        return None if self.max_wrapup is None else wrapping_since + self.max_wrapup * 1000

    def next_check(
        self, status: Status, *, now: int, reserved_at: int, expires_at: int, checks: int = 0
    ) -> int | None:
        """Return when the sweep should look next; None where it need not. Times are epoch ms."""
        appointments: list[int | None] = []
        if status is Status.PENDING:
            rejects_at = self.rejects_at(reserved_at)
            if rejects_at is not None and rejects_at <= now < expires_at:
                # It should have been rejected by now: the next sweep tries again.
                rejects_at = now + _TRY_AGAIN_MS
            appointments = [rejects_at, expires_at + self.grace * 1000]
        elif status is Status.WRAPPING:
            # Since when is in the record; from now on is late enough to find it so.
            appointments = [self.completes_at(now)]
        kept = [at for at in appointments if at is not None]
        return next_check(status, now=now, appointments=kept, checks=checks)
