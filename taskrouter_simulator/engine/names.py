"""Names that can be used in expressions, references and `order_by`.

The available names depend on the kind of expression. A name in one of TaskRouter's namespaces is
rejected if it is misspelled or unavailable, because its value would otherwise silently be NULL.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from taskrouter_simulator.engine.expressions import (
    ExpressionError,
    Keys,
    NumericText,
    Value,
    reference,
    reference_keys,
)
from taskrouter_simulator.engine.model import (
    ReservationStatus,
    Worker,
    WorkerChannel,
    Workspace,
    parse_attributes,
)
from taskrouter_simulator.spelling import find_similar, fold

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TIME_NAMES: dict[str, Callable[[datetime], Any]] = {
    "currentTime": lambda moment: int(f"{moment:%H%M}"),
    # Twilio documents these two values as strings, but its examples compare them with numbers.
    "currentHour": lambda moment: NumericText(f"{moment:%H}"),
    "currentMin": lambda moment: NumericText(f"{moment:%M}"),
    "dayOfWeek": lambda moment: _DAYS[moment.weekday()],
}
"""Functions that return the value of `taskrouter.NAME` at a UTC time, keyed by NAME.

See https://www.twilio.com/docs/taskrouter/time-of-day-routing.
"""
WORKER_NAMES: dict[str, Callable[[Workspace, Worker], str]] = {
    "sid": lambda _workspace, worker: worker.sid,
    "friendly_name": lambda _workspace, worker: worker.friendly_name,
    "activity_sid": lambda _workspace, worker: worker.activity_sid,
    "activity_name": lambda workspace, worker: (
        workspace.activities[worker.activity_sid].friendly_name
    ),
}
"""Functions that return the value of `worker.NAME`, keyed by NAME."""
CHANNEL_NAMES: dict[str, Callable[[WorkerChannel, list[ReservationStatus]], Any]] = {
    "assigned_tasks": lambda _channel, held: held.count(ReservationStatus.ACCEPTED),
    "available": lambda channel, _held: channel.available,
    "available_capacity_percentage": lambda channel, held: (
        100 * max(0, channel.capacity - len(held)) // max(1, channel.capacity)
    ),
    "configured_capacity": lambda channel, _held: channel.capacity,
}
"""Functions that return the value of `worker.channel.CHANNEL.NAME`, keyed by NAME.

The arguments are the WorkerChannel and the statuses of the Reservations that use its capacity. See
https://www.twilio.com/docs/taskrouter/multitasking.
"""
_NAMESPACES = ("task", "taskrouter", "worker", "workers")
_MIN_SIMILARITY = 0.8
"""Minimum similarity of a misspelled name to the suggested name."""


@dataclass(frozen=True)
class Scope:
    """A kind of expression.

    Attributes:
        namespaces: Available namespaces, such as `task` in `task.name`.
        allows_bare_names: Whether a name without a namespace is an attribute.
    """

    namespaces: tuple[str, ...]
    allows_bare_names: bool = True


FILTER = Scope(("task", "taskrouter"))
"""A filter: https://www.twilio.com/docs/taskrouter/time-of-day-routing."""
TARGET = Scope(("task", "worker", "taskrouter"), allows_bare_names=False)
"""A target: https://www.twilio.com/docs/taskrouter/workflow-configuration."""
SKIP_IF = Scope(("workers", "task", "taskrouter"))
"""A target's `skip_if`: https://www.twilio.com/docs/taskrouter/worker-presence."""
ORDER_BY = Scope(("worker",), allows_bare_names=False)
"""A target's `order_by`: https://www.twilio.com/docs/taskrouter/order-workers."""
KNOWN_WORKER = TASKS = Scope(("task",))
"""A target's known Worker, and the filter when listing Tasks."""
WORKERS = Scope(("worker",))
"""A TaskQueue's expression, and the filter when listing Workers."""


