"""Reference routing: each pass examines all pending Tasks and all Workers.

The engine's routing, which uses indexes, must have the same effects in the same order.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

from taskrouter_simulator.engine import assignments, events, reservations, workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.expressions import FoldedText, parse_reference
from taskrouter_simulator.engine.model import (
    Configuration,
    Evaluation,
    Step,
    Target,
    Task,
    TaskQueue,
    TaskStatus,
    Worker,
    Workspace,
    parse_attributes,
)
from taskrouter_simulator.engine.names import TIME_NAMES, parse_order_by

END_OF_WORKFLOW = "Task canceled on Workflow timeout"
TOO_MANY_ASSIGNMENTS = "Task TTL Exceeded or Max assignment count exceeded"
WORKER_NOT_IN_QUEUE = 40152
INVALID_KNOWN_WORKER = 40154
WORKER_ELSEWHERE = 40155


def route(engine: Engine, workspace: Workspace) -> None:
    """Offer each pending Task to free Workers."""
    engine.cancel_timer("routing", workspace.sid)
    if workspace.sid not in engine.workspaces:
        return
    pending = [task for task in workspace.tasks.values() if task.status is TaskStatus.PENDING]
    for task in pending:
        evaluate(engine, workspace, task)
    wake_ups: list[float] = []
    for task in sorted(pending, key=lambda task: _rank(workspace, task)):
        _offer(engine, workspace, task, wake_ups)
    if wake_ups:
        engine.schedule_routing(workspace, min(wake_ups))


def _rank(workspace: Workspace, task: Task) -> tuple[Any, ...]:
    """Return the sort key of a Task.

    Tasks with a higher priority come first. Among Tasks with the same priority, Tasks whose
    TaskQueue has the order (FIFO or LIFO) that the Workspace prioritizes come first. Tasks that are
    still tied are sorted by start time, oldest first for FIFO and newest first for LIFO.
    """
    queue = workspace.queues.get(task.queue_sid or "")
    order = queue.task_order if queue else "FIFO"
    sign = 1 if order == "FIFO" else -1
    is_deprioritized = order != workspace.prioritize_queue_order
    return -task.priority, is_deprioritized, sign * task.virtual_start_time, sign * task.sequence


def evaluate(engine: Engine, workspace: Workspace, task: Task) -> None:
    """Determine a Task's routing step, if an evaluation is due."""
    evaluation, task.evaluation = task.evaluation, Evaluation.NONE
    if evaluation is Evaluation.NONE:
        return
    workflow = workspace.workflows.get(task.workflow_sid or "")
    if evaluation is Evaluation.NEXT_TARGET and task.step:
        # If there is no next target, the Task stays at its target and waits for another Worker.
        step: Step | None = _next_target(engine, task, task.step) or task.step
    else:
        task.step_timed_out = False
        step = _find_step(engine, task, workflow.configuration) if workflow else task.step
    _enter(engine, workspace, task, step)


def task_context(engine: Engine, task: Task) -> dict[str, Any]:
    """Return a Task's attributes, with and without the `task.` prefix, and the time of day."""
    attributes = parse_attributes(task.attributes)
    time_of_day = partial(_time_of_day, engine)
    return {**attributes, "task": attributes, "taskrouter": time_of_day}


def _time_of_day(engine: Engine, name: str) -> Any:
    value = TIME_NAMES[name](datetime.fromtimestamp(engine.now(), UTC))
    ignores_case = name == "dayOfWeek" and engine.settings.day_of_week_ignores_case
    return FoldedText(value) if ignores_case else value


def _find_step(
    engine: Engine,
    task: Task,
    configuration: Configuration,
    *,
    start: int = 0,
    preceding_timeout: int = 0,
    allow_default: bool = True,
) -> Step | None:
    """Return the first matching step that has not timed out, or the default step.

    Args:
        engine: The engine.
        task: The Task.
        configuration: The Workflow's configuration.
        start: Index of the first filter to consider.
        preceding_timeout: Total timeout of the preceding matching filters, in seconds.
        allow_default: Whether the default filter may match.

    Returns:
        The step; None at the end of the Workflow.
    """
    context = task_context(engine, task)
    age = engine.seconds_since(task.created)
    for index, candidate in enumerate(configuration.filters[start:], start):
        if not engine.compile(candidate.expression)(context):
            continue
        for step in _steps(configuration, index, preceding_timeout):
            if step.expires_at_age > age:
                return step
        preceding_timeout += sum(target.timeout or 0 for target in candidate.targets)
        allow_default = False
    default = configuration.default
    if default is None or not allow_default:
        return None
    has_timeout = engine.settings.default_filter_timeout and default.timeout is not None
    return Step(
        configuration=configuration,
        target=default,
        queue_sid=default.queue_sid or "",
        preceding_timeout=preceding_timeout,
        expires_at_age=preceding_timeout + (default.timeout or 0) if has_timeout else math.inf,
    )


