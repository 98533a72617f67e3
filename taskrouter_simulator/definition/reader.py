"""Reads the definition of a Workspace from YAML or JSON, and defines the keys of the format."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from taskrouter_simulator.definition.document import (
    DefinitionError,
    Document,
    Findings,
    parse,
    read_bytes,
)
from taskrouter_simulator.definition.fields import (
    Attributes,
    Choice,
    EventTypes,
    Expression,
    Field,
    Flag,
    Integer,
    ListOf,
    MappingOf,
    Name,
    Nullable,
    Object,
    Schema,
    Url,
)
from taskrouter_simulator.definition.model import (
    UNMANAGED,
    ActivityDefinition,
    Filter,
    Routing,
    Target,
    TaskChannelDefinition,
    TaskQueueDefinition,
    WorkerDefinition,
    WorkflowDefinition,
    WorkspaceDefinition,
)

QUICKSTART = Path(__file__).with_name("quickstart.yaml")
SCHEMA = Path(__file__).with_name("schema.json")
_SCHEMA_KEY = "$schema"
MAX_INTEGER = 2**31 - 1
MAX_RESERVATION_TIMEOUT = 86_400
MAX_CAPACITY = 100_000
_SHORT_NAME = Name(64)
_NAME = Name()
_WAS = Field(
    _SHORT_NAME, "Previous name of the resource. Set this key when you rename the resource."
)
_ORDER = Choice(("FIFO", "LIFO"))

_TARGET = Object(
    "a target",
    Target,
    {
        "queue": Field(
            Nullable(_NAME),
            "Name of the TaskQueue; by default, the TaskQueue of the preceding target.",
        ),
        "expression": Field(
            Nullable(Expression()),
            "Expression that selects Workers, such as task.region == worker.region.",
        ),
        "priority": Field(
            Nullable(Integer(0, MAX_INTEGER)), "New priority of the Task; by default, unchanged."
        ),
        "timeout": Field(
            Nullable(Integer(1, MAX_INTEGER)),
            "Seconds until the Task moves to the next target; by default, no limit.",
        ),
        "skip_if": Field(
            Nullable(Expression()),
            "Condition, such as workers.available == 0, under which a Task skips the target if no"
            " Worker is free.",
        ),
        "order_by": Field(Nullable(Expression()), "Order of Workers, such as worker.level DESC."),
        "known_worker_sid": Field(
            Nullable(Expression()), "Task attribute with a Worker's SID, such as task.agent_sid."
        ),
        "known_worker_friendly_name": Field(
            Nullable(Expression()), "Task attribute with a Worker's name, such as task.agent."
        ),
    },
    needs_all=True,
)
_FILTER = Object(
    "a filter",
    Filter,
    {
        "filter_friendly_name": Field(Nullable(_NAME), "Display name of the filter."),
        "expression": Field(
            Nullable(Expression()),
            "Expression that selects Tasks, such as language == 'es'; by default, all Tasks match.",
        ),
        "targets": Field(ListOf(_TARGET), "The targets in order.", required=True),
    },
    needs_all=True,
)


def _routing(**values: Any) -> Routing:
    return Routing(**values, omits_default_filter="default_filter" not in values)


CONFIGURATION = Object(
    "a configuration",
    lambda task_routing: task_routing,
    {
        "task_routing": Field(
            Object(
                "task_routing",
                _routing,
                {
                    "filters": Field(
                        ListOf(_FILTER),
                        "The filters in order. A Task starts with the first filter that matches.",
                    ),
                    "default_filter": Field(
                        Nullable(_TARGET),
                        "Target for Tasks that match no filter; null if you want no such target.",
                    ),
                },
                needs_all=True,
            ),
            "The routing rules, with names of TaskQueues instead of SIDs.",
            required=True,
        )
    },
)
"""The format of a Workflow's configuration."""
_ACTIVITY = Object(
    "an Activity",
    ActivityDefinition,
    {
        "friendly_name": Field(_SHORT_NAME, "Name of the Activity.", required=True),
        "was": _WAS,
        "available": Field(Flag(), "Whether Workers in this Activity can be offered Tasks."),
    },
)
_TASK_CHANNEL = Object(
    "a TaskChannel",
    TaskChannelDefinition,
    {
        "unique_name": Field(_NAME, "Identifier, such as voice; it cannot change.", required=True),
        "friendly_name": Field(_SHORT_NAME, "Display name of the TaskChannel."),
        "channel_optimized_routing": Field(
            Flag(), "Whether to prefer the Worker who has been idle longest on this channel."
        ),
    },
)
_TASK_QUEUE = Object(
    "a TaskQueue",
    TaskQueueDefinition,
    {
        "friendly_name": Field(_NAME, "Name of the TaskQueue.", required=True),
        "was": _WAS,
        "target_workers": Field(
            Expression(may_be_empty=True),
            "Expression that selects Workers, such as languages HAS 'es'.",
        ),
        "max_reserved_workers": Field(
            Integer(1, 50), "Maximum number of Workers to reserve for a Task at a time."
        ),
        "task_order": Field(_ORDER, "Whether the oldest or the newest Task comes first."),
        "reservation_activity": Field(
            Nullable(_SHORT_NAME), "Activity of a Worker with a Reservation (single-tasking)."
        ),
        "assignment_activity": Field(
            Nullable(_SHORT_NAME), "Activity of a Worker with an accepted Task (single-tasking)."
        ),
    },
)
_URL = Nullable(Url())
_WORKFLOW = Object(
    "a Workflow",
    WorkflowDefinition,
    {
        "friendly_name": Field(_NAME, "Name of the Workflow.", required=True),
        "was": _WAS,
        "assignment_callback_url": Field(_URL, "URL that returns an assignment instruction."),
        "fallback_assignment_callback_url": Field(
            _URL, "URL to use if assignment_callback_url fails."
        ),
        "task_reservation_timeout": Field(
            Integer(1, MAX_RESERVATION_TIMEOUT), "Seconds until a Reservation times out."
        ),
        "configuration": Field(CONFIGURATION, "The routing rules."),
    },
)
_WORKER = Object(
    "a Worker",
    WorkerDefinition,
    {
        "friendly_name": Field(_SHORT_NAME, "Name of the Worker.", required=True),
        "was": _WAS,
        "attributes": Field(Attributes(), "Attributes that expressions can use."),
        "activity": Field(
            _SHORT_NAME,
            "Activity of a new Worker; the Activity of an existing Worker is never changed.",
        ),
        "capacity": Field(
            MappingOf(Integer(0, MAX_CAPACITY)),
            "Maximum number of Tasks at a time, by TaskChannel.",
        ),
    },
    needs_all=True,
)
WORKSPACE = Object(
    "the Workspace",
    WorkspaceDefinition,
    {
        "friendly_name": Field(_SHORT_NAME, "Name of the Workspace.", required=True),
        "multi_task_enabled": Field(Flag(), "Whether a Worker can have several Tasks at a time."),
        "prioritize_queue_order": Field(_ORDER, "TaskQueues with this task_order come first."),
        "default_activity": Field(_SHORT_NAME, "Activity of new Workers."),
        "timeout_activity": Field(_SHORT_NAME, "Activity of a Worker after a timeout."),
        "event_callback_url": Field(_URL, "URL to which events are posted."),
        "events_filter": Field(Nullable(EventTypes()), "Event types to post; null for all."),
        "activities": Field(ListOf(_ACTIVITY, "friendly_name"), "The Activities."),
        "task_channels": Field(ListOf(_TASK_CHANNEL, "unique_name"), "The TaskChannels."),
        "task_queues": Field(ListOf(_TASK_QUEUE, "friendly_name"), "The TaskQueues."),
        "workflows": Field(ListOf(_WORKFLOW, "friendly_name"), "The Workflows."),
        "workers": Field(
            ListOf(_WORKER, "friendly_name", ignores_case=True),
            "The Workers. Without this key, no Workers are changed.",
        ),
    },
)
"""The format of a definition."""


