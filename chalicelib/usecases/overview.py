"""Read the open Reservations that a caller's console shows."""

from collections.abc import Callable

from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.reservations import Reservation, Status
from chalicelib.usecases.list_reservations import within_page_size
from chalicelib.usecases.ports import ReservationListing

MAX_OPEN = 500
"""Maximum number of open Reservations in an overview."""


def list_open_reservations(
    *,
    principal: Principal,
    listing: ReservationListing,
    size_of: Callable[[Reservation], int],
    now: int,
) -> tuple[list[Reservation], bool]:
    """Return the open Reservations that the caller may see, and whether there may be more.

    Pending Reservations come first, sorted by time left. Accepted and wrapping Reservations follow,
    oldest first. The list ends early if further Reservations would exceed MAX_PAGE_BYTES.

    Args:
        principal: the caller. A Worker gets only its own Reservations.
        listing: the lists of records.
        size_of: returns the size of a Reservation in the response, in bytes.
        now: epoch ms.

    Raises:
        Forbidden: the caller may not see the overview.
        StoreUnavailable: DynamoDB failed.
    """
    worker_sid = principal.confined_to(Action.SEE_OVERVIEW)
    reservations, has_more = listing.fetch_open(worker_sid, limit=MAX_OPEN, now=now)
    reservations.sort(key=_urgency)
    fitting = within_page_size(reservations, size_of)
    return fitting, has_more or len(fitting) < len(reservations)


def _urgency(reservation: Reservation) -> tuple[bool, int, str]:
    is_decided = reservation.status is not Status.PENDING
    at = reservation.reserved_at if is_decided else reservation.expires_at
    return is_decided, at, reservation.reservation_sid