def _steps(
    configuration: Configuration, filter_index: int, preceding_timeout: int
) -> Iterator[Step]:
    """Yield a step for each target of a filter."""
    matched = configuration.filters[filter_index]
    age, queue_sid = preceding_timeout, ""
    for index, target in enumerate(matched.targets):
        age += target.timeout or 0
        queue_sid = target.queue_sid or queue_sid
        yield Step(
            configuration=configuration,
            target=target,
            queue_sid=queue_sid,
            filter=matched,
            filter_index=filter_index,
            target_index=index,
            preceding_timeout=preceding_timeout,
            expires_at_age=age if target.timeout else math.inf,
        )


def _next_target(engine: Engine, task: Task, step: Step) -> Step | None:
    """Return the step of the filter's next target that has not timed out."""
    if step.filter is None:
        return None
    age = engine.seconds_since(task.created)
    next_steps = list(_steps(step.configuration, step.filter_index, step.preceding_timeout))[
        step.target_index + 1 :
    ]
    return next((item for item in next_steps if item.expires_at_age > age), None)


def _advance(engine: Engine, workspace: Workspace, task: Task, step: Step) -> None:
    """Move a Task to the next target, a later filter, the default filter or the Workflow's end."""
    next_step = _next_target(engine, task, step)
    if next_step is None and step.filter:
        next_step = _find_step(
            engine,
            task,
            step.configuration,
            start=step.filter_index + 1,
            preceding_timeout=step.preceding_timeout
            + sum(target.timeout or 0 for target in step.filter.targets),
            allow_default=not task.step_timed_out,
        )
    _enter(engine, workspace, task, next_step)


def _enter(engine: Engine, workspace: Workspace, task: Task, step: Step | None) -> None:
    engine.cancel_timer("step", task.sid)
    previous_queue_sid = task.queue_sid
    task.step = step
    task.is_waiting = False
    if step is None:
        return
    if step.target.priority is not None:
        task.priority = step.target.priority
    events.publish(
        engine, workspace, "workflow.target-matched", "Task matched a Workflow target",
        sid=task.workflow_sid or task.sid, task=task,
    )  # fmt: skip
    if step.queue_sid == previous_queue_sid:
        return
    task.queue_sid = step.queue_sid
    task.queue_entered = engine.now()
    engine.touch(task)
    sid = task.queue_sid or task.sid
    if previous_queue_sid:
        moved = "Task moved to another TaskQueue"
        events.publish(engine, workspace, "task-queue.moved", moved, sid=sid, task=task)
    entered = "Task entered TaskQueue"
    events.publish(engine, workspace, "task-queue.entered", entered, sid=sid, task=task)


def _offer(engine: Engine, workspace: Workspace, task: Task, wake_ups: list[float]) -> None:
    """Move a Task through its Workflow until it is offered, waits or is canceled."""
    if task.times_reserved >= engine.settings.max_assignments:
        assignments.cancel(engine, workspace, task, TOO_MANY_ASSIGNMENTS)
        return
    while step := task.step:
        queue = workspace.queues.get(step.queue_sid)
        # Compute the same sum as `_wait`, so that the step has expired when its timer fires.
        if task.created + step.expires_at_age <= engine.now():
            _time_out_step(engine, workspace, task, step)
        elif queue is None:
            _skip(engine, workspace, task, step)
        elif _reserve(engine, workspace, task, queue, wake_ups):
            return
        elif not task.is_waiting and _is_skipped(engine, workspace, task, queue):
            _skip(engine, workspace, task, step)
        else:
            _wait(engine, workspace, task, step, wake_ups)
            return
    sid = task.workflow_sid or task.sid
    events.publish(engine, workspace, "workflow.timeout", END_OF_WORKFLOW, sid=sid, task=task)
    assignments.cancel(engine, workspace, task, END_OF_WORKFLOW)


def _time_out_step(engine: Engine, workspace: Workspace, task: Task, step: Step) -> None:
    task.step_timed_out = True
    events.publish(
        engine, workspace, "task-queue.timeout", "Task timed out of TaskQueue",
        sid=task.queue_sid or task.sid, task=task,
    )  # fmt: skip
    _advance(engine, workspace, task, step)


