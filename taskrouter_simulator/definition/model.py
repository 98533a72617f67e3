"""The definition of a Workspace as plain data. Resources refer to each other by name.

A `Managed` field that is absent from the file is `UNMANAGED`: its value in TaskRouter is never
changed. A field that is null in the file is None: TaskRouter's value is cleared. An empty list
becomes an empty tuple: the Workspace has no such resources.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias, TypeVar

from taskrouter_simulator.definition.document import Document, Path


class Unmanaged(Enum):
    """The type of `UNMANAGED`."""

    UNMANAGED = "unmanaged"

    def __repr__(self) -> str:
        return "UNMANAGED"


UNMANAGED: Final = Unmanaged.UNMANAGED

ROUTING: Path = ("configuration", "task_routing")
"""The path from a Workflow to its routing rules."""

T = TypeVar("T")
Managed: TypeAlias = T | Unmanaged


def managed(value: Managed[T], default: T) -> T:
    """Return a value, or the default if the value is unmanaged."""
    return default if isinstance(value, Unmanaged) else value


@dataclass(frozen=True, kw_only=True)
class ActivityDefinition:
    """An Activity. TaskRouter does not allow `available` to change.

    In this class and in others, `was` is the previous name of a resource that has been renamed.
    """

    friendly_name: str
    was: str | None = None
    available: Managed[bool] = UNMANAGED


@dataclass(frozen=True, kw_only=True)
class TaskChannelDefinition:
    """A TaskChannel, identified by its unique name, which cannot change."""

    unique_name: str
    friendly_name: Managed[str] = UNMANAGED
    channel_optimized_routing: Managed[bool] = UNMANAGED


@dataclass(frozen=True, kw_only=True)
class TaskQueueDefinition:
    """A TaskQueue. The `…_activity` fields contain names of Activities."""

    friendly_name: str
    was: str | None = None
    target_workers: Managed[str] = UNMANAGED
    max_reserved_workers: Managed[int] = UNMANAGED
    task_order: Managed[str] = UNMANAGED
    reservation_activity: Managed[str | None] = UNMANAGED
    assignment_activity: Managed[str | None] = UNMANAGED


@dataclass(frozen=True, kw_only=True)
class Target:
    """A routing step of a filter, or the default filter.

    Attributes:
        queue: Name of the TaskQueue; None for the TaskQueue of the preceding target.
        expression: Selects Workers from the TaskQueue; None for all.
        priority: New priority of the Task; None to keep its priority.
        timeout: Seconds until the Task moves on; None for no limit.
        skip_if: Condition for moving on immediately if no Worker is free; None to wait.
        order_by: Attributes by which Workers are sorted; None to sort only by waiting time.
        known_worker_sid: Reference to the Task attribute that contains a Worker's SID.
        known_worker_friendly_name: Reference to the Task attribute that contains a Worker's name.
    """

    queue: str | None = None
    expression: str | None = None
    priority: int | None = None
    timeout: int | None = None
    skip_if: str | None = None
    order_by: str | None = None
    known_worker_sid: str | None = None
    known_worker_friendly_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A filter: Tasks that match `expression` (None for all) go through `targets` in order."""

    filter_friendly_name: str | None = None
    expression: str | None = None
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The configuration of a Workflow.

    Attributes:
        filters: The filters in order.
        default_filter: The target for Tasks that match no filter; None for no such target.
        omits_default_filter: Whether the file does not mention the default filter. With
            `default_filter: null`, a file deliberately defines no default filter.
    """

    filters: tuple[Filter, ...] = ()
    default_filter: Target | None = None
    omits_default_filter: bool = field(default=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class WorkflowDefinition:
    """A Workflow. A callback URL may begin with `${api}`, the URL of the deployed API."""

    friendly_name: str
    was: str | None = None
    assignment_callback_url: Managed[str | None] = UNMANAGED
    fallback_assignment_callback_url: Managed[str | None] = UNMANAGED
    task_reservation_timeout: Managed[int] = UNMANAGED
    configuration: Managed[Routing] = UNMANAGED


@dataclass(frozen=True, kw_only=True)
class WorkerDefinition:
    """A Worker.

    Attributes:
        attributes: The attributes; all values are JSON-serializable.
        activity: Name of the initial Activity. The Activity of an existing Worker is never changed.
        capacity: Capacities by unique name of the TaskChannel; other capacities are unmanaged.
    """

    friendly_name: str
    was: str | None = None
    attributes: Managed[Mapping[str, Any]] = UNMANAGED
    activity: Managed[str] = UNMANAGED
    capacity: Managed[Mapping[str, int]] = UNMANAGED


@dataclass(frozen=True, kw_only=True)
class WorkspaceDefinition:
    """A Workspace and its resources.

    Attributes:
        events_filter: The event types that are posted to the event callback URL; None for all.
        document: The document that the definition was read from, for the locations in messages.
    """

    friendly_name: str
    multi_task_enabled: Managed[bool] = UNMANAGED
    prioritize_queue_order: Managed[str] = UNMANAGED
    default_activity: Managed[str] = UNMANAGED
    timeout_activity: Managed[str] = UNMANAGED
    event_callback_url: Managed[str | None] = UNMANAGED
    events_filter: Managed[frozenset[str] | None] = UNMANAGED
    activities: Managed[tuple[ActivityDefinition, ...]] = UNMANAGED
    task_channels: Managed[tuple[TaskChannelDefinition, ...]] = UNMANAGED
    task_queues: Managed[tuple[TaskQueueDefinition, ...]] = UNMANAGED
    workflows: Managed[tuple[WorkflowDefinition, ...]] = UNMANAGED
    workers: Managed[tuple[WorkerDefinition, ...]] = UNMANAGED
    document: Document = field(default=Document("the workspace", {}), compare=False, repr=False)


def walk_targets(routing: Routing) -> Iterator[tuple[Path, Target]]:
    """Yield the targets of all filters and the default filter, with their paths in the routing."""
    for filter_index, item in enumerate(routing.filters):
        for target_index, target in enumerate(item.targets):
            yield ("filters", filter_index, "targets", target_index), target
    if routing.default_filter:
        yield ("default_filter",), routing.default_filter
