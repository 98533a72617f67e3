"""Converts Workflow configurations between names and SIDs, and compares them by meaning.

A definition refers to resources by name. TaskRouter's JSON refers to TaskQueues by SID, and its
expressions may contain the SIDs of Activities (`workers.WA…` in `skip_if`) and Workers. In the
expressions of a definition, `${activity:Idle}` stands for the SID of the Activity Idle.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from taskrouter_simulator.definition.expressions import (
    ALWAYS,
    normalize,
    normalize_order,
    normalize_reference,
)
from taskrouter_simulator.definition.model import Filter, Routing, Target
from taskrouter_simulator.identifiers import derived_hex

PREFIXES = {
    "activity": "WA",
    "task_channel": "TC",
    "task_queue": "WQ",
    "worker": "WK",
    "workflow": "WW",
}
"""SID prefixes by kind of resource."""
_VARIABLE = re.compile(r"\$\{([a-z_]+):([^}]*)\}")
_SID = re.compile(r"\b(?:WA|TC|WQ|WK|WW)[0-9a-fA-F]{32}\b")
EXPRESSION_FIELDS: Mapping[str, Callable[[str], str]] = {
    "expression": normalize,
    "skip_if": normalize,
    "order_by": normalize_order,
    "known_worker_sid": normalize_reference,
    "known_worker_friendly_name": normalize_reference,
}
"""Functions that normalize the expressions and references in a target, by field."""

_TARGET_KEYS = {field.name for field in fields(Target)}
_FILTER_KEYS = {"filter_friendly_name", "friendly_name", "expression", "Expression", "targets"}


class ConfigurationError(ValueError):
    """A configuration does not have the format that TaskRouter documents."""


class UnknownName(ValueError):
    """There is no resource with this name.

    Args:
        kind: Kind of resource, a key of `PREFIXES`.
        name: The name.
    """

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name!r}")
        self.kind = kind
        self.name = name


@dataclass(frozen=True)
class Directory:
    """The SIDs of resources.

    Attributes:
        sids: SIDs by kind and name, such as ("activity", "Idle").
    """

    sids: Mapping[tuple[str, str], str]

    @cached_property
    def _names(self) -> dict[str, tuple[str, str]]:
        return {sid: key for key, sid in self.sids.items()}

    def sid(self, kind: str, name: str) -> str:
        """Return the SID of a resource.

        Raises:
            UnknownName: There is no such resource.
        """
        if (kind, name) not in self.sids:
            raise UnknownName(kind, name)
        return self.sids[kind, name]

    def find(self, sid: str) -> tuple[str, str] | None:
        """Return the kind and name of a resource, or None if the SID is unknown."""
        return self._names.get(sid)


def replace_names(text: str, find_sid: Callable[[str, str], str]) -> str:
    """Replace variables such as `${activity:Idle}` in an expression.

    Args:
        text: The expression.
        find_sid: Returns the SID for a kind and a name.

    Raises:
        UnknownName: `find_sid` finds no resource for a variable.
    """
    return _VARIABLE.sub(lambda found: find_sid(found[1], _unescape(found[2])), text)


def replace_sids(text: str, directory: Directory) -> str:
    """Replace the SIDs in an expression with variables; leave unknown SIDs unchanged."""

    def variable(match: re.Match[str]) -> str:
        resource = directory.find(match.group())
        return f"${{{resource[0]}:{_escape(resource[1])}}}" if resource else match.group()

    return _SID.sub(variable, text)


def find_names(text: str) -> list[tuple[str, str]]:
    """Return the kinds and names of the variables in an expression."""
    return [(kind, _unescape(name)) for kind, name in _VARIABLE.findall(text)]


def _escape(name: str) -> str:
    return name.replace("%", "%25").replace("}", "%7D")


def _unescape(text: str) -> str:
    return text.replace("%7D", "}").replace("%25", "%")


def to_json(routing: Routing, directory: Directory) -> dict[str, Any]:
    """Return TaskRouter's JSON for a configuration.

    Raises:
        UnknownName: A TaskQueue or a resource in an expression is unknown.
    """
    document: dict[str, Any] = {
        "filters": [_filter_json(item, directory) for item in routing.filters]
    }
    if routing.default_filter:
        document["default_filter"] = _target_json(routing.default_filter, directory)
    return {"task_routing": document}


def _filter_json(item: Filter, directory: Directory) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if item.filter_friendly_name is not None:
        document["filter_friendly_name"] = item.filter_friendly_name
    document["expression"] = replace_names(item.expression or ALWAYS, directory.sid)
    return {**document, "targets": [_target_json(target, directory) for target in item.targets]}


def _target_json(target: Target, directory: Directory) -> dict[str, Any]:
    document = {
        field.name: value
        for field in fields(target)
        if (value := getattr(target, field.name)) is not None
    }
    if target.queue is not None:
        document["queue"] = directory.sid("task_queue", target.queue)
    for key in EXPRESSION_FIELDS.keys() & document.keys():
        document[key] = replace_names(document[key], directory.sid)
    return document


def from_json(text: str, directory: Directory) -> Routing:
    """Return the configuration that TaskRouter's JSON contains, with names instead of SIDs.

    Unknown SIDs are left unchanged. Unknown keys are ignored, as in TaskRouter. Older notations are
    read like the documented notation: `Expression`, `friendly_name` for the name of a filter, a
    filter with a `queue` but no `targets`, numbers as strings, and empty strings for absent values.

    Args:
        text: The configuration of a Workflow.
        directory: The SIDs of the Workspace's resources.

    Raises:
        ConfigurationError: `text` does not have the documented format.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("the configuration is not JSON") from error
    routing = _object(_object(document, "the configuration").get("task_routing"), "task_routing")
    default = routing.get("default_filter")
    return Routing(
        filters=tuple(
            _read_filter(_object(item, "a filter"), directory)
            for item in _array(routing.get("filters"), "filters")
        ),
        default_filter=None
        if default is None
        else _read_target(_object(default, "default_filter"), directory),
    )


