"""The route that creates Tasks."""

from typing import Any

from chalice.app import Blueprint, Response

from chalicelib import observability, runtime
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.json_text import parse_attributes
from chalicelib.domain.tasks import QUICKSTART_TASK, CreatedTask, parse_new_task
from chalicelib.routes.http import IDEMPOTENCY_KEY, Parameters, route
from chalicelib.usecases.create_task import create_task

blueprint = Blueprint(__name__)


@route(
    blueprint,
    "/create-task",
    methods=["GET", "POST"],
    action=Action.CREATE_TASK,
    parameters=("attributes", "priority", "timeout", "task_channel", "workflow_sid"),
    tutorial_methods=("GET",),
)
def create(principal: Principal, parameters: Parameters) -> Response:
    """Create a Task at most once per Idempotency-Key."""
    service = runtime.current()
    settings = service.settings
    new_task = parse_new_task(
        {**QUICKSTART_TASK, **parameters} if settings.tutorial_routes else parameters,
        workflow_sid=settings.twilio_workflow_sid,
    )
    task = create_task(
        new_task,
        service.task_collaborators,
        caller=principal.name,
        idempotency_key=blueprint.current_request.headers.get(IDEMPOTENCY_KEY),
    )
    observability.bind(task_sid=task.sid)
    return Response(_task_json(task), status_code=201)


def _task_json(task: CreatedTask) -> dict[str, Any]:
    return {
        "sid": task.sid,
        "attributes": parse_attributes(task.attributes),
        "assignment_status": task.assignment_status,
        "workflow_sid": task.workflow_sid,
        "task_queue_sid": task.task_queue_sid,
        "priority": task.priority,
    }
