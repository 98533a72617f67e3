"""Read one recorded Reservation or a page of recorded Reservations."""

from collections.abc import Callable

from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.errors import NotFound
from chalicelib.domain.reservation_lists import ReservationPage, ReservationQuery
from chalicelib.domain.reservations import Reservation, Status
from chalicelib.usecases.ports import ReservationListing, ReservationStore

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
"""Default and maximum number of Reservations per page."""

MAX_PAGE_BYTES = 900_000
"""Maximum size of the Reservations on a page, as JSON. docs/adr/0023 explains the calculation."""

_DAY_MS = 86_400_000


def get_reservation(
    reservation_sid: str, *, principal: Principal, store: ReservationStore
) -> Reservation:
    """Return a recorded Reservation.

    Raises:
        NotFound: the Reservation is not recorded.
        Forbidden: the Reservation belongs to a different Worker.
        StoreUnavailable: DynamoDB failed.
    """
    reservation = store.get(reservation_sid)
    if reservation is None:
        raise NotFound("The Reservation is not recorded.")
    principal.authorize(Action.READ_RESERVATION, worker_sid=reservation.worker_sid)
    return reservation


def list_reservations(
    *,
    principal: Principal,
    listing: ReservationListing,
    size_of: Callable[[Reservation], int],
    retention_days: int,
    now: int,
    worker_sid: str | None = None,
    status: Status | None = None,
    since: int | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> ReservationPage:
    """Return a page of recorded Reservations, newest first.

    A page ends early if further Reservations would exceed MAX_PAGE_BYTES.

    Args:
        principal: the caller. Workers get only their own Reservations.
        listing: the lists of records.
        size_of: returns the size of a Reservation in the response, in bytes.
        retention_days: number of days for which records are kept.
        now: epoch ms.
        worker_sid: list only the Reservations of this Worker (WK…).
        status: list only Reservations that have this status now.
        since: epoch ms; list only Reservations created at this time or later. The default is one
            day ago, or the start of the retention period if the list is limited to one Worker or
            status.
        limit: maximum number of Reservations per page.
        cursor: the ``next_cursor`` of the previous page, or None for the first page.

    Raises:
        Forbidden: the caller may not see this Worker's Reservations.
        BadRequest: the cursor is invalid.
        StoreUnavailable: DynamoDB failed.
    """
    action = Action.LIST_RESERVATIONS
    worker_sid = worker_sid or principal.confined_to(action)
    principal.authorize(action, worker_sid=worker_sid)
    oldest = now - retention_days * _DAY_MS
    if since is None:
        since = now - _DAY_MS if status is None and worker_sid is None else oldest
    query = ReservationQuery(
        since=max(since, oldest), status=status, worker_sid=worker_sid, limit=limit
    )
    page = listing.fetch_page(query, cursor, now=now)
    fitting = within_page_size(page.reservations, size_of)
    if len(fitting) < len(page.reservations):
        return ReservationPage(fitting, listing.cursor_after(fitting[-1]))
    return page


def within_page_size(
    reservations: list[Reservation], size_of: Callable[[Reservation], int]
) -> list[Reservation]:
    """Return as many Reservations as fit into MAX_PAGE_BYTES; always include the first."""
    size = 0
    for number, reservation in enumerate(reservations):
        size += size_of(reservation)
        if number and size > MAX_PAGE_BYTES:
            return reservations[:number]
    return reservations
