"""A scenario that calls every operation in Twilio's OpenAPI description of the TaskRouter API.

The base URL is an argument, so the requests can go through a proxy that validates them.
"""

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from taskrouter_simulator.testing import TaskRouter

Json = dict[str, Any]
TRANSFER = "Transfer"
"""A step that starts and cancels a transfer. The REST API has no operation for transfers."""

# "{Workers}" is replaced with the SID of the Worker that was created last, and "{Offline}" with the
# SID of the resource with this name. In a path such as "/Workers/{Sid}", the parameter after the
# collection's name is replaced with the SID of the collection's most recently created resource.
_QUEUE = {"FriendlyName": "Everyone", "TargetWorkers": "1==1", "TaskOrder": "LIFO"}
_WORKFLOW = {
    "FriendlyName": "Main",
    "Configuration": '{{"task_routing": {{"default_filter": {{"queue": "{TaskQueues}"}}}}}}',
    "AssignmentCallbackUrl": "http://127.0.0.1:9/assignment",
    "TaskReservationTimeout": "60",
}
_TASK = {"WorkflowSid": "{Workflows}", "Attributes": '{{"language": "es"}}', "Priority": "3"}
_PERIOD = {"Minutes": "60"}
_SPLIT = {**_PERIOD, "SplitByWaitTime": "5,10"}

SCENARIO: tuple[tuple[str, Json], ...] = (
    ("ListWorkspace", {}),
    ("CreateWorkspace", {"FriendlyName": "Scenario", "Template": "FIFO"}),
    ("CreateWorkspace", {"FriendlyName": "Main", "MultiTaskEnabled": "false"}),
    ("UpdateWorkspace", {"EventCallbackUrl": "http://127.0.0.1:9/events", "EventsFilter": ""}),
    ("FetchWorkspace", {}),
    ("ListActivity", {}),
    ("CreateActivity", {"FriendlyName": "Lunch", "Available": "false"}),
    ("UpdateActivity", {"FriendlyName": "Break"}),
    ("FetchActivity", {}),
    ("CreateTaskChannel", {"FriendlyName": "Fax", "UniqueName": "fax"}),
    ("UpdateTaskChannel", {"ChannelOptimizedRouting": "true"}),
    ("FetchTaskChannel", {}),
    ("ListTaskChannel", {}),
    ("CreateTaskQueue", {"FriendlyName": "Nobody"}),
    ("UpdateTaskQueue", {"ReservationActivitySid": "{Break}", "AssignmentActivitySid": "{Break}"}),
    ("FetchTaskQueue", {}),
    ("DeleteTaskQueue", {}),
    ("CreateTaskQueue", _QUEUE),
    ("ListTaskQueue", {}),
    ("CreateWorkflow", _WORKFLOW),
    ("UpdateWorkflow", {"ReEvaluateTasks": "true"}),
    ("FetchWorkflow", {}),
    ("ListWorkflow", {}),
    ("CreateWorker", {"FriendlyName": "Carol", "Attributes": '{{"languages": ["es"]}}'}),
    ("UpdateWorker", {"ActivitySid": "{Available}"}),
    ("FetchWorker", {}),
    ("ListWorker", {"Available": "true"}),
    ("ListWorkerChannel", {}),
    ("UpdateWorkerChannel", {"Capacity": "2", "Available": "true"}),
    ("FetchWorkerChannel", {}),
    ("CreateTask", _TASK),
    ("ListTaskReservation", {}),
    ("UpdateTaskReservation", {"ReservationStatus": "rejected"}),
    ("FetchTaskReservation", {}),
    ("UpdateTask", {"AssignmentStatus": "canceled", "Reason": "The customer left"}),
    ("FetchTask", {}),
    ("CreateTask", {**_TASK, "TaskChannel": "default", "Timeout": "600"}),
    ("UpdateTask", {"Priority": "9"}),
    ("ListWorkerReservation", {"ReservationStatus": "pending"}),
    ("UpdateWorkerReservation", {"ReservationStatus": "accepted"}),
    ("FetchWorkerReservation", {}),
    (TRANSFER, {}),
    ("FetchWorkspaceStatistics", _SPLIT),
    ("FetchWorkspaceRealTimeStatistics", {"TaskChannel": "default"}),
    ("FetchWorkspaceCumulativeStatistics", _SPLIT),
    ("FetchWorkerInstanceStatistics", _PERIOD),
    ("FetchWorkerStatistics", {**_PERIOD, "FriendlyName": "Carol"}),
    ("FetchWorkersRealTimeStatistics", {}),
    ("FetchWorkersCumulativeStatistics", _PERIOD),
    ("ListTaskQueuesStatistics", _SPLIT),
    ("FetchTaskQueueStatistics", _SPLIT),
    ("FetchTaskQueueRealTimeStatistics", {}),
    ("FetchTaskQueueCumulativeStatistics", _SPLIT),
    ("CreateTaskQueueBulkRealTimeStatistics", {"QueueSids": ["{TaskQueues}"]}),
    ("FetchWorkflowStatistics", _SPLIT),
    ("FetchWorkflowRealTimeStatistics", {}),
    ("FetchWorkflowCumulativeStatistics", _SPLIT),
    ("UpdateTask", {"AssignmentStatus": "wrapping", "Reason": "The call ended"}),
    ("UpdateWorkerReservation", {"ReservationStatus": "completed"}),
    ("ListTask", {"PageSize": "1"}),
    ("ListEvent", {}),
    ("ListEvent", {"EventType": "task.transfer-initiated"}),
    ("FetchEvent", {}),
    ("DeleteTask", {}),
    ("UpdateWorker", {"ActivitySid": "{Offline}"}),
    ("DeleteWorker", {}),
    ("DeleteWorkflow", {}),
    ("DeleteTaskQueue", {}),
    ("DeleteTaskChannel", {}),
    ("DeleteActivity", {}),
    ("DeleteWorkspace", {}),
)
"""The operations' IDs (or TRANSFER) and parameters, in the order of the calls."""

