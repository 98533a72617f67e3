"""/v1/Workspaces/{WorkspaceSid}/TaskQueues."""

from typing import Any

from taskrouter_simulator.engine import workers, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import TaskQueue
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import iso
from taskrouter_simulator.rest.workspaces import QueueOrder


def render(call: Call, queue: TaskQueue) -> dict[str, Any]:
    """The resource as Twilio shows it."""
    workspace = call.workspace
    every, url = (
        call.url(workspace.sid, "TaskQueues"),
        call.url(workspace.sid, "TaskQueues", queue.sid),
    )
    activities = {
        "assignment_activity": workspace.activities.get(queue.assignment_activity_sid or ""),
        "reservation_activity": workspace.activities.get(queue.reservation_activity_sid or ""),
    }
    shown: dict[str, str | None] = {}
    links = {}
    for name, activity in activities.items():
        shown[f"{name}_sid"] = activity.sid if activity else None
        shown[f"{name}_name"] = activity.friendly_name if activity else None
        if activity:
            links[name] = call.url(workspace.sid, "Activities", activity.sid)
    return {
        "account_sid": call.engine.account_sid,
        **shown,
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
            "workspace": call.url(workspace.sid),
            "statistics": f"{url}/Statistics",
            "real_time_statistics": f"{url}/RealTimeStatistics",
            "cumulative_statistics": f"{url}/CumulativeStatistics",
            "list_statistics": f"{every}/Statistics",
            "bulk_real_time_statistics": f"{every}/RealTimeStatistics",
        },
    }


def index(call: Call) -> Answer:
    """GET: list."""
    workspace, name = call.workspace, call.query.text("FriendlyName")
    worker = workspace.workers.get(call.query.text("WorkerSid") or "")
    by_worker = "WorkerSid" in call.query
    return call.page(
        "task_queues",
        workspace.queues.values(),
        lambda queue: render(call, queue),
        keep=lambda queue: (
            name in {None, queue.friendly_name}
            and (
                not by_worker
                or bool(worker and workers.is_member(call.engine, workspace, queue, worker))
            )
        ),
    )


def create(call: Call) -> Answer:
    """POST: create."""
    form = call.form
    target_workers = form.text("TargetWorkers")
    queue = workspaces.add_queue(
        call.engine,
        call.workspace,
        friendly_name=form.required("FriendlyName"),
        target_workers="1==1" if target_workers is None else target_workers,
        reservation_activity_sid=form.sid("ReservationActivitySid", "WA"),
        assignment_activity_sid=form.sid("AssignmentActivitySid", "WA"),
        max_reserved_workers=form.integer("MaxReservedWorkers", 1, 50) or 1,
        task_order=form.choice("TaskOrder", QueueOrder) or QueueOrder.FIFO,
    )
    return Answer(201, render(call, queue))


def fetch(call: Call) -> Answer:
    """GET: one."""
    return Answer(200, render(call, _found(call)))


def update(call: Call) -> Answer:
    """POST: change."""
    form, workspace, queue = call.form, call.workspace, _found(call)
    name = form.text("FriendlyName") or queue.friendly_name
    if any(one.friendly_name == name and one is not queue for one in workspace.queues.values()):
        raise BadRequest(f"TaskQueue {name} already exists in this workspace")
    target_workers = form.text("TargetWorkers")
    workspaces.require_expression(target_workers or "")
    reservation, assignment = (
        workers.require_activity(workspace, sid).sid if sid else None
        for sid in (
            form.sid("ReservationActivitySid", "WA"),
            form.sid("AssignmentActivitySid", "WA"),
        )
    )
    most = form.integer("MaxReservedWorkers", 1, 50)
    order = form.choice("TaskOrder", QueueOrder)
    queue.friendly_name = name
    queue.reservation_activity_sid = reservation or queue.reservation_activity_sid
    queue.assignment_activity_sid = assignment or queue.assignment_activity_sid
    queue.max_reserved_workers = most or queue.max_reserved_workers
    queue.task_order = order or queue.task_order
    call.engine.touch(queue)
    if target_workers is not None:
        queue.target_workers = target_workers
        workspaces.publish_queue(call.engine, workspace, queue, "expression.updated")
    call.engine.schedule_routing(workspace)
    return Answer(200, render(call, queue))


def delete(call: Call) -> Answer:
    """DELETE: remove, unless it is in use."""
    workspaces.delete_queue(call.engine, call.workspace, _found(call))
    return Answer(204)


def _found(call: Call) -> TaskQueue:
    return call.find(call.workspace.queues, "sid")
