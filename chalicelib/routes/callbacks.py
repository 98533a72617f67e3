"""Webhook routes for TaskRouter, and the paths of all routes that Twilio calls.

A Twilio signature authenticates each request.
"""

from collections.abc import Callable
from typing import Any

from chalice.app import Blueprint, Chalice, Request, Response

from chalicelib import observability, runtime
from chalicelib.domain.callbacks import AssignmentCallback, Form, ReservationEvent
from chalicelib.domain.sids import is_sid
from chalicelib.routes.http import FORM, route, signed_form
from chalicelib.usecases.assign import answer_callback
from chalicelib.usecases.observe import observe

blueprint = Blueprint(__name__)


@route(blueprint, "/assignment_callback", methods=["POST"], action=None)
def assignment_callback() -> dict[str, Any]:
    """Record the Reservation; answer with an instruction, or ``{}`` to decide later."""
    return _answer_callback(is_fallback=False)


@route(blueprint, "/assignment_callback/fallback", methods=["POST"], action=None)
def fallback() -> dict[str, Any]:
    """Answer a callback sent to the Workflow's fallback URL, even if DynamoDB fails.

    If DynamoDB fails, the Reservation may not be recorded, and an alarm fires. An event or a
    reconciliation creates the missing record later.
    """
    return _answer_callback(is_fallback=True)


@route(blueprint, "/event_callback", methods=["POST"], action=None)
def event_callback() -> Response:
    """Record a Reservation's status or a Worker's Activity; acknowledge other events."""
    service = runtime.current()
    form, _ = signed_form(blueprint.current_request, service)
    observability.bind(event_type=form.get("EventType"))
    event = ReservationEvent.from_form(
        form,
        account_sid=service.settings.twilio_account_sid,
        workspace_sid=service.settings.twilio_workspace_sid,
    )
    observability.bind(
        reservation_sid=_sid(form, "ReservationSid", "WR"),
        task_sid=_sid(form, "TaskSid", "WT"),
        worker_sid=_sid(form, "WorkerSid", "WK"),
    )
    if event is not None:
        changed = observe(
            event, store=service.store, deadlines=service.deadlines, now=service.clock.now_ms()
        )
        observability.bind(changed=changed)
    elif form.get("EventType", "").startswith("worker."):
        _record_activity(form)
    return Response("", status_code=204)


def _sid(form: Form, parameter: str, prefix: str) -> str | None:
    """Return the SID in a parameter, or None if the parameter is missing or malformed."""
    sid = form.get(parameter)
    return sid if is_sid(sid, prefix) else None


def _record_activity(form: Form) -> None:
    from chalicelib.domain.workers import WorkerActivity  # noqa: PLC0415  assignment callbacks do not need it

    service = runtime.current()
    now = service.clock.now_ms()
    activity = WorkerActivity.from_form(form, now=now)
    if activity is not None:
        changed = service.worker_activities.save(activity, now=now)
        observability.bind(changed=changed)


def _answer_callback(*, is_fallback: bool) -> dict[str, Any]:
    service = runtime.current()
    form, delivery = signed_form(blueprint.current_request, service)
    callback = AssignmentCallback.from_form(
        form,
        account_sid=service.settings.twilio_account_sid,
        workspace_sid=service.settings.twilio_workspace_sid,
        delivery=delivery,
    )
    observability.bind(
        reservation_sid=callback.reservation_sid,
        task_sid=callback.task_sid,
        worker_sid=callback.worker_sid,
    )
    result = answer_callback(
        callback,
        rules=service.rules,
        store=service.store,
        deadlines=service.deadlines,
        now=service.clock.now_ms(),
    )
    if result.failed_rules:
        observability.bind(failed_rules=result.failed_rules, FailedRules=len(result.failed_rules))
    if result.unreadable:
        observability.bind(unreadable=result.unreadable, UnreadableCallback=1)
    if result.error is not None:
        if not is_fallback:
            raise result.error
        observability.bind(error=result.error.code, UnrecordedReservation=1)
    observability.bind(answer=result.answer.get("instruction", "defer"), rule=result.rule)
    return result.answer


def twilio_routes(app: Chalice) -> list[tuple[str, str]]:
    """Return the path and method of each form-only route. Only Twilio calls these routes."""
    return [
        (path, method)
        for path, methods in sorted(app.routes.items())
        for method, entry in methods.items()
        if entry.content_types == [FORM]
    ]


def move_twilio_routes(app: Chalice, prefixes: tuple[str, ...]) -> None:
    """Move Twilio's routes from their own paths to prefixed paths.

    A request's ``path`` remains the route's own path, so that log lines do not contain a prefix.
    ``context["resourcePath"]`` and ``context["path"]`` contain the prefix, because Twilio signs
    the URL with the prefix.

    Args:
        app: the app with all routes.
        prefixes: the prefixes. An empty prefix keeps the routes' own paths.
    """
    if prefixes == ("",):
        return
    own_paths = {}
    for path in {path for path, _ in twilio_routes(app)}:
        methods = app.routes.pop(path)
        for prefix in prefixes:
            app.routes[prefix + path] = methods
            own_paths[prefix + path] = path

    def hide_prefix(request: Request, get_response: Callable[[Request], Response]) -> Response:
        request.path = own_paths.get(request.path, request.path)
        return get_response(request)

    app.register_middleware(hide_prefix, "http")
