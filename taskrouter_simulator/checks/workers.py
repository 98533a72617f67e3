"""Compares the expressions of a definition with the attributes of the declared Workers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from taskrouter_simulator.definition.configuration import derived_sid, replace_names
from taskrouter_simulator.definition.document import Finding, Path, Severity, path_text
from taskrouter_simulator.definition.expressions import find_comparisons
from taskrouter_simulator.definition.fields import EXPRESSIONS
from taskrouter_simulator.definition.model import (
    ROUTING,
    Unmanaged,
    WorkspaceDefinition,
    managed,
    walk_targets,
)
from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.expressions import ExpressionError, Keys, reference, references
from taskrouter_simulator.engine.model import Worker, Workspace, parse_attributes

QUEUES = "https://www.twilio.com/docs/taskrouter/api/task-queue"
_ACTIVITY_NAMES = {"activity_sid", "activity_name"}


def check_workers(
    engine: Engine, workspace: Workspace, definition: WorkspaceDefinition
) -> Iterator[Finding]:
    """Yield the mistakes in Workers' attributes, and expressions that match no declared Worker.

    Args:
        engine: The engine that contains the Workspace.
        workspace: The Workspace that was built from the definition.
        definition: The definition.
    """
    for number, item in enumerate(managed(definition.workers, ())):
        yield from _check_names(managed(item.attributes, {}), ("workers", number, "attributes"))
    is_declared = not isinstance(definition.workers, Unmanaged)
    declared = list(workspace.workers.values()) if is_declared else []
    for number, queue in enumerate(managed(definition.task_queues, ())):
        path: Path = ("task_queues", number, "target_workers")
        text = _with_sids(managed(queue.target_workers, ""))
        if queue.target_workers == "":
            message = "an empty expression matches no Worker, so Tasks wait in this TaskQueue"
            yield Finding(path, message, QUEUES, Severity.WARNING)
        yield from _check_expression(engine, workspace, declared, text, path)
    yield from _check_targets(engine, workspace, definition, declared)


def _check_targets(
    engine: Engine, workspace: Workspace, definition: WorkspaceDefinition, declared: list[Worker]
) -> Iterator[Finding]:
    """Yield the mistakes in the expressions of targets."""
    for number, workflow in enumerate(managed(definition.workflows, ())):
        if isinstance(workflow.configuration, Unmanaged):
            continue
        queue_name = None
        for steps, target in walk_targets(workflow.configuration):
            queue_name = target.queue or queue_name
            queues = (
                item for item in workspace.queues.values() if item.friendly_name == queue_name
            )
            members = [
                worker
                for queue in queues
                for worker in declared
                if _may_match(engine, workspace, queue.target_workers, worker)
            ]
            text = _with_sids(target.expression or "")
            path = ("workflows", number, *ROUTING, *steps, "expression")
            yield from _check_expression(engine, workspace, members, text, path)


def _with_sids(text: str) -> str:
    return replace_names(text, derived_sid)


def _check_expression(
    engine: Engine, workspace: Workspace, candidates: list[Worker], text: str, path: Path
) -> Iterator[Finding]:
    """Yield the mistakes in an expression that selects Workers.

    Args:
        engine: The engine.
        workspace: The Workspace.
        candidates: The Workers from which the expression selects.
        text: The expression; an expression that is empty or invalid has other findings.
        path: Path of the expression.
    """
    try:
        comparisons = list(find_comparisons(text)) if text.strip() else []
    except ExpressionError:
        return
    problems = [
        problem
        for comparison in comparisons
        for keys, needs_list in comparison.references()
        if (
            problem := _find_wrong_type(
                candidates, keys, comparison.operator, needs_list=needs_list
            )
        )
    ]
    for problem in dict.fromkeys(problems):
        yield Finding(path, f"{path[-1]}: {problem}", EXPRESSIONS)
    is_possible = any(_may_match(engine, workspace, text, worker) for worker in candidates)
    if comparisons and candidates and not (problems or is_possible):
        message = f"{path[-1]}: no declared Worker can match the expression"
        yield Finding(path, message, QUEUES, Severity.WARNING)


def _find_wrong_type(
    candidates: Sequence[Worker], keys: Keys, operator: str, *, needs_list: bool
) -> str | None:
    """Describe an attribute whose type makes a comparison false; None if there is none."""
    if len(keys) > 1 and keys[0] in {"task", "taskrouter", "workers"}:
        return None
    names = keys[1:] if keys[0] == "worker" else keys
    for worker in candidates:
        value = reference(names)(parse_attributes(worker.attributes))
        if value is None or isinstance(value, list) == needs_list:
            continue
        attribute = path_text(names)
        if needs_list:
            kind = "is not a list, so the comparison is false"
        else:
            kind = "is a list, so the comparison is false; use HAS"
        return f"{operator}: the attribute {attribute} of Worker {worker.friendly_name} {kind}"
    return None


def _may_match(engine: Engine, workspace: Workspace, text: str, worker: Worker) -> bool:
    """Return whether a Worker matches an expression in any state and for any Task."""
    if not text.strip():
        return False
    found = list(references(text))
    if any(
        keys[0] in {"task", "taskrouter"} or keys[:2] == ("worker", "channel") for keys in found
    ):
        return True
    predicate = engine.compile(text)
    depends_on_activity = any(_ACTIVITY_NAMES.intersection(map(str, keys)) for keys in found)
    activities = workspace.activities if depends_on_activity else [worker.activity_sid]
    return any(
        predicate(workers.expression_context(workspace, replace(worker, activity_sid=sid)))
        for sid in activities
    )


def _check_names(value: Any, path: Path) -> Iterator[Finding]:
    """Yield the names of attributes that expressions cannot contain."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if "-" in name:
                message = f"expressions cannot contain {name[:100]}, because of the hyphen"
                yield Finding((*path, name), message, EXPRESSIONS, Severity.WARNING)
            yield from _check_names(item, (*path, name))
