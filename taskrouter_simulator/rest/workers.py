"""/v1/Workspaces/{WorkspaceSid}/Workers."""

from collections.abc import Callable
from typing import Any

from taskrouter_simulator.engine import reservations, workers, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import ReservationStatus, Worker
from taskrouter_simulator.engine.workers import expression_context
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import iso


def render(call: Call, worker: Worker) -> dict[str, Any]:
    """The resource as Twilio shows it."""
    workspace = call.workspace
    activity = workspace.activities[worker.activity_sid]
    every, url = call.url(workspace.sid, "Workers"), call.url(workspace.sid, "Workers", worker.sid)
    return {
        "account_sid": call.engine.account_sid,
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
            "activity": call.url(workspace.sid, "Activities", activity.sid),
            "workspace": call.url(workspace.sid),
            "statistics": f"{every}/Statistics",
            "real_time_statistics": f"{every}/RealTimeStatistics",
            "cumulative_statistics": f"{every}/CumulativeStatistics",
            "worker_statistics": f"{url}/Statistics",
            "worker_channels": f"{url}/Channels",
            "reservations": f"{url}/Reservations",
        },
    }


def index(call: Call) -> Answer:
    """GET: list."""
    return call.page(
        "workers",
        call.workspace.workers.values(),
        lambda worker: render(call, worker),
        keep=_filter(call),
    )


def create(call: Call) -> Answer:
    """POST: create."""
    worker = workers.create(
        call.engine,
        call.workspace,
        friendly_name=call.form.required("FriendlyName", longest=64),
        attributes=call.form.attributes() or "{}",
        activity_sid=call.form.sid("ActivitySid", "WA"),
    )
    return Answer(201, render(call, worker), call.etag(worker))


def fetch(call: Call) -> Answer:
    """GET: one."""
    worker = _found(call)
    return Answer(200, render(call, worker), call.etag(worker))


def update(call: Call) -> Answer:
    """POST: Activity, attributes, name."""
    workspace, worker, form = call.workspace, _found(call), call.form
    call.require_match(worker)
    attributes = form.attributes()
    name = form.text("FriendlyName", longest=64) or worker.friendly_name
    if name != worker.friendly_name:
        workers.require_free_name(workspace, name)
    activity_sid = form.sid("ActivitySid", "WA")
    activity = workers.require_activity(workspace, activity_sid) if activity_sid else None
    rejects = form.boolean("RejectPendingReservations")
    if rejects and (activity is None or activity.available):
        raise BadRequest(
            "Unable to reject pending reservations when updating to an Available activity state."
        )
    worker.friendly_name = name
    if attributes is not None:
        workers.set_attributes(call.engine, workspace, worker, attributes)
    if activity:
        workers.set_activity(call.engine, workspace, worker, activity.sid)
    if rejects:
        _reject_all(call, worker)
    call.engine.touch(worker)
    return Answer(200, render(call, worker), call.etag(worker))


def delete(call: Call) -> Answer:
    """DELETE: remove."""
    worker = _found(call)
    call.require_match(worker)
    workers.delete(call.engine, call.workspace, worker)
    return Answer(204)


def _found(call: Call) -> Worker:
    return call.find(call.workspace.workers, "sid")


def _reject_all(call: Call, worker: Worker) -> None:
    workspace = call.workspace
    for reservation in list(worker.held.values()):
        if reservation.status is ReservationStatus.PENDING:
            reservations.reject(call.engine, workspace, reservation, worker.activity_sid)


def _filter(call: Call) -> Callable[[Worker], bool]:
    query, workspace = call.query, call.workspace
    expression = query.text("TargetWorkersExpression")
    workspaces.require_expression(expression or "")
    named = [
        queue
        for queue in workspace.queues.values()
        if queue.sid == query.text("TaskQueueSid")
        or queue.friendly_name == query.text("TaskQueueName")
    ]
    by_queue = "TaskQueueSid" in query or "TaskQueueName" in query
    test = call.engine.compile(expression) if expression and expression.strip() else None

    def keep(worker: Worker) -> bool:
        activity = workspace.activities[worker.activity_sid]
        wanted = {
            "ActivityName": activity.friendly_name,
            "ActivitySid": activity.sid,
            "FriendlyName": worker.friendly_name,
        }
        return (
            all(query.text(name) in {None, value} for name, value in wanted.items())
            and query.boolean("Available") in {None, activity.available}
            and (test is None or test(expression_context(workspace, worker)))
            and (
                not by_queue
                or any(workers.is_member(call.engine, workspace, one, worker) for one in named)
            )
        )

    return keep
