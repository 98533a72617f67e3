"""A request from the browser SDK, with access checks and execution as a REST operation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import ApiError, BadRequest, NotFound
from taskrouter_simulator.engine.model import Reservation, Resource, Task, Worker, Workspace
from taskrouter_simulator.event_bridge.payloads import holders
from taskrouter_simulator.event_bridge.tokens import Grant
from taskrouter_simulator.rest.request import Parameters, Request
from taskrouter_simulator.rest.table import ROUTES

AnyResource = TypeVar("AnyResource", bound=Resource)

CURSORS = ("AfterSid", "NextToken")
"""The parameters that contain the SID after which the next page begins."""
_RENAMED = {
    "TaskChannelUniqueName": "TaskChannel",
    "TaskChannelSid": "TaskChannel",
    "DequeueStatusCallbackEvents": "DequeueStatusCallbackEvent",
}
"""REST name of each SDK parameter that has a different name in the REST API."""
_NOT_IN_REST = {"Active", "Transcribe", "TranscriptionConfiguration", *CURSORS}
"""The SDK's parameters that the REST API does not have.

The simulator does not record calls, so the transcription parameters have no effect.
"""


class PermissionDenied(ApiError):
    """The Access Token does not permit the request."""

    status = 403
    code = 20003


@dataclass(frozen=True)
class SdkRequest:
    """A request from the SDK.

    Attributes:
        engine: The engine.
        grant: Rights of the sender.
        method: GET or POST.
        path: Path of the resource, without a leading slash or version.
        parameters: The parameters, encoded as in a REST request.
        if_match: The If-Match header.
        ids: SIDs in the path, keyed by path parameter.
    """

    engine: Engine
    grant: Grant
    method: str
    path: str
    parameters: Mapping[str, str]
    if_match: str | None
    ids: Mapping[str, str]

    @property
    def workspace(self) -> Workspace:
        """The Workspace in the Access Token."""
        return self.engine.workspace(self.grant.workspace_sid)

    @property
    def is_supervisor(self) -> bool:
        """Whether the sender may access resources of other Workers."""
        return self.grant.role != "worker"

    def find(self, resources: Mapping[str, AnyResource], name: str) -> AnyResource:
        """Return the resource identified by a path parameter.

        Raises:
            NotFound: The resource does not exist.
        """
        if self.ids[name] not in resources:
            raise NotFound(f"/{self.path}")
        return resources[self.ids[name]]

    def own_worker(self) -> Worker:
        """Return the Worker in the path, who must be the Worker in the Access Token."""
        require(self.ids["worker"] == self.grant.worker_sid, "the request is for another Worker")
        return self.find(self.workspace.workers, "worker")

    def own_reservation(self) -> Reservation:
        """Return the Reservation identified by ReservationSid, which must belong to the Worker."""
        worker = self.own_worker()
        reservation = self.workspace.reservations.get(self.parameters.get("ReservationSid", ""))
        require(
            reservation is None or reservation.worker_sid == worker.sid,
            "the Reservation does not belong to the Worker",
        )
        if reservation is None:
            raise BadRequest("ReservationSid must be the SID of an existing Reservation")
        return reservation

    def own_task(self) -> Task:
        """Return the Task identified by TaskSid; the Worker must be one of the Task's `holders`."""
        worker = self.own_worker()
        task = self.workspace.tasks.get(self.parameters.get("TaskSid", ""))
        if task is None:
            raise BadRequest("TaskSid must be the SID of an existing Task")
        require(worker.sid in holders(task), "the Task does not belong to the Worker")
        return task

    def read(self, *names: str) -> Parameters:
        """Parse the named parameters of an operation that is not part of the REST API."""
        return Parameters(urlencode(self.parameters), names)

    def execute(self, path: str, **parameters: str) -> Any:
        """Execute a REST operation, and return its response's body.

        Args:
            path: Path of the operation in the route table, below the Workspace's path.
            **parameters: Additional parameters.

        Raises:
            ApiError: The REST operation rejects the request.
        """
        operation = ROUTES[f"/v1/Workspaces/{{workspace}}/{path}"][self.method]
        given = {name: text for name, text in self.parameters.items() if name not in _NOT_IN_REST}
        text = urlencode({_RENAMED.get(name, name): given[name] for name in given} | parameters)
        sent = Parameters(text, operation.parameters, operation.lists)
        if self.engine.settings.unknown_parameters == "refused":
            sent.require_known()
        empty = Parameters("", operation.parameters)
        form, query = (sent, empty) if self.method == "POST" else (empty, sent)
        return operation.handle(
            Request(self.engine, "", f"/v1/{self.path}", self.ids, form, query, self.if_match)
        ).body


def require(condition: object, reason: str) -> None:
    """Raise PermissionDenied unless the Access Token permits the request."""
    if not condition:
        raise PermissionDenied(f"The Access Token does not permit the request: {reason}")


def encode_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters as text, as the REST API receives them.

    Values that are not strings are encoded as JSON. Parameters that are null are omitted.

    Raises:
        BadRequest: A value is not valid Unicode.
    """
    converted = {
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in parameters.items()
        if value is not None
    }
    try:
        "".join([*converted, *converted.values()]).encode()
    except UnicodeEncodeError as error:
        raise BadRequest("params must contain valid Unicode only") from error
    return converted
