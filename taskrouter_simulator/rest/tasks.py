"""/v1/Workspaces/{WorkspaceSid}/Tasks."""

from collections.abc import Callable
from typing import Any

from taskrouter_simulator.engine import assignments, tasks, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Task, TaskStatus
from taskrouter_simulator.engine.routing import task_context
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import Form, iso

_MAX_PRIORITY = 2**31 - 1
_MAX_TIMEOUT = 1_209_600
_YEAR_1900 = -2_208_988_800


def render(call: Call, task: Task, *, attributes: bool = True) -> dict[str, Any]:
    """The resource as Twilio shows it; in a list without attributes."""
    workspace = call.workspace
    url = call.url(workspace.sid, "Tasks", task.sid)
    queue = workspace.queues.get(task.queue_sid or "")
    workflow = workspace.workflows.get(task.workflow_sid or "")
    links = {"workspace": call.url(workspace.sid), "reservations": f"{url}/Reservations"}
    if queue:
        links["task_queue"] = call.url(workspace.sid, "TaskQueues", queue.sid)
    if workflow:
        links["workflow"] = call.url(workspace.sid, "Workflows", workflow.sid)
    return {
        "account_sid": call.engine.account_sid,
        "age": int(call.engine.seconds_since(task.created)),
        "assignment_status": task.status.value,
        "attributes": task.attributes if attributes else None,
        "addons": "{}",
        "date_created": iso(task.created),
        "date_updated": iso(task.updated),
        "task_queue_entered_date": iso(task.queue_entered),
        "priority": task.priority,
        "reason": task.reason,
        "sid": task.sid,
        "task_queue_sid": task.queue_sid,
        "task_queue_friendly_name": queue.friendly_name if queue else None,
        "task_channel_sid": task.channel_sid,
        "task_channel_unique_name": workspace.channels[task.channel_sid].unique_name,
        "timeout": task.timeout,
        "workflow_sid": task.workflow_sid,
        "workflow_friendly_name": workflow.friendly_name if workflow else None,
        "workspace_sid": workspace.sid,
        "url": url,
        "links": links,
        "virtual_start_time": iso(task.virtual_start_time),
        "ignore_capacity": task.ignore_capacity,
        "routing_target": task.routing_target,
    }


def index(call: Call) -> Answer:
    """GET: list."""
    sort, descending = _ordering(call.query)
    return call.page(
        "tasks",
        call.workspace.tasks.values(),
        lambda task: render(call, task, attributes=False),
        keep=_filter(call),
        sort=lambda task: (-sort(task) if descending else sort(task), task.sequence),
    )


def create(call: Call) -> Answer:
    """POST: create; the answer shows the Task before it is routed."""
    form = call.form
    timeout = form.integer("Timeout", 1, _MAX_TIMEOUT)
    task = tasks.create(
        call.engine,
        call.workspace,
        attributes=form.attributes() or "{}",
        workflow_sid=form.sid("WorkflowSid", "WW"),
        priority=form.integer("Priority", 0, _MAX_PRIORITY),
        timeout=call.engine.settings.task_timeout if timeout is None else timeout,
        channel=form.text("TaskChannel") or "default",
        virtual_start_time=_virtual_start_time(call),
        routing_target=form.sid("RoutingTarget", "(WK|WQ|WW)"),
        ignore_capacity=form.boolean("IgnoreCapacity"),
        queue_sid=form.sid("TaskQueueSid", "WQ"),
    )
    return Answer(201, render(call, task), call.etag(task))


def fetch(call: Call) -> Answer:
    """GET: one."""
    task = _found(call)
    return Answer(200, render(call, task), call.etag(task))


def update(call: Call) -> Answer:
    """POST: change; a new status goes last, and takes the new attributes with it."""
    form, workspace, task = call.form, call.workspace, _found(call)
    call.require_match(task)
    status = form.choice("AssignmentStatus", TaskStatus)
    reason = form.text("Reason")
    changes: dict[str, Any] = {
        "attributes": form.attributes(),
        "priority": form.integer("Priority", 0, _MAX_PRIORITY),
        "channel": form.text("TaskChannel") or None,
        "virtual_start_time": _virtual_start_time(call),
    }
    if changes["channel"]:
        tasks.require_channel(workspace, changes["channel"])
    if status:
        assignments.set_status(call.engine, workspace, task, status, reason)
    if any(value is not None for value in changes.values()):
        tasks.update(call.engine, workspace, task, **changes)
    return Answer(200, render(call, task), call.etag(task))


def delete(call: Call) -> Answer:
    """DELETE: remove, whatever its status."""
    task = _found(call)
    call.require_match(task)
    assignments.delete(call.engine, call.workspace, task)
    return Answer(204)


def _found(call: Call) -> Task:
    return call.find(call.workspace.tasks, "sid")


def _virtual_start_time(call: Call) -> float | None:
    moment = call.form.moment("VirtualStartTime")
    if moment is not None and not _YEAR_1900 <= moment <= call.engine.now():
        raise BadRequest("VirtualStartTime must not be in the future or before the year 1900")
    return moment


def _filter(call: Call) -> Callable[[Task], bool]:
    query, workspace = call.query, call.workspace
    statuses = set(query.every("AssignmentStatus"))
    priority = query.integer("Priority", 0, _MAX_PRIORITY)
    expression = query.text("EvaluateTaskAttributes")
    workspaces.require_expression(expression or "")
    test = call.engine.compile(expression) if expression and expression.strip() else None

    def keep(task: Task) -> bool:
        workflow = workspace.workflows.get(task.workflow_sid or "")
        queue = workspace.queues.get(task.queue_sid or "")
        wanted = {
            "WorkflowSid": task.workflow_sid,
            "WorkflowName": workflow.friendly_name if workflow else None,
            "TaskQueueSid": task.queue_sid,
            "TaskQueueName": queue.friendly_name if queue else None,
            "RoutingTarget": task.routing_target,
        }
        return (
            all(query.text(name) in {None, value} for name, value in wanted.items())
            and (not statuses or task.status.value in statuses)
            and priority in {None, task.priority}
            and not query.boolean("HasAddons")
            and (test is None or test(task_context(task)))
        )

    return keep


def _ordering(query: Form) -> tuple[Callable[[Task], float], bool]:
    attributes: dict[str, Callable[[Task], float]] = {
        "DateCreated": lambda task: task.created,
        "Priority": lambda task: task.priority,
        "VirtualStartTime": lambda task: task.virtual_start_time,
    }
    name, _, direction = (query.text("Ordering") or "DateCreated:asc").partition(":")
    if name not in attributes or direction not in {"asc", "desc"}:
        raise BadRequest(
            "Ordering must be DateCreated, Priority or VirtualStartTime, :asc or :desc"
        )
    return attributes[name], direction == "desc"