# Collections in which clients can't create resources. The scenario uses the first listed resource.
_LISTED = frozenset({"Channels", "Events", "Reservations"})


@dataclass(frozen=True)
class Exchange:
    """A request in the scenario, and its response.

    Attributes:
        operation_id: The operation's ID in the description.
        status: The status of the response.
        headers: The headers of the response.
        body: The JSON of the response; None if the response has no body.
    """

    operation_id: str
    status: int
    headers: dict[str, str]
    body: Json | None


def operations(description: Json) -> dict[str, tuple[str, str, Json]]:
    """Return the method, the path and the description of each operation, by operation ID."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, item in description["paths"].items()
        for method, operation in item.items()
        if method in {"get", "post", "delete"}
    }


@dataclass
class Scenario:
    """Runs the scenario against a simulator.

    Attributes:
        taskrouter: The simulator, with a frozen clock.
        description: Twilio's OpenAPI description.
        url: The base URL of the requests: the simulator or a proxy.
        sids: SIDs by collection and by name.
    """

    taskrouter: TaskRouter
    description: Json
    url: str
    sids: dict[str, str] = field(default_factory=dict)

    def run(self) -> Iterator[Exchange]:
        """Call the operations, and yield each exchange."""
        described = operations(self.description)
        for operation_id, parameters in SCENARIO:
            if operation_id == TRANSFER:
                self._transfer()
            else:
                yield self._call(operation_id, *described[operation_id], parameters)
            self.taskrouter.advance(1)

    def _transfer(self) -> None:
        transfer = self.taskrouter.transfer(self.sids["Reservations"], self.sids["TaskQueues"])
        self.taskrouter.cancel_transfer(transfer["sid"])

    def _call(
        self, operation_id: str, method: str, path: str, operation: Json, parameters: Json
    ) -> Exchange:
        url = re.sub(r"/(\w+)/\{\w+\}", lambda match: f"/{match[1]}/{self.sids[match[1]]}", path)
        values = {name: self._fill(value) for name, value in parameters.items()}
        body, headers = None, {"Authorization": self._authorization()}
        if method == "POST":
            (content_type,) = operation["requestBody"]["content"]
            is_json = content_type == "application/json"
            body = (json.dumps(values) if is_json else urlencode(values)).encode()
            headers["Content-Type"] = content_type
        elif values:
            url = f"{url}?{urlencode(values)}"
        request = urllib.request.Request(  # noqa: S310 - the URL of a local server
            self.url + url, body, headers, method=method
        )
        exchange = send(operation_id, request)
        self._remember(path.rsplit("/", 1)[-1], exchange.body or {})
        return exchange

    def _fill(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._fill(item) for item in value]
        return value.format(**self.sids)

    def _authorization(self) -> str:
        credentials = f"{self.taskrouter.account_sid}:{self.taskrouter.auth_token}"
        return f"Basic {base64.b64encode(credentials.encode()).decode()}"

    def _remember(self, collection: str, body: Json) -> None:
        """Store the SIDs of the response's resources under the names of these resources.

        The SID of a created resource, or of the first resource of a collection in `_LISTED`, is
        also stored under the name of the collection.
        """
        listed = body.get(body.get("meta", {}).get("key"), [])
        for resource in [*reversed(listed), body]:
            names = [resource.get("friendly_name")]
            if resource is body or collection in _LISTED:
                names.append(collection)
            self.sids |= {name: resource["sid"] for name in names if name and "sid" in resource}


def send(operation_id: str, request: urllib.request.Request) -> Exchange:
    """Send a request and return the exchange, whatever the status."""
    try:
        response = urllib.request.urlopen(request, timeout=30)  # noqa: S310 - a local server
    except urllib.error.HTTPError as error:
        response = error
    with response:
        body = json.loads(response.read() or "null")
        return Exchange(operation_id, response.status, dict(response.headers), body)
