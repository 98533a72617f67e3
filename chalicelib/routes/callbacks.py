"""What TaskRouter calls; the signature is all that says who it is."""

from typing import Any

from chalice.app import Blueprint, Request, Response

from chalicelib import observability, runtime
from chalicelib.adapters import signature
from chalicelib.config import Settings
from chalicelib.domain.callbacks import AssignmentCallback, Form, ReservationEvent
from chalicelib.domain.errors import InvalidSignature, StoreUnavailable
from chalicelib.routes._http import body_of, route
from chalicelib.usecases.assign import assign
from chalicelib.usecases.observe import observe

blueprint = Blueprint(__name__)


@route(blueprint, "/assignment_callback", methods=["POST"], shared=False)
def assignment_callback() -> dict[str, Any]:
    """Record the Reservation; answer an assignment instruction, or ``{}`` to decide later."""
    service = runtime.current()
    return _answered(_assignment(blueprint.current_request, service), service)


@route(blueprint, "/assignment_callback/fallback", methods=["POST"], shared=False)
def fallback() -> dict[str, Any]:
    """The Workflow's fallback URL: the same, but it answers even when DynamoDB does not.

    Better an agent gets the call and an alarm says that its record is missing, until an event (or,
    while it is pending, a reconciliation) brings it, than that nobody gets it.
    """
    service = runtime.current()
    callback = _assignment(blueprint.current_request, service)
    try:
        return _answered(callback, service)
    except StoreUnavailable as error:
        observability.bind(error=error.code, **{observability.UNRECORDED_RESERVATION: 1})
        return _bound(service.instruction.render())


@route(blueprint, "/event_callback", methods=["POST"], shared=False)
def event_callback() -> Response:
    """Mirror ``reservation.*`` events; acknowledge the others."""
    service = runtime.current()
    form = _signed_form(blueprint.current_request, service)
    observability.bind(event_type=form.get("EventType"))
    event = ReservationEvent.from_form(form, **_ours(service))
    if event is not None:
        _bind_sids(event)
        news = observe(
            event, store=service.store, timing=service.timing, now=service.clock.now_ms()
        )
        observability.bind(news=news)
    return Response("", status_code=204)


def _assignment(request: Request, service: runtime.Runtime) -> AssignmentCallback:
    callback = AssignmentCallback.from_form(_signed_form(request, service), **_ours(service))
    _bind_sids(callback)
    return callback


def _answered(callback: AssignmentCallback, service: runtime.Runtime) -> dict[str, Any]:
    answer = assign(
        callback,
        service.instruction,
        store=service.store,
        timing=service.timing,
        now=service.clock.now_ms(),
    )
    return _bound(answer)


def _bound(answer: dict[str, Any]) -> dict[str, Any]:
    observability.bind(answer=answer.get("instruction", "defer"))
    return answer


def _bind_sids(told: AssignmentCallback | ReservationEvent) -> None:
    observability.bind(
        reservation_sid=told.reservation_sid, task_sid=told.task_sid, worker_sid=told.worker_sid
    )


def _ours(service: runtime.Runtime) -> dict[str, str]:
    return {
        "account_sid": service.settings.twilio_account_sid,
        "workspace_sid": service.settings.twilio_workspace_sid,
    }


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
