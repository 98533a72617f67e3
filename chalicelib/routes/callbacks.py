"""What TaskRouter calls; the signature is all that says who it is."""

from typing import Any

from chalice.app import Blueprint, Request

from chalicelib import observability, runtime
from chalicelib.adapters import signature
from chalicelib.config import Settings
from chalicelib.domain.callbacks import AssignmentCallback, Form
from chalicelib.domain.errors import InvalidSignature
from chalicelib.routes._http import FORM, body_of, route
from chalicelib.usecases.assign import assign

blueprint = Blueprint(__name__)


@route(blueprint, "/assignment_callback", methods=["POST"], content_types=(FORM,))
def assignment_callback() -> dict[str, Any]:
    """Record the Reservation; answer an assignment instruction, or ``{}`` to decide later."""
    service = runtime.current()
    callback = AssignmentCallback.from_form(
        _signed_form(blueprint.current_request, service),
        account_sid=service.settings.twilio_account_sid,
        workspace_sid=service.settings.twilio_workspace_sid,
    )
    observability.bind(
        reservation_sid=callback.reservation_sid,
        task_sid=callback.task_sid,
        worker_sid=callback.worker_sid,
    )
    answer = assign(
        callback,
        service.instruction,
        store=service.store,
        timing=service.timing,
        now=service.clock.now_ms(),
    )
    observability.bind(answer=answer.get("instruction", "defer"))
    return answer


def _signed_form(request: Request, service: runtime.Runtime) -> Form:
    """Return the form that Twilio posted; raises InvalidSignature where it was not Twilio."""
    form = Form.parse(body_of(request))
    url = _requested_url(request, service.settings)
    try:
        service.signatures.verify(
            url,
            form,
            request.headers.get(signature.HEADER),
            request.headers.get(signature.SETTINGS_HEADER),
        )
    except InvalidSignature:
        # The one thing that finds a wrong PUBLIC_BASE_URL.
        observability.bind(checked_url=url)
        raise
    return form


def _requested_url(request: Request, settings: Settings) -> str:
    """Return the URL that Twilio signed: our public base and the route, without a query."""
    if settings.public_base_url:
        return settings.public_base_url + str(request.path)
    return f"https://{request.context.get('domainName')}{request.context.get('path')}"
