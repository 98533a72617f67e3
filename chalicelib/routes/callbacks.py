"""What TaskRouter calls; the signature is all that says who it is."""

from typing import Any

from chalice.app import Blueprint, Request, Response

from chalicelib import observability, runtime
from chalicelib.domain.callbacks import AssignmentCallback, ReservationEvent
from chalicelib.domain.errors import StoreUnavailable
from chalicelib.domain.rules import RuleResult
from chalicelib.routes.http import route, signed_form
from chalicelib.usecases.assign import assign
from chalicelib.usecases.observe import observe

blueprint = Blueprint(__name__)


@route(blueprint, "/assignment_callback", methods=["POST"], action=None)
def assignment_callback() -> dict[str, Any]:
    """Record the Reservation; answer an assignment instruction, or ``{}`` to decide later."""
    service = runtime.current()
    callback = _assignment(blueprint.current_request, service)
    return _answered(callback, _decided(callback, service), service)


@route(blueprint, "/assignment_callback/fallback", methods=["POST"], action=None)
def fallback() -> dict[str, Any]:
    """The Workflow's fallback URL: the same, but it answers even when DynamoDB does not.

    Better an agent gets the call and an alarm says that its record is missing, until an event (or,
    while it is pending, a reconciliation) brings it, than that nobody gets it.
    """
    service = runtime.current()
    callback = _assignment(blueprint.current_request, service)
    ruling = _decided(callback, service)
    try:
        return _answered(callback, ruling, service)
    except StoreUnavailable as error:
        observability.bind(error=error.code, UnrecordedReservation=1)
        return _bound(ruling.instruction.render(), ruling)


@route(blueprint, "/event_callback", methods=["POST"], action=None)
def event_callback() -> Response:
    """Mirror ``reservation.*`` events; acknowledge the others."""
    service = runtime.current()
    form = signed_form(blueprint.current_request, service)
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
    callback = AssignmentCallback.from_form(signed_form(request, service), **_ours(service))
    _bind_sids(callback)
    return callback


def _decided(callback: AssignmentCallback, service: runtime.Runtime) -> RuleResult:
    ruling = service.rules.decide(callback)
    if ruling.failures:
        observability.bind(failed_rules=ruling.failures, FailedRules=len(ruling.failures))
    return ruling


def _answered(
    callback: AssignmentCallback, ruling: RuleResult, service: runtime.Runtime
) -> dict[str, Any]:
    answer = assign(
        callback,
        ruling.instruction,
        rule=ruling.rule,
        store=service.store,
        timing=service.timing,
        now=service.clock.now_ms(),
    )
    return _bound(answer, ruling)


def _bound(answer: dict[str, Any], ruling: RuleResult) -> dict[str, Any]:
    observability.bind(answer=answer.get("instruction", "defer"))
    if answer == ruling.instruction.render():
        # Else an earlier answer stands, whichever rule gave that.
        observability.bind(rule=ruling.rule)
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