def require_names(
    references: Iterable[Keys],
    scope: Scope,
    workspace: Workspace,
    *,
    names_may_begin_with_digit: bool,
) -> None:
    """Check that each reference can be resolved.

    A reference to an attribute is accepted, because Twilio documents that a missing attribute is
    NULL. A misspelling of a name that TaskRouter supplies is not treated as an attribute.

    Args:
        references: The references in the expression.
        scope: The kind of expression.
        workspace: The Workspace, whose TaskChannels and Activities are valid names.
        names_may_begin_with_digit: Whether a name after a dot may begin with a digit.

    Raises:
        ExpressionError: A name is unknown or not available.
    """
    for keys in references:
        if not names_may_begin_with_digit and any(name[0].isdigit() for name in _names(keys)):
            raise ExpressionError(f"{_text(keys)} contains a name that begins with a digit")
        _require_spelling(keys, scope, workspace)
        _require_available(keys, scope)
        if keys[0] in scope.namespaces:
            _require_known(keys, workspace)
        if scope is ORDER_BY:
            _require_number(keys)


def _names(keys: Keys) -> list[str]:
    return [key for key in keys if isinstance(key, str)]


def _text(keys: Keys) -> str:
    dotted = "".join(f".{key}" if isinstance(key, str) else f"[{key}]" for key in keys)
    return dotted.removeprefix(".")[:200]


def _require_spelling(keys: Keys, scope: Scope, workspace: Workspace) -> None:
    """Check that a reference is not a misspelling of a name that TaskRouter supplies."""
    suggestion = _find_namespace(keys, scope, workspace)
    if suggestion is None:
        is_bare = scope is WORKERS and keys[0] not in _NAMESPACES
        suggestion = _find_worker_name(("worker", *keys) if is_bare else keys, workspace)
    if suggestion is not None:
        raise ExpressionError(f"{_text(keys)} is not known; did you mean {_text(suggestion)}?")


def _find_namespace(keys: Keys, scope: Scope, workspace: Workspace) -> Keys | None:
    """Return the reference with its namespace spelled correctly, or None if it is not misspelled.

    A namespace in the wrong case is a misspelling. Any other similar name is a misspelling only if
    it is followed by a name that TaskRouter supplies.
    """
    first, *rest = keys
    if not rest or not isinstance(first, str) or first in _NAMESPACES:
        return None
    namespace = find_similar(first, _NAMESPACES, _MIN_SIMILARITY)
    if namespace is None:
        return None
    suggestion = (namespace, *rest)
    is_certain = fold(first) == namespace or (
        namespace in scope.namespaces and suggestion in _supplied(workspace)
    )
    return suggestion if is_certain else None


def _find_worker_name(keys: Keys, workspace: Workspace) -> Keys | None:
    """Return the correct spelling of `worker.NAME…`, or None if it is not misspelled.

    If a Worker has an attribute with the name as written, the reference is not a misspelling.
    """
    match keys:
        case ("worker", str(name)):
            similar = find_similar(name, WORKER_NAMES, cutoff=1)
            suggestion: Keys | None = ("worker", similar) if similar else None
        case ("worker", str(name), *rest) if fold(name) == "channel" or (
            find_similar(name, ["channel"], _MIN_SIMILARITY) and _is_channel_path(rest, workspace)
        ):
            suggestion = ("worker", "channel", *rest)
        case _:
            return None
    is_exact = name in {"channel", *WORKER_NAMES}
    return None if is_exact or _is_attribute(name, workspace) else suggestion


def _is_channel_path(keys: list[str | int], workspace: Workspace) -> bool:
    """Return whether the keys look like `NAME.assigned_tasks`."""
    names = {channel.unique_name for channel in workspace.channels.values()}
    return len(keys) > 1 and (keys[0] in names or keys[1] in CHANNEL_NAMES)


def _is_attribute(name: str, workspace: Workspace) -> bool:
    return any(name in parse_attributes(item.attributes) for item in workspace.workers.values())


