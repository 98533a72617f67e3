"""Creating Tasks."""

from chalice.app import Blueprint, Response

from chalicelib import observability, runtime
from chalicelib.routes._http import FORM, JSON, parameters_of, principal_of, route
from chalicelib.routes.shapes import task_json
from chalicelib.usecases.create_task import create_task

blueprint = Blueprint(__name__)


@route(blueprint, "/create-task", methods=["GET", "POST"], content_types=(JSON, FORM))
def create() -> Response:
    """Create a Task; with no parameters, the quickstart's."""
    request = blueprint.current_request
    principal_of(request).must_create_tasks()
    service = runtime.current()
    task = create_task(
        parameters_of(request),
        workflow_sid=service.settings.twilio_workflow_sid,
        taskrouter=service.taskrouter,
    )
    observability.bind(task_sid=task.sid)
    return Response(task_json(task), status_code=201)
