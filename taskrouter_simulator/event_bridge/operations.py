"""Executes the browser SDK's requests, and checks who may send each request."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest, NotFound
from taskrouter_simulator.engine.model import Resource, Workspace
from taskrouter_simulator.event_bridge import participants, payloads, transfers
from taskrouter_simulator.event_bridge.payloads import Payload
from taskrouter_simulator.event_bridge.request import CURSORS, AnyResource, SdkRequest, require
from taskrouter_simulator.rest.request import Parameters

Render = Callable[[Engine, Workspace, Any], Payload]

_MAX_PAGE_SIZE = 1000


def respond(request: SdkRequest) -> Payload:
    """Execute a request, and return the payload of the response.

    Raises:
        ApiError: The request is unknown, not permitted or invalid.
    """
    for (method, pattern), operation in _OPERATIONS.items():
        match = pattern.fullmatch(request.path)
        if match and method == request.method:
            ids = match.groupdict()
            require(
                ids["workspace"] == request.grant.workspace_sid,
                "the request is for another Workspace",
            )
            return operation(SdkRequest(**{**vars(request), "ids": ids}))
    raise NotFound(f"/{request.path}")


def _activities(request: SdkRequest) -> Payload:
    return _page(request, request.workspace.activities.values(), payloads.activity)


def _workers(request: SdkRequest) -> Payload:
    require(request.is_supervisor, "only supervisors may send this request")
    matching_workers = _search(request, "Workers", "workers", request.workspace.workers)
    return _page(request, matching_workers, payloads.worker)


def _worker(request: SdkRequest) -> Payload:
    is_own = request.ids["sid"] == request.grant.worker_sid
    require(request.is_supervisor or is_own, "the request is for another Worker")
    require("FriendlyName" not in request.parameters, "the request changes the Worker's name")
    request.execute("Workers/{sid}")
    return payloads.worker(
        request.engine, request.workspace, request.find(request.workspace.workers, "sid")
    )


def _worker_channels(request: SdkRequest) -> Payload:
    worker = request.own_worker()

    def render(engine: Engine, workspace: Workspace, item: Any) -> Payload:
        return payloads.worker_channel(engine, workspace, worker, item)

    return _page(request, worker.channels.values(), render)


def _reservations(request: SdkRequest) -> Payload:
    worker = request.own_worker()
    all_reservations = request.workspace.reservations.values()
    reservations = (
        worker.held.values()
        if request.parameters.get("Active", "").lower() == "true"
        else [item for item in all_reservations if item.worker_sid == worker.sid]
    )
    return _page(request, reservations, payloads.reservation)


def _reservation(request: SdkRequest) -> Payload:
    request.own_worker()
    request.execute("Workers/{worker}/Reservations/{sid}")
    reservation = request.find(request.workspace.reservations, "sid")
    is_update = request.method == "POST"
    render = payloads.updated_reservation if is_update else payloads.reservation
    return render(request.engine, request.workspace, reservation)


def _create_task(request: SdkRequest) -> Payload:
    target = request.parameters.get("RoutingTarget")
    require(
        request.is_supervisor or target == request.grant.worker_sid,
        "RoutingTarget must be the SID of the Access Token's Worker",
    )
    sid = request.execute("Tasks")["sid"]
    return payloads.task(request.engine, request.workspace, request.workspace.tasks[sid])


def _task(request: SdkRequest) -> Payload:
    task = request.find(request.workspace.tasks, "sid")
    holders = payloads.holders(task)
    require(
        request.is_supervisor or request.grant.worker_sid in holders,
        "the Task does not belong to the Worker",
    )
    request.execute("Tasks/{sid}")
    return payloads.task(request.engine, request.workspace, task)


def _supervise(request: SdkRequest) -> Payload:
    require(
        request.is_supervisor
        and request.parameters.get("Instruction") == "supervise"
        and request.parameters.get("Supervisor") == request.grant.worker_sid,
        "only supervisors may send this request; Instruction must be supervise, and Supervisor must"
        " be the SID of their own Worker",
    )
    request.execute("Tasks/{task}/Reservations/{sid}")
    reservation = request.find(request.workspace.reservations, "sid")
    return payloads.updated_reservation(request.engine, request.workspace, reservation)


def _task_queues(request: SdkRequest) -> Payload:
    require(request.is_supervisor, "only supervisors may send this request")
    matching_queues = _search(request, "TaskQueues", "task_queues", request.workspace.queues)
    return _page(request, matching_queues, payloads.task_queue)


def _task_queue(request: SdkRequest) -> Payload:
    require(request.is_supervisor, "only supervisors may send this request")
    request.execute("TaskQueues/{sid}")
    return payloads.task_queue(
        request.engine, request.workspace, request.find(request.workspace.queues, "sid")
    )


def _search(
    request: SdkRequest, path: str, key: str, resources: Mapping[str, AnyResource]
) -> list[AnyResource]:
    """Return the resources on all pages of a REST list."""
    results: list[AnyResource] = []
    paging = {"PageSize": str(_MAX_PAGE_SIZE)}
    while True:
        body = request.execute(path, **paging)
        results += [resources[item["sid"]] for item in body[key]]
        if (next_page := body["meta"]["next_page_url"]) is None:
            return results
        paging = dict(parse_qsl(urlsplit(next_page).query))


def _page(request: SdkRequest, resources: Iterable[Resource], render: Render) -> Payload:
    """Return one page of a list; `after_sid` is the last SID on the page, or None on the last page.

    To request the next page, the SDK sends this SID as AfterSid or, if the list is sorted, as
    NextToken.

    Raises:
        BadRequest: The page size or the SID is invalid.
    """
    size = Parameters(urlencode(request.parameters), ("PageSize",)).integer(
        "PageSize", 1, _MAX_PAGE_SIZE
    )
    remaining = list(resources)
    for name in CURSORS:
        if sid := request.parameters.get(name):
            sids = [item.sid for item in remaining]
            if sid not in sids:
                raise BadRequest(f"{name} {sid[:50]!r} is not in the list")
            remaining = remaining[sids.index(sid) + 1 :]
    page = remaining[: size or 50]
    after = page[-1].sid if len(page) < len(remaining) else None
    return {
        "contents": [render(request.engine, request.workspace, item) for item in page],
        "after_sid": after,
        "meta": {"next_token": after},
    }


_OPERATIONS: dict[tuple[str, re.Pattern[str]], Callable[[SdkRequest], Payload]] = {
    (
        method,
        re.compile(re.sub(r"{(\w+)}", r"(?P<\1>\\w+)", f"Workspaces/{{workspace}}/{path}")),
    ): operation
    for methods, path, operation in (
        ("GET", "Activities", _activities),
        ("GET", "Workers", _workers),
        ("GET POST", "Workers/{sid}", _worker),
        ("GET", "Workers/{worker}/WorkerChannels", _worker_channels),
        ("GET", "Workers/{worker}/Reservations", _reservations),
        ("GET POST", "Workers/{worker}/Reservations/{sid}", _reservation),
        ("POST", "Workers/{worker}/Transfers", transfers.start),
        ("POST", "Workers/{worker}/Transfers/{sid}", transfers.cancel),
        ("POST", "Workers/{worker}/CustomerParticipant", participants.update_customer),
        ("POST", "Workers/{worker}/WorkerParticipant", participants.update_own),
        ("POST", "Workers/{worker}/HoldWorkerParticipant", participants.hold_worker),
        ("POST", "Workers/{worker}/KickWorkerParticipant", participants.kick_worker),
        ("POST", "Tasks", _create_task),
        ("GET POST", "Tasks/{sid}", _task),
        ("POST", "Tasks/{task}/Reservations/{sid}", _supervise),
        ("GET", "TaskQueues", _task_queues),
        ("GET", "TaskQueues/{sid}", _task_queue),
    )
    for method in methods.split()
}
