"""TaskRouter's REST API, called through the Twilio SDK.

The adapter sets timeouts and raises this service's errors.

This module is imported only when needed. Importing the SDK's REST client takes about 150 ms and
must not delay assignment callbacks.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from keyword import iskeyword
from typing import Any, TypeVar
from urllib.parse import parse_qs

from requests import RequestException, Response
from twilio.base import values
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from chalicelib.adapters.secrets import SecretsSource
from chalicelib.domain.callbacks import MAX_WORKER_NAME_LENGTH, EventPage, Form, ReservationEvent
from chalicelib.domain.errors import (
    BadRequest,
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import INSTRUCTION_TYPES, Instruction
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.messages import describe_connection_failure, public_text
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.domain.tasks import CreatedTask, FoundTask, NewTask

_Response = TypeVar("_Response")

_CONNECT_SECONDS = 2.0
_READ_SECONDS = 8.0

_PAGE_SIZE = 1000
_MAX_EVENTS = 2 * _PAGE_SIZE
"""Maximum number of Events per list: two pages, because a sweep step has time for two requests."""

_TIMED_OUT = 408
_REFUSED = {*range(400, 500)} - {_TIMED_OUT}
"""Statuses of requests that TaskRouter did not process.

A request that timed out may have been processed.
"""
_OK = range(200, 300)
_UNAUTHENTICATED = (401, 403)
_NOT_FOUND = 404
_THROTTLED = 429

_MAX_RETRY_AFTER_SECONDS = 86_400

_MIN_VALUE_LENGTH = 3
"""Minimum length of a value that identifies its parameter in Twilio's message."""

_PARAMETERS = {
    parameter.rest_name: (name, parameter)
    for instruction in INSTRUCTION_TYPES.values()
    for name, parameter in instruction.parameters().items()
}
"""This service's names and definitions of the parameters of instructions, by their REST names."""


