"""TaskRouter's REST API, called through the Twilio SDK.

The adapter sets timeouts and raises this service's errors.

This module is imported only when needed. Importing the SDK takes about 150 ms, which must not delay
assignment callbacks.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from keyword import iskeyword
from typing import Any, TypeVar

from requests import RequestException
from twilio.base import values
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response as HttpResponse
from twilio.rest import Client

from chalicelib.adapters.secrets import Secrets, SecretsSource
from chalicelib.domain.callbacks import EventPage, Form, ReservationEvent
from chalicelib.domain.errors import (
    BadRequest,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
    describe_connection_failure,
)
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.domain.tasks import CreatedTask, NewTask

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
_UNAUTHENTICATED = (401, 403)
_NOT_FOUND = 404
_THROTTLED = 429


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
        self._http_client = TwilioHttpClient()
        # The constructor requires a single number, but requests accepts (connect, read) timeouts.
        self._http_client.timeout = (_CONNECT_SECONDS, _READ_SECONDS)
        self._base_url = base_url
        self._account_sid = account_sid
        self._secrets = secrets
        self._workspace_sid = workspace_sid

    def _request(self, send: Callable[[Any], _Response]) -> _Response:
        """Call *send* with the SDK's context of the Workspace; translate SDK errors."""
        secrets = self._secrets.current()
        try:
            return self._send(send, secrets)
        except TaskRouterDenied:
            renewed = self._secrets.renewed()
            if renewed.api_key == secrets.api_key:
                raise
            return self._send(send, renewed)

    def _send(self, send: Callable[[Any], _Response], secrets: Secrets) -> _Response:
        client = Client(*secrets.api_key, self._account_sid, http_client=self._http_client)
        client.taskrouter.base_url = self._base_url
        with _translate_errors(self._base_url):
            return send(client.taskrouter.v1.workspaces(self._workspace_sid))

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

    def find_task(self, name: str, value: str, *, since: int) -> CreatedTask | None:
        """Find a Task by one of its attributes.

        TaskRouter allows 3 such requests per second.

        Args:
            name: the name of the attribute.
            value: letters, digits and ``_ . : -`` only, because it becomes part of an expression.
            since: epoch ms; Tasks created earlier are ignored.
        """
        expression = f'{name} == "{value}"'

        def send(workspace: Any) -> CreatedTask | None:
            tasks = workspace.tasks.list(evaluate_task_attributes=expression, limit=50)
            recent = [task for task in tasks if task.date_created.timestamp() * 1000 >= since]
            return _to_task(recent[0]) if recent else None

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


def _to_reservation(reservation: Any) -> RemoteReservation:
    return RemoteReservation(
        reservation_sid=reservation.sid,
        task_sid=reservation.task_sid,
        worker_sid=reservation.worker_sid,
        worker_name=reservation.worker_name,
        status=Status(reservation.reservation_status),
        created_at=int(reservation.date_created.timestamp() * 1000),
    )


@contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    """Translate SDK errors into TaskRouterErrors; *url* is TaskRouter's base URL.

    The new message does not contain Twilio's message, which may repeat parts of the request. For
    most error responses, the new message contains Twilio's error code, which operators can look up.
    """
    try:
        yield
    except TwilioException as error:
        raise _to_error(*status_and_code(error)) from error
    except RequestException as error:
        raise TaskRouterUnavailable(
            f"TaskRouter {describe_connection_failure(url, error)}."
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # A 2xx response whose body is not JSON or lacks a member that the SDK expects.
        raise TaskRouterUnavailable("TaskRouter's response can't be read.") from error


def status_and_code(error: TwilioException) -> tuple[int | None, object]:
    """Return the HTTP status and Twilio's error code of an SDK error, if there are any."""
    match error.args:
        case (str(), HttpResponse() as response):  # the SDK's error for a failed list request
            return response.status_code, response.status_code
    return getattr(error, "status", None), getattr(error, "code", None)


def _to_error(status: int | None, code: object) -> Exception:
    cause = f"HTTP {status}, error {code}"
    if status in _UNAUTHENTICATED:
        return TaskRouterDenied(f"TaskRouter refused this service's credentials ({cause}).")
    if status == _NOT_FOUND:
        return TaskRouterNotFound(f"TaskRouter has no such resource ({cause}).")
    if status == _THROTTLED:
        return TaskRouterThrottled("TaskRouter throttled the request. Retry later.")
    if status in _REFUSED:
        return TaskRouterRefused(
            f"TaskRouter refused the request ({cause}); see https://www.twilio.com/docs/api/errors."
        )
    return TaskRouterUnavailable(f"TaskRouter failed ({cause}). Retry.")
