"""What goes between the use cases and the records. Times are epoch ms."""

from dataclasses import dataclass
from typing import Any

from chalicelib.domain.reservations import Reservation, Status


@dataclass(frozen=True)
class Due:
    """An entry of the index ``due``: what the sweep needs, no more. Times are epoch ms."""

    reservation_sid: str
    task_sid: str
    worker_sid: str
    status: Status
    due_at: int
    reserved_at: int
    expires_at: int
    checks: int
    is_claimed: bool = False


@dataclass(frozen=True)
class News:
    """What has been heard of a Reservation's status.

    Attributes:
        status: the status heard.
        at: epoch ms.
        by: who brought it.
        next_look_at: epoch ms of the sweep's next look; None where the status is an end.
        worker_name: where it was told.
        note: for the history.
    """

    status: Status
    at: int
    by: str
    next_look_at: int | None
    worker_name: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class KeyUse:
    """What an Idempotency-Key stands for.

    Attributes:
        fingerprint: of the request that it was first used for.
        owner: who took it last.
        taken_at: epoch ms at which it was first used.
        until: epoch ms at which that lease lapses.
        answer: what came of it, once that is known.
    """

    fingerprint: str
    owner: str
    taken_at: int
    until: int
    answer: dict[str, Any] | None


@dataclass(frozen=True)
class Query:
    """Which Reservations to list.

    Attributes:
        since: epoch ms; only those made then or later.
        status: only those in it now.
        worker_sid: only that Worker's.
        limit: at most so many in a page.
    """

    since: int
    status: Status | None = None
    worker_sid: str | None = None
    limit: int = 50


@dataclass(frozen=True)
class Page:
    """A page of a list, and the cursor to its next page, None where this is the last."""

    reservations: list[Reservation]
    next_cursor: str | None
