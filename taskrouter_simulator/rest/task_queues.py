"""Handlers for /v1/Workspaces/{WorkspaceSid}/TaskQueues."""

from collections.abc import Callable, Mapping
from typing import Any

from taskrouter_simulator.engine import workers, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import TaskQueue
from taskrouter_simulator.engine.names import WORKERS
from taskrouter_simulator.rest.pages import SortKey, parse_ordering
from taskrouter_simulator.rest.request import Request, Response, iso
from taskrouter_simulator.rest.workspaces import QueueOrder

_SORT_KEYS: Mapping[str, SortKey] = {
    "DateCreated": lambda queue: queue.created,
    "DateUpdated": lambda queue: queue.updated,
    "FriendlyName": lambda queue: queue.friendly_name,
}
"""Twilio documents the Ordering parameter, but not the attributes for sorting TaskQueues."""


def render(request: Request, queue: TaskQueue) -> dict[str, Any]:
    """Return a TaskQueue as JSON."""
    workspace = request.workspace
    collection = request.url(workspace.sid, "TaskQueues")
    url = f"{collection}/{queue.sid}"
    activities = {
        "assignment_activity": workspace.activities.get(queue.assignment_activity_sid or ""),
        "reservation_activity": workspace.activities.get(queue.reservation_activity_sid or ""),
    }
    fields: dict[str, str | None] = {}
    links = {}
    for name, activity in activities.items():
        fields[f"{name}_sid"] = activity.sid if activity else None
        fields[f"{name}_name"] = activity.friendly_name if activity else None
        if activity:
            links[name] = request.url(workspace.sid, "Activities", activity.sid)
    return {
        "account_sid": request.engine.account_sid,
        **fields,
        "date_created": iso(queue.created),
        "date_updated": iso(queue.updated),
        "friendly_name": queue.friendly_name,
        "max_reserved_workers": queue.max_reserved_workers,
        "sid": queue.sid,
        "target_workers": queue.target_workers,
        "task_order": queue.task_order,
        "url": url,
        "workspace_sid": workspace.sid,
        "links": {
            **links,
            "workspace": request.url(workspace.sid),
            "statistics": f"{url}/Statistics",
            "real_time_statistics": f"{url}/RealTimeStatistics",
            "cumulative_statistics": f"{url}/CumulativeStatistics",
            "list_statistics": f"{collection}/Statistics",
            "bulk_real_time_statistics": f"{collection}/RealTimeStatistics",
        },
    }


def index(request: Request) -> Response:
    """List TaskQueues, optionally filtered by name or by matching Workers, and sorted."""
    return request.page(
        "task_queues",
        request.workspace.queues.values(),
        render,
        keep=_filter(request),
        ordering=parse_ordering(request.query.text("Ordering"), _SORT_KEYS),
    )


def create(request: Request) -> Response:
    """Create a TaskQueue."""
    form = request.form
    target_workers = form.text("TargetWorkers")
    queue = workspaces.add_queue(
        request.engine,
        request.workspace,
        friendly_name=form.required("FriendlyName"),
        target_workers="1==1" if target_workers is None else target_workers,
        reservation_activity_sid=form.sid("ReservationActivitySid", "WA"),
        assignment_activity_sid=form.sid("AssignmentActivitySid", "WA"),
        max_reserved_workers=form.integer("MaxReservedWorkers", 1, 50) or 1,
        task_order=form.choice("TaskOrder", QueueOrder) or QueueOrder.FIFO,
    )
    return Response(201, render(request, queue))


def fetch(request: Request) -> Response:
    """Fetch a TaskQueue."""
    return Response(200, render(request, _find(request)))


def update(request: Request) -> Response:
    """Update a TaskQueue."""
    form, workspace, queue = request.form, request.workspace, _find(request)
    name = form.text("FriendlyName", allow_empty=False) or queue.friendly_name
    other_queues = (item for item in workspace.queues.values() if item is not queue)
    if any(item.friendly_name == name for item in other_queues):
        raise BadRequest(f"TaskQueue {name} already exists in this workspace")
    target_workers = form.text("TargetWorkers")
    workspaces.require_expression(
        request.engine, workspace, target_workers or "", WORKERS, "TargetWorkers"
    )
    reservation, assignment = (
        request.activity_sid("ReservationActivitySid"),
        request.activity_sid("AssignmentActivitySid"),
    )
    max_reserved = form.integer("MaxReservedWorkers", 1, 50)
    order = form.choice("TaskOrder", QueueOrder)
    queue.friendly_name = name
    queue.reservation_activity_sid = reservation or queue.reservation_activity_sid
    queue.assignment_activity_sid = assignment or queue.assignment_activity_sid
    queue.max_reserved_workers = max_reserved or queue.max_reserved_workers
    queue.task_order = order or queue.task_order
    request.engine.touch(queue)
    if target_workers is not None:
        queue.target_workers = target_workers
        workspaces.publish_queue(request.engine, workspace, queue, "expression.updated")
    request.engine.schedule_routing(workspace)
    return Response(200, render(request, queue))


def delete(request: Request) -> Response:
    """Delete a TaskQueue, unless it is in use."""
    workspaces.delete_queue(request.engine, request.workspace, _find(request))
    return Response(204)


def _find(request: Request) -> TaskQueue:
    return request.find(request.workspace.queues, "sid")


def _filter(request: Request) -> Callable[[TaskQueue], bool]:
    engine, workspace, query = request.engine, request.workspace, request.query
    name, worker_sid = query.text("FriendlyName"), query.sid("WorkerSid", "WK")
    predicate = request.predicate("EvaluateWorkerAttributes", WORKERS)
    selected = [
        worker
        for worker in workspace.workers.values()
        if worker_sid in {None, worker.sid}
        and (predicate is None or predicate(workers.expression_context(workspace, worker)))
    ]
    filters_by_worker = worker_sid is not None or predicate is not None

    def keep(queue: TaskQueue) -> bool:
        return name in {None, queue.friendly_name} and (
            not filters_by_worker
            or any(workers.is_member(engine, workspace, queue, worker) for worker in selected)
        )

    return keep
