"""/v1/Workspaces/{WorkspaceSid}/Workers/{WorkerSid}/Channels."""

from typing import Any

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.model import Worker, WorkerChannel
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import iso

_MAX_CAPACITY = 100_000


def render(call: Call, share: WorkerChannel) -> dict[str, Any]:
    """The resource as Twilio shows it."""
    workspace, worker = call.workspace, _worker(call)
    assigned = workers.assigned_tasks(workspace, worker, share.channel_sid)
    free = max(0, share.capacity - assigned)
    return {
        "account_sid": call.engine.account_sid,
        "assigned_tasks": assigned,
        "available": share.available,
        "available_capacity_percentage": 100 * free // share.capacity if share.capacity else 0,
        "configured_capacity": share.capacity,
        "date_created": iso(share.created),
        "date_updated": iso(share.updated),
        "sid": share.sid,
        "task_channel_sid": share.channel_sid,
        "task_channel_unique_name": workspace.channels[share.channel_sid].unique_name,
        "worker_sid": worker.sid,
        "workspace_sid": workspace.sid,
        "url": call.url(workspace.sid, "Workers", worker.sid, "Channels", share.sid),
    }


def index(call: Call) -> Answer:
    """GET: list."""
    return call.page("channels", _worker(call).channels.values(), lambda share: render(call, share))


def fetch(call: Call) -> Answer:
    """GET: one, by its SID, the channel's, or the channel's unique name."""
    return Answer(200, render(call, _found(call)))


def update(call: Call) -> Answer:
    """POST: capacity, and whether the Worker takes Tasks of the channel."""
    share = _found(call)
    workers.update_channel(
        call.engine,
        call.workspace,
        _worker(call),
        share,
        capacity=call.form.integer("Capacity", 0, _MAX_CAPACITY),
        available=call.form.boolean("Available"),
    )
    return Answer(200, render(call, share))


def _worker(call: Call) -> Worker:
    return call.find(call.workspace.workers, "worker")


def _found(call: Call) -> WorkerChannel:
    shares: dict[str, WorkerChannel] = {}
    for share in _worker(call).channels.values():
        channel = call.workspace.channels[share.channel_sid]
        shares |= dict.fromkeys((share.sid, channel.sid, channel.unique_name), share)
    return call.find(shares, "sid")