def _read_filter(item: dict[str, Any], directory: Directory) -> Filter:
    expression = _text(item.get("expression") or item.get("Expression"), "expression")
    targets = [_object(target, "a target") for target in _array(item.get("targets"), "targets")]
    if not targets:
        # The filter itself is the target; its expression has already selected the Task.
        targets = [{**item, "expression": None}]
    return Filter(
        filter_friendly_name=_text(
            item.get("filter_friendly_name") or item.get("friendly_name"), "filter_friendly_name"
        ),
        expression=replace_sids(expression, directory) if expression else None,
        targets=tuple(_read_target(target, directory) for target in targets),
    )


def _read_target(item: dict[str, Any], directory: Directory) -> Target:
    queue = _text(item.get("queue"), "queue")
    resource = directory.find(queue or "")
    texts = {key: _text(item.get(key), key) for key in EXPRESSION_FIELDS}
    return Target(
        queue=resource[1] if resource else queue,
        priority=_integer(item.get("priority"), "priority"),
        timeout=_integer(item.get("timeout"), "timeout"),
        **{key: replace_sids(text, directory) if text else None for key, text in texts.items()},
    )


def find_ignored_keys(text: str) -> list[str]:
    """Return the keys that `from_json` ignores, sorted.

    Args:
        text: A configuration that `from_json` can read.
    """
    document = json.loads(text)
    routing = document["task_routing"]
    ignored = {*document} - {"task_routing"} | {*routing} - {"filters", "default_filter"}
    targets = [routing.get("default_filter") or {}]
    for item in routing.get("filters") or ():
        targets += item.get("targets") or ()
        ignored |= {*item} - _FILTER_KEYS - (set() if item.get("targets") else _TARGET_KEYS)
    return sorted(ignored.union(*({*target} - _TARGET_KEYS for target in targets)))


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name} must be an object")
    return value


def _array(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list | None):
        raise ConfigurationError(f"{name} must be an array")
    return value or []


def _text(value: Any, name: str) -> str | None:
    if not isinstance(value, str | None):
        raise ConfigurationError(f"{name} must be a string")
    return value or None


def _integer(value: Any, name: str) -> int | None:
    if value is None or value == "":
        return None
    if not re.fullmatch(r"-?[0-9]{1,12}", str(value)):  # unlike int(), rejects True and 1.0
        raise ConfigurationError(f"{name} must be an integer")
    return int(value)


def canonical(routing: Routing) -> Routing:
    """Return the canonical form of a configuration; equal forms route Tasks in the same way.

    An explicit default equals an omitted value, and expressions are in normal form.
    """
    default = routing.default_filter
    return Routing(
        filters=tuple(
            replace(
                item,
                expression=canonical_expression(item.expression or ALWAYS),
                targets=_canonical_targets(item.targets),
            )
            for item in routing.filters
        ),
        default_filter=_canonical_targets((default,))[0] if default else None,
    )


def have_same_meaning(first: Routing, second: Routing) -> bool:
    """Return whether two configurations that contain names route Tasks in the same way."""
    return canonical(first) == canonical(second)


def _canonical_targets(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Fill in inherited TaskQueues, normalize expressions, and omit `ALWAYS`."""
    results: list[Target] = []
    for target in targets:
        texts = {
            key: canonical_expression(text, function)
            for key, function in EXPRESSION_FIELDS.items()
            if (text := getattr(target, key)) is not None
        }
        if texts.get("expression") == normalize(ALWAYS):
            texts["expression"] = None
        queue = target.queue or (results[-1].queue if results else None)
        results.append(replace(target, queue=queue, **texts))
    return tuple(results)


def canonical_expression(text: str, normal_form: Callable[[str], str] = normalize) -> Any:
    """Return the normal form of an expression with variables.

    Args:
        text: The expression.
        normal_form: Returns the normal form of an expression with SIDs.
    """
    return normal_form(replace_names(text, derived_sid))


def derived_sid(kind: str, name: str) -> str:
    """Return a SID that depends only on the kind and the name of a resource.

    Args:
        kind: A key of `PREFIXES`.
        name: The name.
    """
    return PREFIXES.get(kind, "") + derived_hex(f"{kind.removeprefix('task_')}/{name}")
