"""Handlers for /v1/Workspaces/{WorkspaceSid}/Tasks."""

from collections.abc import Callable, Mapping
from typing import Any

from taskrouter_simulator.engine import assignments, tasks
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import CLOSED, Task, TaskStatus
from taskrouter_simulator.engine.names import TASKS
from taskrouter_simulator.engine.requirements import task_context
from taskrouter_simulator.rest.pages import Ordering, SortKey, parse_ordering
from taskrouter_simulator.rest.request import Request, Response, iso

_MAX_PRIORITY = 2**31 - 1
_MAX_TIMEOUT = 1_209_600
_YEAR_1900 = -2_208_988_800
_SET_SEPARATELY = {TaskStatus.WRAPPING, TaskStatus.COMPLETED}
"""Statuses that Twilio does not allow in a request that also sets Attributes:
https://www.twilio.com/docs/taskrouter/api/task.
"""
_SORT_KEYS: Mapping[str, SortKey] = {
    "DateCreated": lambda task: task.created,
    "Priority": lambda task: task.priority,
    "VirtualStartTime": lambda task: task.virtual_start_time,
}


def render(request: Request, task: Task) -> dict[str, Any]:
    """Return a Task as JSON."""
    workspace = request.workspace
    url = request.url(workspace.sid, "Tasks", task.sid)
    queue = workspace.queues.get(task.queue_sid or "")
    workflow = workspace.workflows.get(task.workflow_sid or "")
    links = {"workspace": request.url(workspace.sid), "reservations": f"{url}/Reservations"}
    if queue:
        links["task_queue"] = request.url(workspace.sid, "TaskQueues", queue.sid)
    if workflow:
        links["workflow"] = request.url(workspace.sid, "Workflows", workflow.sid)
    return {
        "account_sid": request.engine.account_sid,
        "age": int(request.engine.seconds_since(task.created)),
        "assignment_status": task.status.value,
        "attributes": task.attributes,
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


def _render_in_list(request: Request, task: Task) -> dict[str, Any]:
    return {**render(request, task), "attributes": None}


def index(request: Request) -> Response:
    """List Tasks with the filters and sort orders that Twilio documents."""
    return request.page(
        "tasks",
        request.workspace.tasks.values(),
        _render_in_list,
        keep=_filter(request),
        ordering=_ordering(request.query.text("Ordering")),
    )


def create(request: Request) -> Response:
    """Create a Task; the response shows the Task before TaskRouter reserves a Worker."""
    form = request.form
    timeout = form.integer("Timeout", 1, _MAX_TIMEOUT)
    task = tasks.create(
        request.engine,
        request.workspace,
        attributes=form.attributes() or "{}",
        workflow_sid=form.sid("WorkflowSid", "WW"),
        priority=form.integer("Priority", 0, _MAX_PRIORITY),
        timeout=request.engine.settings.task_timeout if timeout is None else timeout,
        channel=form.text("TaskChannel", allow_empty=False) or "default",
        virtual_start_time=_virtual_start_time(request),
        routing_target=form.sid("RoutingTarget", "(WK|WQ|WW)"),
        ignore_capacity=form.boolean("IgnoreCapacity", others_are_false=True),
        queue_sid=form.sid("TaskQueueSid", "WQ"),
    )
    return Response(201, render(request, task), task.version)


def fetch(request: Request) -> Response:
    """Fetch a Task."""
    task = _find(request)
    return Response(200, render(request, task), task.version)


def update(request: Request) -> Response:
    """Update a Task; nothing changes if one of the parameters is rejected."""
    form, workspace, task = request.form, request.workspace, _find(request)
    request.require_match(task)
    status = form.choice("AssignmentStatus", TaskStatus)
    reason = form.text("Reason")
    if status in CLOSED and request.engine.settings.reason_required:
        form.required("Reason")
    changes: dict[str, Any] = {
        "attributes": _new_attributes(request, status),
        "priority": form.integer("Priority", 0, _MAX_PRIORITY),
        "channel": form.text("TaskChannel", allow_empty=False),
        "virtual_start_time": _virtual_start_time(request),
    }
    if changes["channel"]:
        tasks.require_channel(workspace, changes["channel"])
    if status:
        assignments.set_status(request.engine, workspace, task, status, reason)
    if any(value is not None for value in changes.values()):
        tasks.update(request.engine, workspace, task, **changes)
    return Response(200, render(request, task), task.version)


def _new_attributes(request: Request, status: TaskStatus | None) -> str | None:
    """Return the requested attributes; None leaves the Task's attributes unchanged."""
    attributes = request.form.attributes()
    rule = request.engine.settings.status_with_attributes
    if attributes is None or status not in _SET_SEPARATELY or rule == "updated":
        return attributes
    if rule == "refused":
        raise BadRequest(f"AssignmentStatus {status} and Attributes require two separate requests")
    return None


def delete(request: Request) -> Response:
    """Delete a Task, regardless of its status."""
    task = _find(request)
    request.require_match(task)
    assignments.delete(request.engine, request.workspace, task)
    return Response(204)


def _find(request: Request) -> Task:
    return request.find(request.workspace.tasks, "sid")


def _virtual_start_time(request: Request) -> float | None:
    moment = request.form.moment("VirtualStartTime")
    if moment is not None and not _YEAR_1900 <= moment <= request.engine.now():
        raise BadRequest("VirtualStartTime must not be in the future or before the year 1900")
    return moment


def _filter(request: Request) -> Callable[[Task], bool]:
    query, workspace = request.query, request.workspace
    statuses = query.choices("AssignmentStatus", TaskStatus)
    priority = query.integer("Priority", 0, _MAX_PRIORITY)
    predicate = request.predicate("EvaluateTaskAttributes", TASKS)
    has_addons = query.boolean("HasAddons")
    filters = {
        "WorkflowSid": query.sid("WorkflowSid", "WW"),
        "WorkflowName": query.text("WorkflowName"),
        "TaskQueueSid": query.sid("TaskQueueSid", "WQ"),
        "TaskQueueName": query.text("TaskQueueName"),
        "RoutingTarget": query.sid("RoutingTarget", "(WK|WQ|WW)"),
    }

    def keep(task: Task) -> bool:
        workflow = workspace.workflows.get(task.workflow_sid or "")
        queue = workspace.queues.get(task.queue_sid or "")
        values = {
            "WorkflowSid": task.workflow_sid,
            "WorkflowName": workflow.friendly_name if workflow else None,
            "TaskQueueSid": task.queue_sid,
            "TaskQueueName": queue.friendly_name if queue else None,
            "RoutingTarget": task.routing_target,
        }
        return (
            all(value in {None, values[name]} for name, value in filters.items())
            and (not statuses or task.status in statuses)
            and priority in {None, task.priority}
            and not has_addons
            and (predicate is None or predicate(task_context(request.engine, task)))
        )

    return keep


def _ordering(text: str | None) -> Ordering:
    """Parse a sort order; Twilio does not allow DateCreated and VirtualStartTime together."""
    ordering = parse_ordering(text, _SORT_KEYS)
    if "DateCreated" in ordering.text and "VirtualStartTime" in ordering.text:
        raise BadRequest("Ordering must not combine DateCreated and VirtualStartTime")
    return ordering
