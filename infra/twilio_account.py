"""Access to a Twilio account's TaskRouter, for operator commands.

Twilio's errors become OperatorErrors that state the cause and the remedy.
"""

from collections.abc import Callable, Iterable
from functools import partial
from json import JSONDecodeError
from typing import Any, TypeVar

from requests import RequestException
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response as HttpResponse
from twilio.rest import Client

from chalicelib.config import TASKROUTER_URL
from chalicelib.domain.messages import describe_connection_failure
from infra import OperatorError, format_duration

_Response = TypeVar("_Response")

_API_URL = "https://api.twilio.com"
_TIMEOUT_SECONDS = 10
_UNAUTHENTICATED = (401, 403)
_NOT_FOUND = 404
_THROTTLED = 429
_SERVER_ERROR = 500
_ENDED = ("canceled", "completed")
_CANCELABLE = ("pending", "reserved")
_ATTEMPTS_TO_END = 3
"""Maximum attempts to end a Task. An attempt fails if the status changes during the attempt."""


class Account:
    """An account's TaskRouter, accessed with one set of credentials.

    Args:
        url: The URL of TaskRouter, without ``/v1``.
        account_sid: AC….
        username: The SID of an API key, or the account SID.
        password: The secret of the API key, or the auth token.
        remedy: A sentence that says what to do if Twilio refuses the credentials.
        http_client: Sends the requests; by default, each request is sent once.
    """

    def __init__(
        self,
        url: str,
        account_sid: str,
        username: str,
        password: str,
        *,
        remedy: str,
        http_client: TwilioHttpClient | None = None,
    ) -> None:
        self.sid = account_sid
        self._url = url
        self._remedy = remedy
        kind = "auth token" if username == account_sid else f"API key {username}"
        self._credentials = f"the {kind} for account {account_sid}"
        self._http_client = http_client or TwilioHttpClient(timeout=_TIMEOUT_SECONDS)
        client = Client(username, password, account_sid, http_client=self._http_client)
        client.taskrouter.base_url = url
        client.api.base_url = _API_URL
        self._client = client
        self.workspaces = client.taskrouter.v1.workspaces

    def call(self, send: Callable[[], _Response], *, missing: str = "") -> _Response:
        """Send requests to Twilio.

        Args:
            send: Sends the requests.
            missing: Error message if Twilio returns 404.

        Raises:
            OperatorError: Twilio refused a request, failed or can't be reached.
        """
        try:
            return send()
        except TwilioException as error:
            raise OperatorError(self._explain(error, missing)) from error
        except RequestException as error:
            raise unreachable_error(self._url, error) from error
        except (JSONDecodeError, TypeError, KeyError, AttributeError) as error:
            raise OperatorError(
                f"{self._url} did not respond like TaskRouter. Check TWILIO_TASKROUTER_URL."
            ) from error

    def _explain(self, error: TwilioException, missing: str) -> str:
        status, code = _status_and_code(error)
        if status in _UNAUTHENTICATED:
            own_url = f"TWILIO_TASKROUTER_URL is {self._url}. "
            hint = "" if self._url == TASKROUTER_URL else own_url
            return f"Twilio refused {self._credentials}. {hint}{self._remedy}"
        if status == _NOT_FOUND and missing:
            return missing
        if status == _THROTTLED:
            wait = format_duration(max(60.0, getattr(self._http_client, "retry_after", 0.0)))
            return f"Twilio throttled the request. Run the command again in {wait}."
        result = f" with HTTP status {status}" if status else ""
        if status is None or status >= _SERVER_ERROR:
            return (
                f"Twilio failed{result}. See https://status.twilio.com, and run the command again "
                "later."
            )
        # An SDK error without a Twilio error code contains the HTTP status instead.
        page = f"/{code}" if code and code != status else ""
        return (
            f"Twilio refused the request{result}. See https://www.twilio.com/docs/api/errors{page}."
        )

    def request(self, method: str, path: str, parameters: dict[str, Any]) -> HttpResponse:
        """Send a request to TaskRouter, and return the response regardless of its status.

        Args:
            method: The HTTP method.
            path: The path after ``/v1``.
            parameters: The query of a GET request, otherwise the form.
        """
        payload = {"params" if method == "GET" else "data": parameters}
        url = f"{self._url}/v1{path}"
        response: HttpResponse = self.call(partial(self._client.request, method, url, **payload))
        return response

    def list_workspaces(self) -> list[tuple[str, str]]:
        """List the Workspaces as pairs of SID and name."""
        return self.call(lambda: _names(self.workspaces.list()))

    def list_workflows(self, workspace_sid: str) -> list[tuple[str, str]]:
        """List the Workflows of a Workspace as pairs of SID and name."""
        return self.call(
            lambda: _names(self.workspaces(workspace_sid).workflows.list()),
            missing=self.no_workspace_message(workspace_sid),
        )

    def list_workers(self, workspace_sid: str, name: str) -> list[tuple[str, str]]:
        """List the Workers with the given name as pairs of SID and name."""
        workers = self.workspaces(workspace_sid).workers
        return self.call(
            lambda: _names(workers.list(friendly_name=name)),
            missing=self.no_workspace_message(workspace_sid),
        )

    def is_main_key(self) -> bool:
        """Return whether the API key can manage the account's keys.

        Only a main key can do so (https://www.twilio.com/docs/iam/api-keys). The simulator does not
        provide the API for keys, so the result is False for any TaskRouter URL other than Twilio's.
        """
        if self._url != TASKROUTER_URL:
            return False
        try:
            self._client.api.v2010.accounts(self.sid).keys.list(limit=1)
        except TwilioException as error:
            status, _ = _status_and_code(error)
            if status in _UNAUTHENTICATED:
                return False
            raise OperatorError(self._explain(error, "")) from error
        except RequestException as error:
            failure = describe_connection_failure(_API_URL, error)
            message = f"Twilio's API {failure}. Check the network and run the command again."
            raise OperatorError(message) from error
        return True

    def no_workspace_message(self, workspace_sid: str) -> str:
        """Return the message about a Workspace that does not exist."""
        return (
            f"Account {self.sid} has no Workspace {workspace_sid}. Correct TWILIO_WORKSPACE_SID "
            "or TWILIO_ACCOUNT_SID."
        )


