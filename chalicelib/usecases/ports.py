"""What the use cases need of the outside world; `chalicelib.adapters` provides it."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

from chalicelib.domain.callbacks import EventPage
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import (
    Claim,
    DueReservation,
    RemoteReservation,
    Reservation,
    Status,
    StatusUpdate,
)
from chalicelib.domain.tasks import CreatedTask, IdempotencyRecord, NewTask


class Clock(Protocol):
    """Time, handed in."""

    def now_ms(self) -> int:
        """Return the time, in epoch ms."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class TaskRouter(Protocol):
    """TaskRouter's REST API. Every call raises a TaskRouterError where it fails."""

    def fetch_reservation(
        self, reservation_sid: str, *, task_sid: str | None = None, worker_sid: str | None = None
    ) -> RemoteReservation:
        """Fetch a Reservation by its Task, or else by its Worker."""

    def update_reservation(
        self, reservation_sid: str, *, task_sid: str, to: Status, activity_sid: str | None
    ) -> RemoteReservation:
        """Ask for a Reservation to be accepted, rejected or completed."""

    def instruct(
        self, reservation_sid: str, *, task_sid: str, instruction: Instruction
    ) -> RemoteReservation:
        """Have an assignment instruction carried out; the Reservation may stay pending."""

    def pending_reservations(self, task_sid: str) -> list[RemoteReservation]:
        """List a Task's pending Reservations."""

    def reservations(self, task_sid: str) -> list[RemoteReservation]:
        """List a Task's Reservations, whatever became of them."""

    def reserved_tasks(self) -> list[str]:
        """List the SIDs (WT…) of the Tasks that are reserved."""

    def find_task(self, name: str, value: str, *, since: int) -> CreatedTask | None:
        """Find a Task that was created at *since* (epoch ms) or later, by one of its attributes."""

    def reservation_events(self, event_type: str, *, since: int, until: int) -> EventPage:
        """List the Events of a type that happened from *since* to *until* (epoch ms).

        Of very many only some are listed.
        """

    def create_task(self, task: NewTask) -> CreatedTask:
        """Create a Task."""

    def must_know_the_workspace(self) -> None:
        """Fetch the Workspace: what else is 404 is then truly gone, not asked for wrongly."""


class ReservationStore(Protocol):
    """The records. Every call raises StoreUnavailable where DynamoDB fails.

    Those that return ``(happened, record)`` write under a condition, and tell the record as it
    is now, None where there is none.
    """

    def record_callback(self, reservation: Reservation, *, due_at: int, now: int) -> dict[str, Any]:
        """Record a callback once; return the answer that stands, which may be an earlier one."""

    def record_seen(self, reservation: Reservation, *, due_at: int | None) -> bool:
        """Record a Reservation that no callback told us of; tell whether there was no record."""

    def claim(
        self,
        reservation_sid: str,
        claim: Claim,
        *,
        now: int,
        worker_sid: str | None,
        task_sid: str | None,
    ) -> tuple[bool, Reservation | None]:
        """Claim the right to ask TaskRouter, for one Worker's or Task's Reservation if named."""

    def release(
        self, reservation_sid: str, claim: Claim, *, due_at: int, acceptor: str | None
    ) -> None:
        """Give up a claim of which nothing came; what it was to send was not sent.

        *acceptor* may still get it accepted, by an earlier instruction.
        """

    def hand_over(self, reservation_sid: str, claim: Claim, *, due_at: int) -> None:
        """Give up a claim whose instruction TaskRouter carries out by now."""

    def observe(self, reservation_sid: str, news: StatusUpdate) -> tuple[bool, Reservation | None]:
        """Mirror a status, where OBSERVED allows it."""

    def reschedule_check(
        self, due: DueReservation, *, at: int, checks: int, acceptor: str | None = None
    ) -> None:
        """Put off the sweep's next look, unless something has happened since.

        Of a claim that has lapsed nothing came; *acceptor* may still get it accepted.
        """

    def get(self, reservation_sid: str) -> Reservation | None:
        """Read a record, consistently."""

    def due(self, status: Status, *, now: int) -> Iterator[DueReservation]:
        """Go through what is due in an open status, the longest overdue first."""

    def statuses(self, reservation_sids: Collection[str]) -> dict[str, Status]:
        """Read the statuses of those that are recorded; an older one may be told for a moment."""

    def begin(self, job: str, *, now: int, every_ms: int) -> tuple[bool, int | None]:
        """Begin a job that is to be done so often, unless somebody has begun it since.

        Tells whether it has, and the moment (epoch ms) up to which the job is done.
        """

    def has_done(self, job: str, *, until: int) -> None:
        """Keep the moment (epoch ms) up to which a job is done; an earlier one changes nothing."""

    def save_sweep(self, result: Mapping[str, Any]) -> None:
        """Keep the last sweep's result."""


class IdempotencyStore(Protocol):
    """The Idempotency-Keys of the last day. Every call raises StoreUnavailable on failure."""

    def take(
        self, key: str, fingerprint: str, *, owner: str, now: int, until: int
    ) -> IdempotencyRecord:
        """Take a key that nobody has used; tell how it stands now."""

    def take_over(self, key: str, *, owner: str, lapsed: int, until: int) -> bool:
        """Take a key whose lease lapsed at *lapsed*; tell whether nobody else did."""

    def give_back(self, key: str, *, owner: str, now: int) -> None:
        """Let one's lease lapse now."""

    def keep(self, key: str, answer: dict[str, Any], *, owner: str) -> None:
        """Keep what came of it."""

    def free(self, key: str, *, owner: str, now: int) -> None:
        """Forget a key under which nothing was created."""

    def may_search(self, *, now: int) -> bool:
        """Count a search of TaskRouter by attribute; False where this second has had its share."""
