"""Compares the expressions of a definition with the attributes of the declared Workers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from taskrouter_simulator.definition.configuration import derived_sid, replace_names
from taskrouter_simulator.definition.document import Finding, Path, Severity, path_text
from taskrouter_simulator.definition.expressions import ALWAYS, Comparison, find_comparisons
from taskrouter_simulator.definition.fields import EXPRESSIONS
from taskrouter_simulator.definition.model import (
    ROUTING,
    Routing,
    Target,
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
_OTHER_NAMESPACES = {"task", "taskrouter", "workers"}
"""Namespaces of values that do not belong to the Worker."""


def check_workers(
    engine: Engine, workspace: Workspace, definition: WorkspaceDefinition
) -> Iterator[Finding]:
    """Yield findings about Workers' attributes, and about the expressions that select Workers.

    Args:
        engine: The engine that contains the Workspace.
        workspace: The Workspace that was built from the definition.
        definition: The definition.
    """
    for index, item in enumerate(managed(definition.workers, ())):
        yield from _check_names(managed(item.attributes, {}), ("workers", index, "attributes"))
    is_declared = not isinstance(definition.workers, Unmanaged)
    declared = list(workspace.workers.values()) if is_declared else []
    checker = _Checker(engine, workspace)
    members: dict[str | None, list[Worker]] = {}
    for index, queue in enumerate(managed(definition.task_queues, ())):
        path: Path = ("task_queues", index, "target_workers")
        text = _with_sids(managed(queue.target_workers, ALWAYS))
        if not text.strip():
            message = "an empty expression matches no Worker, so Tasks wait in this TaskQueue"
            yield Finding(path, message, QUEUES, Severity.WARNING)
        selected = members[queue.friendly_name] = checker.select(declared, text)
        yield from checker.check(declared, text, path, selected)
    for path, target, queue_name in _walk_targets(definition):
        text = _with_sids(target.expression or ALWAYS)
        candidates = members.get(queue_name, declared)
        selected = checker.select(candidates, text)
        yield from checker.check(candidates, text, (*path, "expression"), selected)


def _walk_targets(definition: WorkspaceDefinition) -> Iterator[tuple[Path, Target, str | None]]:
    """Yield the targets of all Workflows, with their paths and the names of their TaskQueues."""
    for index, workflow in enumerate(managed(definition.workflows, ())):
        routing = managed(workflow.configuration, Routing())
        queue_name = None
        for steps, target in walk_targets(routing):
            queue_name = target.queue or queue_name
            yield ("workflows", index, *ROUTING, *steps), target, queue_name


def _with_sids(text: str) -> str:
    return replace_names(text, derived_sid)


class _Checker:
    """Applies expressions to Workers.

    An expression that is empty or invalid selects no Worker and produces no findings.
    """

    def __init__(self, engine: Engine, workspace: Workspace) -> None:
        self._engine = engine
        self._workspace = workspace

    def check(
        self, candidates: list[Worker], text: str, path: Path, selected: list[Worker]
    ) -> Iterator[Finding]:
        """Yield the mistakes in an expression that is applied to the candidates."""
        problems = [
            problem
            for comparison in _comparisons(text)
            for keys, needs_list in comparison.references()
            if (problem := _find_wrong_type(candidates, keys, comparison, needs_list=needs_list))
        ]
        for problem in dict.fromkeys(problems):
            yield Finding(path, f"{path[-1]}: {problem}", EXPRESSIONS)
        if candidates and _comparisons(text) and not problems and not selected:
            message = f"{path[-1]}: no declared Worker can match the expression"
            yield Finding(path, message, QUEUES, Severity.WARNING)

    def select(self, candidates: list[Worker], text: str) -> list[Worker]:
        """Return the Workers that can match an expression in some Activity and for some Task."""
        if not _comparisons(text):
            return []
        found = list(references(text))
        if any(keys[0] in _OTHER_NAMESPACES or keys[:2] == ("worker", "channel") for keys in found):
            return candidates
        predicate = self._engine.compile(text)
        depends_on_activity = any(_ACTIVITY_NAMES.intersection(map(str, keys)) for keys in found)

        def may_match(worker: Worker) -> bool:
            states = [worker]
            if depends_on_activity:
                states = [replace(worker, activity_sid=sid) for sid in self._workspace.activities]
            return any(
                predicate(workers.expression_context(self._workspace, state)) for state in states
            )

        return [worker for worker in candidates if may_match(worker)]


def _comparisons(text: str) -> list[Comparison]:
    try:
        return list(find_comparisons(text)) if text.strip() else []
    except ExpressionError:
        return []


def _find_wrong_type(
    candidates: Sequence[Worker], keys: Keys, comparison: Comparison, *, needs_list: bool
) -> str | None:
    """Describe an attribute whose type makes a comparison false, or return None."""
    if len(keys) > 1 and keys[0] in _OTHER_NAMESPACES:
        return None
    names = keys[1:] if keys[0] == "worker" else keys
    for worker in candidates:
        value = reference(names)(parse_attributes(worker.attributes))
        if value is None or isinstance(value, list) == needs_list:
            continue
        attribute = path_text(names)
        if needs_list:
            problem = "is not a list, so the comparison is false"
        else:
            problem = "is a list, so the comparison is false; use HAS"
        subject = f"the {attribute} attribute of Worker {worker.friendly_name}"
        return f"{comparison.operator}: {subject} {problem}"
    return None


def _check_names(value: Any, path: Path) -> Iterator[Finding]:
    """Yield findings about attribute names that expressions cannot contain."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if "-" in name:
                message = f"expressions cannot refer to {name[:100]}, because the name has a hyphen"
                yield Finding((*path, name), message, EXPRESSIONS, Severity.WARNING)
            yield from _check_names(item, (*path, name))
