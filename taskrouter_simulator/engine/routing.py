"""The assignment loop: takes waiting Tasks through their Workflow until somebody is offered them.

Facts: https://www.twilio.com/docs/taskrouter/lifecycle-task-workflows-and-assignment.
"""

from typing import Any

from taskrouter_simulator.engine import assignments, events, matching, offers, placement
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.model import Entry, Step, Task, TaskQueue, TaskStatus, Workspace

END_OF_WORKFLOW = "Task canceled on Workflow timeout"
TOO_MANY_ASSIGNMENTS = "Task TTL Exceeded or Max assignment count exceeded"


def route(engine: Engine, workspace: Workspace) -> None:
    """Offer every waiting Task that somebody can be offered."""
    waiting = [task for task in workspace.tasks.values() if task.status is TaskStatus.PENDING]
    for task in waiting:
        place(engine, workspace, task)
    pool = matching.Pool(workspace)
    for task in sorted(waiting, key=lambda task: _rank(workspace, task)):
        _offer(engine, workspace, task, pool)


def place(engine: Engine, workspace: Workspace, task: Task) -> None:
    """Put a Task that is to be evaluated into its step; others stay where they are."""
    entry, task.entry = task.entry, Entry.HERE
    if entry is Entry.HERE:
        return
    age = engine.since(task.created)
    step: Step | None
    if entry is Entry.NEXT and task.step:
        # the last target is kept: its Task waits there for another Worker
        step = placement.following(task.step, age) or task.step
    else:
        task.timed_out = False
        step = _first(engine, workspace, task)
    _enter(engine, workspace, task, step)


def _rank(workspace: Workspace, task: Task) -> tuple[Any, ...]:
    """Priority first, then the queue's order: oldest or, where it says LIFO, newest first."""
    queue = workspace.queues.get(task.queue_sid or "")
    order = queue.task_order if queue else "FIFO"
    age = task.virtual_start_time if order == "FIFO" else -task.virtual_start_time
    number = task.order if order == "FIFO" else -task.order
    return -task.priority, order != workspace.prioritize_queue_order, age, number


def _offer(engine: Engine, workspace: Workspace, task: Task, pool: matching.Pool) -> None:
    if task.assignments >= engine.settings.max_assignments:
        assignments.cancel(engine, workspace, task, TOO_MANY_ASSIGNMENTS)
        return
    while step := task.step:
        queue = workspace.queues.get(step.queue_sid)
        if _has_timed_out(engine, task, step):
            _time_out_of_step(engine, workspace, task, step)
        elif queue is None:
            _skip(engine, workspace, task, step)
        elif _reserve(engine, workspace, task, queue, pool):
            return
        elif not task.waiting and matching.skips(engine, workspace, task, queue):
            _skip(engine, workspace, task, step)
        else:
            _wait(engine, workspace, task, step)
            return
    _publish(engine, workspace, task, "workflow.timeout", END_OF_WORKFLOW)
    assignments.cancel(engine, workspace, task, END_OF_WORKFLOW)


def _reserve(
    engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue, pool: matching.Pool
) -> bool:
    found = matching.candidates(engine, workspace, task, queue, pool)
    ready = [one for one in found if task.held_back.get(one.sid, 0.0) <= engine.now()]
    for worker in ready[: queue.max_reserved_workers]:
        offers.create(engine, workspace, task, worker, queue)
        pool.forget()
    if found and not ready:
        soonest = min(task.held_back[worker.sid] for worker in found)
        engine.wake(workspace, max(0.0, soonest - engine.now()))
    return bool(ready)


def _wait(engine: Engine, workspace: Workspace, task: Task, step: Step) -> None:
    task.waiting = True
    if step.expires_at_age is not None:
        expires = task.created + step.expires_at_age
        engine.arm("step", task.sid, expires, lambda: engine.wake(workspace, 0.0))


def _has_timed_out(engine: Engine, task: Task, step: Step) -> bool:
    # against the same sum as the timer's, so that both agree on the last bit of it
    return step.expires_at_age is not None and task.created + step.expires_at_age <= engine.now()


def _time_out_of_step(engine: Engine, workspace: Workspace, task: Task, step: Step) -> None:
    task.timed_out = True
    _publish(engine, workspace, task, "task-queue.timeout", "Task timed out of TaskQueue")
    age = engine.since(task.created)
    following = placement.following(step, age) or _later_filter(engine, task, step)
    _enter(engine, workspace, task, following)


def _skip(engine: Engine, workspace: Workspace, task: Task, step: Step) -> None:
    _publish(engine, workspace, task, "workflow.skipped", "Task skipped a Workflow step")
    age = engine.since(task.created)
    following = placement.following(step, age) or _later_filter(engine, task, step)
    _enter(engine, workspace, task, following)


def _first(engine: Engine, workspace: Workspace, task: Task) -> Step | None:
    workflow = workspace.workflows.get(task.workflow_sid or "")
    if workflow is None:
        return task.step
    return placement.first(
        workflow.configuration,
        placement.task_context(task),
        engine.since(task.created),
        engine.test,
        default_timeout=engine.settings.default_filter_timeout,
    )


def _later_filter(engine: Engine, task: Task, step: Step) -> Step | None:
    if step.filter_index is None:
        return None
    start, base = placement.after_filter(step)
    return placement.first(
        step.configuration,
        placement.task_context(task),
        engine.since(task.created),
        engine.test,
        start=start,
        base=base,
        default=not task.timed_out,
        default_timeout=engine.settings.default_filter_timeout,
    )


def _enter(engine: Engine, workspace: Workspace, task: Task, step: Step | None) -> None:
    engine.disarm("step", task.sid)
    before = task.queue_sid
    task.step = step
    task.waiting = False
    if step is None:
        return
    if step.target.priority is not None:
        task.priority = step.target.priority
    _publish(engine, workspace, task, "workflow.target-matched", "Task matched a Workflow target")
    if step.queue_sid == before:
        return
    task.queue_sid = step.queue_sid
    task.queue_entered = engine.now()
    engine.touch(task)
    if before:
        _publish(engine, workspace, task, "task-queue.moved", "Task moved to another TaskQueue")
    _publish(engine, workspace, task, "task-queue.entered", "Task entered TaskQueue")


def _publish(
    engine: Engine, workspace: Workspace, task: Task, event_type: str, description: str
) -> None:
    kind = event_type.split(".", maxsplit=1)[0]
    about = task.queue_sid if kind == "task-queue" else task.workflow_sid
    events.publish(engine, workspace, event_type, description, sid=about or task.sid, task=task)
