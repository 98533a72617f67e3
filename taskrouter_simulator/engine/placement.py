"""Where in its Workflow a Task belongs: filters, targets, their time-outs.

A target's time-out is counted on the Task's age, the targets before it included
(https://www.twilio.com/docs/taskrouter/task-evaluation). Nothing here changes anything.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

from taskrouter_simulator.engine.configuration import Configuration, Filter
from taskrouter_simulator.engine.expressions import Test
from taskrouter_simulator.engine.model import Step, Task, Worker, Workspace, parsed


def task_context(task: Task) -> dict[str, Any]:
    """What an expression can say about a Task: its attributes, bare or behind `task.`."""
    attributes = parsed(task.attributes)
    return {**attributes, "task": attributes}


def worker_context(workspace: Workspace, worker: Worker) -> dict[str, Any]:
    """What an expression can say about a Worker: its attributes, bare or behind `worker.`."""
    held = [workspace.tasks[held.task_sid].channel_sid for held in workspace.held_by(worker)]
    attributes = {
        **parsed(worker.attributes),
        "sid": worker.sid,
        "friendly_name": worker.friendly_name,
        "activity_sid": worker.activity_sid,
        "activity_name": workspace.activities[worker.activity_sid].friendly_name,
        "channel": {
            workspace.channels[share.channel_sid].unique_name: {
                "assigned_tasks": held.count(share.channel_sid),
                "configured_capacity": share.capacity,
                "available": share.available,
            }
            for share in worker.channels.values()
        },
    }
    return {**attributes, "worker": attributes}


def first(
    configuration: Configuration,
    context: dict[str, Any],
    age: float,
    test: Callable[[str], Test],
    *,
    start: int = 0,
    base: int = 0,
    default: bool = True,
    default_timeout: bool = False,
) -> Step | None:
    """The step that a Task enters.

    Args:
        configuration: the Workflow's.
        context: what the filters are evaluated on.
        age: the Task's age in seconds; targets that have timed out by it are passed over.
        test: compiles an expression.
        start: the first filter to look at.
        base: seconds that the filters before have used up.
        default: whether the default filter is open to the Task.
        default_timeout: whether the default filter's time-out counts.

    Returns:
        The step, or None at the end of the Workflow.
    """
    for index, one in enumerate(configuration.filters[start:], start):
        if not test(one.expression)(context):
            continue
        for step in _steps(configuration, index, base):
            if step.expires_at_age is None or step.expires_at_age > age:
                return step
        base += _total(one)
        default = False
    if default and configuration.default:
        timeout = configuration.default.timeout if default_timeout else None
        return Step(configuration, None, 0, base, None if timeout is None else base + timeout)
    return None


def following(step: Step, age: float) -> Step | None:
    """The filter's next target that has not timed out by that age (seconds), if there is one."""
    if step.filter_index is None:
        return None
    later = list(_steps(step.configuration, step.filter_index, step.base))[step.target_index + 1 :]
    open_ones = (one for one in later if one.expires_at_age is None or one.expires_at_age > age)
    return next(open_ones, None)


def after_filter(step: Step) -> tuple[int, int]:
    """Where `first` goes on behind the step's filter: its `start` and `base`."""
    if step.filter_index is None or step.filter is None:
        return len(step.configuration.filters), step.base
    return step.filter_index + 1, step.base + _total(step.filter)


def _steps(configuration: Configuration, index: int, base: int) -> Iterator[Step]:
    targets = configuration.filters[index].targets
    ends = accumulate((target.timeout or 0 for target in targets), initial=base)
    next(ends)
    for number, (target, end) in enumerate(zip(targets, ends, strict=True)):
        yield Step(configuration, index, number, base, end if target.timeout else None)


def _total(one: Filter) -> int:
    return sum(target.timeout or 0 for target in one.targets)