class TwilioTaskRouter:
    """Implements `chalicelib.usecases.ports.TaskRouter` for one Workspace.

    Args:
        base_url: the URL of TaskRouter, without ``/v1``.
        account_sid: AC….
        secrets: the source of the API key. If TaskRouter refuses the key, the request is repeated
            once with a renewed key.
        workspace_sid: WS….
    """

    def __init__(
        self,
        *,
        base_url: str,
        account_sid: str,
        secrets: SecretsSource,
        workspace_sid: str,
    ) -> None:
        self._http_client = TwilioHttpClient(request_hooks={"response": _raise_for_status})
        # The constructor requires a single number, but requests accepts (connect, read) timeouts.
        self._http_client.timeout = (_CONNECT_SECONDS, _READ_SECONDS)
        self._base_url = base_url
        self._account_sid = account_sid
        self._secrets = secrets
        self._workspace_sid = workspace_sid

    def _request(self, send: Callable[[Any], _Response]) -> _Response:
        """Call *send* with the SDK's context of the Workspace; translate errors."""
        secrets = self._secrets.current()
        while True:
            client = Client(*secrets.api_key, self._account_sid, http_client=self._http_client)
            client.taskrouter.base_url = self._base_url
            try:
                with _translate_errors(self._base_url):
                    return send(client.taskrouter.v1.workspaces(self._workspace_sid))
            except TaskRouterDenied:
                refused, secrets = secrets, self._secrets.renewed()
                if secrets.api_key == refused.api_key:
                    raise

    def fetch_reservation(
        self, reservation_sid: str, *, task_sid: str | None = None, worker_sid: str | None = None
    ) -> RemoteReservation:
        """Fetch a Reservation of a Task or, if no Task is given, of a Worker."""

        def send(workspace: Any) -> RemoteReservation:
            owner = workspace.workers(worker_sid) if task_sid is None else workspace.tasks(task_sid)
            return _to_reservation(owner.reservations(reservation_sid).fetch())

        return self._request(send)

    def update_reservation(
        self, reservation_sid: str, *, task_sid: str, to: Status, activity_sid: str | None
    ) -> RemoteReservation:
        """Accept, reject or complete a Reservation.

        Args:
            reservation_sid: WR….
            task_sid: WT….
            to: the requested status.
            activity_sid: WA… of the Activity that a rejection moves the Worker to. By default,
                TaskRouter uses the Activity that the Worker had before the Reservation.
        """
        activity = values.unset if activity_sid is None else activity_sid
        return self._request(
            lambda workspace: _to_reservation(
                workspace.tasks(task_sid)
                .reservations(reservation_sid)
                .update(reservation_status=to.value, worker_activity_sid=activity)
            )
        )

    def send_instruction(
        self, reservation_sid: str, *, task_sid: str, instruction: Instruction
    ) -> RemoteReservation:
        """Send an assignment instruction.

        The returned Reservation may still be pending, because someone may have to answer a phone
        first. https://www.twilio.com/docs/taskrouter/api/reservations

        Args:
            reservation_sid: WR….
            task_sid: WT….
            instruction: an instruction that the REST API supports.
        """
        parameters = {_keyword(name): value for name, value in instruction.rest_form().items()}
        return self._request(
            lambda workspace: _to_reservation(
                workspace.tasks(task_sid).reservations(reservation_sid).update(**parameters)
            )
        )

    def list_pending_reservations(self, task_sid: str) -> list[RemoteReservation]:
        """List a Task's pending Reservations."""
        return self.list_reservations(task_sid, status=Status.PENDING.value)

    def list_reservations(
        self, task_sid: str, *, status: Any = values.unset
    ) -> list[RemoteReservation]:
        """List a Task's Reservations, by default in any status."""

        def send(workspace: Any) -> list[RemoteReservation]:
            # One page is enough: TaskRouter allows 50 pending Reservations and 1,000 assignments
            # per Task.
            reservations = workspace.tasks(task_sid).reservations.list(
                reservation_status=status, page_size=_PAGE_SIZE, limit=_PAGE_SIZE
            )
            return [_to_reservation(reservation) for reservation in reservations]

        return self._request(send)

    def list_reserved_tasks(self) -> list[str]:
        """List the SIDs (WT…) of the reserved Tasks."""

        def send(workspace: Any) -> list[str]:
            reserved = workspace.tasks.stream(assignment_status=["reserved"], page_size=_PAGE_SIZE)
            return [task.sid for task in reserved]

        return self._request(send)

    def list_events(self, event_type: str, *, since: int, until: int) -> EventPage:
        """List the Events of a type from *since* to *until*.

        Events contain the parameters of event callbacks, in snake case
        (https://www.twilio.com/docs/taskrouter/api/event). An Event without a valid Reservation,
        Task and Worker SID can't be recorded and is only counted.

        Args:
            event_type: such as ``reservation.created``.
            since: epoch ms, rounded down to a second.
            until: epoch ms, rounded down to a second.

        Returns:
            At most two pages of Events, because a sweep step has time for only two requests.
        """

        def send(workspace: Any) -> EventPage:
            listed = workspace.events.list(
                event_type=event_type,
                start_date=datetime.fromtimestamp(since // 1000, UTC),
                end_date=datetime.fromtimestamp(until // 1000, UTC),
                page_size=_PAGE_SIZE,
                limit=_MAX_EVENTS,
            )
            events = [event for item in listed if (event := self._to_event(item)) is not None]
            return EventPage(
                events,
                is_complete=len(listed) < _MAX_EVENTS,
                unreadable=len(listed) - len(events),
            )

        return self._request(send)

    def _to_event(self, item: Any) -> ReservationEvent | None:
        """Convert an Event; return None if it can't be read."""
        data = {"reservation_sid": item.resource_sid}
        if isinstance(item.event_data, dict):
            data |= item.event_data
        pairs = [("EventType", item.event_type)]
        for name, value in data.items():
            if isinstance(value, str):
                pairs.append(("".join(map(str.capitalize, name.split("_"))), value))
        try:
            event = ReservationEvent.from_form(
                Form(pairs), account_sid=self._account_sid, workspace_sid=self._workspace_sid
            )
        except BadRequest:
            return None
        # Twilio documents all members of an Event as nullable.
        at = item.event_date_ms
        return event and replace(event, at=at if type(at) is int and at > 0 else None)

    def create_task(self, task: NewTask) -> CreatedTask:
        """Create a Task."""
        options = {
            "priority": task.priority,
            "timeout": task.timeout,
            "task_channel": task.task_channel,
        }
        options = {name: value for name, value in options.items() if value is not None}
        return self._request(
            lambda workspace: _to_task(
                workspace.tasks.create(
                    attributes=task.attributes, workflow_sid=task.workflow_sid, **options
                )
            )
        )

    def find_tasks(self, name: str, value: str) -> list[FoundTask]:
        """Find the Tasks that have an attribute with this value.

        TaskRouter allows 3 searches per second. Its lists lack attributes, so Tasks are fetched.

        Args:
            name: the name of the attribute.
            value: letters, digits and ``_ . : -`` only, because it becomes part of an expression.
        """
        expression = f'{name} == "{value}"'

        def send(workspace: Any) -> list[FoundTask]:
            tasks = workspace.tasks.list(evaluate_task_attributes=expression, limit=5)
            return [_to_found_task(task.fetch()) for task in tasks]

        return self._request(send)

    def verify_workspace(self) -> None:
        """Fetch the Workspace to prove that its SID did not cause a 404 response."""
        self._request(lambda workspace: workspace.fetch())


def _keyword(name: str) -> str:
    """Return the SDK's name for a REST parameter: ``call_from`` for ``CallFrom``."""
    word = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return f"{word}_" if iskeyword(word) else word


def _to_task(task: Any) -> CreatedTask:
    return CreatedTask(
        sid=task.sid,
        attributes=task.attributes,
        assignment_status=str(task.assignment_status),
        workflow_sid=task.workflow_sid,
        task_queue_sid=task.task_queue_sid,
        priority=task.priority,
    )


def _to_found_task(task: Any) -> FoundTask:
    task_channel = (task.task_channel_sid, task.task_channel_unique_name)
    return FoundTask(_to_task(task), timeout=task.timeout, task_channel=task_channel)


def _to_reservation(reservation: Any) -> RemoteReservation:
    return RemoteReservation(
        reservation_sid=reservation.sid,
        task_sid=reservation.task_sid,
        worker_sid=reservation.worker_sid,
        worker_name=(reservation.worker_name or "")[:MAX_WORKER_NAME_LENGTH] or None,
        status=Status(reservation.reservation_status),
        created_at=int(reservation.date_created.timestamp() * 1000),
    )


@contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    """Translate failed requests into TaskRouterErrors; *url* is TaskRouter's base URL."""
    try:
        yield
    except RequestException as error:
        raise TaskRouterUnavailable(
            f"TaskRouter {describe_connection_failure(url, error)}."
        ) from error
    except (TwilioException, ValueError, TypeError, KeyError, AttributeError) as error:
        # A 2xx response whose body is not JSON or lacks a member that the SDK expects.
        raise TaskRouterUnavailable("TaskRouter's response can't be read.") from error


def _raise_for_status(response: Response, **_options: Any) -> None:
    """Raise a TaskRouterError for a response other than a 2xx. This is a hook of requests.

    The errors of Twilio's SDK do not contain the headers.
    """
    if response.status_code not in _OK:
        raise _to_error(response)


def _to_error(response: Response) -> TaskRouterError:
    """Build the error for a response. Only a refusal or a 404 contains Twilio's message."""
    status = response.status_code
    try:
        problem = parse_json_object(response.text)
    except JsonError:
        problem = {}
    code = problem.get("code")
    cause = f"HTTP {status}, error {code if type(code) is int else status}"
    reason = _describe_refusal(problem, parse_qs(str(response.request.body or "")))
    retry_after = _retry_after(response.headers.get("Retry-After", ""))
    if status in _UNAUTHENTICATED:
        return TaskRouterDenied(f"TaskRouter refused this service's credentials ({cause}).")
    if status == _NOT_FOUND:
        return TaskRouterNotFound(f"TaskRouter has no such resource ({cause}){reason}")
    if status == _THROTTLED:
        return TaskRouterThrottled("TaskRouter throttled the request.", retry_after=retry_after)
    if status in _REFUSED:
        return TaskRouterRefused(f"TaskRouter refused the request ({cause}){reason}")
    return TaskRouterUnavailable(f"TaskRouter failed ({cause}).", retry_after=retry_after)


def _retry_after(header: str) -> int | None:
    """Return the seconds in a Retry-After header, at most a day; None for a date or other text."""
    is_number = header.isascii() and header.isdigit()
    return min(int(header.lstrip("0")[:6] or 0), _MAX_RETRY_AFTER_SECONDS) if is_number else None


def _describe_refusal(problem: dict[str, Any], form: dict[str, list[str]]) -> str:
    """Return Twilio's message and the parameters to check, as the end of a sentence.

    Args:
        problem: Twilio's error, with ``message`` or (RFC 9457) ``detail`` and ``title``.
        form: the fields of the request.
    """
    texts = [problem.get(name) for name in ("message", "detail", "title")]
    message = next((text for text in texts if text and isinstance(text, str)), "")
    private = [
        value
        for name, values_sent in form.items()
        for value in values_sent
        if name == "Attributes" or (name in _PARAMETERS and _PARAMETERS[name][1].secret)
    ]
    reason = public_text(message, private)
    if not reason:
        return "; see https://www.twilio.com/docs/api/errors."
    words = set(re.findall(r"\w+", message))
    named = [name for name in form if name in words] or [
        name
        for name, values_sent in form.items()
        if any(len(value) >= _MIN_VALUE_LENGTH and value in words for value in values_sent)
    ]
    # The route determines the status, so the caller can't change it.
    parameters = [_parameter_name(name) for name in named if name != "ReservationStatus"]
    return f": {reason}." + (f" Check {', '.join(parameters)}." if parameters else "")


def _parameter_name(rest_name: str) -> str:
    return _PARAMETERS[rest_name][0] if rest_name in _PARAMETERS else _keyword(rest_name)