def unreachable_error(url: str, error: RequestException) -> OperatorError:
    """Return the error for an unanswered request to TaskRouter's URL."""
    failure = describe_connection_failure(url, error)
    remedy = (
        "Check the network and run the command again."
        if url == TASKROUTER_URL
        else "Check TWILIO_TASKROUTER_URL, or start the simulator: make services"
    )
    return OperatorError(f"TaskRouter {failure}. {remedy}")


def _names(resources: Iterable[Any]) -> list[tuple[str, str]]:
    return [(resource.sid, resource.friendly_name) for resource in resources]


class Workspace:
    """The Workspace and the Workflow of a stage.

    Args:
        account: The account, accessed with the API key of the stage.
        sid: WS….
        workflow_sid: WW… of the Workflow.
    """

    def __init__(self, account: Account, sid: str, workflow_sid: str) -> None:
        self._account = account
        self._context = account.workspaces(sid)
        self.sid = sid
        self.workflow_sid = workflow_sid

    def fetch(self) -> Any:
        """Return the SDK's instance for the Workspace.

        Raises:
            OperatorError: The account has no such Workspace, or Twilio refused the request.
        """
        missing = self._account.no_workspace_message(self.sid)
        workspace = self._account.call(self._context.fetch, missing=missing)
        # TaskRouter derives the account from the API key, so the request succeeds even if the key
        # belongs to an account other than the configured one.
        if workspace.account_sid != self._account.sid:
            raise OperatorError(missing)
        return workspace

    def fetch_workflow(self) -> Any:
        """Return the SDK's instance for the Workflow; raise OperatorError like `fetch`."""
        return self._account.call(
            self._context.workflows(self.workflow_sid).fetch,
            missing=(
                f"Workspace {self.sid} has no Workflow {self.workflow_sid}. Correct "
                "TWILIO_WORKFLOW_SID or TWILIO_WORKSPACE_SID."
            ),
        )

    def fetch_other_workflow(self, sid: str) -> Any:
        """Return the SDK's instance for a Workflow in RESERVATION_TIMEOUTS_BY_WORKFLOW."""
        return self._account.call(
            self._context.workflows(sid).fetch,
            missing=(
                f"Workspace {self.sid} has no Workflow {sid}. Correct or remove the Workflow's SID "
                "in this setting."
            ),
        )

    def update(self, **parameters: str) -> None:
        """Update the Workspace."""
        self._account.call(lambda: self._context.update(**parameters))

    def update_workflow(self, **parameters: str) -> None:
        """Update the Workflow."""
        workflow = self._context.workflows(self.workflow_sid)
        self._account.call(lambda: workflow.update(**parameters))

    def check_readable(self) -> None:
        """Read a Task and an Event; raise OperatorError if the key lacks permission to do so."""
        for resource in (self._context.tasks, self._context.events):
            self._account.call(partial(resource.list, limit=1))

    def list_all_workflows(self) -> list[Any]:
        """List the SDK's instances for the Workflows."""
        return self._account.call(lambda: list(self._context.workflows.list()))

    def list_reserved_tasks(self, limit: int) -> list[str]:
        """List the SIDs of at most *limit* reserved Tasks."""
        list_tasks = partial(self._context.tasks.list, assignment_status=["reserved"], limit=limit)
        return [str(task.sid) for task in self._account.call(list_tasks)]

    def list_available_workers(self, queue_sids: Iterable[str]) -> list[str]:
        """List the names of the available Workers in any of the TaskQueues."""
        list_workers = partial(self._context.workers.list, available="true")
        names = {
            worker.friendly_name
            for sid in queue_sids
            for worker in self._account.call(partial(list_workers, task_queue_sid=sid))
        }
        return sorted(names)

    def create_task(self, attributes: str, *, timeout: int) -> str:
        """Create a Task and return its SID.

        Args:
            attributes: The Task's attributes as JSON.
            timeout: Seconds after which TaskRouter cancels the Task.
        """
        task = self._account.call(
            lambda: self._context.tasks.create(
                attributes=attributes, workflow_sid=self.workflow_sid, timeout=timeout
            )
        )
        return str(task.sid)

    def fetch_task(self, sid: str) -> Any:
        """Return the SDK's instance for a Task."""
        return self._account.call(self._context.tasks(sid).fetch)

    def list_reservations(self, task_sid: str) -> list[Any]:
        """List the SDK's instances for at most 50 Reservations of a Task."""
        reservations = self._context.tasks(task_sid).reservations
        return self._account.call(lambda: list(reservations.list(limit=50)))

    def end_task(self, sid: str, reason: str) -> str:
        """Cancel a Task, or complete it if a Worker has accepted it; return its final status."""
        task, failure = self._context.tasks(sid), OperatorError("")
        for _ in range(_ATTEMPTS_TO_END):
            status = str(self.fetch_task(sid).assignment_status)
            if status in _ENDED:
                return status
            final_status = "canceled" if status in _CANCELABLE else "completed"
            try:
                self._account.call(
                    partial(task.update, assignment_status=final_status, reason=reason)
                )
            except OperatorError as error:
                failure = error
            else:
                return final_status
        raise failure


def _status_and_code(error: TwilioException) -> tuple[int | None, object]:
    """Return the HTTP status and Twilio's error code of an SDK error, if there are any."""
    match error.args:
        case (str(), HttpResponse() as response):  # the SDK's error for a failed list request
            return response.status_code, response.status_code
    return getattr(error, "status", None), getattr(error, "code", None)
