"""/v1/Workspaces/{WorkspaceSid}/Workflows."""

from typing import Any

from taskrouter_simulator.engine import tasks, workflows
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Workflow
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import iso

_MAX_TIMEOUT = 86_400
_MAX_CONFIGURATION = 1_038_576


def render(call: Call, workflow: Workflow) -> dict[str, Any]:
    """The resource as Twilio shows it."""
    workspace = call.workspace
    url = call.url(workspace.sid, "Workflows", workflow.sid)
    return {
        "account_sid": call.engine.account_sid,
        "assignment_callback_url": workflow.assignment_callback_url or None,
        "configuration": workflow.text,
        "date_created": iso(workflow.created),
        "date_updated": iso(workflow.updated),
        "document_content_type": "application/json",
        "fallback_assignment_callback_url": workflow.fallback_assignment_callback_url or None,
        "friendly_name": workflow.friendly_name,
        "sid": workflow.sid,
        "task_reservation_timeout": workflow.task_reservation_timeout,
        "workspace_sid": workspace.sid,
        "url": url,
        "links": {
            "statistics": f"{url}/Statistics",
            "real_time_statistics": f"{url}/RealTimeStatistics",
            "cumulative_statistics": f"{url}/CumulativeStatistics",
        },
    }


def index(call: Call) -> Answer:
    """GET: list."""
    name = call.query.text("FriendlyName")
    return call.page(
        "workflows",
        call.workspace.workflows.values(),
        lambda workflow: render(call, workflow),
        keep=lambda workflow: name in {None, workflow.friendly_name},
    )


def create(call: Call) -> Answer:
    """POST: create."""
    form = call.form
    workflow = workflows.add(
        call.engine,
        call.workspace,
        friendly_name=form.required("FriendlyName"),
        configuration=form.required("Configuration", longest=_MAX_CONFIGURATION),
        assignment_callback_url=form.url("AssignmentCallbackUrl") or "",
        fallback_assignment_callback_url=form.url("FallbackAssignmentCallbackUrl") or "",
        task_reservation_timeout=_timeout(call) or 120,
    )
    return Answer(201, render(call, workflow))


def fetch(call: Call) -> Answer:
    """GET: one."""
    return Answer(200, render(call, _found(call)))


def update(call: Call) -> Answer:
    """POST: change; `ReEvaluateTasks` sends waiting Tasks through it again."""
    form, workspace, workflow = call.form, call.workspace, _found(call)
    name = form.text("FriendlyName") or workflow.friendly_name
    others = (one for one in workspace.workflows.values() if one is not workflow)
    if any(one.friendly_name == name for one in others):
        raise BadRequest(f"Workflow {name} already exists in this workspace")
    text = form.text("Configuration", longest=_MAX_CONFIGURATION) or workflow.text
    configuration = workflows.require_configuration(workspace, text)
    primary, fallback = (
        form.url("AssignmentCallbackUrl"),
        form.url("FallbackAssignmentCallbackUrl"),
    )
    timeout = _timeout(call)
    workflow.friendly_name = name
    workflow.text, workflow.configuration = text, configuration
    if primary is not None:
        workflow.assignment_callback_url = primary
    if fallback is not None:
        workflow.fallback_assignment_callback_url = fallback
    workflow.task_reservation_timeout = timeout or workflow.task_reservation_timeout
    call.engine.touch(workflow)
    workflows.publish(call.engine, workspace, workflow, "updated")
    if form.boolean("ReEvaluateTasks"):
        tasks.reevaluate(call.engine, workspace, workflow)
    return Answer(200, render(call, workflow))


def delete(call: Call) -> Answer:
    """DELETE: remove, unless Tasks are in it."""
    workflows.delete(call.engine, call.workspace, _found(call))
    return Answer(204)


def _timeout(call: Call) -> int | None:
    least = call.engine.settings.least_reservation_timeout
    return call.form.integer("TaskReservationTimeout", least, _MAX_TIMEOUT)


def _found(call: Call) -> Workflow:
    return call.find(call.workspace.workflows, "sid")
