"""TaskRouter's REST API over the twilio SDK, with time-outs and our errors.

Imported only where it is used: the SDK takes some 150 ms to import, which the callback must not
pay.
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
from twilio.http.response import Response
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
)
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.domain.tasks import CreatedTask, NewTask

_Answer = TypeVar("_Answer")

_CONNECT_SECONDS = 2.0
_READ_SECONDS = 8.0

_PAGE_SIZE = 1000
_MOST_EVENTS = 2 * _PAGE_SIZE
"""Two pages take no longer than a question and its answer after a time-out."""

_TIMED_OUT = 408
_REFUSED = {*range(400, 500)} - {_TIMED_OUT}
"""TaskRouter understood and did nothing; a request that timed out may have been carried out."""
_UNAUTHENTICATED = (401, 403)
_NOT_FOUND = 404
_THROTTLED = 429


class TwilioTaskRouter:
    """`chalicelib.usecases.ports.TaskRouter` for one Workspace.

    Args:
        base_url: TaskRouter's, without ``/v1``.
        account_sid: AC….
        secrets: where the API key is. One that TaskRouter refuses is tried once more if renewed
            secrets hold another.
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
        # Its constructor takes one number, but hands it to requests, which takes two.
        self._http_client.timeout = (_CONNECT_SECONDS, _READ_SECONDS)
        self._base_url = base_url
        self._account_sid = account_sid
        self._secrets = secrets
        self._workspace_sid = workspace_sid

    def _ask(self, question: Callable[[Any], _Answer]) -> _Answer:
        """Put *question* to the SDK's context of the Workspace, and translate its errors."""
        key = self._key(self._secrets.current())
        try:
            with _translated():
                return question(self._workspace(key))
        except TaskRouterDenied:
            renewed = self._key(self._secrets.renewed())
            if renewed == key:
                raise
            with _translated():
                return question(self._workspace(renewed))

    @staticmethod
    def _key(secrets: Secrets) -> tuple[str, str]:
        return next(iter(secrets.api_keys.items()))

    def _workspace(self, key: tuple[str, str]) -> Any:
        client = Client(*key, self._account_sid, http_client=self._http_client)
        client.taskrouter.base_url = self._base_url
        return client.taskrouter.v1.workspaces(self._workspace_sid)

    def fetch_reservation(
        self, reservation_sid: str, *, task_sid: str | None = None, worker_sid: str | None = None
    ) -> RemoteReservation:
        """Fetch a Reservation by its Task, or else by its Worker."""

        def question(workspace: Any) -> RemoteReservation:
            owner = workspace.workers(worker_sid) if task_sid is None else workspace.tasks(task_sid)
            return _seen(owner.reservations(reservation_sid).fetch())

        return self._ask(question)

    def update_reservation(
        self, reservation_sid: str, *, task_sid: str, to: Status, activity_sid: str | None
    ) -> RemoteReservation:
        """Ask for a Reservation to be accepted, rejected or completed.

        Args:
            reservation_sid: WR….
            task_sid: WT….
            to: the status asked for.
            activity_sid: WA… that a rejection moves the Worker to; without it TaskRouter takes
                the Activity from before the Reservation.
        """
        activity = values.unset if activity_sid is None else activity_sid
        return self._ask(
            lambda workspace: _seen(
                workspace.tasks(task_sid)
                .reservations(reservation_sid)
                .update(reservation_status=to.value, worker_activity_sid=activity)
            )
        )

    def instruct(
        self, reservation_sid: str, *, task_sid: str, instruction: Instruction
    ) -> RemoteReservation:
        """Have an assignment instruction carried out.

        https://www.twilio.com/docs/taskrouter/api/reservations. The Reservation that comes back may
        be pending still: somebody has to answer a call first.

        Args:
            reservation_sid: WR….
            task_sid: WT….
            instruction: one that REST knows.
        """
        form = {_keyword(name): value for name, value in instruction.rest_form().items()}
        return self._ask(
            lambda workspace: _seen(
                workspace.tasks(task_sid).reservations(reservation_sid).update(**form)
            )
        )

    def pending_reservations(self, task_sid: str) -> list[RemoteReservation]:
        """List a Task's pending Reservations."""
        return self._reservations(task_sid, Status.PENDING.value)

    def reservations(self, task_sid: str) -> list[RemoteReservation]:
        """List a Task's Reservations, whatever became of them."""
        return self._reservations(task_sid, values.unset)

    def _reservations(self, task_sid: str, status: Any) -> list[RemoteReservation]:
        def question(workspace: Any) -> list[RemoteReservation]:
            # One page: MaxReservedWorkers allows 50 pending, and the limit on assignments is 1,000.
            found = workspace.tasks(task_sid).reservations.list(
                reservation_status=status, page_size=1000, limit=1000
            )
            return [_seen(one) for one in found]

        return self._ask(question)

    def reserved_tasks(self) -> list[str]:
        """List the SIDs (WT…) of the Tasks that are reserved."""

        def question(workspace: Any) -> list[str]:
            reserved = workspace.tasks.stream(assignment_status=["reserved"], page_size=_PAGE_SIZE)
            return [task.sid for task in reserved]

        return self._ask(question)

    def reservation_events(self, event_type: str, *, since: int, until: int) -> EventPage:
        """List the Events of a type that happened from *since* to *until*.

        They are what event callbacks tell, with the names in lower case
        (https://www.twilio.com/docs/taskrouter/api/event). Of one that does not say which
        Reservation, Task and Worker it is about nothing can be recorded: it is counted.

        Args:
            event_type: such as ``reservation.created``.
            since: epoch ms, asked for to the second.
            until: epoch ms, as well.

        Returns:
            The Events, of which no more are read than two pages hold, so that one question takes
            no longer than any other.
        """

        def question(workspace: Any) -> EventPage:
            events = workspace.events.list(
                event_type=event_type,
                start_date=datetime.fromtimestamp(since // 1000, UTC),
                end_date=datetime.fromtimestamp(until // 1000, UTC),
                page_size=_PAGE_SIZE,
                limit=_MOST_EVENTS,
            )
            told = [told for event in events if (told := self._told(event)) is not None]
            return EventPage(
                told,
                are_all=len(events) < _MOST_EVENTS,
                unreadable=len(events) - len(told),
            )

        return self._ask(question)

    def _told(self, event: Any) -> ReservationEvent | None:
        data = {"reservation_sid": event.resource_sid}
        if isinstance(event.event_data, dict):
            data |= event.event_data
        pairs = [("EventType", event.event_type)]
        for name, value in data.items():
            if isinstance(value, str):
                pairs.append(("".join(map(str.capitalize, name.split("_"))), value))
        try:
            told = ReservationEvent.from_form(
                Form(pairs), account_sid=self._account_sid, workspace_sid=self._workspace_sid
            )
        except BadRequest:
            return None
        # Twilio describes all of an Event's members as nullable.
        at = event.event_date_ms
        return told and replace(told, at=at if type(at) is int and at > 0 else None)

    def create_task(self, task: NewTask) -> CreatedTask:
        """Create a Task."""
        given = {
            "priority": task.priority,
            "timeout": task.timeout,
            "task_channel": task.task_channel,
        }
        given = {name: value for name, value in given.items() if value is not None}
        return self._ask(
            lambda workspace: _created(
                workspace.tasks.create(
                    attributes=task.attributes, workflow_sid=task.workflow_sid, **given
                )
            )
        )

    def find_task(self, name: str, value: str, *, since: int) -> CreatedTask | None:
        """Find a Task by one of its attributes; TaskRouter takes 3 such questions a second.

        Args:
            name: the attribute's.
            value: letters, digits and ``_ . : -`` only, for it goes into an expression.
            since: epoch ms; a Task that was created before is another one.
        """
        expression = f'{name} == "{value}"'

        def question(workspace: Any) -> CreatedTask | None:
            found = workspace.tasks.list(evaluate_task_attributes=expression, limit=50)
            recent = [task for task in found if _ms(task.date_created) >= since]
            return _created(recent[0]) if recent else None

        return self._ask(question)

    def must_know_the_workspace(self) -> None:
        """Fetch the Workspace: what else is 404 is then truly gone, not asked for wrongly."""
        self._ask(lambda workspace: workspace.fetch())


def _keyword(name: str) -> str:
    """Return how the SDK calls a parameter: ``DequeueFrom`` is dequeue_from, ``From`` from_."""
    word = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return f"{word}_" if iskeyword(word) else word


def _created(task: Any) -> CreatedTask:
    return CreatedTask(
        sid=task.sid,
        attributes=task.attributes,
        assignment_status=str(task.assignment_status),
        workflow_sid=task.workflow_sid,
        task_queue_sid=task.task_queue_sid,
        priority=task.priority,
    )


def _seen(reservation: Any) -> RemoteReservation:
    return RemoteReservation(
        reservation_sid=reservation.sid,
        task_sid=reservation.task_sid,
        worker_sid=reservation.worker_sid,
        worker_name=reservation.worker_name,
        status=Status(reservation.reservation_status),
        created_at=_ms(reservation.date_created),
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn whatever the SDK raises into our errors.

    Twilio's message stays out of ours, because it may repeat what was sent; its error code is
    what an operator looks up.
    """
    try:
        yield
    except TwilioException as error:
        raise _error_of(*_status_and_code(error)) from error
    except RequestException as error:
        raise TaskRouterUnavailable(
            f"TaskRouter did not answer ({type(error).__name__})."
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # A 2xx whose body is no JSON, or not what the SDK expects of TaskRouter.
        raise TaskRouterUnavailable("TaskRouter's answer can't be read.") from error


def _status_and_code(error: TwilioException) -> tuple[int | None, object]:
    match error.args:
        case (str(), Response() as response):  # how the SDK tells that a list failed
            return response.status_code, response.status_code
    return getattr(error, "status", None), getattr(error, "code", None)


def _error_of(status: int | None, code: object) -> Exception:
    told = f"HTTP {status}, error {code}"
    if status in _UNAUTHENTICATED:
        return TaskRouterDenied(f"TaskRouter refuses this service's credentials ({told}).")
    if status == _NOT_FOUND:
        return TaskRouterNotFound(f"TaskRouter does not know it ({told}).")
    if status == _THROTTLED:
        return TaskRouterThrottled("TaskRouter takes no more requests at the moment; try again.")
    if status in _REFUSED:
        return TaskRouterRefused(
            f"TaskRouter refused the request ({told}); see https://www.twilio.com/docs/api/errors."
        )
    return TaskRouterUnavailable(f"TaskRouter failed ({told}); try again.")
