"""A Workflow's configuration: filters, their targets, the default.

Unknown keys are ignored, because Twilio's own tutorial sends some; a filter may be written with
`queue` directly, as an old sample has it.
"""

import json
from dataclasses import dataclass
from typing import Any

from taskrouter_simulator.engine.expressions import ExpressionError, parse, parse_reference

_MOST = 2**31 - 1


class ConfigurationError(ValueError):
    """The text is not a Workflow configuration."""


@dataclass(frozen=True)
class Target:
    """One routing step. `queue_sid` None means the queue of the step before; seconds."""

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
    """Tasks for which `expression` holds go through `targets`, top down."""

    name: str | None
    expression: str
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Configuration:
    """The whole: the first filter that matches, else the default."""

    filters: tuple[Filter, ...] = ()
    default: Target | None = None

    def queue_sids(self) -> set[str]:
        """Every TaskQueue that the configuration names."""
        targets = [target for one in self.filters for target in one.targets]
        return {t.queue_sid for t in [*targets, self.default] if t and t.queue_sid}


def read(text: str) -> Configuration:
    """Read a configuration.

    Args:
        text: the JSON text, as `Configuration` carries it.

    Raises:
        ConfigurationError: it is not JSON, not of the documented shape, or holds a bad expression.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("it is not JSON") from error
    routing = _object(_object(document, "the document").get("task_routing"), "task_routing")
    filters = routing.get("filters")
    default = routing.get("default_filter")
    return Configuration(
        filters=tuple(_filter(_object(item, "a filter")) for item in _list(filters, "filters")),
        default=_target(_object(default, "default_filter")) if default else None,
    )


def _filter(item: dict[str, Any]) -> Filter:
    expression = item.get("expression", item.get("Expression", "1==1"))
    targets = _list(item.get("targets"), "targets") or [item]
    read_targets = tuple(_target(_object(target, "a target")) for target in targets)
    if not read_targets[0].queue_sid:
        raise ConfigurationError("the first target of a filter needs a queue")
    name = item.get("filter_friendly_name", item.get("friendly_name"))
    return Filter(
        name=name if isinstance(name, str) else None,
        expression=_expression(expression) or "1==1",
        # a filter written without targets is its own target: its expression chose it already
        targets=read_targets if item.get("targets") else (_target({**item, "expression": None}),),
    )


def _target(item: dict[str, Any]) -> Target:
    return Target(
        queue_sid=_text(item, "queue"),
        expression=_expression(item.get("expression")),
        priority=_whole(item, "priority", 0),
        timeout=_whole(item, "timeout", 1),
        skip_if=_expression(item.get("skip_if")),
        order_by=_text(item, "order_by"),
        known_worker_sid=_reference(item, "known_worker_sid"),
        known_worker_friendly_name=_reference(item, "known_worker_friendly_name"),
    )


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name} must be an object")
    return value


def _list(value: Any, name: str) -> list[Any]:
    value = [] if value is None else value
    if not isinstance(value, list):
        raise ConfigurationError(f"{name} must be an array")
    return value


def _text(item: dict[str, Any], key: str) -> str | None:
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{key} must be a string")
    return value or None


def _whole(item: dict[str, Any], key: str, least: int) -> int | None:
    value = item.get(key)
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(f"{key} must be a whole number") from error
    if isinstance(value, bool) or not least <= number <= _MOST:
        raise ConfigurationError(f"{key} must be a whole number from {least} to {_MOST}")
    return number


def _expression(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ConfigurationError("an expression must be a string")
    try:
        parse(value)
    except ExpressionError as error:
        raise ConfigurationError(str(error)) from error
    return value


def _reference(item: dict[str, Any], key: str) -> str | None:
    text = _text(item, key)
    if text is None:
        return None
    try:
        parse_reference(text)
    except ExpressionError as error:
        raise ConfigurationError(str(error)) from error
    return text