def _skip(engine: Engine, workspace: Workspace, task: Task, step: Step) -> None:
    events.publish(
        engine, workspace, "workflow.skipped", "Task skipped a Workflow step",
        sid=task.workflow_sid or task.sid, task=task,
    )  # fmt: skip
    _advance(engine, workspace, task, step)


def _wait(
    engine: Engine, workspace: Workspace, task: Task, step: Step, wake_ups: list[float]
) -> None:
    task.is_waiting = True
    if "taskrouter." in (step.target.expression or ""):
        # The value of the expression may change when the minute changes.
        wake_ups.append(60 * (engine.now() // 60 + 1))
    if step.expires_at_age < math.inf:
        expires = task.created + step.expires_at_age
        engine.set_timer(
            "step", task.sid, expires, lambda: engine.schedule_routing(workspace, engine.now())
        )


def _is_skipped(engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue) -> bool:
    """Return whether the current target's `skip_if` is true."""
    if task.step is None or task.step.target.skip_if is None:
        return False
    activities = [worker.activity_sid for worker in workers.members(engine, workspace, queue)]
    available = sum(workspace.activities[sid].available for sid in activities)
    counts: dict[str, Any] = {sid: activities.count(sid) for sid in workspace.activities}
    counts |= {"available": available, "unavailable": len(activities) - available}
    context = {**task_context(engine, task), "workers": counts}
    return engine.compile(task.step.target.skip_if)(context)


def _reserve(
    engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue, wake_ups: list[float]
) -> bool:
    """Reserve up to `max_reserved_workers` Workers; return whether any was reserved."""
    candidates = _find_candidates(engine, workspace, task, queue)
    now = engine.now()
    ready = [worker for worker in candidates if task.reoffer_times.get(worker.sid, now) <= now]
    for worker in ready[: queue.max_reserved_workers]:
        reservations.create(engine, workspace, task, worker, queue)
    if candidates and not ready:
        wake_ups.append(min(task.reoffer_times[worker.sid] for worker in candidates))
    return bool(ready)


def _find_candidates(
    engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue
) -> list[Worker]:
    """Return the Workers who can be offered the Task at its current target, best first.

    The list includes Workers whose next offer is delayed.
    """
    target = task.step.target if task.step else Target()
    known_workers = None
    if target.known_worker_sid or target.known_worker_friendly_name:
        known_workers = _find_known_workers(engine, workspace, task, queue, target)
    if task.ignore_capacity:
        available = list(workspace.workers.values())
    else:
        available = [
            worker
            for worker in workspace.workers.values()
            if workers.has_capacity(workspace, worker, task.channel_sid)
        ]
    context = task_context(engine, task)
    chosen = [
        worker
        for worker in available
        if (known_workers is None or worker in known_workers)
        and workers.is_member(engine, workspace, queue, worker)
        and (
            target.expression is None
            or engine.compile(target.expression)(
                {**context, **workers.expression_context(workspace, worker)}
            )
        )
    ]
    chosen.sort(key=lambda worker: (worker.unoccupied_since, worker.sequence))
    return _sort_by_attributes(workspace, chosen, target.order_by) if target.order_by else chosen


def _find_known_workers(
    engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue, target: Target
) -> list[Worker]:
    """Return the TaskQueue's Workers who are named in the Task's attributes.

    If no Worker matches, emit an alert once, when the Task enters the step.
    """
    if target.known_worker_sid:
        reference, field = target.known_worker_sid, "sid"
    else:
        reference, field = target.known_worker_friendly_name or "", "friendly_name"
    value = parse_reference(reference)(task_context(engine, task))
    # Friendly names of Workers are case-insensitive.
    known = FoldedText(value) if isinstance(value, str) and field == "friendly_name" else value
    members = workers.members(engine, workspace, queue)
    matches = [worker for worker in members if getattr(worker, field) == known]
    if not matches and not task.is_waiting:
        code, message = INVALID_KNOWN_WORKER, f"{reference} does not identify a known worker"
        if isinstance(value, str) and value:
            code, message = WORKER_NOT_IN_QUEUE, f"Known worker {value} is not in the task queue"
            others = [other for other in engine.workspaces.values() if other is not workspace]
            if any(value in other.workers for other in others):
                code, message = WORKER_ELSEWHERE, f"Known worker {value} is in another workspace"
        engine.alert(code, message, {"task_sid": task.sid})
    return matches


def _sort_by_attributes(workspace: Workspace, chosen: list[Worker], order_by: str) -> list[Worker]:
    """Sort Workers by `order_by`, such as `worker.level DESC, worker.age`.

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
