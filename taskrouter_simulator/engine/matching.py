"""Which Workers a routing step can offer a Task to, and in what order."""

from typing import Any

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.configuration import Target
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.expressions import ExpressionError, parse_reference
from taskrouter_simulator.engine.model import Task, TaskQueue, Worker, Workspace
from taskrouter_simulator.engine.placement import task_context, worker_context

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


class Pool:
    """The Workers that are free for a Task, looked up once in a pass of the routing.

    With many Tasks waiting and all Workers taken, the usual case, a Task then costs next to
    nothing.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._free: dict[str, list[Worker]] = {}

    def free_for(self, task: Task) -> list[Worker]:
        """Those whom Activity and capacity leave free, in order of creation."""
        every = self._workspace.workers.values()
        if task.ignore_capacity:
            return list(every)
        if task.channel_sid not in self._free:
            self._free[task.channel_sid] = [
                worker
                for worker in every
                if workers.can_take(self._workspace, worker, task.channel_sid)
            ]
        return self._free[task.channel_sid]

    def forget(self) -> None:
        """Look again: a Worker was reserved."""
        self._free.clear()


def candidates(
    engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue, pool: Pool
) -> list[Worker]:
    """The Workers who can be offered the Task now, the best first, even those held back."""
    target = task.step.target if task.step else Target()
    wanted = _known(engine, workspace, task, queue, target)
    free = pool.free_for(task)
    if not free:
        return []
    context = task_context(task)
    chosen = [
        worker
        for worker in free
        if (wanted is None or worker in wanted)
        and serves(engine, workspace, queue, worker)
        and _matches(engine, workspace, target, context, worker)
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
    engine: Engine, workspace: Workspace, task: Task, queue: TaskQueue, target: Target
) -> list[Worker] | None:
    """The Worker that the Task itself names, where the target asks for that; None if it does not.

    An alert is raised once, when the Task enters the step.
    """
    for reference, field in (
        (target.known_worker_sid, "sid"),
        (target.known_worker_friendly_name, "friendly_name"),
    ):
        if reference is None:
            continue
        value = parse_reference(reference)(task_context(task))
        every = members(engine, workspace, queue)
        found = [worker for worker in every if getattr(worker, field) == value]
        if not found and not task.waiting:
            named = isinstance(value, str) and value
            code = WORKER_NOT_IN_QUEUE if named else INVALID_KNOWN_WORKER
            message = f"Known worker {value if named else reference} is not in the task queue"
            engine.alert(code, message, {"task_sid": task.sid})
        return found
    return None


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
        number = value if known else 0
        return not known, -number if descending else number

    return sorted(chosen, key=key)
