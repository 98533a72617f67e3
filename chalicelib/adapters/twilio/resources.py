"""Converts the SDK's TaskRouter resources, except Reservations and Events, to domain objects.

If a resource is malformed or does not have the requested SIDs, its conversion raises BadRequest or
one of the errors in `chalicelib.adapters.exchange.PARSE_ERRORS`.
"""

from typing import Any

from chalicelib.domain.callbacks import MAX_NAME_LENGTH
from chalicelib.domain.sids import checked_sid
from chalicelib.domain.statistics import (
    MAX_ACTIVITIES,
    ActivityCount,
    WaitingTask,
    WorkspaceStatistics,
)
from chalicelib.domain.tasks import CreatedTask, FoundTask
from chalicelib.domain.workers import Activity, WorkerActivity


def to_task(task: Any) -> CreatedTask:
    """Convert a Task."""
    match (task.attributes, task.workflow_sid, task.task_queue_sid, task.priority):
        case (str(), str() | None, str() | None, int() | None):
            return CreatedTask(
                sid=checked_sid(task.sid, "WT", "sid"),
                attributes=task.attributes,
                assignment_status=str(task.assignment_status),
                workflow_sid=task.workflow_sid,
                task_queue_sid=task.task_queue_sid,
                priority=task.priority,
            )
    raise TypeError("A field of the Task has the wrong type.")


def to_found_task(task: Any, *, sid: str) -> FoundTask:
    """Convert a Task that must have the given SID (WT…)."""
    if task.sid != sid:
        raise ValueError("TaskRouter returned a different Task.")
    task_channel = (task.task_channel_sid, task.task_channel_unique_name)
    return FoundTask(to_task(task), timeout=task.timeout, task_channel=task_channel)


def to_activity(activity: Any) -> Activity:
    """Convert an Activity."""
    match (activity.friendly_name, activity.available):
        case (str(name), bool(is_available)):
            return Activity(checked_sid(activity.sid, "WA", "sid"), name, is_available)
    raise TypeError("A field of the Activity has the wrong type.")


def to_worker(worker: Any, **requested: str) -> WorkerActivity:
    """Convert a Worker; raise an error unless its SIDs are valid and as requested."""
    names = (worker.friendly_name, worker.activity_name)
    is_other = any(getattr(worker, key) != sid for key, sid in requested.items())
    if is_other or not all(isinstance(name, str) for name in names):
        raise ValueError("TaskRouter returned a malformed or different Worker.")
    changed_at = worker.date_status_changed or worker.date_updated
    return WorkerActivity(
        worker_sid=worker.sid,
        worker_name=worker.friendly_name[:MAX_NAME_LENGTH],
        activity_sid=checked_sid(worker.activity_sid, "WA", "activity_sid"),
        activity_name=worker.activity_name[:MAX_NAME_LENGTH],
        changed_at=int(changed_at.timestamp()) * 1000,
    )


def to_statistics(statistics: Any, *, workspace_sid: str) -> WorkspaceStatistics:
    """Convert the real-time statistics of a Workspace.

    https://www.twilio.com/docs/taskrouter/api/workspace-statistics
    """
    if statistics.workspace_sid != workspace_sid:
        raise ValueError("TaskRouter returned the statistics of a different Workspace.")
    waiting = None
    if statistics.longest_task_waiting_sid:
        task_sid = checked_sid(statistics.longest_task_waiting_sid, "WT", "task_sid")
        age_seconds = _whole_number(statistics.longest_task_waiting_age)
        waiting = WaitingTask(task_sid, age_seconds)
    return WorkspaceStatistics(
        oldest_waiting=waiting,
        workers_by_activity=tuple(
            ActivityCount(
                activity_sid=checked_sid(each["sid"], "WA", "sid"),
                activity_name=str(each["friendly_name"])[:MAX_NAME_LENGTH],
                workers=_whole_number(each["workers"]),
            )
            for each in (statistics.activity_statistics or ())[:MAX_ACTIVITIES]
        ),
    )


def _whole_number(value: Any) -> int:
    """Convert a nonnegative number. Twilio's documentation shows some numbers as strings."""
    number = int(value)
    if number < 0:
        raise ValueError("TaskRouter returned a negative number.")
    return number
