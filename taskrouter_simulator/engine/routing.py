"""Moves waiting Tasks through their Workflows and offers them to Workers.

See https://www.twilio.com/docs/taskrouter/lifecycle-task-workflows-and-assignment. The timeout
of a target is compared with the Task's age, which includes the time spent in preceding targets:
https://www.twilio.com/docs/taskrouter/task-evaluation.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from taskrouter_simulator.engine import assignments, events, reservations, workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.expressions import Context, FoldedText, parse_reference
from taskrouter_simulator.engine.indexes import Indexes, RoutingIndex, find_dependencies
from taskrouter_simulator.engine.model import (
    Configuration,
    Evaluation,
    Step,
    Target,
    Task,
    TaskQueue,
    Worker,
    Workspace,
    parse_attributes,
)
from taskrouter_simulator.engine.names import TIME_NAMES, parse_order_by
from taskrouter_simulator.engine.waiting import Requirement

END_OF_WORKFLOW = "Task canceled on Workflow timeout"
TOO_MANY_ASSIGNMENTS = "Task TTL Exceeded or Max assignment count exceeded"
WORKER_NOT_IN_QUEUE = 40152
INVALID_KNOWN_WORKER = 40154


def route(indexes: Indexes, engine: Engine, workspace: Workspace) -> None:
    """Offer pending Tasks to free Workers.

    Only Tasks that are affected by a change are examined; for the others, the outcome is the same
    as in the previous pass.
    """
    engine.cancel_timer("routing", workspace.sid)
    if workspace.sid not in engine.workspaces:
        return
    index = indexes.get(engine, workspace)
    index.workers.refresh_time()
    changed = index.tasks.begin_pass(engine.now())
    for task in changed:
        evaluate(engine, workspace, task)
    index.tasks.start_offers((_rank(workspace, task), task) for task in changed)
    while pending := index.tasks.next():
        _offer(engine, index, pending)
        indexes.get(engine, workspace)
    _schedule_next_pass(engine, index)


def _schedule_next_pass(engine: Engine, index: RoutingIndex) -> None:
    """Schedule a pass for the time at which the outcome may change although no resource does."""
    when = index.tasks.next_offer()
    if index.workers.has_timed_tasks():
        when = min(when, 60 * (engine.now() // 60 + 1))
    if when < math.inf:
        engine.schedule_routing(index.workspace, when)


def _rank(workspace: Workspace, task: Task) -> tuple[Any, ...]:
    """Return the sort key of a Task: priority, then the order of its TaskQueue."""
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
        # A Task stays at the last target, where it waits for another Worker.
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
    """Move a Task to the next target, a later filter or the end of the Workflow."""
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


def _offer(engine: Engine, index: RoutingIndex, task: Task) -> None:
    """Move a Task through its Workflow until it is offered, waits or is canceled."""
    workspace = index.workspace
    if task.times_reserved >= engine.settings.max_assignments:
        assignments.cancel(engine, workspace, task, TOO_MANY_ASSIGNMENTS)
        return
    while step := task.step:
        queue = workspace.queues.get(step.queue_sid)
        # Compute the same sum as `_wait`, so that the step has expired when its timer fires.
        if task.created + step.expires_at_age <= engine.now():
            _time_out_step(engine, workspace, task, step)
            continue
        if queue is None:
            _skip(engine, workspace, task, step)
            continue
        requirement = _find_requirement(engine, index, task, step)
        if _reserve(engine, workspace, task, queue, requirement):
            return
        if not task.is_waiting and _is_skipped(engine, index, task, step):
            _skip(engine, workspace, task, step)
        else:
            _wait(engine, index, task, step, requirement)
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
    engine: Engine, index: RoutingIndex, task: Task, step: Step, requirement: Requirement
) -> None:
    task.is_waiting = True
    expires = task.created + step.expires_at_age
    rejected = (task.reoffer_times[worker.sid] for *_, worker in requirement.free)
    offer_at = min(rejected, default=math.inf)
    workspace = index.workspace
    rank = _rank(workspace, task)
    index.tasks.wait(task, requirement, rank, expires=expires, offer_at=offer_at)
    if expires < math.inf:
        engine.set_timer(
            "step", task.sid, expires, lambda: engine.schedule_routing(workspace, engine.now())
        )


def _is_skipped(engine: Engine, index: RoutingIndex, task: Task, step: Step) -> bool:
    """Return whether a target's `skip_if` is true."""
    if step.target.skip_if is None:
        return False
    workers_by_activity = index.workers.queue(step.queue_sid).activities
    activities = index.workspace.activities.values()
    counts: dict[str, Any] = {item.sid: workers_by_activity[item.sid] for item in activities}
    available = sum(counts[activity.sid] for activity in activities if activity.available)
    unavailable = sum(counts.values()) - available
    counts |= {"available": available, "unavailable": unavailable}
    context = {**task_context(engine, task), "workers": counts}
    return engine.compile(step.target.skip_if)(context)


def _reserve(
    engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue, requirement: Requirement
) -> bool:
    """Reserve up to `max_reserved_workers` Workers; return whether any was reserved."""
    candidates: Iterable[Worker] = (worker for *_, worker in requirement.free)
    if task.step and task.step.target.order_by:
        candidates = _sort_by_attributes(workspace, candidates, task.step.target.order_by)
    now = engine.now()
    ready = (item for item in candidates if task.reoffer_times.get(item.sid, now) <= now)
    chosen = list(islice(ready, queue.max_reserved_workers))
    for worker in chosen:
        reservations.create(engine, workspace, task, worker, queue)
    return bool(chosen)


def _find_requirement(engine: Engine, index: RoutingIndex, task: Task, step: Step) -> Requirement:
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
            _alert_unknown_worker(engine, task, target, known)
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


def _alert_unknown_worker(engine: Engine, task: Task, target: Target, value: Any) -> None:
    reference = target.known_worker_sid or target.known_worker_friendly_name
    code, message = INVALID_KNOWN_WORKER, f"{reference} does not name a known worker"
    if isinstance(value, str) and value:
        code, message = WORKER_NOT_IN_QUEUE, f"Known worker {value} is not in the task queue"
    engine.alert(code, message, {"task_sid": task.sid})


def _sort_by_attributes(
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
