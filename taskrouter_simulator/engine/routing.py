"""Moves waiting Tasks through their Workflows and offers them to Workers.

See https://www.twilio.com/docs/taskrouter/lifecycle-task-workflows-and-assignment. A target times
out when the Task's age reaches the sum of the timeouts of this target and of all preceding targets
in the matching filters: https://www.twilio.com/docs/taskrouter/task-evaluation.
"""

import math
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from taskrouter_simulator.continuations import continuation
from taskrouter_simulator.engine import assignments, events, reservations, task_queues
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.history import Kind
from taskrouter_simulator.engine.indexes import RoutingIndex, find_index
from taskrouter_simulator.engine.model import (
    Configuration,
    Evaluation,
    Step,
    Task,
    TaskQueue,
    Workspace,
)
from taskrouter_simulator.engine.requirements import find_requirement, task_context
from taskrouter_simulator.engine.waiting import Requirement

END_OF_WORKFLOW = "Task canceled on Workflow timeout"
TOO_MANY_ASSIGNMENTS = "Task TTL Exceeded or Max assignment count exceeded"


@continuation
def route(engine: Engine, workspace: Workspace) -> None:
    """Offer pending Tasks to free Workers.

    Only Tasks that are affected by a change are examined; for the others, the outcome is the same
    as in the previous pass.
    """
    engine.cancel_timer("routing", workspace.sid)
    if workspace.sid in engine.workspaces:
        engine.clock.run_steps(_run_pass(engine, workspace))


def _run_pass(engine: Engine, workspace: Workspace) -> Iterator[None]:
    """Run a routing pass in steps; other operations can run whenever this generator yields."""
    index = find_index(engine, workspace)
    for _ in _examine_tasks(engine, index):
        find_index(engine, workspace)
        yield
        if workspace.sid not in engine.workspaces:
            return
        if find_index(engine, workspace, is_other_operation=True) is not index:
            engine.schedule_routing(workspace, engine.now())
            return
    # Schedule the next pass, because the outcome can change even if no resource changes.
    next_pass_time = index.tasks.next_offer()
    if index.workers.has_timed_tasks():
        next_pass_time = min(next_pass_time, 60 * (engine.now() // 60 + 1))
    if next_pass_time < math.inf:
        engine.schedule_routing(workspace, next_pass_time)


def _examine_tasks(engine: Engine, index: RoutingIndex) -> Iterator[None]:
    """Evaluate all changed Tasks, then offer Tasks by rank; yield after each Task."""
    workspace = index.workspace
    changed = index.tasks.begin_pass(engine.now())
    for task in changed:
        if index.tasks.is_pending(task):
            evaluate(engine, workspace, task)
            yield
    index.tasks.start_offers((_rank(workspace, task), task) for task in changed)
    while pending := index.tasks.next():
        _offer(engine, index, pending)
        yield


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
    """Determine a Task's routing step, if the Task needs an evaluation."""
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
        The step, or None at the end of the Workflow.
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
    total_timeout, queue_sid = preceding_timeout, ""
    for index, target in enumerate(matched.targets):
        total_timeout += target.timeout or 0
        queue_sid = target.queue_sid or queue_sid
        yield Step(
            configuration=configuration,
            target=target,
            queue_sid=queue_sid,
            filter=matched,
            filter_index=filter_index,
            target_index=index,
            preceding_timeout=preceding_timeout,
            expires_at_age=total_timeout if target.timeout else math.inf,
        )


def _next_target(engine: Engine, task: Task, step: Step) -> Step | None:
    """Return the step of the filter's next target that has not timed out, or None."""
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
    task_queues.enter(engine, workspace, task, step.queue_sid)


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
        requirement = find_requirement(engine, index, task, step)
        if _reserve(engine, workspace, task, queue, requirement):
            return
        if not task.is_waiting and _is_skipped(engine, index, task, step):
            _skip(engine, workspace, task, step)
        else:
            _wait(engine, index, task, step, requirement)
            return
    sid = task.workflow_sid or task.sid
    workspace.history.record(engine.now(), Kind.TASK_TIMED_OUT, task)
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
    reoffer_times = (task.reoffer_times[worker.sid] for *_, worker in requirement.free)
    offer_at = min(reoffer_times, default=math.inf)
    workspace = index.workspace
    rank = _rank(workspace, task)
    index.tasks.wait(task, requirement, rank, expires=expires, offer_at=offer_at)
    if expires < math.inf:
        engine.set_timer("step", task.sid, expires, partial(_end_step, engine, workspace))


@continuation
def _end_step(engine: Engine, workspace: Workspace) -> None:
    engine.schedule_routing(workspace, engine.now())


def _is_skipped(engine: Engine, index: RoutingIndex, task: Task, step: Step) -> bool:
    """Return whether a target's `skip_if` is true."""
    if step.target.skip_if is None:
        return False
    worker_counts = index.workers.queue(step.queue_sid).activities
    activities = index.workspace.activities.values()
    counts: dict[str, Any] = {item.sid: worker_counts[item.sid] for item in activities}
    available = sum(counts[activity.sid] for activity in activities if activity.available)
    unavailable = sum(counts.values()) - available
    counts |= {"available": available, "unavailable": unavailable}
    context = {**task_context(engine, task), "workers": counts}
    return engine.compile(step.target.skip_if)(context)


def _reserve(
    engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue, requirement: Requirement
) -> bool:
    """Reserve up to `max_reserved_workers` Workers; return whether any Worker was reserved."""
    candidates = (worker for *_, worker in requirement.free)
    now = engine.now()
    ready = (item for item in candidates if task.reoffer_times.get(item.sid, now) <= now)
    chosen = list(islice(ready, queue.max_reserved_workers))
    for worker in chosen:
        reservations.create(engine, workspace, task, worker, queue)
    return bool(chosen)
