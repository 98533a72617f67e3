"""The route table of the REST API."""

from collections.abc import Callable

from taskrouter_simulator.rest import (
    activities,
    events,
    reservations,
    task_channels,
    task_queues,
    tasks,
    worker_channels,
    workers,
    workflows,
    workspaces,
)
from taskrouter_simulator.rest.request import Request, Response

Handler = Callable[[Request], Response]

_WORKSPACE = "/v1/Workspaces/{workspace}"
_TASK_RESERVATIONS = f"{_WORKSPACE}/Tasks/{{task}}/Reservations"
_WORKER_RESERVATIONS = f"{_WORKSPACE}/Workers/{{worker}}/Reservations"

ROUTES: dict[str, dict[str, Handler]] = {
    "/v1/Workspaces": {"GET": workspaces.index, "POST": workspaces.create},
    _WORKSPACE: {
        "GET": workspaces.fetch,
        "POST": workspaces.update,
        "DELETE": workspaces.delete,
    },
    f"{_WORKSPACE}/Activities": {"GET": activities.index, "POST": activities.create},
    f"{_WORKSPACE}/Activities/{{sid}}": {
        "GET": activities.fetch,
        "POST": activities.update,
        "DELETE": activities.delete,
    },
    f"{_WORKSPACE}/Workers": {"GET": workers.index, "POST": workers.create},
    f"{_WORKSPACE}/Workers/{{sid}}": {
        "GET": workers.fetch,
        "POST": workers.update,
        "DELETE": workers.delete,
    },
    f"{_WORKSPACE}/TaskQueues": {"GET": task_queues.index, "POST": task_queues.create},
    f"{_WORKSPACE}/TaskQueues/{{sid}}": {
        "GET": task_queues.fetch,
        "POST": task_queues.update,
        "DELETE": task_queues.delete,
    },
    f"{_WORKSPACE}/Workflows": {"GET": workflows.index, "POST": workflows.create},
    f"{_WORKSPACE}/Workflows/{{sid}}": {
        "GET": workflows.fetch,
        "POST": workflows.update,
        "DELETE": workflows.delete,
    },
    f"{_WORKSPACE}/Tasks": {"GET": tasks.index, "POST": tasks.create},
    f"{_WORKSPACE}/Tasks/{{sid}}": {
        "GET": tasks.fetch,
        "POST": tasks.update,
        "DELETE": tasks.delete,
    },
    f"{_WORKSPACE}/TaskChannels": {"GET": task_channels.index, "POST": task_channels.create},
    f"{_WORKSPACE}/TaskChannels/{{sid}}": {
        "GET": task_channels.fetch,
        "POST": task_channels.update,
        "DELETE": task_channels.delete,
    },
    f"{_WORKSPACE}/Workers/{{worker}}/Channels": {"GET": worker_channels.index},
    f"{_WORKSPACE}/Workers/{{worker}}/Channels/{{sid}}": {
        "GET": worker_channels.fetch,
        "POST": worker_channels.update,
    },
    f"{_WORKSPACE}/Events": {"GET": events.index},
    f"{_WORKSPACE}/Events/{{sid}}": {"GET": events.fetch},
    _TASK_RESERVATIONS: {"GET": reservations.index},
    f"{_TASK_RESERVATIONS}/{{sid}}": {"GET": reservations.fetch, "POST": reservations.update},
    _WORKER_RESERVATIONS: {"GET": reservations.index},
    f"{_WORKER_RESERVATIONS}/{{sid}}": {"GET": reservations.fetch, "POST": reservations.update},
}
"""Handlers by path and method. The names in braces are the keys of `Request.ids`."""
