"""Adds and deletes Workflows, and parses their filters and targets.

Unknown keys in a configuration are ignored, because Twilio's tutorial contains such keys. A filter
may specify its `queue` directly instead of in `targets`, as in one of Twilio's older samples.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from taskrouter_simulator.engine import events, names
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.expressions import (
    ExpressionError,
    Keys,
    check,
    reference_keys,
    references,
)
from taskrouter_simulator.engine.model import (
    CLOSED,
    Configuration,
    Filter,
    Target,
    Workflow,
    Workspace,
)

MAX_CONFIGURATION = 1_038_576
"""Maximum size of a configuration, in bytes: https://www.twilio.com/docs/taskrouter/limits."""
_MAX_INTEGER = 2**31 - 1


class ConfigurationError(ValueError):
    """The Workflow configuration is invalid."""


def add(
    engine: Engine,
    workspace: Workspace,
    *,
    friendly_name: str,
    configuration: str,
    assignment_callback_url: str = "",
    fallback_assignment_callback_url: str = "",
    task_reservation_timeout: int = 120,
    sid: str | None = None,
) -> Workflow:
    """Add a Workflow.

    Args:
        engine: The engine.
        workspace: The Workspace.
        friendly_name: A name that is unique in the Workspace.
        configuration: The configuration as JSON text.
        assignment_callback_url: Absolute URL; "" for none.
        fallback_assignment_callback_url: Absolute URL; "" for none.
        task_reservation_timeout: Seconds until a Reservation times out.
        sid: A fixed WW… SID; None for a random one.

    Raises:
        BadRequest: The name is in use or the configuration is invalid.
    """
    if any(item.friendly_name == friendly_name for item in workspace.workflows.values()):
        raise BadRequest(f"Workflow {friendly_name} already exists in this workspace")
    workflow = Workflow(
        **vars(engine.new_resource("WW", sid)),
        friendly_name=friendly_name,
        text=configuration,
        configuration=require_configuration(engine, workspace, configuration),
        assignment_callback_url=assignment_callback_url,
        fallback_assignment_callback_url=fallback_assignment_callback_url,
        task_reservation_timeout=task_reservation_timeout,
    )
    workspace.workflows[workflow.sid] = workflow
    publish(engine, workspace, workflow, "created")
    return workflow


def delete(engine: Engine, workspace: Workspace, workflow: Workflow) -> None:
    """Delete a Workflow.

    Raises:
        BadRequest: The Workflow has a Task that is not closed.
    """
    open_tasks = (task for task in workspace.tasks.values() if task.status not in CLOSED)
    if any(task.workflow_sid == workflow.sid for task in open_tasks):
        raise BadRequest(f"Workflow {workflow.sid} has tasks and cannot be deleted")
    del workspace.workflows[workflow.sid]
    publish(engine, workspace, workflow, "deleted")


def publish(engine: Engine, workspace: Workspace, workflow: Workflow, change: str) -> None:
    """Publish `workflow.created`, `workflow.updated` or `workflow.deleted`."""
    events.publish(
        engine, workspace, f"workflow.{change}", f"Workflow {workflow.friendly_name} {change}",
        sid=workflow.sid, WorkflowSid=workflow.sid, WorkflowName=workflow.friendly_name,
    )  # fmt: skip


def require_configuration(engine: Engine, workspace: Workspace, text: str) -> Configuration:
    """Parse a configuration, and check that it can route Tasks and uses only known names.

    Raises:
        BadRequest: The configuration is invalid, has neither a filter nor a default filter, or
            refers to a TaskQueue or a name that does not exist.
    """
    try:
        configuration = parse_configuration(text)
        _require_names(engine, workspace, configuration)
    except ConfigurationError as error:
        raise BadRequest(f"Workflow configuration is invalid: {error}") from error
    return configuration


def _require_names(engine: Engine, workspace: Workspace, configuration: Configuration) -> None:
    if not configuration.targets():
        raise ConfigurationError("task_routing must have filters or a default_filter")
    for sid in configuration.queue_sids() - set(workspace.queues):
        raise ConfigurationError(f"TaskQueue {sid} does not exist")
    allow_digit = engine.settings.names_may_begin_with_digit
    fields: list[tuple[Filter | Target, str, names.Scope, _FindReferences]]
    fields = [(item, "expression", names.FILTER, references) for item in configuration.filters]
    fields += [(target, *field) for target in configuration.targets() for field in TARGET_FIELDS]
    for item, key, scope, find_references in fields:
        text = getattr(item, key)
        try:
            if text:
                found = find_references(text)
                names.require_names(found, scope, workspace, names_may_begin_with_digit=allow_digit)
        except ExpressionError as error:
            raise ConfigurationError(f"{key}: {error}") from error


