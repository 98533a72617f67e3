"""Which Workers a routing step can offer a Task to, and in what order."""

from collections.abc import Iterable
from typing import Any

from simulator.engine import workers
from simulator.engine.configuration import Target
from simulator.engine.core import Engine
from simulator.engine.expressions import ExpressionError, parse_reference
from simulator.engine.model import Task, TaskQueue, Worker, Workspace
from simulator.engine.placement import task_context, worker_context

WORKER_NOT_IN_QUEUE = 40152
INVALID_KNOWN_WORKER = 40154


def serves(engine: Engine, workspace: Workspace, queue: TaskQueue, worker: Worker) -> bool:
    """Whether the TaskQueue's expression takes the Worker in; an empty one takes nobody."""
    if not queue.target_workers.strip():
        return False
    return engine.test(queue.target_workers)(worker_context(workspace, worker))


def members(engine: Engine, workspace: Workspace, queue: TaskQueue) -> list[Worker]:
    """The Workers of a TaskQueue, whatever their Activity."""
    return [
        worker for worker in workspace.workers.values() if serves(engine, workspace, queue, worker)
    ]


def candidates(engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue) -> list[Worker]:
    """The Workers who can be offered the Task now, the best first, but for those held back."""
    target = task.step.target if task.step else Target()
    context = task_context(task)
    chosen = [
        worker
        for worker in _known(engine, task, target, members(engine, workspace, queue))
        if _matches(engine, workspace, target, context, worker) and _free(workspace, task, worker)
    ]
    return _ordered(workspace, target, chosen)


def skips(engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue) -> bool:
    """Whether the step's `skip_if` says to pass on."""
    if task.step is None or task.step.target.skip_if is None:
        return False
    activities = [worker.activity_sid for worker in members(engine, workspace, queue)]
    available = sum(workspace.activities[sid].available for sid in activities)
    counts: dict[str, Any] = {sid: activities.count(sid) for sid in workspace.activities}
    counts |= {"available": available, "unavailable": len(activities) - available}
    context = {**task_context(task), "workers": counts}
    return engine.test(task.step.target.skip_if)(context)


def _free(workspace: Workspace, task: Task, worker: Worker) -> bool:
    offered = {workspace.reservations[sid].task_sid for sid in worker.held}
    if task.sid in offered:
        return False
    return task.ignore_capacity or workers.can_take(workspace, worker, task.channel_sid)


def _matches(
    engine: Engine,
    workspace: Workspace,
    target: Target,
    context: dict[str, Any],
    worker: Worker,
) -> bool:
    if target.expression is None:
        return True
    return engine.test(target.expression)({**context, **worker_context(workspace, worker)})


def _known(
    engine: Engine,
    task: Task,
    target: Target,
    queued: list[Worker],
) -> Iterable[Worker]:
    """Only the Worker that the Task itself names, where the target asks for that."""
    about = {"task_sid": task.sid}
    for reference, field in (
        (target.known_worker_sid, "sid"),
        (target.known_worker_friendly_name, "friendly_name"),
    ):
        if reference is None:
            continue
        value = parse_reference(reference)(task_context(task))
        if not isinstance(value, str) or not value:
            engine.alert(
                INVALID_KNOWN_WORKER, f"Known worker {reference} is not in the task", about
            )
            return []
        found = [worker for worker in queued if getattr(worker, field) == value]
        if not found:
            engine.alert(
                WORKER_NOT_IN_QUEUE, f"Known worker {value} is not in the task queue", about
            )
        return found
    return queued


def _ordered(workspace: Workspace, target: Target, chosen: list[Worker]) -> list[Worker]:
    chosen = sorted(chosen, key=lambda worker: (worker.unoccupied_since, worker.order))
    for part in reversed((target.order_by or "").split(",")):
        name, _, direction = part.strip().partition(" ")
        chosen = _by_attribute(workspace, chosen, name, descending=direction.upper() == "DESC")
    return chosen


def _by_attribute(
    workspace: Workspace, chosen: list[Worker], name: str, *, descending: bool
) -> list[Worker]:
    """Sort by a number among the attributes; Workers without it come last."""
    try:
        look_up = parse_reference(name)
    except ExpressionError:
        return chosen

    def key(worker: Worker) -> tuple[bool, float]:
        value = look_up(worker_context(workspace, worker))
        known = isinstance(value, int | float) and not isinstance(value, bool)
        number = float(value) if known else 0.0
        return not known, -number if descending else number

    return sorted(chosen, key=key)
