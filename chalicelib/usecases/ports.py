"""Ports: the interfaces to external systems, implemented in `chalicelib.adapters`."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from chalicelib.domain.callbacks import EventPage, Form
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import (
    Claim,
    DueReservation,
    HistoryEntry,
    RemoteReservation,
    Reservation,
    Status,
    StatusUpdate,
)
from chalicelib.domain.tasks import CreatedTask, FoundTask, IdempotencyRecord, NewTask
from chalicelib.usecases.deadlines import Deadlines

if TYPE_CHECKING:
    # Callbacks do not need these modules.
    from chalicelib.domain.callback_log import CallbackQuery, LogPage, LogPosition
    from chalicelib.domain.reservation_lists import ReservationPage, ReservationQuery
    from chalicelib.domain.statistics import IndexEntry, Statistics, WorkspaceStatistics
    from chalicelib.domain.workers import Activity, WorkerActivity


class Clock(Protocol):
    """The system time."""

    def now_ms(self) -> int:
        """Return the current time, in epoch ms."""

    def sleep(self, seconds: float) -> None:
        """Sleep for the given time."""


class CallbackLog(Protocol):
    """The log of callbacks."""

    def read_backward(
        self, query: "CallbackQuery", *, limit: int, position: "LogPosition"
    ) -> Iterator["LogPage"]:
        """Yield pages of the log, from the newest line to the oldest.

        If the search takes too long, the iterator ends before the whole log has been searched.

        Args:
            query: the lines to yield. Other lines may be yielded too.
            limit: number of lines that the caller needs; a page may contain more or fewer lines.
            position: the position at which the search starts; its time is ``query.until``.

        Raises:
            BadRequest: the position's token is unknown or has expired.
            CallbackLogUnavailable: the log can't be read. `retry_after` is None if a retry would
                not help.
        """


class TaskRouter(Protocol):
    """TaskRouter's REST API.

    Every method raises a TaskRouterError if the request fails, and SecretsUnavailable if the API
    key can't be read.
    """

    def fetch_reservation(
        self, reservation_sid: str, *, task_sid: str | None = None, worker_sid: str | None = None
    ) -> RemoteReservation:
        """Fetch a Reservation of a Task or, if no Task is given, of a Worker."""

    def update_reservation(
        self, reservation_sid: str, *, task_sid: str, to: Status, activity_sid: str | None
    ) -> RemoteReservation:
        """Accept, reject or complete a Reservation."""

    def send_instruction(
        self, reservation_sid: str, *, task_sid: str, instruction: Instruction
    ) -> RemoteReservation:
        """Send an assignment instruction. The returned Reservation may still be pending."""

    def list_pending_reservations(self, task_sid: str) -> list[RemoteReservation]:
        """List a Task's pending Reservations."""

    def list_reservations(self, task_sid: str) -> list[RemoteReservation]:
        """List a Task's Reservations in any status."""

    def list_reserved_tasks(self) -> list[str]:
        """List the SIDs (WT…) of the reserved Tasks."""

    def find_tasks(self, name: str, value: str) -> list[FoundTask]:
        """Find the Tasks whose attribute *name* equals *value*."""

    def list_events(self, event_type: str, *, since: int, until: int) -> EventPage:
        """List the Events of a type from *since* to *until* (epoch ms).

        The page is incomplete if there are more Events than one call can read.
        """

    def create_task(self, task: NewTask) -> CreatedTask:
        """Create a Task."""

    def list_activities(self) -> "list[Activity]":
        """List the Activities of the Workspace."""

    def fetch_worker(self, worker_sid: str) -> "WorkerActivity":
        """Return the current Activity of a Worker."""

    def update_worker(self, worker_sid: str, *, activity_sid: str) -> "WorkerActivity":
        """Switch a Worker to an Activity."""

    def fetch_statistics(self) -> "WorkspaceStatistics":
        """Fetch the real-time statistics of the Workspace."""

    def verify_workspace(self) -> None:
        """Fetch the Workspace to rule out its SID as the cause of an earlier 404 response."""


class SignatureVerifier(Protocol):
    """Verifies that Twilio signed a form."""

    def verify(self, url: str, form: Form, signature: str | None, settings: str | None) -> str:
        """Return the signed URL if *signature* is valid for *url* with a current key.

        Args:
            url: the URL to check, with its query string.
            form: all parameters of the form.
            signature: the X-Twilio-Signature header.
            settings: the X-Twilio-Webhooks-Signature-Settings header, or None.

        Raises:
            InvalidSignature: the signature is wrong or missing.
            SecretsUnavailable: the keys can't be read.
        """


