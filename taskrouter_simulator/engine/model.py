"""The resources of a Workspace as plain data, without routing logic.

Times are seconds since the epoch. `attributes` contains JSON text.
"""

import json
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from taskrouter_simulator.engine.history import History


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
"""The statuses of a Task that waits until a Worker accepts it."""
CLOSED = frozenset({TaskStatus.COMPLETED, TaskStatus.CANCELED})
HELD = frozenset(
    {ReservationStatus.PENDING, ReservationStatus.ACCEPTED, ReservationStatus.WRAPPING}
)
"""The Reservation statuses that use a Worker's capacity."""


MAX_ATTRIBUTES_LENGTH = 4096
"""Maximum length of the attributes of a Task or a Worker, in characters."""
NESTING_RESERVE = 200
"""Number of arrays in which received attributes are wrapped to test that they can be parsed.

Attributes are parsed again later, when the call stack may be closer to Python's recursion limit.
"""


@lru_cache(maxsize=4096)
def parse_attributes(attributes: str) -> dict[str, Any]:
    """Parse attributes that have already been validated."""
    loaded: dict[str, Any] = json.loads(attributes)
    return loaded


@dataclass(frozen=True)
class Target:
    """A routing step in a filter.

    Attributes:
        queue_sid: WQ… SID; None for the TaskQueue of the preceding target.
        expression: Selects Workers from the TaskQueue; None for all.
        priority: New priority of the Task; None to keep its priority.
        timeout: Seconds until the Task moves on; None for no limit.
        skip_if: Condition for moving on immediately if no Worker is free; None to wait.
        order_by: Attributes by which Workers are sorted.
        known_worker_sid: Reference to the Task attribute that contains a Worker's SID.
        known_worker_friendly_name: Reference to the Task attribute that contains a Worker's name.
    """

    queue_sid: str | None = None
    expression: str | None = None
    priority: int | None = None
    timeout: int | None = None
    skip_if: str | None = None
    order_by: str | None = None
    known_worker_sid: str | None = None
    known_worker_friendly_name: str | None = None


@dataclass(frozen=True)
class Filter:
    """A Workflow filter: Tasks that match `expression` go through `targets` in order."""

    name: str | None
    expression: str
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Configuration:
    """A Workflow's configuration: filters in order, and the default target."""

    filters: tuple[Filter, ...] = ()
    default: Target | None = None

    def targets(self) -> list[Target]:
        """Return the targets of all filters, and the default target."""
        targets = [target for item in self.filters for target in item.targets]
        return targets if self.default is None else [*targets, self.default]

    def queue_sids(self) -> set[str]:
        """Return the SIDs of all TaskQueues that the configuration refers to."""
        return {target.queue_sid for target in self.targets() if target.queue_sid}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A Task's current position in its Workflow.

    Attributes:
        configuration: The configuration that the Task was evaluated with; later changes to the
            Workflow do not affect the step.
        target: The current target.
        queue_sid: WQ… SID of the target's TaskQueue, by default the TaskQueue of the preceding
            target; "" for none.
        filter: The filter that matched; None for the default filter.
        filter_index: The filter's position in the configuration.
        target_index: The target's position in the filter.
        preceding_timeout: Total timeout of the preceding matching filters, in seconds.
        expires_at_age: Task age in seconds at which the step times out; infinity for no timeout.
    """

    configuration: Configuration
    target: Target
    queue_sid: str
    filter: Filter | None = None
    filter_index: int = 0
    target_index: int = 0
    preceding_timeout: int = 0
    expires_at_age: float = math.inf


@dataclass(kw_only=True, eq=False)
class Resource:
    """Fields shared by all resources.

    Attributes:
        sid: Twilio's identifier.
        created: Creation time.
        updated: Time of the latest change.
        sequence: Position in the order of creation.
        version: Number of changes, sent as the ETag.
    """

    sid: str
    created: float
    updated: float
    sequence: int
    version: int = 0


@dataclass(kw_only=True, eq=False)
class Activity(Resource):
    """A Worker's state, which determines whether the Worker can be offered Tasks."""

    friendly_name: str
    available: bool


@dataclass(kw_only=True, eq=False)
class TaskChannel(Resource):
    """A kind of Task for which Workers have a separate capacity."""

    friendly_name: str
    unique_name: str
    channel_optimized_routing: bool = False


@dataclass(kw_only=True, eq=False)
class WorkerChannel(Resource):
    """A Worker's capacity on one TaskChannel."""

    channel_sid: str
    capacity: int
    available: bool = True


