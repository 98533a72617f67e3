"""Shows a plan as text, JSON or Markdown.

Callback URLs may contain secrets, and attributes of Workers may contain personal data. Plans are
pasted into pull requests, so a plan shows `***` and the names of attributes instead.
"""

import difflib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from infra.workspace.kinds import URLS
from infra.workspace.plan import Action, Change, Plan
from infra.workspace.values import canonical_text
from taskrouter_simulator.definition.document import plain_value

_WIDTH = 100_000
"""Maximum width of a line of YAML, large enough to keep almost all expressions on one line."""

Mask = Callable[[str], str]
"""Returns a URL with `***` instead of parts that may be secret."""

_STYLES = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.RENAME: ("~", "yellow"),
    Action.REPLACE: ("!", "red"),
    Action.DELETE: ("-", "red"),
}
_Field = tuple[str, Any, Any]
"""The name of a field, and its old and new values in the form that a plan shows."""


def printable(line: str) -> str:
    """Return a line, escaped if it contains characters that may control a terminal."""
    return line if line.isprintable() else ascii(line)[1:-1]


def summary(plan: Plan) -> str:
    """Return one sentence about the number of changes."""
    if not plan.changes:
        return "Nothing to do."
    counts = (
        (len(plan.of(Action.CREATE)), "create"),
        (len(plan.of(Action.UPDATE, Action.RENAME)), "change"),
        (len(plan.of(Action.REPLACE)), "replace"),
        (len(plan.of(Action.DELETE)), "delete"),
    )
    return f"Plan: {', '.join(f'{number} to {verb}' for number, verb in counts if number)}."


def lines(plan: Plan, mask: Mask) -> Iterator[str]:
    """Yield the lines of a plan, with colors."""
    found = ", found by its name" if plan.is_found_by_name else ""
    yield printable(f"Workspace {plan.workspace!r} ({plan.workspace_sid or 'new'}{found})")
    for change in plan.changes:
        symbol, color = _STYLES[change.action]
        yield click.style(printable(f"{symbol} {change.action} {change.title}"), fg=color)
        for field in _shown_fields(change, mask):
            for line in _field_lines(change, field):
                yield click.style(printable(f"{symbol}     {line}"), fg=color)
        if change.note:
            yield f"      {change.note}."
    if plan.unmanaged:
        yield "These resources are not in the file and are left unchanged:"
    for item in plan.unmanaged:
        note = f" ({item.note})" if item.note else ""
        yield printable(f"      {item.resource.kind.title} {item.resource.name!r}{note}")
    if plan.omitted:
        yield (
            "These callback URLs are left out until the stage is deployed, because ${api} has no "
            "value yet:"
        )
    for text in plan.omitted:
        yield printable(f"      {text}")
    yield summary(plan)


def markdown(plan: Plan, mask: Mask) -> str:
    """Return a plan as Markdown, for a comment on a pull request."""
    text = "\n".join(click.unstyle(line) for line in lines(plan, mask))
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 3)
    return f"{fence}diff\n{text}\n{fence}"


def as_json(plan: Plan, mask: Mask) -> dict[str, Any]:
    """Return a plan as JSON, from which `apply --plan` reads the checksum and `prune`.

    Resources of a Workspace that does not exist yet have no SIDs.
    """
    exists = bool(plan.workspace_sid)
    return {
        "workspace": plan.workspace,
        "workspace_sid": plan.workspace_sid,
        "found_by_name": plan.is_found_by_name,
        "prune": plan.prune,
        "checksum": plan.checksum,
        "changes": [
            {
                "action": change.action,
                "kind": change.kind.key,
                "name": change.name,
                "sid": change.sid if exists else "",
                "fields": [
                    {
                        "field": name,
                        "before": before,
                        "after": after,
                        "hidden": _is_hidden(before, after),
                    }
                    for name, before, after in _shown_fields(change, mask)
                ],
                "note": change.note,
            }
            for change in plan.changes
        ],
        "unmanaged": [
            {
                "kind": item.resource.kind.key,
                "name": item.resource.name,
                "sid": item.resource.sid if exists else "",
                "note": item.note,
            }
            for item in plan.unmanaged
        ],
        "omitted": [*plan.omitted],
    }


def _shown_fields(change: Change, mask: Mask) -> Iterator[_Field]:
    for name, after in change.after.items():
        before = change.before.get(name)
        if change.action is Action.CREATE and after == change.name:
            continue  # the line above shows the name
        if name in URLS:
            yield name, before and mask(before), after and mask(after)
        elif name == "attributes":
            yield name, None, _differing_names(before or {}, after)
        else:
            yield name, before, after


def _is_hidden(before: Any, after: Any) -> bool:
    """Return whether two different values look the same because the difference is masked."""
    return before is not None and before == after


def _differing_names(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [
        name
        for name in sorted(before.keys() | after.keys())
        if (name in before) != (name in after)
        or canonical_text(before.get(name)) != canonical_text(after.get(name))
    ]


def _field_lines(change: Change, field: _Field) -> Iterator[str]:
    name, before, after = field
    if name == "attributes":
        yield f"attributes: {', '.join(after) or 'none'} (values are not shown)"
    elif name == "configuration":
        yield "configuration:"
        yield from (f"  {line}" for line in _configuration_lines(before, after))
    elif change.action is Action.CREATE:
        yield f"{name}: {_text(after)}"
    else:
        note = " (a hidden part differs)" if _is_hidden(before, after) else ""
        yield f"{name}: {_text(before)} -> {_text(after)}{note}"


def _configuration_lines(before: Any, after: Any) -> Iterator[str]:
    """Yield the lines of a configuration that differ, with two lines of context."""
    old, new = ([] if value is None else to_yaml(value).splitlines() for value in (before, after))
    for line in difflib.unified_diff(old, new, lineterm="", n=2):
        if not line.startswith(("---", "+++", "@@")):
            yield line if old else line[1:]


def to_yaml(value: Any, comment: str = "") -> str:
    """Return a value as YAML that a definition can contain.

    Args:
        value: Plain JSON.
        comment: Text of a comment at the beginning.
    """
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = _quoted(value)
    if comment:
        document.yaml_set_start_comment(comment)
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


class _Representer(RoundTripRepresenter):
    """Writes None as `null`, not as an empty value."""


_Representer.add_representer(
    type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def _quoted(value: Any) -> Any:
    """Return a value whose strings are quoted if they look like values of a different type.

    Strings that contain U+0085 are also quoted, because an unquoted U+0085 is a line break in
    YAML 1.1.
    """
    if isinstance(value, Mapping):
        return CommentedMap((_quoted(key), _quoted(item)) for key, item in value.items())
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    if isinstance(value, str) and ("\x85" in value or _looks_different(value)):
        return DoubleQuotedScalarString(value)
    return value


def _looks_different(text: str) -> bool:
    try:
        return bool(plain_value(text) != text)
    except ValueError:
        return True


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
