"""Test doubles and helpers, such as a manual clock, new SIDs and a fake TaskRouter."""

import itertools
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chalicelib.adapters import exchange
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.adapters.dynamodb.statistics import DynamoStatistics
from chalicelib.domain.callbacks import EVENT_TYPES, EventPage, ReservationEvent
from chalicelib.domain.errors import TaskRouterNotFound, TaskRouterRefused
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import MOVES, RemoteReservation, Status
from chalicelib.domain.statistics import WorkspaceStatistics
from chalicelib.domain.tasks import CreatedTask, FoundTask, NewTask
from chalicelib.domain.workers import Activity, WorkerActivity
from chalicelib.usecases.deadlines import CALLBACK_IN_TRANSIT_MS, Deadlines
from chalicelib.usecases.ports import Collaborators
from chalicelib.usecases.reconcile import JOB

NOW = 1_790_000_000_000
DEADLINES = Deadlines(reservation_timeout=120, grace=10, claim_lease=30)

MAX_FINAL_CALLS = 4
"""Maximum number of DynamoDB calls that an API request makes after its last TaskRouter call."""

_numbers = itertools.count(1)


def sid(prefix: str) -> str:
    """Return a new SID."""
    return f"{prefix}{next(_numbers):032x}"


def busy_exchanges() -> list[threading.Thread]:
    """Return the exchange threads that are not waiting for their next exchange."""
    frames = sys._current_frames()
    idle = {ident for ident, frame in frames.items() if frame.f_code is exchange._serve.__code__}
    return [t for t in threading.enumerate() if t.name == "exchange" and t.ident not in idle]


