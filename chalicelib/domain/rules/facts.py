"""The facts of a callback that rule expressions can read."""

import re
from typing import Any

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.reservations import parse_attributes

FACTS = (
    "task",
    "worker",
    "priority",
    "age",
    "reservation_sid",
    "task_sid",
    "worker_sid",
    "workflow_sid",
    "task_queue_sid",
    "workspace_sid",
)
"""Names that a path in an expression can begin with."""

_NUMBER = re.compile("[0-9]{1,18}")


def facts_of(callback: AssignmentCallback) -> dict[str, Any]:
    """Return the facts of a callback.

    ``task`` and ``worker`` are the attributes as objects, empty if the attributes are missing or
    not a JSON object. ``age`` is the age of the Task in seconds. A missing fact is None.
    """
    return {
        "task": parse_attributes(callback.task_attributes) or {},
        "worker": parse_attributes(callback.worker_attributes) or {},
        "priority": _number(callback.parameters.get("TaskPriority")),
        "age": _number(callback.parameters.get("TaskAge")),
        "reservation_sid": callback.reservation_sid,
        "task_sid": callback.task_sid,
        "worker_sid": callback.worker_sid,
        "workflow_sid": callback.workflow_sid,
        "task_queue_sid": callback.task_queue_sid,
        "workspace_sid": callback.parameters.get("WorkspaceSid"),
    }


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else None
