"""The overview that the page shows, made from the model.

Moments are seconds since the epoch, never ages: the overview stays the same, byte for byte, while
nothing happens, so that a poll can be answered with 304.
"""

from collections import Counter
from itertools import islice
from typing import Any

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.model import (
    HELD,
    Reservation,
    ReservationStatus,
    Task,
    TaskQueue,
    Worker,
    Workspace,
)
from taskrouter_simulator.engine.reservations import DEFAULT_TIMEOUT

MAX_TASKS = 1000
MAX_ENDED_RESERVATIONS = 200
MAX_LOG = 100
CALLBACKS = frozenset({"assignment", "fallback", "event", "twiml"})

Json = dict[str, Any]


def overview(engine: Engine, log: list[Json], workspace_sid: str | None = None) -> Json:
    """Everything that the page shows of one Workspace.

    Args:
        engine: the engine.
        log: the log's entries, oldest first.
        workspace_sid: which Workspace; the first one if None, or if it is gone.

    Returns:
        JSON: the newest Tasks, Reservations, callbacks and alerts first, all others in order of
        creation. Of what can grow without end only the newest are there, with the number of all.
    """
    workspaces = engine.workspaces
    chosen = workspaces.get(workspace_sid or "") or next(iter(workspaces.values()), None)
    return {
        "workspaces": [_named(one) for one in workspaces.values()],
        "clock_frozen": engine.settings.frozen_clock,
        "workspace": _workspace(engine, chosen) if chosen else None,
        **_newest("callbacks", [one for one in log if one["kind"] in CALLBACKS]),
        **_newest("alerts", [one for one in log if one["kind"] == "alert"]),
    }


def _workspace(engine: Engine, workspace: Workspace) -> Json:
    return {
        **_named(workspace),
        "activities": [
            {**_named(one), "available": one.available} for one in workspace.activities.values()
        ],
        "workflows": [_named(one) for one in workspace.workflows.values()],
        "workers": [_worker(one) for one in workspace.workers.values()],
        "task_queues": _task_queues(engine, workspace),
        "tasks": _tasks(workspace),
        "tasks_total": len(workspace.tasks),
        "reservations": _reservations(workspace),
        "reservations_total": len(workspace.reservations),
    }


def _named(one: Any) -> Json:
    return {"sid": one.sid, "name": one.friendly_name}


def _worker(worker: Worker) -> Json:
    return {
        **_named(worker),
        "attributes": worker.attributes,
        "activity_sid": worker.activity_sid,
        "activity_changed": worker.activity_changed,
        "tasks": len(worker.held),
    }


def _task_queues(engine: Engine, workspace: Workspace) -> list[Json]:
    tasks = Counter((task.queue_sid, task.status.value) for task in workspace.tasks.values())
    return [_task_queue(engine, workspace, one, tasks) for one in workspace.queues.values()]


def _task_queue(
    engine: Engine, workspace: Workspace, queue: TaskQueue, tasks: "Counter[tuple[str | None, str]]"
) -> Json:
    members = workers.members(engine, workspace, queue)
    return {
        **_named(queue),
        "target_workers": queue.target_workers,
        "workers": len(members),
        "available_workers": sum(workspace.is_available(one) for one in members),
        "tasks": {status: n for (sid, status), n in tasks.items() if sid == queue.sid},
    }


def _tasks(workspace: Workspace) -> list[Json]:
    takers: dict[str, list[str]] = {}
    for one in workspace.reservations.values():
        if one.status in HELD or one.status is ReservationStatus.COMPLETED:
            takers.setdefault(one.task_sid, []).append(one.worker_name)
    newest = islice(reversed(workspace.tasks.values()), MAX_TASKS)
    return [_task(workspace, one, takers.get(one.sid, [])) for one in newest]


def _task(workspace: Workspace, task: Task, takers: list[str]) -> Json:
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
        "workers": takers,
    }


def _name(resources: Any, sid: str | None) -> str | None:
    found = resources.get(sid or "")
    return found.friendly_name if found else None


def _reservations(workspace: Workspace) -> list[Json]:
    """All that wait for an answer or are being worked on, and the newest of the others."""
    shown = []
    ended = 0
    for one in reversed(workspace.reservations.values()):
        ended += one.status not in HELD
        if one.status in HELD or ended <= MAX_ENDED_RESERVATIONS:
            shown.append(_reservation(workspace, one))
    return shown


def _reservation(workspace: Workspace, reservation: Reservation) -> Json:
    workflow = workspace.workflows.get(reservation.workflow_sid or "")
    lifetime = workflow.task_reservation_timeout if workflow else DEFAULT_TIMEOUT
    return {
        "sid": reservation.sid,
        "status": reservation.status.value,
        "task_sid": reservation.task_sid,
        "worker_sid": reservation.worker_sid,
        "worker": reservation.worker_name,
        "queue": _name(workspace.queues, reservation.queue_sid),
        "created": reservation.created,
        "updated": reservation.updated,
        "expires": reservation.created + lifetime,
    }


def _newest(name: str, entries: list[Json]) -> Json:
    newest = islice(reversed(entries), MAX_LOG)
    return {name: list(newest), f"{name}_total": len(entries)}
