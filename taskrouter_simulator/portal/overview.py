"""The overview shown on the portal's page, built from the engine and the log.

Times are absolute (seconds since the epoch). The overview is therefore byte-identical while nothing
changes, and the response to a poll can be a 304.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.model import (
    HELD,
    Activity,
    Reservation,
    ReservationStatus,
    Task,
    TaskQueue,
    Worker,
    Workflow,
    Workspace,
)
from taskrouter_simulator.engine.reservations import DEFAULT_TIMEOUT

MAX_TASKS = 1000
MAX_ENDED_RESERVATIONS = 200
MAX_ENTRIES_PER_KIND = 100
CALLBACKS = ("assignment", "fallback", "event", "twiml", "status")

Json = dict[str, Any]
NamedResource = Activity | TaskQueue | Worker | Workflow | Workspace


def build_overview(engine: Engine, log: list[Json], workspace_sid: str | None = None) -> Json:
    """Return all data that the portal page shows about a Workspace.

    Args:
        engine: The engine.
        log: Entries of the log, oldest first.
        workspace_sid: The WS… SID. None or an unknown SID means the first Workspace.

    Returns:
        A JSON object. Tasks, Reservations, callbacks and alerts are ordered newest first. These
        lists contain only the newest Tasks, alerts and callbacks of each kind, the newest ended
        Reservations, and all open Reservations. Properties such as `tasks_total` contain the total
        numbers. All other lists are complete and ordered oldest first.
    """
    workspaces = engine.workspaces
    chosen = workspaces.get(workspace_sid or "") or next(iter(workspaces.values()), None)
    return {
        "workspaces": [_sid_and_name(workspace) for workspace in workspaces.values()],
        "clock_frozen": engine.settings.frozen_clock,
        "workspace": _workspace(engine, chosen) if chosen else None,
        **_log_entries(log),
    }


def _workspace(engine: Engine, workspace: Workspace) -> Json:
    return {
        **_sid_and_name(workspace),
        "activities": [
            {**_sid_and_name(activity), "available": activity.available}
            for activity in workspace.activities.values()
        ],
        "workflows": [_sid_and_name(workflow) for workflow in workspace.workflows.values()],
        "workers": [_worker(worker) for worker in workspace.workers.values()],
        "task_queues": _task_queues(engine, workspace),
        "tasks": _tasks(workspace),
        "tasks_total": len(workspace.tasks),
        "reservations": _reservations(workspace),
        "reservations_total": len(workspace.reservations),
    }


def _sid_and_name(resource: NamedResource) -> Json:
    return {"sid": resource.sid, "name": resource.friendly_name}


def _worker(worker: Worker) -> Json:
    return {
        **_sid_and_name(worker),
        "attributes": worker.attributes,
        "activity_sid": worker.activity_sid,
        "activity_changed": worker.activity_changed,
        "tasks": len(worker.held),
    }


def _task_queues(engine: Engine, workspace: Workspace) -> list[Json]:
    tasks = Counter((task.queue_sid, task.status.value) for task in workspace.tasks.values())
    return [_task_queue(engine, workspace, queue, tasks) for queue in workspace.queues.values()]


def _task_queue(
    engine: Engine, workspace: Workspace, queue: TaskQueue, tasks: "Counter[tuple[str | None, str]]"
) -> Json:
    members = workers.members(engine, workspace, queue)
    return {
        **_sid_and_name(queue),
        "target_workers": queue.target_workers,
        "workers": len(members),
        "available_workers": sum(workspace.is_available(worker) for worker in members),
        "tasks": {status: count for (sid, status), count in tasks.items() if sid == queue.sid},
    }


def _tasks(workspace: Workspace) -> list[Json]:
    worker_names: dict[str, list[str]] = {}
    for reservation in workspace.reservations.values():
        if reservation.status in HELD or reservation.status is ReservationStatus.COMPLETED:
            worker_names.setdefault(reservation.task_sid, []).append(reservation.worker_name)
    newest = islice(reversed(workspace.tasks.values()), MAX_TASKS)
    return [_task(workspace, task, worker_names.get(task.sid, [])) for task in newest]


def _task(workspace: Workspace, task: Task, worker_names: list[str]) -> Json:
    return {
        "sid": task.sid,
        "status": task.status.value,
        "reason": task.reason,
        "attributes": task.attributes,
        "priority": task.priority,
        "created": task.created,
        "updated": task.updated,
        "timeout": task.timeout,
        "queue": _name(workspace.queues, task.queue_sid),
        "workflow": _name(workspace.workflows, task.workflow_sid),
        "channel": workspace.channels[task.channel_sid].unique_name,
        "workers": worker_names,
    }


def _name(resources: Mapping[str, TaskQueue | Workflow], sid: str | None) -> str | None:
    resource = resources.get(sid or "")
    return resource.friendly_name if resource else None


def _reservations(workspace: Workspace) -> list[Json]:
    """Return all open Reservations and the newest ended Reservations."""
    shown = []
    ended = 0
    for reservation in reversed(workspace.reservations.values()):
        ended += reservation.status not in HELD
        if reservation.status in HELD or ended <= MAX_ENDED_RESERVATIONS:
            shown.append(_reservation(workspace, reservation))
    return shown


def _reservation(workspace: Workspace, reservation: Reservation) -> Json:
    workflow = workspace.workflows.get(reservation.workflow_sid or "")
    timeout = workflow.task_reservation_timeout if workflow else DEFAULT_TIMEOUT
    return {
        "sid": reservation.sid,
        "status": reservation.status.value,
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "worker": reservation.worker_name,
        "queue": _name(workspace.queues, reservation.queue_sid),
        "created": reservation.created,
        "updated": reservation.updated,
        "expires": reservation.created + timeout,
    }


def _log_entries(log: list[Json]) -> Json:
    """Return the newest callbacks and alerts, and their total numbers.

    Each kind of callback has its own limit, so that events do not displace assignments.
    """
    totals: Counter[str] = Counter()
    newest = []
    for entry in reversed(log):
        totals[entry["kind"]] += 1
        if totals[entry["kind"]] <= MAX_ENTRIES_PER_KIND:
            newest.append(entry)
    return {
        "callbacks": [entry for entry in newest if entry["kind"] in CALLBACKS],
        "callbacks_total": sum(totals[kind] for kind in CALLBACKS),
        "callbacks_by_kind": {kind: totals[kind] for kind in CALLBACKS},
        "alerts": [entry for entry in newest if entry["kind"] == "alert"],
        "alerts_total": totals["alert"],
    }
