"""Builds a Workspace from a description that uses names instead of SIDs.

SIDs are the same in every run. The SIDs of Activities, Workers, TaskQueues and Workflows are
derived from their names. The Workspace and the first Workflow have fixed SIDs.

`quickstart.json` is the default description, and an example for your own descriptions. It describes
the Workspace of Twilio's tutorial, https://www.twilio.com/docs/taskrouter/quickstart. The Workspace
is single-tasking (as the tutorial's Workspace used to be), because Workers never become Busy in a
multitasking Workspace.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskrouter_simulator.engine import events, workers, workflows, workspaces
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import Refusal
from taskrouter_simulator.engine.model import Workspace
from taskrouter_simulator.identifiers import derived_hex, is_url
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.spelling import find_similar

Description = Mapping[str, Any]

_RESOURCE_FIELDS = {
    "activities": {"friendly_name", "available"},
    "workers": {"friendly_name", "attributes", "activity", "capacity"},
    "task_queues": {
        "friendly_name",
        "target_workers",
        "max_reserved_workers",
        "task_order",
        "reservation_activity",
        "assignment_activity",
    },
    "workflows": {
        "friendly_name",
        "configuration",
        "assignment_callback_url",
        "fallback_assignment_callback_url",
        "task_reservation_timeout",
    },
}
"""Allowed fields by type of resource."""
_FIELDS = {
    "friendly_name",
    "multi_task_enabled",
    "default_activity",
    "timeout_activity",
    "events_filter",
    "event_callback_url",
    *_RESOURCE_FIELDS,
}
_TASK_ORDERS = ("FIFO", "LIFO")
_CAPACITIES = range(100_001)
_RESERVED_WORKERS = range(1, 51)


class SeedError(ValueError):
    """The description of a Workspace is invalid; the message states the reason."""


def read(path: Path) -> Description:
    """Read a description from a JSON file.

    Raises:
        SeedError: The file cannot be read, or contains no JSON object.
    """
    try:
        description = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SeedError(f"cannot read a workspace from {path}: {error}") from error
    if not isinstance(description, dict):
        raise SeedError(f"cannot read a workspace from {path}: it is not a JSON object")
    return description


def quickstart() -> Description:
    """Return the description of the quickstart's Workspace."""
    return read(Path(__file__).with_name("quickstart.json"))


def load(engine: Engine, description: Description) -> Workspace:
    """Create a Workspace from a description.

    Args:
        engine: The engine.
        description: Description in the format of `quickstart.json`. Activities and TaskQueues are
            referenced by their friendly names. A Workflow without callback URLs gets the URLs from
            the settings.

    Raises:
        SeedError: The description is incomplete or invalid, or violates TaskRouter's rules.
    """
    try:
        return _load(engine, description)
    except Refusal as refusal:
        raise SeedError(f"the workspace cannot be loaded: {refusal.message}") from refusal
    except KeyError as error:
        raise SeedError(f"the workspace cannot be loaded: {error} is missing") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise SeedError(f"the workspace cannot be loaded: {error}") from error


def _load(engine: Engine, description: Description) -> Workspace:
    workspace = workspaces.create(
        engine,
        friendly_name=_name(description),
        multi_task_enabled=_flag(description, "multi_task_enabled", default=True),
        sid="WS" + derived_hex("workspace"),
    )
    resources = _read_resources(description)
    for item in resources["activities"]:
        workspaces.add_activity(
            engine,
            workspace,
            friendly_name=_name(item),
            available=_flag(item, "available", default=False),
            sid="WA" + derived_hex(f"activity/{_name(item)}"),
        )
    default = _activity_sid(workspace, description.get("default_activity"))
    timeout = _activity_sid(workspace, description.get("timeout_activity"))
    workspace.default_activity_sid = default or workspace.default_activity_sid
    workspace.timeout_activity_sid = timeout or workspace.timeout_activity_sid
    for item in resources["workers"]:
        _add_worker(engine, workspace, item)
    for item in resources["task_queues"]:
        _add_queue(engine, workspace, item)
    for index, item in enumerate(resources["workflows"]):
        _add_workflow(engine, workspace, item, is_first=index == 0)
    settings = engine.settings
    workspace.event_callback_url = _url(settings, description, "event_callback_url", "event_path")
    workspace.events_filter = str(description.get("events_filter", ""))
    events.require_types(workspace.events_filter)
    return workspace


def _read_resources(description: Description) -> dict[str, list[Description]]:
    """Return the resources in a description by type, after checking for unknown fields."""
    _require_known(description, _FIELDS, "the workspace")
    resources = {name: list(description.get(name, [])) for name in _RESOURCE_FIELDS}
    for name, fields in _RESOURCE_FIELDS.items():
        for item in resources[name]:
            _require_known(item, fields, name)
    return resources


