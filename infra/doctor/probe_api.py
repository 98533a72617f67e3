"""TaskRouter's REST API for the probe: raw responses, and the probe's own resources."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from infra import OperatorError
from infra.twilio_account import Account, Workspace

NAME = "taskrouter-callbacks probe"
"""Name of the Worker, Workflow, TaskQueue and TaskChannel that the probe creates and deletes."""

CHANNEL = "taskrouter_callbacks_probe"
"""Unique name of the probe's TaskChannel, and name of the attribute by which expressions select the
probe's Worker."""

_BAD_REQUEST = 400
_NOT_FOUND = 404
_THROTTLED = 429
_SERVER_ERROR = 500
_PAGE_SIZE = 1000


@dataclass(frozen=True)
class Response:
    """A response from TaskRouter.

    Attributes:
        status: The HTTP status.
        headers: The headers, whose names are case-insensitive.
        body: The JSON object, or an empty dict.
    """

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def is_ok(self) -> bool:
        """Whether TaskRouter executed the request."""
        return self.status < _BAD_REQUEST


@dataclass(frozen=True)
class Api:
    """A Workspace's REST API.

    Attributes:
        account: The account.
        workspace: The Workspace.
    """

    account: Account
    workspace: Workspace

    def send(self, method: str, path: str, **parameters: Any) -> Response:
        """Send a request, and return the response, even if TaskRouter refused the request.

        Raises:
            OperatorError: TaskRouter throttled the request, failed or can't be reached.
        """
        url = f"/Workspaces/{self.workspace.sid}{path}"
        response = self.account.request(method, url, parameters)
        if response.status_code == _THROTTLED or response.status_code >= _SERVER_ERROR:
            raise OperatorError(
                f"TaskRouter returned {response.status_code} for {method} {path}. Run the command "
                "again in a minute."
            )
        try:
            body = json.loads(response.text or "{}")
        except ValueError:
            body = {}
        headers = response.headers or {}
        return Response(response.status_code, headers, body if isinstance(body, dict) else {})

    def require(self, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        """Send a request and return the body; raise OperatorError for an error response."""
        response = self.send(method, path, **parameters)
        if not response.is_ok:
            raise OperatorError(
                f"TaskRouter refused {method} {path} with {response.status}: "
                f"{response.body.get('message', 'no message')}"
            )
        return response.body

    def list_resources(self, kind: str, **filters: Any) -> list[dict[str, Any]]:
        """List the first 1,000 resources.

        Args:
            kind: Path relative to the Workspace, such as "Workers" or "Workers/WK…/Channels".
            **filters: Query parameters.

        Raises:
            OperatorError: TaskRouter refused the request or did not return a list.
        """
        body = self.require("GET", f"/{kind}", PageSize=_PAGE_SIZE, **filters)
        try:
            resources: list[dict[str, Any]] = body[body["meta"]["key"]]
        except (KeyError, TypeError) as error:
            raise OperatorError(f"TaskRouter's response to GET /{kind} is not a list.") from error
        return resources

    def list_own(self, kind: str) -> list[dict[str, Any]]:
        """List the probe's Workers, Workflows or TaskQueues."""
        found = self.list_resources(kind, FriendlyName=NAME)
        return [each for each in found if each["friendly_name"] == NAME]


def clean_up(api: Api) -> list[str]:
    """Delete all resources of this and earlier probes, and return the failures.

    Tasks are found by their Workflow, and other resources by their names. A resource is therefore
    deleted even if the response to its creation was lost. After a failure, the clean-up continues
    with the other resources.

    Returns:
        An empty list if all resources were deleted; otherwise, sentences for the operator.
    """
    cleaner = _Cleaner(api)
    workflows = cleaner.attempt(api.list_own, "Workflows")
    for workflow in workflows:
        list_tasks = partial(api.list_resources, "Tasks", WorkflowSid=workflow["sid"])
        for task in cleaner.attempt(list_tasks):
            cleaner.attempt(cleaner.delete_task, task["sid"])
    for worker in cleaner.attempt(api.list_own, "Workers"):
        cleaner.attempt(cleaner.delete_worker, worker["sid"])
    queues = cleaner.attempt(api.list_own, "TaskQueues")
    for kind, resources in (("Workflows", workflows), ("TaskQueues", queues)):
        for resource in resources:
            cleaner.attempt(cleaner.delete, f"/{kind}/{resource['sid']}")
    for channel in cleaner.attempt(api.list_resources, "TaskChannels"):
        if channel["unique_name"] == CHANNEL:
            cleaner.attempt(cleaner.delete, f"/TaskChannels/{channel['sid']}")
    if not cleaner.failures:
        return []
    return [
        f"Some resources named {NAME!r} may not have been deleted. The next probe deletes them.",
        *dict.fromkeys(cleaner.failures),
    ]


@dataclass
class _Cleaner:
    api: Api
    failures: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of a step; if the step fails, record why, and return no resources."""
        try:
            return step(*arguments)
        except OperatorError as error:
            self.failures.append(str(error))
            return ()

    def delete_task(self, sid: str) -> None:
        self.api.workspace.end_task(sid, "Probe ended")
        self.delete(f"/Tasks/{sid}")

    def delete_worker(self, sid: str) -> None:
        activity = find_activity(self.api, is_available=False)
        self.api.require("POST", f"/Workers/{sid}", ActivitySid=activity)
        self.delete(f"/Workers/{sid}")

    def delete(self, path: str) -> None:
        if self.api.send("GET", path).status != _NOT_FOUND:
            self.api.require("DELETE", path)


def find_activity(api: Api, *, is_available: bool) -> str:
    """Return the SID of an available or unavailable Activity of the Workspace.

    Raises:
        OperatorError: There is no such Activity.
    """
    for activity in api.list_resources("Activities"):
        if activity["available"] is is_available:
            return str(activity["sid"])
    kind = "available" if is_available else "unavailable"
    raise OperatorError(f"The Workspace has no {kind} Activity, which the probe needs.")
