"""Finds mistakes in a definition."""

from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from typing import Any, TypeVar

from taskrouter_simulator import seed
from taskrouter_simulator.checks import workers
from taskrouter_simulator.checks.reachability import check_routing
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.definition.configuration import PREFIXES, find_names
from taskrouter_simulator.definition.document import (
    Document,
    Finding,
    Findings,
    Path,
    Severity,
    path_text,
)
from taskrouter_simulator.definition.fields import EVENTS
from taskrouter_simulator.definition.model import (
    ROUTING,
    ActivityDefinition,
    Managed,
    TaskChannelDefinition,
    TaskQueueDefinition,
    Unmanaged,
    WorkerDefinition,
    WorkspaceDefinition,
    managed,
    walk_targets,
)
from taskrouter_simulator.definition.reader import read_document
from taskrouter_simulator.engine import start
from taskrouter_simulator.engine.expressions import ExpressionError, references
from taskrouter_simulator.settings import Settings

CALLBACKS = "https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks"
RESOURCES = "https://www.twilio.com/docs/taskrouter/taskrouter-resource-limits"
_MAX_RESOURCES = {
    "activities": 100,
    "task_channels": 15,
    "task_queues": 5_000,
    "workflows": 1_000,
    "workers": 15_000,
}
"""Default maximum number of resources in a Workspace, by kind. Twilio may increase the limit."""
_MAX_CAPACITY = 50
"""Default maximum capacity of a Worker on a TaskChannel. Twilio may increase the limit."""


T = TypeVar("T")


def check_document(document: Document) -> Findings:
    """Return the mistakes in a document, in document order.

    If parts of the document cannot be read, the other parts are still checked.
    """
    findings: Findings = []
    definition = read_document(document, findings)
    findings += check(definition) if definition else []
    return sorted(
        findings, key=lambda item: (document.position(item.path) or (), path_text(item.path))
    )


def check(definition: WorkspaceDefinition) -> Findings:
    """Return the mistakes in a definition.

    A reference to an unknown resource is a mistake only if the definition lists resources of that
    kind. Otherwise, the resource may exist in TaskRouter.
    """
    findings: Findings = []
    # With a fixed seed and a stopped clock, the result depends only on the definition.
    engine = start(Settings(seed="check"), Clock(lambda: 0.0), lambda _effect: None)
    workspace = seed.build(engine, _add_referenced(definition), findings)
    findings += _check_callbacks(definition)
    findings += _check_limits(definition)
    findings += workers.check_workers(engine, workspace, definition)
    for index, workflow in enumerate(managed(definition.workflows, ())):
        if not isinstance(workflow.configuration, Unmanaged):
            path: Path = ("workflows", index, *ROUTING)
            findings += check_routing(workflow.configuration, path)
    return findings


def _check_callbacks(definition: WorkspaceDefinition) -> Iterator[Finding]:
    if definition.event_callback_url is None and managed(definition.events_filter, None):
        message = "events_filter has no effect, because event_callback_url is null"
        yield Finding(("events_filter",), message, EVENTS, Severity.WARNING)
    for index, workflow in enumerate(managed(definition.workflows, ())):
        fallback = managed(workflow.fallback_assignment_callback_url, None)
        if fallback and not managed(workflow.assignment_callback_url, None):
            key = "fallback_assignment_callback_url"
            is_null = workflow.assignment_callback_url is None
            effect, state = ("has", "null") if is_null else ("may have", "absent")
            message = f"{key} {effect} no effect, because assignment_callback_url is {state}"
            yield Finding(("workflows", index, key), message, CALLBACKS, Severity.WARNING)


def _check_limits(definition: WorkspaceDefinition) -> Iterator[Finding]:
    hint = "by default; Twilio may increase the limit"
    for key, maximum in _MAX_RESOURCES.items():
        count = len(managed(getattr(definition, key), ()))
        if count > maximum:
            message = f"{key} has {count:,} items, but TaskRouter allows {maximum:,} {hint}"
            yield Finding((key,), message, RESOURCES, Severity.WARNING)
    for index, worker in enumerate(managed(definition.workers, ())):
        for name, capacity in managed(worker.capacity, {}).items():
            if capacity > _MAX_CAPACITY:
                path = ("workers", index, "capacity", name)
                message = f"{name} is {capacity:,}, but TaskRouter allows {_MAX_CAPACITY} {hint}"
                yield Finding(path, message, RESOURCES, Severity.WARNING)


def _add_referenced(definition: WorkspaceDefinition) -> WorkspaceDefinition:
    """Return a definition whose unmanaged lists contain the resources that are referenced."""
    names: dict[str, list[str]] = {kind: [] for kind in PREFIXES}
    for kind, name in sorted(set(_find_references(definition))):
        names.setdefault(kind, []).append(name)
    activities = [ActivityDefinition(friendly_name=name) for name in names["activity"]]
    channels = [TaskChannelDefinition(unique_name=name) for name in names["task_channel"]]
    queues = [TaskQueueDefinition(friendly_name=name) for name in names["task_queue"]]
    workers = [WorkerDefinition(friendly_name=name) for name in names["worker"]]
    return replace(
        definition,
        activities=_complete(definition.activities, activities),
        task_channels=_complete(definition.task_channels, channels),
        task_queues=_complete(definition.task_queues, queues),
        workers=_complete(definition.workers, workers),
    )


def _complete(items: Managed[tuple[T, ...]], referenced: list[T]) -> Managed[tuple[T, ...]]:
    return tuple(referenced) if isinstance(items, Unmanaged) and referenced else items


def _find_references(definition: WorkspaceDefinition) -> Iterator[tuple[str, str]]:
    """Yield the kinds and names of the resources to which a definition refers."""
    queues, workers = managed(definition.task_queues, ()), managed(definition.workers, ())
    activities = [
        definition.default_activity,
        definition.timeout_activity,
        *(queue.reservation_activity for queue in queues),
        *(queue.assignment_activity for queue in queues),
        *(worker.activity for worker in workers),
    ]
    yield from (("activity", name) for name in activities if isinstance(name, str))
    for worker in workers:
        yield from (("task_channel", name) for name in managed(worker.capacity, {}))
    for workflow in managed(definition.workflows, ()):
        if not isinstance(workflow.configuration, Unmanaged):
            targets = [target for _, target in walk_targets(workflow.configuration)]
            yield from (("task_queue", target.queue) for target in targets if target.queue)
    for text in _find_texts((queues, definition.workflows)):
        yield from find_names(text)
        yield from _find_channels(text)


def _find_texts(value: Any) -> Iterator[str]:
    """Yield all strings in a value, whether or not they are expressions."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _find_texts(item)
    elif is_dataclass(value):
        yield from _find_texts(tuple(vars(value).values()))


def _find_channels(text: str) -> Iterator[tuple[str, str]]:
    try:
        for keys in references(text):
            match keys:
                case ("worker", "channel", str(name), *_):
                    yield "task_channel", name
    except ExpressionError:
        return
