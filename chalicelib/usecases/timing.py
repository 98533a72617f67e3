"""How long Reservations live, and when the sweep should look."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.domain.reservations import Status, next_look


@dataclass(frozen=True)
class Timing:
    """The settings that say when something is due.

    Attributes:
        reservation_timeout: seconds, the Workflow's TaskReservationTimeout, which a callback
            does not tell.
        by_workflow: the same for single Workflows (WW…).
        grace: seconds that a Reservation may outlive its time-out before the sweep looks.
        claim_lease: seconds for which a claim keeps others from asking TaskRouter.
    """

    reservation_timeout: int
    grace: int
    claim_lease: int
    by_workflow: Mapping[str, int] = field(default_factory=dict)

    def expires_at(self, reserved_at: int, workflow_sid: str | None) -> int:
        """Return when TaskRouter times a Reservation out, in epoch ms."""
        timeout = self.by_workflow.get(workflow_sid or "", self.reservation_timeout)
        return reserved_at + timeout * 1000

    def next_look(
        self, status: Status, *, now: int, expires_at: int, checks: int = 0
    ) -> int | None:
        """Return when the sweep should look next (epoch ms); None where it need not."""
        deadline = expires_at + self.grace * 1000
        return next_look(status, now=now, deadline=deadline, checks=checks)
