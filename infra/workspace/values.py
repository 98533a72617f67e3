"""Converts the values of fields between a definition, plain JSON and TaskRouter, and compares them.

A plain value is JSON with names instead of SIDs, as in a definition. `${api}` is replaced by the
URL of the API.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from infra.workspace.kinds import ACTIVITIES, EXPRESSIONS, URLS, Kind
from taskrouter_simulator.definition.configuration import (
    ConfigurationError,
    Directory,
    canonical_expression,
    find_names,
    from_json,
    have_same_meaning,
    replace_names,
    replace_sids,
    to_json,
)
from taskrouter_simulator.definition.fields import API
from taskrouter_simulator.definition.model import Routing, Target, Unmanaged, walk_targets
from taskrouter_simulator.definition.reader import CONFIGURATION

Values = Mapping[str, Any]
"""Plain values by field."""


def declared(kind: Kind, item: Any, api_url: str | None, *, is_new: bool = False) -> dict[str, Any]:
    """Return the managed fields of a resource in a definition.

    Args:
        kind: The kind of resource.
        item: The resource in the definition, or the definition of the Workspace itself.
        api_url: URL of the API; None if there is no API yet. Without a URL, fields with `${api}`
            are left out.
        is_new: Whether to include fields that can be set only for a new resource.
    """
    values = {}
    extra = ("activity",) if is_new and hasattr(item, "activity") else ()
    for name in (*kind.fields, *extra):
        value = getattr(item, name)
        if isinstance(value, Unmanaged) or (api_url is None and uses_api(name, value)):
            continue
        values[name] = _plain(name, value, api_url or "")
    return values


def uses_api(name: str, value: Any) -> bool:
    """Return whether the value of a field in a definition begins with `${api}`."""
    return name in URLS and isinstance(value, str) and value.startswith(API)


def _plain(name: str, value: Any, api_url: str) -> Any:
    if isinstance(value, Routing):
        return plain_routing(value)
    if isinstance(value, frozenset):
        return sorted(value)
    return value.replace(API, api_url, 1) if uses_api(name, value) else value


def plain_routing(routing: Routing) -> dict[str, Any]:
    """Return a configuration in the format of a definition."""
    default = routing.default_filter
    return {
        "task_routing": {
            "filters": [
                {
                    **_without_none(filter_friendly_name=item.filter_friendly_name),
                    **_without_none(expression=item.expression),
                    "targets": [_plain_target(target) for target in item.targets],
                }
                for item in routing.filters
            ],
            "default_filter": _plain_target(default) if default else None,
        }
    }


def _without_none(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _plain_target(target: Target) -> dict[str, Any]:
    return _without_none(**{field.name: getattr(target, field.name) for field in fields(target)})


def read_routing(value: Any) -> Routing:
    """Return the configuration from the plain JSON that `plain_routing` returns."""
    routing: Routing = CONFIGURATION.read(value, (), [])
    return routing


def live(kind: Kind, raw: Values, directory: Directory) -> dict[str, Any]:
    """Return the fields of a resource in TaskRouter as plain values.

    A configuration that does not have the documented format remains a string.

    Args:
        kind: The kind of resource.
        raw: Values in TaskRouter, by field.
        directory: The SIDs of resources.
    """
    return {name: _live_value(name, raw[name], directory) for name in kind.fields if name in raw}


def _live_value(name: str, value: Any, directory: Directory) -> Any:
    if name in ACTIVITIES:
        entry = directory.find(value or "")
        return entry[1] if entry else value
    if name in EXPRESSIONS:
        return replace_sids(value or "", directory)
    if name == "configuration":
        return _live_configuration(value, directory)
    if name == "events_filter":
        types = {word.strip() for word in (value or "").split(",")} - {""}
        return sorted(types) or None
    if name == "attributes":
        return json.loads(value or "{}")
    return (value or None) if name in URLS else value


def _live_configuration(text: str, directory: Directory) -> Any:
    try:
        return plain_routing(from_json(text, directory))
    except ConfigurationError:
        return text


def parameters(values: Values, directory: Directory) -> dict[str, Any]:
    """Return the parameters of Twilio's SDK that set plain values.

    The capacities of a Worker are left out, because separate requests set them.

    Raises:
        UnknownName: A resource does not exist.
    """
    result = {}
    for name, value in values.items():
        if name in ACTIVITIES:
            result[f"{name}_sid"] = "" if value is None else directory.sid("activity", value)
        elif name == "configuration":
            result[name] = json.dumps(to_json(read_routing(value), directory))
        elif name != "capacity":
            result[name] = _parameter(name, value, directory)
    return result


def _parameter(name: str, value: Any, directory: Directory) -> Any:
    if name in EXPRESSIONS:
        return replace_names(value, directory.sid)
    if name == "attributes":
        return json.dumps(value, ensure_ascii=False)
    if name == "events_filter":
        return ",".join(value or ())
    return "" if value is None else value


def references(values: Values) -> set[tuple[str, str]]:
    """Return the kinds and names of the resources to which values refer."""
    pairs = {("activity", values[name]) for name in ACTIVITIES if values.get(name) is not None}
    pairs |= {("task_channel", name) for name in values.get("capacity") or ()}
    configuration = values.get("configuration")
    if isinstance(configuration, dict):
        targets = walk_targets(read_routing(configuration))
        pairs |= {("task_queue", target.queue) for _, target in targets if target.queue}
    for text in _texts([configuration, values.get("target_workers")]):
        pairs |= {*find_names(text)}
    return pairs


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings in plain JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def are_equal(name: str, first: Any, second: Any) -> bool:
    """Return whether two plain values of a field have the same meaning.

    A configuration that is still a string differs from every parsed configuration. Only the
    capacities in *second* are compared.
    """
    if name == "configuration" and isinstance(first, dict) and isinstance(second, dict):
        return have_same_meaning(read_routing(first), read_routing(second))
    if name in EXPRESSIONS:
        return bool(canonical_expression(first) == canonical_expression(second))
    if name == "capacity":  # other TaskChannels are not managed
        return all((first or {}).get(key) == number for key, number in second.items())
    return canonical_text(first) == canonical_text(second)


def managed_part(name: str, value: Any, wanted: Any) -> Any:
    """Return a live value without the TaskChannels that a definition does not manage."""
    if name == "capacity":
        return {key: number for key, number in (value or {}).items() if key in wanted}
    return value


def canonical_text(value: Any) -> str:
    """Return JSON that is equal for equal values: keys are sorted, and 2.0 becomes 2."""
    return json.dumps(_integral(value), sort_keys=True)


def _integral(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_integral(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
