"""What a Workspace holds. Plain data: the rules are in the modules beside this one.

Moments are seconds since the epoch; `attributes` are JSON text, as sent.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from taskrouter_simulator.engine.configuration import Configuration, Filter, Target


class TaskStatus(StrEnum):
    """A Task's `assignment_status`."""

    PENDING = "pending"
    RESERVED = "reserved"
    ASSIGNED = "assigned"
    WRAPPING = "wrapping"
    COMPLETED = "completed"
    CANCELED = "canceled"


class ReservationStatus(StrEnum):
    """A Reservation's `reservation_status`."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    RESCINDED = "rescinded"
    WRAPPING = "wrapping"
    COMPLETED = "completed"


WAITING = frozenset({TaskStatus.PENDING, TaskStatus.RESERVED})
CLOSED = frozenset({TaskStatus.COMPLETED, TaskStatus.CANCELED})
HELD = frozenset(
    {ReservationStatus.PENDING, ReservationStatus.ACCEPTED, ReservationStatus.WRAPPING}
)
"""The Reservation statuses that take up a Worker's capacity."""


@lru_cache(maxsize=4096)
def parsed(attributes: str) -> dict[str, Any]:
    """The attributes as an object; the text was checked when it came in."""
    loaded: dict[str, Any] = json.loads(attributes)
    return loaded


@dataclass(kw_only=True, eq=False)
class Resource:
    """What every resource has. `order` counts creations; `version` becomes the ETag."""

    sid: str
    created: float
    updated: float
    order: int
    version: int = 0


@dataclass(kw_only=True, eq=False)
class Activity(Resource):
    """A state that a Worker can be in."""

    friendly_name: str
    available: bool


@dataclass(kw_only=True, eq=False)
class TaskChannel(Resource):
    """A kind of Task that takes capacity of its own."""

    friendly_name: str
    unique_name: str
    channel_optimized_routing: bool = False


@dataclass(kw_only=True, eq=False)
class WorkerChannel(Resource):
    """How many Tasks of one channel a Worker takes at a time."""

    channel_sid: str
    capacity: int
    available: bool = True


@dataclass(kw_only=True, eq=False)
class Worker(Resource):
    """Someone who takes Tasks. `unoccupied_since` orders Workers: the longest waits first.

    `held` are the SIDs of the Reservations that take up its capacity.
    """

    friendly_name: str
    attributes: str
    activity_sid: str
    activity_changed: float
    unoccupied_since: float
    held: set[str] = field(default_factory=set)
    channels: dict[str, WorkerChannel] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class TaskQueue(Resource):
    """A group of Workers, chosen by an expression over their attributes."""

    friendly_name: str
    target_workers: str = "1==1"
    reservation_activity_sid: str | None = None
    assignment_activity_sid: str | None = None
    max_reserved_workers: int = 1
    task_order: str = "FIFO"


@dataclass(kw_only=True, eq=False)
class Workflow(Resource):
    """How Tasks find their queue. `text` is the configuration as sent."""

    friendly_name: str
    text: str
    configuration: Configuration
    task_reservation_timeout: int
    assignment_callback_url: str = ""
    fallback_assignment_callback_url: str = ""


class Entry(StrEnum):
    """Where the next evaluation of a pending Task begins."""

    TOP = "top"
    NEXT = "next"
    HERE = "here"


@dataclass(frozen=True)
class Step:
    """Where in its Workflow a Task is.

    The configuration is the one that the Task was evaluated with, whatever came after.
    `filter_index` None is the default filter. `expires_at_age` is when the step times out, in
    seconds of Task age; None is never. `base` is the part of it that earlier filters took.
    """

    configuration: Configuration
    filter_index: int | None
    target_index: int
    base: int = 0
    expires_at_age: int | None = None

    @property
    def filter(self) -> Filter | None:
        """The filter that matched; None for the default."""
        if self.filter_index is None:
            return None
        return self.configuration.filters[self.filter_index]

    @property
    def target(self) -> Target:
        """The routing step itself."""
        if self.filter:
            return self.filter.targets[self.target_index]
        return self.configuration.default or Target()

    @property
    def queue_sid(self) -> str:
        """The step's TaskQueue; a target without one has that of the target before."""
        targets = self.filter.targets[: self.target_index + 1] if self.filter else (self.target,)
        named = [target.queue_sid for target in targets if target.queue_sid]
        return named[-1] if named else ""


@dataclass(kw_only=True, eq=False)
class Task(Resource):
    """Work to be assigned.

    `held_back` says until when a Worker that has rejected the Task is not offered it again.
    `waiting` is set once a step found nobody and was not skipped; `timed_out` once a step timed
    out, after which the default filter is closed to the Task.
    """

    workflow_sid: str | None
    attributes: str
    priority: int
    timeout: int
    channel_sid: str
    virtual_start_time: float
    status: TaskStatus = TaskStatus.PENDING
    reason: str | None = None
    queue_sid: str | None = None
    queue_entered: float | None = None
    routing_target: str | None = None
    ignore_capacity: bool = False
    entry: Entry = Entry.TOP
    step: Step | None = None
    waiting: bool = False
    timed_out: bool = False
    assignments: int = 0
    held_back: dict[str, float] = field(default_factory=dict)
    reservation_sids: list[str] = field(default_factory=list)


@dataclass(kw_only=True, eq=False)
class Reservation(Resource):
    """A Task offered to a Worker."""

    task_sid: str
    worker_sid: str
    worker_name: str
    workflow_sid: str | None
    queue_sid: str
    status: ReservationStatus = ReservationStatus.PENDING
    previous_activity_sid: str
    post_work_activity_sid: str | None = None


@dataclass(kw_only=True, eq=False)
class Event(Resource):
    """Something that happened; `parameters` as the event callback carries them."""

    event_type: str
    description: str
    resource_type: str
    resource_sid: str
    parameters: dict[str, str]


@dataclass(kw_only=True, eq=False)
class Workspace(Resource):
    """Everything of one contact centre; dictionaries by SID, in order of creation."""

    friendly_name: str
    multi_task_enabled: bool = True
    event_callback_url: str = ""
    events_filter: str = ""
    prioritize_queue_order: str = "FIFO"
    default_activity_sid: str = ""
    timeout_activity_sid: str = ""
    activities: dict[str, Activity] = field(default_factory=dict)
    channels: dict[str, TaskChannel] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    queues: dict[str, TaskQueue] = field(default_factory=dict)
    workflows: dict[str, Workflow] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)

    def activity(self, name: str) -> Activity | None:
        """The Activity of that friendly name, if there is one."""
        found = (one for one in self.activities.values() if one.friendly_name == name)
        return next(found, None)

    def channel(self, sid_or_name: str) -> TaskChannel | None:
        """The TaskChannel of that SID or unique name."""
        for channel in self.channels.values():
            if sid_or_name in {channel.sid, channel.unique_name}:
                return channel
        return None

    def reservations_of(self, task: Task) -> list[Reservation]:
        """The Task's Reservations, oldest first."""
        return [self.reservations[sid] for sid in task.reservation_sids]

    def held_by(self, worker: Worker) -> list[Reservation]:
        """The Reservations that take up the Worker's capacity."""
        return [self.reservations[sid] for sid in worker.held]

    def is_available(self, worker: Worker) -> bool:
        """Whether the Worker's Activity lets it receive Tasks."""
        return self.activities[worker.activity_sid].available
