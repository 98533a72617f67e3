"""Handlers for /v1/Workspaces/{WorkspaceSid}/Workflows."""

from typing import Any

from taskrouter_simulator.engine import tasks, workflows
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Workflow
from taskrouter_simulator.rest.request import Request, Response, iso

_MAX_TIMEOUT = 86_400


def render(request: Request, workflow: Workflow) -> dict[str, Any]:
    """Return a Workflow as JSON."""
    workspace = request.workspace
    url = request.url(workspace.sid, "Workflows", workflow.sid)
    return {
        "account_sid": request.engine.account_sid,
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


def index(request: Request) -> Response:
    """List Workflows, optionally filtered by name."""
    name = request.query.text("FriendlyName")
    return request.page(
        "workflows",
        request.workspace.workflows.values(),
        render,
        keep=lambda workflow: name in {None, workflow.friendly_name},
    )


def create(request: Request) -> Response:
    """Create a Workflow."""
    form = request.form
    workflow = workflows.add(
        request.engine,
        request.workspace,
        friendly_name=form.required("FriendlyName"),
        configuration=form.required("Configuration", max_length=workflows.MAX_CONFIGURATION),
        assignment_callback_url=form.url("AssignmentCallbackUrl") or "",
        fallback_assignment_callback_url=form.url("FallbackAssignmentCallbackUrl") or "",
        task_reservation_timeout=_timeout(request) or 120,
    )
    return Response(201, render(request, workflow))


def fetch(request: Request) -> Response:
    """Fetch a Workflow."""
    return Response(200, render(request, _find(request)))


def update(request: Request) -> Response:
    """Update a Workflow. `ReEvaluateTasks` reroutes its waiting Tasks."""
    form, workspace, workflow = request.form, request.workspace, _find(request)
    name = form.text("FriendlyName", allow_empty=False) or workflow.friendly_name
    other_workflows = (item for item in workspace.workflows.values() if item is not workflow)
    if any(item.friendly_name == name for item in other_workflows):
        raise BadRequest(f"Workflow {name} already exists in this workspace")
    text = (
        form.text("Configuration", allow_empty=False, max_length=workflows.MAX_CONFIGURATION)
        or workflow.text
    )
    configuration = workflows.require_configuration(request.engine, workspace, text)
    primary, fallback = (
        form.url("AssignmentCallbackUrl"),
        form.url("FallbackAssignmentCallbackUrl"),
    )
    timeout = _timeout(request)
    workflow.friendly_name = name
    workflow.text, workflow.configuration = text, configuration
    if primary is not None:
        workflow.assignment_callback_url = primary
    if fallback is not None:
        workflow.fallback_assignment_callback_url = fallback
    workflow.task_reservation_timeout = timeout or workflow.task_reservation_timeout
    request.engine.touch(workflow)
    workflows.publish(request.engine, workspace, workflow, "updated")
    if form.boolean("ReEvaluateTasks"):
        tasks.reevaluate(request.engine, workspace, workflow)
    return Response(200, render(request, workflow))


def delete(request: Request) -> Response:
    """Delete a Workflow, unless it has open Tasks."""
    workflows.delete(request.engine, request.workspace, _find(request))
    return Response(204)


def _timeout(request: Request) -> int | None:
    minimum = request.engine.settings.least_reservation_timeout
    return request.form.integer("TaskReservationTimeout", minimum, _MAX_TIMEOUT)


def _find(request: Request) -> Workflow:
    return request.find(request.workspace.workflows, "sid")
