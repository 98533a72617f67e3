"""The facts of a callback that rule expressions can read."""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

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

_PARAMETERS = {
    "task": "TaskAttributes",
    "worker": "WorkerAttributes",
    "priority": "TaskPriority",
    "age": "TaskAge",
}
"""The callback's parameters that must be parsed, by fact."""

_NUMBER = re.compile("[0-9]{1,18}")


class UnreadableFact(Exception):
    """An expression reads a fact whose parameter can't be parsed. The message says why.

    Args:
        parameter: name of the callback's parameter, such as ``TaskAttributes``.
    """

    def __init__(self, parameter: str) -> None:
        expected = "JSON object" if parameter.endswith("Attributes") else "whole number"
        super().__init__(f"{parameter} is not a {expected}")
        self.parameter = parameter


class _PartialFacts(dict[str, Any]):
    """Facts, some of which can't be read.

    jmespath reads a field with the method `get`, and a wildcard with the method `values`.
    """

    def __init__(self, facts: Mapping[str, Any], unreadable: Mapping[str, str]) -> None:
        super().__init__(facts)
        self._unreadable = unreadable

    def get(self, name: str, default: Any = None) -> Any:
        """Return a fact; raise UnreadableFact if its parameter can't be parsed."""
        if name in self._unreadable:
            raise UnreadableFact(self._unreadable[name])
        return super().get(name, default)

    def values(self) -> NoReturn:
        """Raise UnreadableFact."""
        raise UnreadableFact(next(iter(self._unreadable.values())))


def facts_of(callback: AssignmentCallback) -> dict[str, Any]:
    """Return the facts of a callback.

    ``task`` and ``worker`` are the attributes as objects, empty if there are none. ``age`` is the
    age of the Task in seconds. A missing fact is None. An unreadable fact also counts as missing,
    but an expression that reads it raises UnreadableFact.
    """
    parsed = {
        "task": parse_attributes(callback.task_attributes),
        "worker": parse_attributes(callback.worker_attributes),
        "priority": _number(callback.parameters.get("TaskPriority")),
        "age": _number(callback.parameters.get("TaskAge")),
    }
    received = {
        "TaskAttributes": callback.task_attributes,
        "WorkerAttributes": callback.worker_attributes,
        **callback.parameters,
    }
    unreadable = {
        fact: parameter
        for fact, parameter in _PARAMETERS.items()
        if parsed[fact] is None and received.get(parameter)
    }
    facts = {
        **parsed,
        "task": parsed["task"] or {},
        "worker": parsed["worker"] or {},
        "reservation_sid": callback.reservation_sid,
        "task_sid": callback.task_sid,
        "worker_sid": callback.worker_sid,
        "workflow_sid": callback.workflow_sid,
        "task_queue_sid": callback.task_queue_sid,
        "workspace_sid": callback.parameters.get("WorkspaceSid"),
    }
    return _PartialFacts(facts, unreadable) if unreadable else facts


def _number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else None