def _supplied(workspace: Workspace) -> set[Keys]:
    """Return all names that TaskRouter supplies."""
    channels = [channel.unique_name for channel in workspace.channels.values()]
    return {
        *(("taskrouter", name) for name in TIME_NAMES),
        *(("worker", name) for name in WORKER_NAMES),
        *(("worker", "channel", channel, name) for channel in channels for name in CHANNEL_NAMES),
        *(("workers", name) for name in _worker_counts(workspace)),
    }


def _worker_counts(workspace: Workspace) -> tuple[str, ...]:
    """Return the names that can follow `workers.`."""
    return ("available", "unavailable", *workspace.activities)


def _require_number(keys: Keys) -> None:
    """Reject names whose values are strings or booleans, because `order_by` sorts by numbers."""
    match keys:
        case ("worker", name) if name in WORKER_NAMES:
            kind = "string"
        case ("worker", "channel", _, "available"):
            kind = "boolean"
        case _:
            return
    raise ExpressionError(f"{_text(keys)} is a {kind}, but order_by sorts by numbers")


def _require_available(keys: Keys, scope: Scope) -> None:
    """Check that a reference begins with a namespace of the scope, if one is required."""
    first, name = keys[0], _text(keys)
    available = " or ".join(f"`{namespace}.`" for namespace in scope.namespaces)
    if first in scope.namespaces:
        if len(keys) == 1:
            raise ExpressionError(f"{first} must be followed by a name, as in {first}.name")
    elif len(keys) > 1 and first in _NAMESPACES:
        raise ExpressionError(f"{name} is not available here; names can begin with {available}")
    elif not scope.allows_bare_names:
        raise ExpressionError(f"{name} must begin with {available}")
    elif scope is WORKERS and first == "channel" and keys[-1] in CHANNEL_NAMES:
        raise ExpressionError(f"{name} must begin with `worker.`")


def _require_known(keys: Keys, workspace: Workspace) -> None:
    """Check that a reference other than an attribute refers to an existing value."""
    channels = [channel.unique_name for channel in workspace.channels.values()]
    match keys:
        case ("taskrouter", name):
            _require_choice(keys, name, TIME_NAMES)
        case ("worker", "channel", channel, name):
            _require_choice(keys, channel, channels)
            _require_choice(keys, name, CHANNEL_NAMES)
        case ("workers", name):
            _require_choice(keys, name, _worker_counts(workspace))
        case ("taskrouter" | "workers", *_) | ("worker", "channel", *_):
            raise ExpressionError(
                f"{_text(keys)} is not a name that TaskRouter supplies, such as "
                "taskrouter.dayOfWeek, workers.available or worker.channel.voice.assigned_tasks"
            )


def _require_choice(keys: Keys, key: str | int, choices: Collection[str]) -> None:
    if key not in choices:
        raise ExpressionError(
            f"{_text(keys)} is not known: {str(key)[:100]} is not one of {', '.join(choices)}"
        )


@dataclass(frozen=True)
class OrderClause:
    """A clause of `order_by`: an attribute, and 1 for ascending or -1 for descending."""

    keys: Keys
    value: Value
    sign: int


@lru_cache(maxsize=4096)
def parse_order_by(text: str) -> tuple[OrderClause, ...]:
    """Compile an `order_by` such as `worker.level DESC, worker.age ASC`.

    Raises:
        ExpressionError: A clause is not an attribute with an optional direction.
    """
    clauses = []
    for part in text.split(","):
        clause = re.fullmatch(r"(?ai)\s*(\S+)(?:\s+(ASC|DESC))?\s*", part)
        if clause is None:
            raise ExpressionError(
                f"{part[:200]!r} must be an attribute such as worker.level, optionally followed by"
                " ASC or DESC"
            )
        keys = reference_keys(clause[1])
        sign = -1 if (clause[2] or "").upper() == "DESC" else 1
        clauses.append(OrderClause(keys, reference(keys), sign))
    return tuple(clauses)
