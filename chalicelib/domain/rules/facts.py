"""The facts of a callback that rule expressions can read."""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.json_text import JsonError, read_facts

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

_ATTRIBUTES = ("TaskAttributes", "WorkerAttributes")
_NUMBER = re.compile("[0-9]{1,18}")


class UnreadableFact(Exception):
    """Raised if an expression uses a fact that can't be read. The message gives the reason.

    Args:
        parameter: name of the callback's parameter, such as ``TaskAttributes``.
        attribute: name of the attribute that contains NaN, Infinity or a number out of range; None
            if the whole parameter can't be read.
    """

    def __init__(self, parameter: str, attribute: str | None = None) -> None:
        if attribute is not None:
            name = json.dumps(attribute)
            reason = f"contains NaN, Infinity or a number out of range, in {name}"
        elif parameter in _ATTRIBUTES:
            reason = "is not a JSON object"
        else:
            reason = "is not a whole number"
        super().__init__(f"{parameter} {reason}")
        self.parameter = parameter


class _PartialFacts(dict[str, Any]):  # noqa: PLW1641  not hashable, like any dict
    """An object with unreadable values. Reading an unreadable value raises UnreadableFact.

    jmespath reads a field with the `get` method, and a wildcard with the `values` method. The
    functions of jmespath use the other methods.
    """

    def __init__(self, values: Mapping[str, Any], unreadable: Mapping[str, UnreadableFact]) -> None:
        super().__init__(values)
        self._unreadable = unreadable

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value; raise UnreadableFact if it can't be read."""
        if name in self._unreadable:
            raise self._unreadable[name]
        return super().get(name, default)

    def values(self) -> NoReturn:
        """Raise UnreadableFact."""
        raise next(iter(self._unreadable.values()))

    def items(self) -> NoReturn:
        """Raise UnreadableFact."""
        self.values()

    def __iter__(self) -> NoReturn:
        self.values()

    def __getitem__(self, name: str) -> NoReturn:
        self.values()

    def __eq__(self, other: object) -> bool:
        # jmespath compares an object with empty values to determine whether the object is true.
        return bool(other) and self.values()


# jmespath determines the type of a value by the name of its class.
_PartialFacts.__name__ = "dict"


def facts_of(callback: AssignmentCallback) -> dict[str, Any]:
    """Return the facts of a callback.

    ``age`` is the age of the Task in seconds. ``task`` and ``worker`` are the attributes as
    objects, empty if there are none. All other missing facts are None. An expression that reads
    an unreadable fact raises UnreadableFact.
    """
    received = {
        "TaskAttributes": callback.task_attributes,
        "WorkerAttributes": callback.worker_attributes,
        **callback.parameters,
    }
    facts: dict[str, Any] = {
        "task": {},
        "worker": {},
        "priority": None,
        "age": None,
        "reservation_sid": callback.reservation_sid,
        "task_sid": callback.task_sid,
        "worker_sid": callback.worker_sid,
        "workflow_sid": callback.workflow_sid,
        "task_queue_sid": callback.task_queue_sid,
        "workspace_sid": callback.parameters.get("WorkspaceSid"),
    }
    unreadable = {}
    for fact, parameter in _PARAMETERS.items():
        value = received.get(parameter)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue  # a parameter without a value
        try:
            facts[fact] = _read(parameter, value)
        except UnreadableFact as error:
            unreadable[fact] = error
    return _PartialFacts(facts, unreadable) if unreadable else facts


def _read(parameter: str, value: str | list[str]) -> Any:
    """Return the fact in a parameter of the callback; raise UnreadableFact if it can't be read."""
    if parameter not in _ATTRIBUTES:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return int(value)
        raise UnreadableFact(parameter)
    try:
        attributes, unreadable = read_facts(str(value))
    except JsonError as error:
        raise UnreadableFact(parameter) from error
    errors = {name: UnreadableFact(parameter, name) for name in sorted(unreadable)}
    return _PartialFacts(attributes, errors) if errors else attributes