class ReservationStore(Protocol):
    """Reservation records. Every method raises StoreUnavailable if DynamoDB fails.

    `claim` and `record_status` return ``(succeeded, record)``: whether the condition was met, and
    the current record, or None if there is no record.
    """

    def record_callback(self, reservation: Reservation, *, due_at: int, now: int) -> dict[str, Any]:
        """Record a callback once; return the effective answer, possibly an earlier one."""

    def create_record(self, reservation: Reservation, *, due_at: int | None) -> bool:
        """Record a Reservation without a callback; return whether a record was created."""

    def claim(
        self,
        reservation_sid: str,
        claim: Claim,
        *,
        now: int,
        worker_sid: str | None,
        task_sid: str | None,
    ) -> tuple[bool, Reservation | None]:
        """Claim the exclusive right to ask TaskRouter to change a Reservation.

        Args:
            reservation_sid: WR….
            claim: the claim to record.
            now: epoch ms.
            worker_sid: WK… of the Worker that must own the Reservation, or None for any.
            task_sid: WT… of the Task that the Reservation must belong to, or None for any.
        """

    def release_claim(
        self, reservation_sid: str, claim: Claim, *, due_at: int, acceptor: str | None
    ) -> None:
        """Release a claim whose request was not executed.

        The claim's instruction is removed even if the claim is no longer recorded.

        Args:
            reservation_sid: WR….
            claim: the claim.
            due_at: epoch ms of the sweep's next check.
            acceptor: sender of an earlier instruction that may still accept the Reservation.
        """

    def confirm_sent(self, reservation_sid: str, claim: Claim, *, due_at: int) -> None:
        """Confirm the instruction of a claim and end the claim.

        The instruction is confirmed even if the claim is no longer recorded. If the claim is still
        recorded, the next check is at *due_at* (epoch ms).
        """

    def record_status(
        self, reservation_sid: str, update: StatusUpdate
    ) -> tuple[bool, Reservation | None]:
        """Record a status reported by TaskRouter if OBSERVED allows the transition.

        If another source has already recorded the status, but the source of *update* owns the last
        claim for this status, the owner replaces the other source in the history.
        """

    def reschedule_check(
        self, due: DueReservation, *, at: int, checks: int, acceptor: str | None = None
    ) -> None:
        """Reschedule the next check, unless the record changed in the meantime.

        The method also removes an expired claim.

        Args:
            due: the entry that was checked.
            at: epoch ms of the next check.
            checks: number of checks since the status last changed.
            acceptor: sender of an earlier instruction that may still accept the Reservation.
        """

    def get(self, reservation_sid: str) -> Reservation | None:
        """Return a record, or None if there is none, using a strongly consistent read."""

    def due_reservations(self, status: Status, *, now: int) -> Iterator[DueReservation]:
        """Yield the due Reservations in an open status, longest overdue first."""

    def fetch_statuses(self, reservation_sids: Collection[str]) -> dict[str, Status]:
        """Return the recorded statuses by Reservation SID, using eventually consistent reads."""

    def start_periodic_job(
        self, job: str, *, now: int, retry_at: int, run_id: str
    ) -> tuple[bool, Mapping[str, int]]:
        """Start a periodic job if it is due; only one caller wins.

        Args:
            job: the ID of the job.
            now: epoch ms.
            retry_at: epoch ms at which the job is due again, unless `save_progress` changes it.
            run_id: identifies the caller if the write is repeated.

        Returns:
            Whether the job was started, and the times (epoch ms) up to which its parts are done.
        """

    def save_progress(
        self, job: str, progress: Mapping[str, int], *, due_at: int | None = None
    ) -> None:
        """Save the times up to which parts of a job are done.

        Nothing is saved if any part already has a later time.

        Args:
            job: the ID of the job.
            progress: times (epoch ms) up to which the parts are done, by part.
            due_at: epoch ms at which the job is due again; None to leave this time unchanged.
        """

    def save_sweep(self, result: Mapping[str, Any]) -> None:
        """Save the result of the last sweep."""


