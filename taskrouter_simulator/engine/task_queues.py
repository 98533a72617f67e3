"""Moves Tasks between TaskQueues."""

from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.history import Kind
from taskrouter_simulator.engine.model import Task, Workspace


def enter(engine: Engine, workspace: Workspace, task: Task, queue_sid: str) -> None:
    """Move a Task to a TaskQueue, unless the Task is already there.

    Args:
        engine: The engine.
        workspace: The Workspace.
        task: The Task.
        queue_sid: WQ… SID; "" for no TaskQueue.
    """
    previous_queue_sid = task.queue_sid
    if queue_sid == previous_queue_sid:
        return
    if previous_queue_sid:
        workspace.history.record(engine.now(), Kind.TASK_MOVED, task)
    task.queue_sid = queue_sid
    task.queue_entered = engine.now()
    workspace.history.record(engine.now(), Kind.TASK_ENTERED, task)
    engine.touch(task)
    sid = task.queue_sid or task.sid
    if previous_queue_sid:
        moved = "Task moved to another TaskQueue"
        events.publish(engine, workspace, "task-queue.moved", moved, sid=sid, task=task)
    entered = "Task entered TaskQueue"
    events.publish(engine, workspace, "task-queue.entered", entered, sid=sid, task=task)
