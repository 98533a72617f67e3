"""TaskRouter's REST API, called through the Twilio SDK.

The adapter limits the duration of requests and raises the errors in `chalicelib.domain.errors`.

This module is imported only when needed. Importing the SDK's REST client takes about 150 ms and
must not delay assignment callbacks.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from requests import RequestException
from twilio.base import values
from twilio.base.exceptions import TwilioException
from twilio.rest import Client

from chalicelib.adapters.exchange import PARSE_ERRORS
from chalicelib.adapters.secrets import SecretsSource
from chalicelib.adapters.twilio.errors import sdk_name, to_error
from chalicelib.adapters.twilio.http_client import SizeLimitedExchange, make_http_client
from chalicelib.adapters.twilio.resources import (
    to_activity,
    to_found_task,
    to_statistics,
    to_task,
    to_worker,
)
from chalicelib.domain.callbacks import MAX_NAME_LENGTH, EventPage, Form, ReservationEvent
from chalicelib.domain.errors import (
    BadRequest,
    TaskRouterDenied,
    TaskRouterNotSent,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.messages import describe_connection_failure
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.domain.sids import checked_sid
from chalicelib.domain.sign_in import find_workers_query, read_attribute
from chalicelib.domain.statistics import WorkspaceStatistics
from chalicelib.domain.tasks import CreatedTask, FoundTask, NewTask, has_attribute
from chalicelib.domain.workers import Activity, WorkerActivity

_Response = TypeVar("_Response")

REQUEST_SECONDS, PAGE_SECONDS = 3.0, 8.0
"""Time limits. An operation may take REQUEST_SECONDS, from the DNS lookup to the end of the
response. A list with several pages may take twice PAGE_SECONDS. Only sweeps read such lists."""

_MAX_RESOURCE_BYTES = 2**20
_MAX_PAGE_BYTES = 2**26
"""Maximum sizes of responses. 1,000 Events with attributes of maximum length take 57 MB."""

_PAGE_SIZE = 1000
_MAX_EVENTS = 2 * _PAGE_SIZE
"""Maximum number of Events per list: two pages, because a sweep step has time for two requests."""


class TwilioTaskRouter:
    """Implements `chalicelib.usecases.ports.TaskRouter` for one Workspace.

    Args:
        base_url: the URL of TaskRouter, without ``/v1``.
        account_sid: AC….
        secrets: the source of the API key. If TaskRouter rejects the key, the secrets are read
            again, and the request is repeated if the key has changed.
        workspace_sid: WS….
        seconds, page_seconds: time limits; see REQUEST_SECONDS and PAGE_SECONDS.
    """

    def __init__(
        self,
        *,
        base_url: str,
        account_sid: str,
        secrets: SecretsSource,
        workspace_sid: str,
        seconds: float = REQUEST_SECONDS,
        page_seconds: float = PAGE_SECONDS,
    ) -> None:
        self._http_client = make_http_client(to_error, seconds=max(seconds, page_seconds))
        self._seconds = seconds
        self._page_seconds = page_seconds
        self._base_url = base_url
        self._account_sid = account_sid
        self._secrets = secrets
        self._workspace_sid = workspace_sid

    def _request(self, send: Callable[[Any], _Response], *, pages: int = 0) -> _Response:
        """Call *send* with the SDK's context for the Workspace, and translate errors.

        *pages* is the number of list pages that the time and size limits allow for. 0 means that
        *send* reads only small responses.
        """
        ends_at = time.monotonic() + (self._page_seconds * pages if pages > 1 else self._seconds)
        max_bytes = _MAX_PAGE_BYTES if pages else _MAX_RESOURCE_BYTES
        secrets = self._secrets.get()
        while True:
            client = Client(*secrets.api_key, self._account_sid, http_client=self._http_client)
            client.taskrouter.base_url = self._base_url
            workspace = client.taskrouter.v1.workspaces(self._workspace_sid)
            seconds = max(0, ends_at - time.monotonic())
            exchange = SizeLimitedExchange(partial(send, workspace), seconds, max_bytes=max_bytes)
            try:
                return exchange.run()
            except TaskRouterDenied:
                refused, secrets = secrets, self._secrets.refresh()
                if secrets.api_key == refused.api_key:
                    raise
            except (RequestException, TimeoutError) as error:
                failure = f"TaskRouter {describe_connection_failure(self._base_url, error)}."
                if exchange.was_sent:
                    raise TaskRouterUnavailable(failure) from error
                raise TaskRouterNotSent(f"{failure} The request was not sent. Retry.") from error
            except (TwilioException, BadRequest, *PARSE_ERRORS) as error:
                # A 2xx response that is not JSON, lacks a field, or has an unexpected SID.
                raise TaskRouterUnavailable("TaskRouter's response can't be read.") from error

    def fetch_reservation(
        self, reservation_sid: str, *, task_sid: str | None = None, worker_sid: str | None = None
    ) -> RemoteReservation:
        """Fetch a Reservation of a Task or, if no Task is given, of a Worker."""

        def send(workspace: Any) -> RemoteReservation:
            owner, sids = workspace.tasks(task_sid), {"task_sid": task_sid}
            if task_sid is None:
                owner, sids = workspace.workers(worker_sid), {"worker_sid": worker_sid}
            fetched = owner.reservations(reservation_sid).fetch()
            return _to_reservation(fetched, sid=reservation_sid, **sids)

        return self._request(send)

    def update_reservation(
        self, reservation_sid: str, *, task_sid: str, to: Status, activity_sid: str | None
    ) -> RemoteReservation:
        """Accept, reject or complete a Reservation.

        A rejection moves the Worker to the Activity *activity_sid* (WA…), or by default to the
        Activity that the Worker had before the Reservation.
        """
        # The requests library omits parameters whose value is None.
        return self._request(
            lambda workspace: _to_reservation(
                workspace.tasks(task_sid)
                .reservations(reservation_sid)
                .update(reservation_status=to.value, worker_activity_sid=activity_sid),
                sid=reservation_sid,
                task_sid=task_sid,
            )
        )

    def send_instruction(
        self, reservation_sid: str, *, task_sid: str, instruction: Instruction
    ) -> RemoteReservation:
        """Send an assignment instruction that the REST API supports.

        The returned Reservation may still be pending, because someone may have to answer a phone
        first. https://www.twilio.com/docs/taskrouter/api/reservations
        """
        parameters = {sdk_name(name): value for name, value in instruction.rest_form().items()}
        return self._request(
            lambda workspace: _to_reservation(
                workspace.tasks(task_sid).reservations(reservation_sid).update(**parameters),
                sid=reservation_sid,
                task_sid=task_sid,
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
            listed = [_to_reservation(each, task_sid=task_sid) for each in reservations]
            return [each for each in listed if status in (values.unset, each.status)]

        return self._request(send, pages=1)

    def list_reserved_tasks(self) -> list[str]:
        """List the SIDs (WT…) of the reserved Tasks."""

        def send(workspace: Any) -> list[str]:
            reserved = workspace.tasks.stream(assignment_status=["reserved"], page_size=_PAGE_SIZE)
            return [checked_sid(task.sid, "WT", "sid") for task in reserved]

        return self._request(send, pages=2)

    def list_events(self, event_type: str, *, since: int, until: int) -> EventPage:
        """List the Events of a type from *since* to *until*.

        Events contain the parameters of event callbacks, in snake case
        (https://www.twilio.com/docs/taskrouter/api/event). An Event that lacks a valid
        Reservation, Task or Worker SID can't be recorded and is only counted.

        Args:
            event_type: such as ``reservation.created``.
            since: epoch ms, rounded down to a second.
            until: epoch ms, rounded down to a second.

        Returns:
            The Events on at most two pages, because a sweep step has time for only two requests;
            the number of Events that can't be recorded; and whether the list is complete.
        """

        def send(workspace: Any) -> EventPage:
            listed = workspace.events.list(
                event_type=event_type,
                start_date=datetime.fromtimestamp(since // 1000, UTC),
                end_date=datetime.fromtimestamp(until // 1000, UTC),
                page_size=_PAGE_SIZE,
                limit=_MAX_EVENTS,
            )
            if any(item.event_type not in (event_type, None) for item in listed):
                raise ValueError("TaskRouter returned Events of a different type.")
            events = [event for item in listed if (event := self._to_event(item)) is not None]
            return EventPage(
                events,
                is_complete=len(listed) < _MAX_EVENTS,
                unreadable=len(listed) - len(events),
            )

        return self._request(send, pages=2)

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
        # Twilio documents all fields of an Event as nullable.
        at = item.event_date_ms
        return event and replace(event, at=at if type(at) is int and at > 0 else None)

    def create_task(self, task: NewTask) -> CreatedTask:
        """Create a Task."""

        def send(workspace: Any) -> CreatedTask:
            # The requests library omits parameters whose value is None.
            created = to_task(workspace.tasks.create(**asdict(task)))
            if created.workflow_sid != task.workflow_sid:
                raise ValueError("TaskRouter returned a different Task.")
            return created

        return self._request(send)

    def find_tasks(self, name: str, value: str) -> list[FoundTask]:
        """Find at most five Tasks that have an attribute with this value.

        TaskRouter allows 3 searches per second. A list does not contain the attributes of its
        Tasks, so each Task is fetched.

        Args:
            name: the name of the attribute.
            value: letters, digits and ``_ . : -`` only, because it becomes part of an expression.
        """
        expression = f'{name} == "{value}"'

        def send(workspace: Any) -> list[FoundTask]:
            tasks = workspace.tasks.list(evaluate_task_attributes=expression, limit=5)
            found = [to_found_task(task.fetch(), sid=task.sid) for task in tasks]
            if not all(has_attribute(each.task, name, value) for each in found):
                raise ValueError("TaskRouter returned a different Task.")
            return found

        return self._request(send)

    def list_activities(self) -> list[Activity]:
        """List the Activities of the Workspace; one page is enough."""
        return self._request(
            lambda workspace: [
                to_activity(activity)
                for activity in workspace.activities.list(page_size=_PAGE_SIZE, limit=_PAGE_SIZE)
            ],
            pages=1,
        )

    def fetch_worker(self, worker_sid: str) -> WorkerActivity:
        """Return the current Activity of a Worker."""
        return self._request(
            lambda workspace: to_worker(workspace.workers(worker_sid).fetch(), sid=worker_sid)
        )

    def update_worker(self, worker_sid: str, *, activity_sid: str) -> WorkerActivity:
        """Switch a Worker to an Activity.

        The Worker keeps its Reservations, because RejectPendingReservations is not sent.
        """
        return self._request(
            lambda workspace: to_worker(
                workspace.workers(worker_sid).update(activity_sid=activity_sid),
                sid=worker_sid,
                activity_sid=activity_sid,
            )
        )

    def find_workers(self, attribute: str, value: str) -> list[str]:
        """Return the SIDs of the Workers whose attribute has exactly this value.

        Args:
            attribute: the name of an attribute, whose parts are separated by dots, or
                ``friendly_name``.
            value: the value.
        """
        query = find_workers_query(attribute, value)
        if query is None:
            return []

        def send(workspace: Any) -> list[str]:
            # Twilio does not document whether TaskRouter's comparison is exact, so the results are
            # compared again.
            workers = workspace.workers.list(**query, page_size=_PAGE_SIZE, limit=_PAGE_SIZE)
            return [
                checked_sid(worker.sid, "WK", "sid")
                for worker in workers
                if read_attribute(worker.friendly_name, worker.attributes, attribute) == value
            ]

        return self._request(send, pages=1)

    def fetch_statistics(self) -> WorkspaceStatistics:
        """Fetch the real-time statistics of the Workspace."""
        return self._request(
            lambda workspace: to_statistics(
                workspace.real_time_statistics().fetch(), workspace_sid=self._workspace_sid
            )
        )

    def verify_workspace(self) -> None:
        """Fetch the Workspace to rule out its SID as the cause of an earlier 404 response."""

        def send(workspace: Any) -> None:
            if workspace.fetch().sid != self._workspace_sid:
                raise ValueError("TaskRouter returned a different Workspace.")

        self._request(send)


def _to_reservation(reservation: Any, **requested: str | None) -> RemoteReservation:
    """Convert a Reservation; raise an error unless its SIDs are valid and as requested."""
    name, status = reservation.worker_name or "", Status(reservation.reservation_status)
    is_other = any(getattr(reservation, key) != sid for key, sid in requested.items())
    if is_other or not isinstance(name, str) or status is Status.GONE:
        raise ValueError("TaskRouter returned a malformed or different Reservation.")
    return RemoteReservation(
        reservation_sid=checked_sid(reservation.sid, "WR", "sid"),
        task_sid=checked_sid(reservation.task_sid, "WT", "task_sid"),
        worker_sid=checked_sid(reservation.worker_sid, "WK", "worker_sid"),
        worker_name=name[:MAX_NAME_LENGTH] or None,
        status=status,
        created_at=int(reservation.date_created.timestamp() * 1000),
    )