class ManualClock:
    """A clock that advances only when a test sets it or the tested code sleeps."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now
        self.when_sleeping: Callable[[], None] = lambda: None

    def now_ms(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1000)
        self.when_sleeping()


def make_event(remote: RemoteReservation, status: Status, **overrides: Any) -> ReservationEvent:
    """Return an event that reports a status. By default, the event has no timestamp."""
    return ReservationEvent(
        **{
            "status": status,
            "at": None,
            "reservation_sid": remote.reservation_sid,
            "task_sid": remote.task_sid,
            "worker_sid": remote.worker_sid,
            "worker_name": remote.worker_name,
            "workflow_sid": None,
            "task_queue_sid": None,
            "task_attributes": "{}",
            "worker_attributes": "{}",
            **overrides,
        }
    )


class FakeTaskRouter:
    """A fake TaskRouter that stores Reservations, applies updates and raises injected errors.

    Attributes:
        answers_calls: Whether the Worker answers each call, which accepts the Reservation.
        fail_before: Errors by verb. Each is raised once, before the call takes effect.
        fail_after: Errors by verb. Each is raised once, after the call has taken effect.
    """

    def __init__(self) -> None:
        self.reservations: dict[str, RemoteReservation] = {}
        self.calls: Counter[str] = Counter()
        self.tasks: dict[str, CreatedTask] = {}
        self.events: list[ReservationEvent] = []
        self.unreadable_events = 0
        self.max_events = 2000
        self.instructions: list[Instruction] = []
        self.answers_calls = False
        self.activities: list[str | None] = []
        self.workspace_activities: list[Activity] = []
        self.workers: dict[str, WorkerActivity] = {}
        self.fail_before: dict[str, list[BaseException]] = {}
        self.fail_after: dict[str, list[BaseException]] = {}
        self.statistics = WorkspaceStatistics(None, ())
        self.workspace_error: Exception | None = None
        self.when_called: Callable[[str], None] = lambda _verb: None

    def add(
        self, status: Status = Status.PENDING, created_at: int = NOW, **overrides: Any
    ) -> RemoteReservation:
        remote = RemoteReservation(
            **{
                "reservation_sid": sid("WR"),
                "task_sid": sid("WT"),
                "worker_sid": sid("WK"),
                "worker_name": "Alice",
                "status": status,
                "created_at": created_at,
                **overrides,
            }
        )
        self.reservations[remote.reservation_sid] = remote
        return remote

    def add_event(self, remote: RemoteReservation, status: Status, *, at: int) -> None:
        """Add an event to the Events list without posting an event callback."""
        details = {
            "workflow_sid": "WW" + "0" * 32,
            "task_queue_sid": "WQ" + "0" * 32,
            "task_attributes": '{"selected_language": "es"}',
        }
        self.events.append(make_event(remote, status, at=at, **details))

    def set_status(self, reservation_sid: str, status: Status) -> None:
        old = self.reservations[reservation_sid]
        self.reservations[reservation_sid] = RemoteReservation(**{**vars(old), "status": status})

    def remove(self, reservation_sid: str) -> None:
        del self.reservations[reservation_sid]

    def fetch_reservation(
        self, reservation_sid: str, *, task_sid: str | None = None, worker_sid: str | None = None
    ) -> RemoteReservation:
        self._begin("fetch")
        remote = self.reservations.get(reservation_sid)
        if remote is None or task_sid not in (None, remote.task_sid):
            raise TaskRouterNotFound("not found")
        if task_sid is None and worker_sid != remote.worker_sid:
            raise TaskRouterNotFound("not found")
        return remote

    def update_reservation(
        self, reservation_sid: str, *, task_sid: str, to: Status, activity_sid: str | None
    ) -> RemoteReservation:
        self._begin("update")
        remote = self.reservations.get(reservation_sid)
        if remote is None or remote.task_sid != task_sid:
            raise TaskRouterNotFound("not found")
        if to not in MOVES[remote.status]:
            raise TaskRouterRefused("not pending")
        self.set_status(reservation_sid, to)
        self.activities.append(activity_sid)
        self._end("update")
        return self.reservations[reservation_sid]

    def send_instruction(
        self, reservation_sid: str, *, task_sid: str, instruction: Instruction
    ) -> RemoteReservation:
        self._begin("instruct")
        remote = self.reservations.get(reservation_sid)
        if remote is None or remote.task_sid != task_sid:
            raise TaskRouterNotFound("not found")
        if remote.status is not Status.PENDING:
            raise TaskRouterRefused("not pending")
        self.instructions.append(instruction)
        if self.answers_calls:
            self.set_status(reservation_sid, Status.ACCEPTED)
        self._end("instruct")
        return self.reservations[reservation_sid]

    def list_pending_reservations(self, task_sid: str) -> list[RemoteReservation]:
        self._begin("list")
        reservations = self.list_reservations(task_sid)
        return [remote for remote in reservations if remote.status is Status.PENDING]

    def list_reservations(self, task_sid: str) -> list[RemoteReservation]:
        return [remote for remote in self.reservations.values() if remote.task_sid == task_sid]

    def list_reserved_tasks(self) -> list[str]:
        self._begin("tasks")
        pending = [
            remote for remote in self.reservations.values() if remote.status is Status.PENDING
        ]
        return sorted({remote.task_sid for remote in pending})

    def list_events(self, event_type: str, *, since: int, until: int) -> EventPage:
        self._begin("events")
        # TaskRouter's filter has a precision of one second and includes both bounds.
        since, until = since // 1000 * 1000, until // 1000 * 1000
        matching = [
            event
            for event in self.events
            if EVENT_TYPES[event_type] is event.status and since <= (event.at or 0) <= until
        ]
        return EventPage(
            matching[: self.max_events],
            is_complete=len(matching) < self.max_events,
            unreadable=self.unreadable_events,
        )

    def create_task(self, task: NewTask) -> CreatedTask:
        self._begin("create")
        created = CreatedTask(
            sid=sid("WT"),
            attributes=task.attributes,
            assignment_status="pending",
            workflow_sid=task.workflow_sid,
            task_queue_sid=None,
            priority=task.priority,
        )
        self.tasks[created.sid] = created
        self._end("create")
        return created

    def find_tasks(self, name: str, value: str) -> list[FoundTask]:
        self._begin("find")
        return [
            FoundTask(task, timeout=86_400, task_channel=("TC" + "0" * 32, "default"))
            for task in self.tasks.values()
            if json.loads(task.attributes).get(name) == value
        ]

    def list_activities(self) -> list[Activity]:
        self._begin("activities")
        return [*self.workspace_activities]

    def fetch_worker(self, worker_sid: str) -> WorkerActivity:
        self._begin("fetch worker")
        if worker_sid not in self.workers:
            raise TaskRouterNotFound("not found")
        return self.workers[worker_sid]

    def update_worker(self, worker_sid: str, *, activity_sid: str) -> WorkerActivity:
        self._begin("update worker")
        if worker_sid not in self.workers:
            raise TaskRouterNotFound("not found")
        names = {activity.sid: activity.name for activity in self.workspace_activities}
        if activity_sid not in names:
            raise TaskRouterRefused("no such Activity")
        self.workers[worker_sid] = replace(
            self.workers[worker_sid],
            activity_sid=activity_sid,
            activity_name=names[activity_sid],
        )
        self._end("update worker")
        return self.workers[worker_sid]

    def fetch_statistics(self) -> WorkspaceStatistics:
        self._begin("statistics")
        return self.statistics

    def verify_workspace(self) -> None:
        self._begin("workspace")
        if self.workspace_error:
            raise self.workspace_error

    def _begin(self, verb: str) -> None:
        self.calls[verb] += 1
        self.when_called(verb)
        if self.fail_before.get(verb):
            raise self.fail_before[verb].pop(0)

    def _end(self, verb: str) -> None:
        if self.fail_after.get(verb):
            raise self.fail_after[verb].pop(0)


def make_reconciliation_due(store: DynamoReservationStore, now: int) -> None:
    """Backdate the last reconciliation, so that a sweep at *now* (epoch ms) reconciles."""
    backdate_reconciliation(store._client, store._state, now)


def backdate_reconciliation(client: Any, state_table: str, now: int) -> None:
    """Make all parts of the reconciliation due at *now* (epoch ms).

    The progress of each part moves back only as far as necessary, because the sweep would otherwise
    have to read many windows of Events.
    """
    key = {"id": {"S": JOB}}
    item = client.get_item(TableName=state_table, Key=key, ConsistentRead=True).get("Item", {})
    latest = now - CALLBACK_IN_TRANSIT_MS - 300_000
    due = {"due_at": 0} | {
        name: min(int(value["N"]), latest)
        for name, value in item.items()
        if name.startswith("done_until")
    }
    client.update_item(
        TableName=state_table,
        Key=key,
        UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in due),
        ExpressionAttributeValues={f":{name}": {"N": str(at)} for name, at in due.items()},
    )


def make_statistics(store: DynamoReservationStore) -> DynamoStatistics:
    """Return a statistics store that uses the tables of *store*."""
    return DynamoStatistics(
        store._client, reservations_table=store._reservations, state_table=store._state
    )


def erase_statistics(store: DynamoReservationStore) -> None:
    """Delete the statistics in the tables of *store*."""
    store._client.delete_item(TableName=store._state, Key={"id": {"S": "statistics"}})


def make_collaborators(
    store: DynamoReservationStore,
    taskrouter: FakeTaskRouter,
    clock: ManualClock,
    deadlines: Deadlines = DEADLINES,
) -> Collaborators:
    return Collaborators(
        store=store,
        taskrouter=taskrouter,
        clock=clock,
        deadlines=deadlines,
        new_id=lambda: f"claim-{next(_numbers)}",
    )
