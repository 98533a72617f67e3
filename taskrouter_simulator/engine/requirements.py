"""Determines which Workers can be offered a Task at a step of its Workflow, and in which order."""

import math
from datetime import UTC, datetime
from functools import partial
from typing import Any

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.expressions import FoldedText, parse_reference
from taskrouter_simulator.engine.indexes import Conditions, RoutingIndex, split_by_state
from taskrouter_simulator.engine.model import (
    Step,
    Task,
    Worker,
    Workspace,
    parse_attributes,
)
from taskrouter_simulator.engine.names import (
    TIME_NAMES,
    parse_order_by,
)
from taskrouter_simulator.engine.waiting import Availability, FreeWorker, Requirement

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

    Tasks at the same target have the same requirement if their TaskChannels and the values on which
    the target depends are the same.
    """
    target, queue_sid, workspace = step.target, step.queue_sid, index.workspace
    context = task_context(engine, task)
    field, known, candidates = "", None, None
    if target.known_worker_sid or target.known_worker_friendly_name:
        field, known, candidates = _find_known_worker(engine, index, task, step)
    fixed, state = split_by_state(target.expression or "")
    channel_sid = None if task.ignore_capacity else task.channel_sid
    order_by = target.order_by or ""

    def meets(worker: Worker, conditions: Conditions) -> bool:
        if not conditions.text:
            return True
        worker_context = workers.expression_context(workspace, worker)
        return engine.compile(conditions.text)({**context, **worker_context})

    def matches(worker: Worker) -> bool:
        return (not field or getattr(worker, field) == known) and meets(worker, fixed)

    def position(worker: Worker) -> FreeWorker | None:
        has_capacity = channel_sid is None or workers.has_capacity(workspace, worker, channel_sid)
        if not has_capacity or not meets(worker, state):
            return None
        sort_key = _sort_key(workspace, worker, order_by) if order_by else ()
        return sort_key, worker.unoccupied_since, worker.sequence, worker

    fixed_values, state_values = (
        repr([value(context) for value in part.task_values]) for part in (fixed, state)
    )
    key = (channel_sid, order_by, state.text, state_values)
    availability = Availability(queue_sid, key, position)
    return index.workers.requirement(
        (availability, fixed.text, fixed_values, field, repr(known)),
        lambda: Requirement(availability, matches),
        depends_on_time=fixed.depends_on_time or state.depends_on_time,
        candidates=candidates,
    )


def _find_known_worker(
    engine: Engine, index: RoutingIndex, task: Task, step: Step
) -> tuple[str, Any, list[str]]:
    """Find the known Worker that the Task's attributes specify.

    If the TaskQueue has no such Worker, emit an alert once, when the Task enters the step.

    Returns:
        The name of the Worker's field to compare, the required value, and the SIDs of the Workers
        that have this value.
    """
    target = step.target
    reference, field = target.known_worker_sid, "sid"
    if not reference:
        reference, field = target.known_worker_friendly_name or "", "friendly_name"
    value = parse_reference(reference)(task_context(engine, task))
    # Friendly names of Workers are case-insensitive.
    known = FoldedText(value) if isinstance(value, str) and field == "friendly_name" else value
    worker = index.workers.find(**{field: known})
    if task.is_waiting or (worker and worker.sid in index.workers.queue(step.queue_sid).members):
        return field, known, [worker.sid] if worker else []
    code, message = INVALID_KNOWN_WORKER, f"{reference} does not identify a known worker"
    if isinstance(value, str) and value:
        code, message = WORKER_NOT_IN_QUEUE, f"Known worker {value} is not in the task queue"
        others = [other for other in engine.workspaces.values() if other is not index.workspace]
        if any(value in other.workers for other in others):
            code, message = WORKER_ELSEWHERE, f"Known worker {value} is in another workspace"
    engine.alert(code, message, {"task_sid": task.sid})
    return field, known, [worker.sid] if worker else []


def _sort_key(
    workspace: Workspace, worker: Worker, order_by: str
) -> tuple[tuple[bool, float], ...]:
    """Return a Worker's sort key for `order_by`, such as `worker.level DESC, worker.age`.

    Workers whose attribute is not a number come last.
    """
    context = workers.expression_context(workspace, worker)
    return tuple(
        (False, clause.sign * value)
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and -math.inf <= value <= math.inf
        else (True, 0)
        for clause in parse_order_by(order_by)
        for value in [clause.value(context)]
    )
