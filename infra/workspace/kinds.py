"""The kinds of resources in a Workspace, and the fields that a definition manages."""

from dataclasses import dataclass
from graphlib import TopologicalSorter


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    Attributes:
        key: Name of the kind, as in variables such as `${activity:Idle}`.
        title: Name of the kind in messages.
        section: Key of the list in a definition, and name of the list in Twilio's SDK.
        fields: The fields in a definition and in Twilio's SDK, except the unique name of a
            TaskChannel. A definition contains the name of an Activity, and the SDK its SID.
        identifier: Key of the unique name in a definition and in Twilio's SDK.
    """

    key: str
    title: str
    section: str
    fields: tuple[str, ...]
    identifier: str = "friendly_name"

    def fold(self, name: str) -> str:
        """Normalize a name as TaskRouter does when it compares names."""
        return name.casefold() if self is WORKER else name


WORKSPACE = Kind(
    "workspace",
    "Workspace",
    "workspaces",
    (
        "friendly_name",
        "multi_task_enabled",
        "prioritize_queue_order",
        "default_activity",
        "timeout_activity",
        "event_callback_url",
        "events_filter",
    ),
)
ACTIVITY = Kind("activity", "Activity", "activities", ("friendly_name", "available"))
TASK_CHANNEL = Kind(
    "task_channel",
    "TaskChannel",
    "task_channels",
    ("friendly_name", "channel_optimized_routing"),
    "unique_name",
)
TASK_QUEUE = Kind(
    "task_queue",
    "TaskQueue",
    "task_queues",
    (
        "friendly_name",
        "target_workers",
        "max_reserved_workers",
        "task_order",
        "reservation_activity",
        "assignment_activity",
    ),
)
WORKFLOW = Kind(
    "workflow",
    "Workflow",
    "workflows",
    (
        "friendly_name",
        "assignment_callback_url",
        "fallback_assignment_callback_url",
        "task_reservation_timeout",
        "configuration",
    ),
)
WORKER = Kind("worker", "Worker", "workers", ("friendly_name", "attributes", "capacity"))

_DEPENDENCIES = {
    WORKSPACE: {ACTIVITY},
    WORKER: {WORKSPACE, TASK_CHANNEL},
    TASK_QUEUE: {WORKER, TASK_CHANNEL},
    WORKFLOW: {TASK_QUEUE},
}
"""The kinds to which the resources of a kind refer. Indirect dependencies are not repeated.

A Worker depends on the Workspace because a Worker without an initial Activity gets the Workspace's
default Activity.
"""
IN_ORDER = tuple(TopologicalSorter(_DEPENDENCIES).static_order())
"""All kinds; each follows the kinds to which its resources refer."""
RESOURCES = tuple(kind for kind in IN_ORDER if kind is not WORKSPACE)
"""The kinds of resources in a Workspace."""
BY_KEY = {kind.key: kind for kind in IN_ORDER}
EXPRESSIONS = frozenset({"target_workers"})
"""Fields that contain an expression with variables."""
URLS = frozenset(
    {"event_callback_url", "assignment_callback_url", "fallback_assignment_callback_url"}
)
"""Fields that contain a callback URL."""
ACTIVITIES = frozenset(
    {
        "default_activity",
        "timeout_activity",
        "reservation_activity",
        "assignment_activity",
        "activity",
    }
)
"""Fields that contain the name of an Activity.

TaskRouter's field is called `NAME_sid` and contains the Activity's SID.
"""
