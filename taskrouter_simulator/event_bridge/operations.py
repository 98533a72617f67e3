"""The requests of the browser SDK: who may send them, and the REST operation that executes them."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest, NotFound, Refusal
from taskrouter_simulator.engine.model import Resource, Worker, Workspace
from taskrouter_simulator.event_bridge import payloads
from taskrouter_simulator.event_bridge.payloads import Payload
from taskrouter_simulator.event_bridge.tokens import Grant
from taskrouter_simulator.rest.request import Parameters, Request
from taskrouter_simulator.rest.table import ROUTES

AnyResource = TypeVar("AnyResource", bound=Resource)
Render = Callable[[Engine, Workspace, Any], Payload]

_MAX_PAGE_SIZE = 1000
_WORKSPACE = "Workspaces/{workspace}"
_RENAMED = {
    "TaskChannelUniqueName": "TaskChannel",
    "TaskChannelSid": "TaskChannel",
    "DequeueStatusCallbackEvents": "DequeueStatusCallbackEvent",
}
"""REST names of the SDK's parameters that have another name."""
_CURSORS = ("AfterSid", "NextToken")
_NOT_IN_REST = {"Active", "Transcribe", "TranscriptionConfiguration", *_CURSORS}
"""The SDK's parameters that the REST API does not have; no call of the simulator has a recording
that could be transcribed."""


class PermissionDenied(Refusal):
    """The Access Token does not permit the request."""

    status = 403
    code = 20003


