"""TaskRouter's REST API over the twilio SDK, with time-outs and our errors.

Imported only where it is used: the SDK takes some 150 ms to import, which the callback must not
pay.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from requests import RequestException
from twilio.base import values
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from chalicelib.domain.errors import (
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.reservations import Status
from chalicelib.domain.taskrouter import CreatedTask, NewTask, Seen

_CONNECT_SECONDS = 2.0
_READ_SECONDS = 8.0

_REFUSED = range(400, 500)
_UNAUTHENTICATED = (401, 403)
_NOT_FOUND = 404
_THROTTLED = 429


class TwilioTaskRouter:
    """`chalicelib.usecases.ports.TaskRouter` for one Workspace.

    Args:
        base_url: TaskRouter's, without ``/v1``.
        account_sid: AC….
        api_key_sid: SK….
        api_key_secret: its secret.
        workspace_sid: WS….
    """

    def __init__(
        self,
        *,
        base_url: str,
        account_sid: str,
        api_key_sid: str,
        api_key_secret: str,
        workspace_sid: str,
    ) -> None:
        http_client = TwilioHttpClient()
        # Its constructor takes one number, but hands it to requests, which takes two.
        http_client.timeout = (_CONNECT_SECONDS, _READ_SECONDS)
        client = Client(api_key_sid, api_key_secret, account_sid, http_client=http_client)
        client.taskrouter.base_url = base_url
        self._workspace = client.taskrouter.v1.workspaces(workspace_sid)

    def fetch_reservation(
        self, reservation_sid: str, *, task_sid: str | None = None, worker_sid: str | None = None
    ) -> Seen:
        """Fetch a Reservation by its Task, or else by its Worker."""
        with _translated():
            owner = (
                self._workspace.tasks(task_sid)
                if task_sid is not None
                else self._workspace.workers(worker_sid)
            )
            return _seen(owner.reservations(reservation_sid).fetch())

    def update_reservation(
        self, reservation_sid: str, *, task_sid: str, to: Status, activity_sid: str | None
    ) -> Seen:
        """Ask for a Reservation to be accepted, rejected or completed.

        Args:
            reservation_sid: WR….
            task_sid: WT….
            to: the status asked for.
            activity_sid: WA… that a rejection moves the Worker to; without it TaskRouter takes
                the Activity from before the Reservation.
        """
        with _translated():
            return _seen(
                self._workspace.tasks(task_sid)
                .reservations(reservation_sid)
                .update(
                    reservation_status=to.value,
                    worker_activity_sid=values.unset if activity_sid is None else activity_sid,
                )
            )

    def pending_reservations(self, task_sid: str) -> list[Seen]:
        """List a Task's pending Reservations; MaxReservedWorkers allows 50 at most."""
        with _translated():
            reservations = self._workspace.tasks(task_sid).reservations
            return [
                _seen(one)
                for one in reservations.list(reservation_status=Status.PENDING.value, limit=50)
            ]

    def create_task(self, task: NewTask) -> CreatedTask:
        """Create a Task."""
        given = {
            name: value
            for name, value in (
                ("priority", task.priority),
                ("timeout", task.timeout),
                ("task_channel", task.task_channel),
            )
            if value is not None
        }
        with _translated():
            created = self._workspace.tasks.create(
                attributes=task.attributes, workflow_sid=task.workflow_sid, **given
            )
            return CreatedTask(
                sid=created.sid,
                attributes=created.attributes,
                assignment_status=str(created.assignment_status),
                workflow_sid=created.workflow_sid,
                task_queue_sid=created.task_queue_sid,
                priority=created.priority,
            )

    def must_know_the_workspace(self) -> None:
        """Fetch the Workspace: what else is 404 is then truly gone, not asked for wrongly."""
        with _translated():
            self._workspace.fetch()


def _seen(reservation: Any) -> Seen:
    created: datetime = reservation.date_created
    return Seen(
        reservation_sid=reservation.sid,
        task_sid=reservation.task_sid,
        worker_sid=reservation.worker_sid,
        worker_name=reservation.worker_name,
        status=Status(reservation.reservation_status),
        created_at=int(created.timestamp() * 1000),
    )


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