class ReservationListing(Protocol):
    """Lists of recorded Reservations."""

    def fetch_page(
        self, query: "ReservationQuery", cursor: str | None, *, now: int
    ) -> "ReservationPage":
        """Return a page of a list, newest first.

        Args:
            query: the Reservations to list.
            cursor: the ``next_cursor`` of the previous page of the same query, or None.
            now: epoch ms.

        Raises:
            BadRequest: the cursor is invalid.
            StoreUnavailable: DynamoDB failed.
        """

    def cursor_after(self, reservation: Reservation) -> str:
        """Return the cursor of a page that starts after *reservation*."""

    def fetch_open(
        self, worker_sid: str | None, *, limit: int, now: int
    ) -> tuple[list[Reservation], bool]:
        """Return open Reservations, and whether there may be more.

        Args:
            worker_sid: WK… of the Worker whose Reservations to return; None for all Workers.
            limit: maximum number of Reservations.
            now: epoch ms.

        Raises:
            StoreUnavailable: DynamoDB failed.
        """


class StatisticsStore(Protocol):
    """The statistics, and the records from which they are computed.

    Every method raises StoreUnavailable if DynamoDB fails. The reads of records are eventually
    consistent.
    """

    def get_statistics(self) -> "Statistics | None":
        """Return the statistics, or None if there are none yet."""

    def save_statistics(self, statistics: "Statistics") -> bool:
        """Save the statistics unless newer ones are stored; return whether they were saved."""

    def read_hour(
        self, start: int, cursor: Mapping[str, Any] | None
    ) -> "tuple[list[IndexEntry], Mapping[str, Any] | None]":
        """Return a page of the Reservations created in an hour, newest first.

        Args:
            start: epoch ms of the start of the hour.
            cursor: the cursor returned with the previous page, or None for the first page.

        Returns:
            The entries, and the cursor of the next page, or None if there is no next page.
        """

    def fetch_histories(
        self, reservation_sids: Collection[str]
    ) -> list[tuple[int, tuple[HistoryEntry, ...]]]:
        """Return the creation times (epoch ms) and histories of at most 100 Reservations.

        Reservations that do not fit into one response are omitted.
        """


class WorkerActivities(Protocol):
    """The recorded Activities of Workers.

    Every method raises StoreUnavailable if DynamoDB fails.
    """

    def save(self, activity: "WorkerActivity", *, now: int) -> bool:
        """Save a Worker's Activity unless a later one is stored; return whether it was saved."""

    def get(self, worker_sid: str) -> "WorkerActivity | None":
        """Return a Worker's Activity, or None if unknown, using a strongly consistent read."""


class IdempotencyStore(Protocol):
    """The idempotency keys of the last day.

    Every method raises StoreUnavailable if DynamoDB fails.
    """

    def acquire(
        self, key: str, fingerprint: str, *, owner: str, now: int, until: int
    ) -> IdempotencyRecord:
        """Acquire a key if it is unused; return its current record.

        Args:
            key: the idempotency key, preceded by the name of its caller.
            fingerprint: identifies the content of the request.
            owner: a random string that identifies the request and becomes the key's marker.
            now: epoch ms.
            until: epoch ms at which the lease expires.
        """

    def get_unscoped(self, key: str, *, now: int) -> IdempotencyRecord | None:
        """Return the record of a key that was stored before keys were scoped to callers.

        Args:
            key: the idempotency key alone.
            now: epoch ms; an expired record is not returned.
        """

    def take_over(self, key: str, *, owner: str, expired_at: int, until: int) -> bool:
        """Take over a key whose lease expired; return whether *owner* now holds it."""

    def expire_lease(self, key: str, *, owner: str, now: int) -> None:
        """Expire the lease now, if *owner* still holds the key."""

    def save_response(self, key: str, response: dict[str, Any], *, owner: str) -> None:
        """Save the response for repeated requests, if *owner* still holds the key."""

    def release(self, key: str, *, owner: str, now: int) -> None:
        """Release a key whose request created no Task, if *owner* still holds the key."""

    def consume_search_budget(self, *, now: int) -> bool:
        """Consume one search from this second's budget; return False if none was left."""


@dataclass(frozen=True)
class Collaborators:
    """The services that decisions and sweeps use.

    `new_id` returns a new ID on each call. `answer_may_ring` is true if a callback may be answered
    with an instruction that calls a phone or moves a caller.
    """

    store: ReservationStore
    taskrouter: TaskRouter
    clock: Clock
    deadlines: Deadlines
    new_id: Callable[[], str]
    answer_may_ring: bool = False
