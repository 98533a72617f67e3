"""Handlers for /v1/Workspaces/{WorkspaceSid}/Workers/{WorkerSid}/Channels."""

from typing import Any

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.model import Worker, WorkerChannel
from taskrouter_simulator.engine.names import CHANNEL_NAMES
from taskrouter_simulator.rest.request import Request, Response, iso

_MAX_CAPACITY = 100_000


def render(request: Request, worker_channel: WorkerChannel) -> dict[str, Any]:
    """Return a WorkerChannel as JSON."""
    workspace, worker = request.workspace, _worker(request)
    held = workers.held_statuses(workspace, worker, worker_channel.channel_sid)
    values = {name: read(worker_channel, held) for name, read in CHANNEL_NAMES.items()}
    if request.engine.settings.assigned_tasks == "held":
        values["assigned_tasks"] = len(held)
    return {
        "account_sid": request.engine.account_sid,
        **values,
        "date_created": iso(worker_channel.created),
        "date_updated": iso(worker_channel.updated),
        "sid": worker_channel.sid,
        "task_channel_sid": worker_channel.channel_sid,
        "task_channel_unique_name": workspace.channels[worker_channel.channel_sid].unique_name,
        "worker_sid": worker.sid,
        "workspace_sid": workspace.sid,
        "url": request.url(workspace.sid, "Workers", worker.sid, "Channels", worker_channel.sid),
    }


def index(request: Request) -> Response:
    """List the WorkerChannels of a Worker."""
    return request.page("channels", _worker(request).channels.values(), render)


def fetch(request: Request) -> Response:
    """Fetch a WorkerChannel by its SID, or by the TaskChannel's SID or unique name."""
    return Response(200, render(request, _find(request)))


def update(request: Request) -> Response:
    """Set the Worker's capacity and availability on the TaskChannel."""
    worker_channel = _find(request)
    workers.update_channel(
        request.engine,
        request.workspace,
        _worker(request),
        worker_channel,
        capacity=request.form.integer("Capacity", 0, _MAX_CAPACITY),
        available=request.form.boolean("Available"),
    )
    return Response(200, render(request, worker_channel))


def _worker(request: Request) -> Worker:
    return request.find(request.workspace.workers, "worker")


def _find(request: Request) -> WorkerChannel:
    by_identifier: dict[str, WorkerChannel] = {}
    for worker_channel in _worker(request).channels.values():
        channel = request.workspace.channels[worker_channel.channel_sid]
        identifiers = (worker_channel.sid, channel.sid, channel.unique_name)
        by_identifier |= dict.fromkeys(identifiers, worker_channel)
    return request.find(by_identifier, "sid")
