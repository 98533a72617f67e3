"""The route that creates Tasks."""

from typing import Any

from chalice.app import Blueprint, Response

from chalicelib import observability, runtime
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.reservations import parse_attributes
from chalicelib.domain.tasks import CreatedTask, parse_new_task
from chalicelib.routes.http import IDEMPOTENCY_KEY, parse_parameters, route
from chalicelib.usecases.create_task import create_task

blueprint = Blueprint(__name__)


@route(blueprint, "/create-task", methods=["GET", "POST"], action=Action.CREATE_TASK)
def create(_principal: Principal) -> Response:
    """Create a Task, by default the quickstart's, at most once per Idempotency-Key."""
    request = blueprint.current_request
    service = runtime.current()
    new_task = parse_new_task(
        parse_parameters(request), workflow_sid=service.settings.twilio_workflow_sid
    )
    task = create_task(
        new_task,
        service.task_collaborators,
        idempotency_key=request.headers.get(IDEMPOTENCY_KEY),
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