def _require_known(item: Description, fields: set[str], where: str) -> None:
    if unknown := sorted(set(item) - fields):
        similar = find_similar(unknown[0], fields)
        raise SeedError(
            f"{where}: unknown field {unknown[0]}; the fields are {', '.join(sorted(fields))}"
            + (f"; did you mean {similar}?" if similar else "")
        )


def _flag(item: Description, name: str, *, default: bool) -> bool:
    value = item.get(name, default)
    if not isinstance(value, bool):
        raise SeedError(f"{name} must be true or false, not {value!r}")
    return value


def _object(item: Description, name: str) -> dict[str, Any]:
    value = item.get(name, {})
    if not isinstance(value, dict):
        raise SeedError(f"{name} must be a JSON object, not {value!r}")
    return value


def _integer(item: Description, name: str, default: int, limits: range) -> int:
    if name not in item:
        return default
    value = item[name]
    if isinstance(value, bool) or not isinstance(value, int) or value not in limits:
        minimum, maximum = limits[0], limits[-1]
        raise SeedError(f"{name} must be a whole number from {minimum} to {maximum}, not {value!r}")
    return value


def _name(item: Description) -> str:
    name = item["friendly_name"]
    if not isinstance(name, str) or not name:
        raise SeedError(f"friendly_name must be a non-empty string, not {name!r}")
    return name


def _activity_sid(workspace: Workspace, name: str | None) -> str | None:
    activity = workspace.activity(name) if name else None
    if name and activity is None:
        raise SeedError(f"there is no Activity {name}")
    return activity.sid if activity else None


def _add_worker(engine: Engine, workspace: Workspace, item: Description) -> None:
    name = _name(item)
    worker = workers.create(
        engine,
        workspace,
        friendly_name=name,
        attributes=json.dumps(_object(item, "attributes")),
        activity_sid=_activity_sid(workspace, item.get("activity")),
        sid="WK" + derived_hex(f"worker/{name}"),
    )
    capacities = _object(item, "capacity")
    for channel_name in capacities:
        channel = workspace.channel(channel_name)
        if channel is None:
            raise SeedError(f"there is no TaskChannel {channel_name}")
        capacity = _integer(capacities, channel_name, 1, _CAPACITIES)
        worker.channels[channel.sid].capacity = capacity


def _add_queue(engine: Engine, workspace: Workspace, item: Description) -> None:
    name, order = _name(item), item.get("task_order", "FIFO")
    if order not in _TASK_ORDERS:
        raise SeedError(f"task_order must be FIFO or LIFO, not {order!r}")
    workspaces.add_queue(
        engine,
        workspace,
        friendly_name=name,
        target_workers=str(item.get("target_workers", "1==1")),
        max_reserved_workers=_integer(item, "max_reserved_workers", 1, _RESERVED_WORKERS),
        task_order=order,
        reservation_activity_sid=_activity_sid(workspace, item.get("reservation_activity")),
        assignment_activity_sid=_activity_sid(workspace, item.get("assignment_activity")),
        sid="WQ" + derived_hex(f"queue/{name}"),
    )


def _add_workflow(
    engine: Engine, workspace: Workspace, item: Description, *, is_first: bool
) -> None:
    name, settings = _name(item), engine.settings
    workflows.add(
        engine,
        workspace,
        friendly_name=name,
        configuration=json.dumps(_with_sids(item["configuration"], workspace)),
        assignment_callback_url=_url(settings, item, "assignment_callback_url", "assignment_path"),
        fallback_assignment_callback_url=_url(
            settings, item, "fallback_assignment_callback_url", "fallback_path"
        ),
        task_reservation_timeout=_integer(
            item,
            "task_reservation_timeout",
            settings.reservation_timeout,
            range(settings.least_reservation_timeout, 86_401),
        ),
        sid="WW" + derived_hex("workflow" if is_first else f"workflow/{name}"),
    )


def _url(settings: Settings, item: Description, name: str, setting: str) -> str:
    """Return the URL in the description or, by default, the URL in the settings.

    A path is appended to the app's base URL.
    """
    url = item.get(name, getattr(settings, setting))
    absolute = settings.url(url) if isinstance(url, str) and url.startswith("/") else url
    if absolute != "" and not (isinstance(absolute, str) and is_url(absolute)):
        raise SeedError(f"{name} must be a URL, a path that begins with /, or empty, not {url!r}")
    return str(absolute)


def _with_sids(value: Any, workspace: Workspace) -> Any:
    """Replace TaskQueue names with SIDs in a Workflow configuration.

    Unknown names remain unchanged.
    """
    if isinstance(value, list):
        return [_with_sids(item, workspace) for item in value]
    if not isinstance(value, dict):
        return value
    sids = {queue.friendly_name: queue.sid for queue in workspace.queues.values()}
    return {
        key: sids.get(item, item)
        if key == "queue" and isinstance(item, str)
        else _with_sids(item, workspace)
        for key, item in value.items()
    }