@dataclass(frozen=True)
class Call:
    """A request of the SDK.

    Attributes:
        engine: The engine.
        grant: Rights of the sender.
        method: GET or POST.
        path: Path of the resource, without a leading slash and a version.
        parameters: The parameters; the texts are as in a REST request.
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
        require(self.ids["worker"] == self.grant.worker_sid, "names another Worker")
        return self.find(self.workspace.workers, "worker")

    def execute(self, path: str, **parameters: str) -> Any:
        """Execute a REST operation, and return its response's body.

        Args:
            path: Path of the operation in the route table, below the Workspace's path.
            **parameters: Additional parameters.

        Raises:
            Refusal: The REST operation refuses the request.
        """
        operation = ROUTES[f"/v1/{_WORKSPACE}/{path}"][self.method]
        given = {name: text for name, text in self.parameters.items() if name not in _NOT_IN_REST}
        text = urlencode({_RENAMED.get(name, name): given[name] for name in given} | parameters)
        sent = Parameters(text, operation.parameters, operation.lists)
        if self.engine.settings.unknown_parameters == "refused":
            sent.require_known()
        nothing = Parameters("", operation.parameters)
        form, query = (sent, nothing) if self.method == "POST" else (nothing, sent)
        return operation.handle(
            Request(self.engine, "", f"/v1/{self.path}", self.ids, form, query, self.if_match)
        ).body


def require(condition: object, problem: str) -> None:
    """Raise PermissionDenied unless the Access Token permits the request."""
    if not condition:
        raise PermissionDenied(f"The Access Token does not permit the request, which {problem}")


def respond(call: Call) -> Payload:
    """Execute a request, and return the payload of the response.

    Raises:
        Refusal: The request is not known, not permitted or not valid.
    """
    for (method, pattern), operation in _OPERATIONS.items():
        match = pattern.fullmatch(call.path)
        if match and method == call.method:
            ids = match.groupdict()
            require(ids["workspace"] == call.grant.workspace_sid, "names another Workspace")
            return operation(Call(**{**vars(call), "ids": ids}))
    raise NotFound(f"/{call.path}")


def texts(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters as the REST API receives them: objects as JSON, booleans as words.

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


def _activities(call: Call) -> Payload:
    return _page(call, call.workspace.activities.values(), payloads.activity)


def _workers(call: Call) -> Payload:
    require(call.is_supervisor, "is available to supervisors only")
    found = _search(call, "Workers", "workers", call.workspace.workers)
    return _page(call, found, payloads.worker)


def _worker(call: Call) -> Payload:
    is_own = call.ids["sid"] == call.grant.worker_sid
    require(call.is_supervisor or is_own, "names another Worker")
    require("FriendlyName" not in call.parameters, "changes the Worker's name")
    call.execute("Workers/{sid}")
    return payloads.worker(call.engine, call.workspace, call.find(call.workspace.workers, "sid"))


def _worker_channels(call: Call) -> Payload:
    worker = call.own_worker()

    def render(engine: Engine, workspace: Workspace, item: Any) -> Payload:
        return payloads.worker_channel(engine, workspace, worker, item)

    return _page(call, worker.channels.values(), render)


def _reservations(call: Call) -> Payload:
    worker = call.own_worker()
    all_reservations = call.workspace.reservations.values()
    found = (
        worker.held.values()
        if call.parameters.get("Active", "").lower() == "true"
        else [item for item in all_reservations if item.worker_sid == worker.sid]
    )
    return _page(call, found, payloads.reservation)


def _reservation(call: Call) -> Payload:
    call.own_worker()
    call.execute("Workers/{worker}/Reservations/{sid}")
    reservation = call.find(call.workspace.reservations, "sid")
    return payloads.reservation(call.engine, call.workspace, reservation)


def _create_task(call: Call) -> Payload:
    target = call.parameters.get("RoutingTarget")
    require(call.is_supervisor or target == call.grant.worker_sid, "routes to another Worker")
    sid = call.execute("Tasks")["sid"]
    return payloads.task(call.engine, call.workspace, call.workspace.tasks[sid])


def _task(call: Call) -> Payload:
    task = call.find(call.workspace.tasks, "sid")
    holders = payloads.holders(task)
    require(call.is_supervisor or call.grant.worker_sid in holders, "names another Worker's Task")
    call.execute("Tasks/{sid}")
    return payloads.task(call.engine, call.workspace, task)


def _supervise(call: Call) -> Payload:
    require(
        call.is_supervisor
        and call.parameters.get("Instruction") == "supervise"
        and call.parameters.get("Supervisor") == call.grant.worker_sid,
        "is available to a supervisor for the instruction supervise only",
    )
    call.execute("Tasks/{task}/Reservations/{sid}")
    reservation = call.find(call.workspace.reservations, "sid")
    return payloads.reservation(call.engine, call.workspace, reservation)


def _task_queues(call: Call) -> Payload:
    require(call.is_supervisor, "is available to supervisors only")
    found = _search(call, "TaskQueues", "task_queues", call.workspace.queues)
    return _page(call, found, payloads.task_queue)


def _task_queue(call: Call) -> Payload:
    require(call.is_supervisor, "is available to supervisors only")
    call.execute("TaskQueues/{sid}")
    return payloads.task_queue(call.engine, call.workspace, call.find(call.workspace.queues, "sid"))


def _search(
    call: Call, path: str, key: str, resources: Mapping[str, AnyResource]
) -> list[AnyResource]:
    """Return the resources on all pages of a REST list."""
    found: list[AnyResource] = []
    paging = {"PageSize": str(_MAX_PAGE_SIZE)}
    while True:
        body = call.execute(path, **paging)
        found += [resources[item["sid"]] for item in body[key]]
        if (next_page := body["meta"]["next_page_url"]) is None:
            return found
        paging = dict(parse_qsl(urlsplit(next_page).query))


def _page(call: Call, resources: Iterable[Resource], render: Render) -> Payload:
    """Return one page of a list; the next page begins after the resource `after_sid`.

    The SDK sends this SID as AfterSid or, if the list is sorted, as NextToken.

    Raises:
        BadRequest: The page size or the SID is invalid.
    """
    size = Parameters(urlencode(call.parameters), ("PageSize",)).integer(
        "PageSize", 1, _MAX_PAGE_SIZE
    )
    found = list(resources)
    for name in _CURSORS:
        if sid := call.parameters.get(name):
            sids = [item.sid for item in found]
            if sid not in sids:
                raise BadRequest(f"{name} {sid[:50]!r} is not in the list")
            found = found[sids.index(sid) + 1 :]
    page = found[: size or 50]
    after = page[-1].sid if len(page) < len(found) else None
    return {
        "contents": [render(call.engine, call.workspace, item) for item in page],
        "after_sid": after,
        "meta": {"next_token": after},
    }


_OPERATIONS: dict[tuple[str, re.Pattern[str]], Callable[[Call], Payload]] = {
    (method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>\\w+)", f"{_WORKSPACE}/{path}"))): operation
    for methods, path, operation in (
        ("GET", "Activities", _activities),
        ("GET", "Workers", _workers),
        ("GET POST", "Workers/{sid}", _worker),
        ("GET", "Workers/{worker}/WorkerChannels", _worker_channels),
        ("GET", "Workers/{worker}/Reservations", _reservations),
        ("GET POST", "Workers/{worker}/Reservations/{sid}", _reservation),
        ("POST", "Tasks", _create_task),
        ("GET POST", "Tasks/{sid}", _task),
        ("POST", "Tasks/{task}/Reservations/{sid}", _supervise),
        ("GET", "TaskQueues", _task_queues),
        ("GET", "TaskQueues/{sid}", _task_queue),
    )
    for method in methods.split()
}