@dataclass(kw_only=True, eq=False)
class Transfer(Resource):
    """A transfer of an assigned Task to another Worker or to a TaskQueue.

    Attributes:
        task_sid: SID of the Task.
        reservation_sid: SID of the transferring Worker's Reservation.
        worker_sid: SID of the transferring Worker.
        to: SID of the receiving Worker or TaskQueue.
        mode: "WARM" (the transferring Worker keeps the Task) or "COLD" (the Worker wraps up).
        previous_step: The Task's step before the transfer.
        previous_queue_entered: Time at which the Task entered its previous TaskQueue.
        previous_ignore_capacity: The Task's `ignore_capacity` before the transfer.
        status: "initiated", "complete", "failed" or "canceled".
    """

    task_sid: str
    reservation_sid: str
    worker_sid: str
    to: str
    mode: str
    previous_step: Step
    previous_queue_entered: float | None
    previous_ignore_capacity: bool
    status: str = "initiated"

    @property
    def kind(self) -> str:
        """The kind of recipient: "WORKER" or "QUEUE"."""
        return "WORKER" if self.to.startswith("WK") else "QUEUE"


@dataclass(kw_only=True, eq=False)
class Reservation(Resource):
    """A Reservation; while pending, it offers a Task to a Worker.

    `transfer` is the transfer for which the Reservation was created, if any.
    """

    task_sid: str
    worker_sid: str
    worker_name: str
    workflow_sid: str | None
    queue_sid: str
    status: ReservationStatus = ReservationStatus.PENDING
    previous_activity_sid: str
    post_work_activity_sid: str | None = None
    transfer: Transfer | None = None


@dataclass(kw_only=True, eq=False)
class Worker(Resource):
    """A person or program that handles Tasks.

    Attributes:
        activity_changed: Time of the latest change of Activity.
        unoccupied_since: Time at which the Worker started waiting. Unless `order_by` decides, the
            longest-waiting Worker is offered a Task first.
        held: The Reservations that use the Worker's capacity, by SID.
        channels: WorkerChannels by the SID of the TaskChannel.
    """

    friendly_name: str
    attributes: str
    activity_sid: str
    activity_changed: float
    unoccupied_since: float
    held: dict[str, Reservation] = field(default_factory=dict)
    channels: dict[str, WorkerChannel] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class TaskQueue(Resource):
    """A group of Workers, selected by the expression `target_workers`."""

    friendly_name: str
    target_workers: str = "1==1"
    reservation_activity_sid: str | None = None
    assignment_activity_sid: str | None = None
    max_reserved_workers: int = 1
    task_order: str = "FIFO"


@dataclass(kw_only=True, eq=False)
class Workflow(Resource):
    """Rules that route Tasks to TaskQueues; `text` is the configuration as received."""

    friendly_name: str
    text: str
    configuration: Configuration
    task_reservation_timeout: int
    assignment_callback_url: str = ""
    fallback_assignment_callback_url: str = ""


class Evaluation(StrEnum):
    """The ways in which the next routing pass can evaluate a pending Task."""

    RESTART = "restart"
    NEXT_TARGET = "next-target"
    NONE = "none"


@dataclass(kw_only=True, eq=False)
class Task(Resource):
    """Work to be assigned to a Worker.

    Attributes:
        evaluation: How the next routing pass determines the Task's step.
        step: Position in the Workflow; None before the first evaluation and after the last step.
        is_waiting: Whether the current step found no Worker and was not skipped.
        step_timed_out: Whether a step timed out; if so, the default filter is excluded.
        times_reserved: Number of times the Task has become reserved.
        reoffer_times: Earliest time to offer the Task to a Worker again, by the Worker's SID.
        reservations: The Task's Reservations, oldest first.
        transfer: The Task's latest transfer.
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
    evaluation: Evaluation = Evaluation.RESTART
    step: Step | None = None
    is_waiting: bool = False
    step_timed_out: bool = False
    times_reserved: int = 0
    reoffer_times: dict[str, float] = field(default_factory=dict)
    reservations: list[Reservation] = field(default_factory=list)
    transfer: Transfer | None = None


@dataclass(kw_only=True, eq=False)
class Event(Resource):
    """A change that TaskRouter reports, with the event callback's parameters."""

    event_type: str
    description: str
    resource_type: str
    resource_sid: str
    parameters: dict[str, str]


@dataclass(kw_only=True, eq=False)
class Workspace(Resource):
    """All resources of a contact center, keyed by SID and in order of creation."""

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
    events: OrderedDict[str, Event] = field(default_factory=OrderedDict)
    history: History = field(default_factory=History)

    def activity(self, name: str) -> Activity | None:
        """Return the Activity with the given friendly name, or None."""
        matches = (item for item in self.activities.values() if item.friendly_name == name)
        return next(matches, None)

    def channel(self, sid_or_name: str) -> TaskChannel | None:
        """Return the TaskChannel with the given SID or unique name, or None."""
        for channel in self.channels.values():
            if sid_or_name in {channel.sid, channel.unique_name}:
                return channel
        return None

    def is_available(self, worker: Worker) -> bool:
        """Return whether a Worker's Activity allows new Tasks."""
        return self.activities[worker.activity_sid].available
