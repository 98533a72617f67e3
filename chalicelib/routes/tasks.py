"""Creating Tasks."""

from chalice.app import Blueprint, Response

from chalicelib import observability, runtime
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.tasks import parse_new_task
from chalicelib.routes.http import IDEMPOTENCY_KEY, parse_parameters, route
from chalicelib.routes.responses import task_json
from chalicelib.usecases.create_task import create_once

blueprint = Blueprint(__name__)


@route(blueprint, "/create-task", methods=["GET", "POST"], action=Action.CREATE_TASK)
def create(_principal: Principal) -> Response:
    """Create a Task; with no parameters, the quickstart's. Once only under an Idempotency-Key."""
    request = blueprint.current_request
    service = runtime.current()
    wanted = parse_new_task(
        parse_parameters(request), workflow_sid=service.settings.twilio_workflow_sid
    )
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        task = service.taskrouter.create_task(wanted)
    else:
        task = create_once(key, wanted, service.once)
    observability.bind(task_sid=task.sid)
    return Response(task_json(task), status_code=201)
