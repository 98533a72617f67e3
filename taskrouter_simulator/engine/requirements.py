"""Determines which Workers a Task requires at a step of its Workflow, and their order."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.expressions import Context, FoldedText, parse_reference
from taskrouter_simulator.engine.indexes import RoutingIndex, find_dependencies
from taskrouter_simulator.engine.model import (
    Step,
    Target,
    Task,
    Worker,
    Workspace,
    parse_attributes,
)
from taskrouter_simulator.engine.names import TIME_NAMES, parse_order_by
from taskrouter_simulator.engine.waiting import Requirement

WORKER_NOT_IN_QUEUE = 40152
INVALID_KNOWN_WORKER = 40154
WORKER_ELSEWHERE = 40155


def task_context(engine: Engine, task: Task) -> dict[str, Any]:
    """Return a Task's attributes, with and without the `task.` prefix, and the time of day."""
    attributes = parse_attributes(task.attributes)
    time_of_day = partial(_time_of_day, engine)
    return {**attributes, "task": attributes, "taskrouter": time_of_day}


def _time_of_day(engine: Engine, name: str) -> Any:
    value = TIME_NAMES[name](datetime.fromtimestamp(engine.now(), UTC))
    ignores_case = name == "dayOfWeek" and engine.settings.day_of_week_ignores_case
    return FoldedText(value) if ignores_case else value


def find_requirement(engine: Engine, index: RoutingIndex, task: Task, step: Step) -> Requirement:
    """Return the requirement of a Task at a step of its Workflow.

    Tasks have the same requirement if the values on which the target depends are the same.
    """
    target, queue_sid = step.target, step.queue_sid
    context = task_context(engine, task)
    candidates: Iterable[str] = index.workers.queue(queue_sid).members
    field, known = _known_worker(target, context)
    if field:
        member = index.workers.find_member(queue_sid, **{field: known})
        candidates = [member.sid] if member else []
        if member is None and not task.is_waiting:
            _alert_unknown_worker(engine, index.workspace, task, target, known)
    expression = target.expression or "1==1"
    dependencies = find_dependencies(expression)
    values = [value(context) for value in dependencies.task_values]
    channel_sid = None if task.ignore_capacity else task.channel_sid

    def matches(worker: Worker) -> bool:
        if field and getattr(worker, field) != known:
            return False
        worker_context = workers.expression_context(index.workspace, worker)
        return engine.compile(expression)({**context, **worker_context})

    return index.workers.requirement(
        (queue_sid, channel_sid, expression, field, repr((values, known))),
        lambda: Requirement(queue_sid, channel_sid, matches),
        dependencies,
        candidates,
    )


def _known_worker(target: Target, context: Context) -> tuple[str, Any]:
    """Return the field that identifies the known Worker, and its value; "" for no known Worker."""
    if target.known_worker_sid:
        return "sid", parse_reference(target.known_worker_sid)(context)
    if target.known_worker_friendly_name:
        value = parse_reference(target.known_worker_friendly_name)(context)
        # Friendly names of Workers are case-insensitive.
        return "friendly_name", FoldedText(value) if isinstance(value, str) else value
    return "", None


def _alert_unknown_worker(
    engine: Engine, workspace: Workspace, task: Task, target: Target, value: Any
) -> None:
    reference = target.known_worker_sid or target.known_worker_friendly_name
    code, message = INVALID_KNOWN_WORKER, f"{reference} does not name a known worker"
    if isinstance(value, str) and value:
        code, message = WORKER_NOT_IN_QUEUE, f"Known worker {value} is not in the task queue"
        others = [other for other in engine.workspaces.values() if other is not workspace]
        if any(value in other.workers for other in others):
            code, message = WORKER_ELSEWHERE, f"Known worker {value} is in another workspace"
    engine.alert(code, message, {"task_sid": task.sid})


def sort_by_attributes(
    workspace: Workspace, chosen: Iterable[Worker], order_by: str
) -> list[Worker]:
    """Sort Workers by numeric attributes, such as `worker.level DESC, worker.age`.

    Workers whose attribute is not a number come last.
    """
    clauses = parse_order_by(order_by)

    def key(worker: Worker) -> list[tuple[bool, float]]:
        context = workers.expression_context(workspace, worker)
        values = [clause.value(context) for clause in clauses]
        return [
            (False, clause.sign * value)
            if isinstance(value, int | float) and not isinstance(value, bool)
            else (True, 0)
            for clause, value in zip(clauses, values, strict=True)
        ]

    return sorted(chosen, key=key)