def read(file: Path) -> WorkspaceDefinition:
    """Read a definition from a file.

    Args:
        file: YAML or JSON, encoded as UTF-8.

    Raises:
        DefinitionError: The file cannot be read, or contains no valid definition.
    """
    return from_document(parse(read_bytes(file), str(file)))


def from_value(value: Mapping[str, Any]) -> WorkspaceDefinition:
    """Read a definition from a value, such as the parsed content of a file.

    Raises:
        DefinitionError: The value is not a valid definition.
    """
    return from_document(Document("the workspace cannot be loaded", value))


def from_document(document: Document) -> WorkspaceDefinition:
    """Read a definition from a document.

    Raises:
        DefinitionError: The document is not a valid definition.
    """
    findings: Findings = []
    definition = read_document(document, findings)
    if findings or definition is None:
        raise DefinitionError(document, findings)
    return definition


def read_document(document: Document, findings: Findings) -> WorkspaceDefinition | None:
    """Read the usable values of a document.

    Args:
        document: The document.
        findings: Receives the mistakes. Values that cannot be used are treated as unmanaged.

    Returns:
        The definition; None if the document is not a mapping.
    """
    value = document.value
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key != _SCHEMA_KEY}
    definition = WORKSPACE.read(value, (), findings)
    return None if definition is UNMANAGED else replace(definition, document=document)


@cache
def quickstart() -> WorkspaceDefinition:
    """Return the definition of the Workspace in Twilio's quickstart."""
    return read(QUICKSTART)


def schema() -> Schema:
    """Return the JSON Schema of definitions."""
    workspace = WORKSPACE.schema()
    own_key = {"description": "URL or path of this schema, for editors. Otherwise ignored."}
    return {
        _SCHEMA_KEY: "https://json-schema.org/draft/2020-12/schema",
        "title": "Definition of a TaskRouter Workspace",
        "description": "See docs/workspace.md.",
        **workspace,
        "properties": {_SCHEMA_KEY: own_key, **workspace["properties"]},
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))  # noqa: T201 - program output
