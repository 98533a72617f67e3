"""Handlers for /v1/Workspaces/{WorkspaceSid}/Workers."""

from collections.abc import Callable, Mapping
from typing import Any

from taskrouter_simulator.engine import reservations, workers
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import ReservationStatus, Worker
from taskrouter_simulator.engine.names import WORKERS
from taskrouter_simulator.engine.workers import expression_context
from taskrouter_simulator.rest.pages import SortKey, parse_ordering
from taskrouter_simulator.rest.request import Request, Response, iso

_SORT_KEYS: Mapping[str, SortKey] = {
    "DateCreated": lambda worker: worker.created,
    "DateUpdated": lambda worker: worker.updated,
    "DateStatusChanged": lambda worker: worker.activity_changed,
    "FriendlyName": lambda worker: worker.friendly_name,
}
"""Twilio documents the Ordering parameter, but not the attributes for sorting Workers."""


def render(request: Request, worker: Worker) -> dict[str, Any]:
    """Return a Worker as JSON."""
    workspace = request.workspace
    activity = workspace.activities[worker.activity_sid]
    collection = request.url(workspace.sid, "Workers")
    url = f"{collection}/{worker.sid}"
    return {
        "account_sid": request.engine.account_sid,
        "activity_name": activity.friendly_name,
        "activity_sid": activity.sid,
        "attributes": worker.attributes,
        "available": activity.available,
        "date_created": iso(worker.created),
        "date_status_changed": iso(worker.activity_changed),
        "date_updated": iso(worker.updated),
        "friendly_name": worker.friendly_name,
        "sid": worker.sid,
        "workspace_sid": workspace.sid,
        "url": url,
        "links": {
            "channels": f"{url}/Channels",
            "activity": request.url(workspace.sid, "Activities", activity.sid),
            "workspace": request.url(workspace.sid),
            "statistics": f"{collection}/Statistics",
            "real_time_statistics": f"{collection}/RealTimeStatistics",
            "cumulative_statistics": f"{collection}/CumulativeStatistics",
            "worker_statistics": f"{url}/Statistics",
            "worker_channels": f"{url}/Channels",
            "reservations": f"{url}/Reservations",
        },
    }


def _render_without_attributes(request: Request, worker: Worker) -> dict[str, Any]:
    return {**render(request, worker), "attributes": None}


def index(request: Request) -> Response:
    """List Workers, optionally filtered by name, Activity, TaskQueue or expression, and sorted."""
    has_attributes = request.engine.settings.worker_lists_have_attributes
    return request.page(
        "workers",
        request.workspace.workers.values(),
        render if has_attributes else _render_without_attributes,
        keep=_filter(request),
        ordering=parse_ordering(request.query.text("Ordering"), _SORT_KEYS),
    )


def create(request: Request) -> Response:
    """Create a Worker."""
    name = request.form.required("FriendlyName", max_length=64)
    workers.require_free_name(request.workspace, name)
    worker = workers.create(
        request.engine,
        request.workspace,
        friendly_name=name,
        attributes=request.form.attributes() or "{}",
        activity_sid=request.form.sid("ActivitySid", "WA"),
    )
    return Response(201, render(request, worker), worker.version)


def fetch(request: Request) -> Response:
    """Fetch a Worker."""
    worker = _find(request)
    return Response(200, render(request, worker), worker.version)


def update(request: Request) -> Response:
    """Update a Worker; `RejectPendingReservations` rejects pending Reservations."""
    workspace, worker, form = request.workspace, _find(request), request.form
    request.require_match(worker)
    attributes = form.attributes()
    name = form.text("FriendlyName", allow_empty=False, max_length=64) or worker.friendly_name
    if name.casefold() != worker.friendly_name.casefold():
        workers.require_free_name(workspace, name)
    activity_sid = form.sid("ActivitySid", "WA")
    activity = workers.require_activity(workspace, activity_sid) if activity_sid else None
    reject_pending = form.boolean("RejectPendingReservations")
    if reject_pending and (activity is None or activity.available):
        raise BadRequest(
            "Unable to reject pending reservations when updating to an Available activity state."
        )
    version = worker.version
    worker.friendly_name = name
    if attributes is not None:
        workers.set_attributes(request.engine, workspace, worker, attributes)
    if activity:
        workers.set_activity(request.engine, workspace, worker, activity.sid)
    if reject_pending:
        _reject_pending(request, worker)
    if worker.version == version:
        request.engine.touch(worker)
    return Response(200, render(request, worker), worker.version)


def delete(request: Request) -> Response:
    """Delete a Worker who is not available and has no open Reservations."""
    worker = _find(request)
    request.require_match(worker)
    workers.delete(request.engine, request.workspace, worker)
    return Response(204)


def _find(request: Request) -> Worker:
    return request.find(request.workspace.workers, "sid")


def _reject_pending(request: Request, worker: Worker) -> None:
    workspace = request.workspace
    for reservation in list(worker.held.values()):
        if reservation.status is ReservationStatus.PENDING:
            reservations.reject(request.engine, workspace, reservation, worker.activity_sid)


def _filter(request: Request) -> Callable[[Worker], bool]:
    query, workspace = request.query, request.workspace
    predicate = request.predicate("TargetWorkersExpression", WORKERS)
    matches_name_and_queue = name_and_queue_filter(request)
    activity_name, activity_sid = query.text("ActivityName"), query.sid("ActivitySid", "WA")
    available = query.boolean("Available", others_are_false=True)

    def keep(worker: Worker) -> bool:
        activity = workspace.activities[worker.activity_sid]
        return (
            activity_name in {None, activity.friendly_name}
            and activity_sid in {None, activity.sid}
            and available in {None, activity.available}
            and (predicate is None or predicate(expression_context(workspace, worker)))
            and matches_name_and_queue(worker)
        )

    return keep


def name_and_queue_filter(request: Request) -> Callable[[Worker], bool]:
    """Return the filter for FriendlyName, TaskQueueSid and TaskQueueName."""
    query, engine, workspace = request.query, request.engine, request.workspace
    queue_sid, queue_name = query.sid("TaskQueueSid", "WQ"), query.text("TaskQueueName")
    selected = [
        queue
        for queue in workspace.queues.values()
        if queue_sid == queue.sid or queue_name == queue.friendly_name
    ]
    filters_by_queue = not (queue_sid is None and queue_name is None)
    name = query.text("FriendlyName")
    return lambda worker: (
        (name is None or name.casefold() == worker.friendly_name.casefold())
        and (
            not filters_by_queue
            or any(workers.is_member(engine, workspace, queue, worker) for queue in selected)
        )
    )
