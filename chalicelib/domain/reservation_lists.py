"""Lists of recorded Reservations: queries and pages."""

from dataclasses import dataclass

from chalicelib.domain.reservations import Reservation, Status


@dataclass(frozen=True)
class ReservationQuery:
    """A query for a list of Reservations.

    Attributes:
        since: epoch ms; list only Reservations created at this time or later.
        limit: maximum number of Reservations per page.
        status: list only Reservations that have this status now.
        worker_sid: list only the Reservations of this Worker (WK…).
    """

    since: int
    limit: int
    status: Status | None = None
    worker_sid: str | None = None


@dataclass(frozen=True)
class ReservationPage:
    """A page of a list, with the cursor for the next page (None on the last page)."""

    reservations: list[Reservation]
    next_cursor: str | None
