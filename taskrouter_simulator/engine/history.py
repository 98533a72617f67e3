"""Records changes in a Workspace as compact facts for statistics.

Twilio provides statistics for the last 30 days, but Tasks and Events are deleted much sooner:
https://www.twilio.com/docs/taskrouter/api/taskqueue-statistics.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

RETENTION = 30 * 86_400
"""Maximum age of a fact in seconds, relative to the newest fact."""


class Kind(StrEnum):
    """The kind of a change, named after its counter in Twilio's cumulative statistics."""

    TASK_CREATED = "tasks_created"
    TASK_ENTERED = "tasks_entered"
    TASK_MOVED = "tasks_moved"
    TASK_COMPLETED = "tasks_completed"
    TASK_CANCELED = "tasks_canceled"
    TASK_DELETED = "tasks_deleted"
    TASK_TIMED_OUT = "tasks_timed_out_in_workflow"
    RESERVATION_CREATED = "reservations_created"
    RESERVATION_ACCEPTED = "reservations_accepted"
    RESERVATION_REJECTED = "reservations_rejected"
    RESERVATION_TIMED_OUT = "reservations_timed_out"
    RESERVATION_CANCELED = "reservations_canceled"
    RESERVATION_RESCINDED = "reservations_rescinded"


class Fact(NamedTuple):
    """A change to a Task or a Reservation.

    Attributes:
        at: Time of the change.
        kind: Kind of change.
        created: Time at which the Task was created.
        entered: Time at which the Task entered its TaskQueue.
        channel_sid: The Task's channel, a TC… SID.
        workflow_sid: The Task's Workflow, a WW… SID.
        queue_sid: The TaskQueue in which the change happened, a WQ… SID. A Task that moves to
            another TaskQueue is counted as moved in the TaskQueue that it leaves.
        worker_sid: The Reservation's Worker, a WK… SID.
    """

    at: float
    kind: Kind
    created: float
    entered: float
    channel_sid: str
    workflow_sid: str | None
    queue_sid: str | None
    worker_sid: str | None

    @property
    def age(self) -> int:
        """The Task's age in whole seconds."""
        return whole_seconds(self.created, self.at)

    @property
    def age_in_queue(self) -> int:
        """Whole seconds since the Task entered its TaskQueue."""
        return whole_seconds(self.entered, self.at)


class Stay(NamedTuple):
    """A period that a Worker spent in one Activity."""

    began: float
    ended: float
    worker_sid: str
    activity_sid: str


class RecordedTask(Protocol):
    """The fields of a Task that are recorded."""

    created: float
    queue_entered: float | None
    channel_sid: str
    workflow_sid: str | None
    queue_sid: str | None


class RecordedReservation(Protocol):
    """The fields of a Reservation that are recorded."""

    queue_sid: str
    worker_sid: str


class RecordedWorker(Protocol):
    """The fields of a Worker that are recorded."""

    sid: str
    activity_sid: str
    activity_changed: float


@dataclass(eq=False)
class History:
    """The facts and stays of the last 30 days, oldest first."""

    facts: deque[Fact] = field(default_factory=deque)
    stays: deque[Stay] = field(default_factory=deque)

    def record(
        self,
        now: float,
        kind: Kind,
        task: RecordedTask,
        reservation: RecordedReservation | None = None,
    ) -> None:
        """Record a change to a Task, or to the given Reservation of the Task."""
        fact = Fact(
            at=now,
            kind=kind,
            created=task.created,
            entered=task.created if task.queue_entered is None else task.queue_entered,
            channel_sid=task.channel_sid,
            workflow_sid=task.workflow_sid,
            queue_sid=reservation.queue_sid if reservation else task.queue_sid,
            worker_sid=reservation.worker_sid if reservation else None,
        )
        self.facts.append(fact)
        while self.facts[0].at < now - RETENTION:
            self.facts.popleft()

    def record_stay(self, now: float, worker: RecordedWorker) -> None:
        """Record the end of a Worker's stay in the current Activity."""
        self.stays.append(Stay(worker.activity_changed, now, worker.sid, worker.activity_sid))
        while self.stays[0].ended < now - RETENTION:
            self.stays.popleft()

    def facts_since(self, start: float) -> Iterator[Fact]:
        """Yield the facts at or after a time, newest first."""
        for fact in reversed(self.facts):
            if fact.at < start:
                return
            yield fact

    def stays_since(self, start: float) -> Iterator[Stay]:
        """Yield the stays that ended at or after a time, newest first."""
        for stay in reversed(self.stays):
            if stay.ended < start:
                return
            yield stay


def whole_seconds(start: float, end: float) -> int:
    """Return the whole seconds between two times, ignoring rounding errors (8.9999998 is 9)."""
    return int(end - start + 0.0005)