def _order_by_references(text: str) -> list[Keys]:
    return [clause.keys for clause in names.parse_order_by(text)]


def _known_worker_references(text: str) -> list[Keys]:
    return [reference_keys(text)]


_FindReferences = Callable[[str], Iterable[Keys]]
TARGET_FIELDS: tuple[tuple[str, names.Scope, _FindReferences], ...] = (
    ("expression", names.TARGET, references),
    ("skip_if", names.SKIP_IF, references),
    ("order_by", names.ORDER_BY, _order_by_references),
    ("known_worker_sid", names.KNOWN_WORKER, _known_worker_references),
    ("known_worker_friendly_name", names.KNOWN_WORKER, _known_worker_references),
)
"""A target's fields that contain names, each with its scope and a function that finds the names."""


def parse_configuration(text: str) -> Configuration:
    """Parse a configuration.

    Args:
        text: The configuration as JSON text.

    Raises:
        ConfigurationError: The text is not JSON, is nested too deeply, does not have the
            documented shape, or contains an invalid expression, reference or `order_by`.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("the configuration is not JSON or is nested too deeply") from error
    routing = _object(_object(document, "the configuration").get("task_routing"), "task_routing")
    filters = routing.get("filters")
    default = routing.get("default_filter")
    return Configuration(
        filters=tuple(_filter(_object(item, "a filter")) for item in _array(filters, "filters")),
        default=None if default is None else _default(_object(default, "default_filter")),
    )


def _default(item: dict[str, Any]) -> Target:
    target = _target(item)
    if not target.queue_sid:
        raise ConfigurationError("default_filter must have a queue")
    return target


def _filter(item: dict[str, Any]) -> Filter:
    expression = item.get("expression", item.get("Expression", "1==1"))
    targets = _array(item.get("targets"), "targets") or [item]
    parsed_targets = tuple(_target(_object(target, "a target")) for target in targets)
    if not parsed_targets[0].queue_sid:
        raise ConfigurationError("the first target of a filter must have a queue")
    if not item.get("targets"):
        # The filter itself is the target. Its expression is not evaluated a second time.
        parsed_targets = (_target({**item, "expression": None}),)
    name = item.get("filter_friendly_name", item.get("friendly_name"))
    return Filter(
        name=name if isinstance(name, str) else None,
        expression=_checked(expression, "expression", check) or "1==1",
        targets=parsed_targets,
    )


def _target(item: dict[str, Any]) -> Target:
    return Target(
        queue_sid=_checked(item.get("queue"), "queue", str),
        expression=_checked(item.get("expression"), "expression", check),
        priority=_integer(item, "priority", 0),
        timeout=_integer(item, "timeout", 1),
        skip_if=_checked(item.get("skip_if"), "skip_if", check),
        order_by=_checked(item.get("order_by"), "order_by", names.parse_order_by),
        known_worker_sid=_checked(item.get("known_worker_sid"), "known_worker_sid", reference_keys),
        known_worker_friendly_name=_checked(
            item.get("known_worker_friendly_name"), "known_worker_friendly_name", reference_keys
        ),
    )


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{name} must be an object")
    return value


def _array(value: Any, name: str) -> list[Any]:
    value = [] if value is None else value
    if not isinstance(value, list):
        raise ConfigurationError(f"{name} must be an array")
    return value


def _integer(item: dict[str, Any], key: str, minimum: int) -> int | None:
    value = item.get(key)
    if value is None or value == "":
        return None
    is_integer = re.fullmatch(r"-?[0-9]{1,12}", str(value))  # unlike int(), rejects True and 1.0
    if not (is_integer and minimum <= int(value) <= _MAX_INTEGER):
        raise ConfigurationError(f"{key} must be an integer from {minimum} to {_MAX_INTEGER}")
    return int(value)


def _checked(value: Any, key: str, check_text: Callable[[str], object]) -> str | None:
    """Return a string that `check_text` accepts, or None if it is absent or empty."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f"{key} must be a string")
    try:
        check_text(value)
    except ExpressionError as error:
        raise ConfigurationError(f"{key}: {error}") from error
    return value
