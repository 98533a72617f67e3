"""What TaskRouter calls; the signature is all that says who it is."""

from typing import Any

from chalice.app import Blueprint, Request, Response

from chalicelib import observability, runtime
from chalicelib.adapters import signature
from chalicelib.config import Settings
from chalicelib.domain.callbacks import AssignmentCallback, Form, ReservationEvent
from chalicelib.domain.errors import InvalidSignature, StoreUnavailable
from chalicelib.domain.rules import Decision
from chalicelib.routes._http import body_of, route
from chalicelib.usecases.assign import assign
from chalicelib.usecases.observe import observe

blueprint = Blueprint(__name__)


@route(blueprint, "/assignment_callback", methods=["POST"], shared=False)
def assignment_callback() -> dict[str, Any]:
    """Record the Reservation; answer an assignment instruction, or ``{}`` to decide later."""
    service = runtime.current()
    callback = _assignment(blueprint.current_request, service)
    return _answered(callback, _decided(callback, service), service)


@route(blueprint, "/assignment_callback/fallback", methods=["POST"], shared=False)
def fallback() -> dict[str, Any]:
    """The Workflow's fallback URL: the same, but it answers even when DynamoDB does not.

    Better an agent gets the call and an alarm says that its record is missing, until an event (or,
    while it is pending, a reconciliation) brings it, than that nobody gets it.
    """
    service = runtime.current()
    callback = _assignment(blueprint.current_request, service)
    decision = _decided(callback, service)
    try:
        return _answered(callback, decision, service)
    except StoreUnavailable as error:
        observability.bind(error=error.code, **{observability.UNRECORDED_RESERVATION: 1})
        return _bound(decision.instruction.render(), decision)


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


def _decided(callback: AssignmentCallback, service: runtime.Runtime) -> Decision:
    decision = service.rules.decide(callback)
    if decision.failures:
        observability.bind(
            failed_rules=decision.failures,
            **{observability.FAILED_RULES: len(decision.failures)},
        )
    return decision


def _answered(
    callback: AssignmentCallback, decision: Decision, service: runtime.Runtime
) -> dict[str, Any]:
    answer = assign(
        callback,
        decision.instruction,
        rule=decision.rule,
        store=service.store,
        timing=service.timing,
        now=service.clock.now_ms(),
    )
    return _bound(answer, decision)


def _bound(answer: dict[str, Any], decision: Decision) -> dict[str, Any]:
    observability.bind(answer=answer.get("instruction", "defer"))
    if answer == decision.instruction.render():
        # Else an earlier answer stands, whichever rule gave that.
        observability.bind(rule=decision.rule)
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
