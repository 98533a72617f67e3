"""Writes the definition of a live Workspace."""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from infra import OperatorError
from infra.commands.connection import ROUTES, may_contain_secret
from infra.workspace.kinds import ACTIVITIES, RESOURCES, URLS, WORKER, WORKSPACE, Kind
from infra.workspace.state import Resource, State, read
from infra.workspace.text import printable, to_yaml
from taskrouter_simulator.definition import reader
from taskrouter_simulator.definition.configuration import find_ignored_keys
from taskrouter_simulator.definition.document import MAX_YAML_BYTES, Findings
from taskrouter_simulator.definition.fields import API

_HEADER = (
    "yaml-language-server: $schema=taskrouter_simulator/definition/schema.json\n"
    "\n"
    "docs/workspace.md describes all keys. A key that is absent from a resource is not managed."
)

_OWN_URL = re.compile(rf"{re.escape(API)}(?:{ROUTES})(?:[?#].*)?")

_ReplaceUrl = Callable[[str], str]


def read_all(context: Any, *, with_workers: bool) -> State:
    """Read a Workspace.

    Args:
        context: The SDK's context for the Workspace.
        with_workers: Whether to read the Workers, including their attributes and capacities. If
            False, only the Workers' names are read, and only if a value may contain a Worker's SID.
    """
    state = read(context, with_workers=with_workers, details=None)
    text = json.dumps([dict(resource.raw) for resource in state.resources])
    if "WK" in text and not with_workers:
        return read(context, with_workers=True, details={})
    return state


def export(
    state: State, *, api_url: str | None, base_url: str = "", with_workers: bool
) -> tuple[str, list[str]]:
    """Return a definition as YAML, or as JSON if it is too large for YAML.

    Args:
        state: The Workspace, as `read_all` returns it.
        api_url: Base URL of the routes that TaskRouter calls, including any secret segment; None if
            there is no such URL.
        base_url: The same URL without a secret segment; "" if there is no URL.
        with_workers: Whether the definition contains the Workers.

    Returns:
        The text, and notes about values that are left out because the format cannot express them
        or because they may contain a secret.

    Raises:
        OperatorError: Two resources of a kind have the same name.
    """
    notes: list[str] = []
    replace_url = partial(_with_variable, api_url=api_url, base_url=base_url)
    value = _values(state, state.workspace, replace_url, notes) if state.workspace else {}
    for kind in RESOURCES:
        if kind is not WORKER or with_workers:
            _require_unique_names(kind, state)
            items = (_values(state, item, replace_url, notes) for item in state.of(kind))
            value[kind.section] = [item for item in items if item]
    text = _yaml(value, notes)
    if len(text.encode()) > MAX_YAML_BYTES:
        text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    return text, notes


def _require_unique_names(kind: Kind, state: State) -> None:
    seen: dict[str, Resource] = {}
    for resource in state.of(kind):
        other = seen.setdefault(kind.fold(resource.name), resource)
        if other is not resource:
            raise OperatorError(
                f"The Workspace has several resources with the name {resource.name!r}: "
                f"{other.sid}, {resource.sid}. Rename one of them."
            )


def _values(
    state: State, resource: Resource, replace_url: _ReplaceUrl, notes: list[str]
) -> dict[str, Any]:
    """Return the values of a resource, and add a note about each value or key that is left out.

    The values are empty if the format cannot express the resource's name.
    """
    kind = resource.kind
    identifier = {kind.identifier: resource.name}
    values = {}
    for name, value in {**identifier, **_candidates(state, resource, replace_url)}.items():
        problem = _find_problem(kind, {**identifier, name: value})
        if name in URLS and value and not _OWN_URL.fullmatch(value) and may_contain_secret(value):
            problem = "the URL may contain a secret; if it does not, add it to the file"
        if problem is None:
            values[name] = value
            if name == "configuration" and (ignored := find_ignored_keys(resource.raw[name])):
                problem = f"Twilio does not document the keys {', '.join(ignored)}"
                notes.append(_note(resource, name, problem))
            continue
        notes.append(_note(resource, name, problem))
        if name == kind.identifier:
            return {}
    return values


def _note(resource: Resource, name: str, problem: str) -> str:
    return printable(f"{resource.kind.title} {resource.name!r}: {name}: {problem}")


def _find_problem(kind: Kind, values: dict[str, Any]) -> str | None:
    """Return why a definition cannot contain a resource with these values; None if it can."""
    if isinstance(values.get("configuration"), str):
        return "it does not have the format that Twilio documents"
    document = values if kind is WORKSPACE else {"friendly_name": "-", kind.section: [values]}
    findings: Findings = []
    reader.WORKSPACE.read(document, (), findings)
    if findings and findings[0].sid:
        return f"it contains {findings[0].sid}, which is not in the Workspace"
    return findings[0].message if findings else None


def _candidates(state: State, resource: Resource, replace_url: _ReplaceUrl) -> dict[str, Any]:
    """Return the values of a resource with URLs replaced, without Activities that are not set."""
    values = state.values(resource)
    return {
        name: replace_url(value) if name in URLS and value else value
        for name, value in values.items()
        if not (name in ACTIVITIES and value is None)
    }


def _with_variable(url: str, *, api_url: str | None, base_url: str) -> str:
    """Replace the API's URL, including any secret segment, with `${api}`."""
    # Replace any secret segment: during a rotation, TaskRouter may still use the URL with the
    # previous secret or without a secret.
    match = re.match(rf"{re.escape(base_url)}(/[^/?#]+)?(?=(?:{ROUTES})(?:[?#]|$))", url)
    if base_url and match:
        return API + url[match.end() :]
    return API + url[len(api_url) :] if api_url and url.startswith(f"{api_url}/") else url


def _yaml(value: Mapping[str, Any], notes: list[str]) -> str:
    comment = _HEADER
    if notes:
        comment += (
            "\n\nNot managed, because a definition cannot or should not contain these values:\n"
        )
        comment += "\n".join(f"- {note}" for note in notes)
    return to_yaml(value, comment)
