"""The route table of the REST API."""

from collections.abc import Callable
from dataclasses import dataclass

from taskrouter_simulator.rest import (
    activities,
    events,
    reservations,
    statistics,
    task_channels,
    task_queues,
    tasks,
    worker_channels,
    workers,
    workflows,
    workspaces,
)
from taskrouter_simulator.rest.request import PAGING, Request, Response


@dataclass(frozen=True)
class Operation:
    """An operation of the API.

    Attributes:
        handle: The handler.
        parameters: Names of the parameters that the handler can read, in the body of a POST
            request or in the query string of any other request.
        lists: Names of the parameters that may be repeated.
        is_json: Whether the parameters are sent as a JSON object instead of form fields.
    """

    handle: Callable[[Request], Response]
    parameters: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    is_json: bool = False


def _list(
    handle: Callable[[Request], Response], *filters: str, lists: tuple[str, ...] = ()
) -> Operation:
    return Operation(handle, (*filters, *PAGING), lists)


def _statistics(
    path: str, real_time: statistics.Compute, cumulative: statistics.Compute
) -> dict[str, dict[str, Operation]]:
    """Return the routes of a resource's three kinds of Task statistics."""
    both = statistics.combined_handler(real_time, cumulative)
    names = (*_INTERVAL, "SplitByWaitTime")
    return {
        f"{path}/RealTimeStatistics": {
            "GET": Operation(statistics.handler(real_time), ("TaskChannel",))
        },
        f"{path}/CumulativeStatistics": {"GET": Operation(statistics.handler(cumulative), names)},
        f"{path}/Statistics": {"GET": Operation(both, names)},
    }


_WORKSPACE = "/v1/Workspaces/{workspace}"
_TASK_RESERVATIONS = f"{_WORKSPACE}/Tasks/{{task}}/Reservations"
_WORKER_RESERVATIONS = f"{_WORKSPACE}/Workers/{{worker}}/Reservations"

_WORKSPACE_PARAMETERS = (
    *("FriendlyName", "EventCallbackUrl", "EventsFilter", "MultiTaskEnabled"),
    "PrioritizeQueueOrder",
)
_WORKER_PARAMETERS = ("FriendlyName", "ActivitySid", "Attributes")
_QUEUE_PARAMETERS = (
    *("FriendlyName", "TargetWorkers", "ReservationActivitySid", "AssignmentActivitySid"),
    *("MaxReservedWorkers", "TaskOrder"),
)
_WORKFLOW_PARAMETERS = (
    *("FriendlyName", "Configuration", "AssignmentCallbackUrl", "FallbackAssignmentCallbackUrl"),
    "TaskReservationTimeout",
)
_TASK_PARAMETERS = ("Attributes", "Priority", "TaskChannel", "VirtualStartTime")

_INTERVAL = ("StartDate", "EndDate", "Minutes", "TaskChannel")

_STATISTICS: dict[str, dict[str, Operation]] = {
    **_statistics(_WORKSPACE, statistics.workspace_real_time, statistics.workspace_cumulative),
    **_statistics(
        f"{_WORKSPACE}/Workflows/{{workflow}}",
        *(statistics.workflow_real_time, statistics.workflow_cumulative),
    ),
    **_statistics(
        f"{_WORKSPACE}/TaskQueues/{{task_queue}}",
        *(statistics.task_queue_real_time, statistics.task_queue_cumulative),
    ),
    f"{_WORKSPACE}/TaskQueues/Statistics": {
        "GET": _list(statistics.list_task_queues, "FriendlyName", *_INTERVAL, "SplitByWaitTime")
    },
    f"{_WORKSPACE}/TaskQueues/RealTimeStatistics": {
        "POST": Operation(
            statistics.fetch_task_queues, ("QueueSids",), ("QueueSids",), is_json=True
        )
    },
    f"{_WORKSPACE}/Workers/RealTimeStatistics": {
        "GET": Operation(statistics.handler(statistics.workers_real_time), ("TaskChannel",))
    },
    f"{_WORKSPACE}/Workers/CumulativeStatistics": {
        "GET": Operation(statistics.handler(statistics.workers_cumulative), _INTERVAL)
    },
    f"{_WORKSPACE}/Workers/Statistics": {
        "GET": Operation(
            statistics.fetch_workers, (*_INTERVAL, "FriendlyName", "TaskQueueName", "TaskQueueSid")
        )
    },
    f"{_WORKSPACE}/Workers/{{worker}}/Statistics": {
        "GET": Operation(statistics.fetch_worker, _INTERVAL)
    },
}

ROUTES: dict[str, dict[str, Operation]] = {
    # The statistics paths come first, because {sid} would match the last part of some of them.
    **_STATISTICS,
    "/v1/Workspaces": {
        "GET": _list(workspaces.index, "FriendlyName"),
        "POST": Operation(workspaces.create, (*_WORKSPACE_PARAMETERS, "Template")),
    },
    _WORKSPACE: {
        "GET": Operation(workspaces.fetch),
        "POST": Operation(
            workspaces.update,
            (*_WORKSPACE_PARAMETERS, "DefaultActivitySid", "TimeoutActivitySid"),
        ),
        "DELETE": Operation(workspaces.delete),
    },
    f"{_WORKSPACE}/Activities": {
        "GET": _list(activities.index, "FriendlyName", "Available"),
        "POST": Operation(activities.create, ("FriendlyName", "Available")),
    },
    f"{_WORKSPACE}/Activities/{{sid}}": {
        "GET": Operation(activities.fetch),
        "POST": Operation(activities.update, ("FriendlyName",)),
        "DELETE": Operation(activities.delete),
    },
    f"{_WORKSPACE}/Workers": {
        "GET": _list(
            workers.index,
            *("FriendlyName", "ActivityName", "ActivitySid", "Available", "TaskQueueName"),
            *("TaskQueueSid", "TargetWorkersExpression", "Ordering"),
        ),
        "POST": Operation(workers.create, _WORKER_PARAMETERS),
    },
    f"{_WORKSPACE}/Workers/{{sid}}": {
        "GET": Operation(workers.fetch),
        "POST": Operation(workers.update, (*_WORKER_PARAMETERS, "RejectPendingReservations")),
        "DELETE": Operation(workers.delete),
    },
    f"{_WORKSPACE}/TaskQueues": {
        "GET": _list(
            task_queues.index, "FriendlyName", "EvaluateWorkerAttributes", "WorkerSid", "Ordering"
        ),
        "POST": Operation(task_queues.create, _QUEUE_PARAMETERS),
    },
    f"{_WORKSPACE}/TaskQueues/{{sid}}": {
        "GET": Operation(task_queues.fetch),
        "POST": Operation(task_queues.update, _QUEUE_PARAMETERS),
        "DELETE": Operation(task_queues.delete),
    },
    f"{_WORKSPACE}/Workflows": {
        "GET": _list(workflows.index, "FriendlyName"),
        "POST": Operation(workflows.create, _WORKFLOW_PARAMETERS),
    },
    f"{_WORKSPACE}/Workflows/{{sid}}": {
        "GET": Operation(workflows.fetch),
        "POST": Operation(workflows.update, (*_WORKFLOW_PARAMETERS, "ReEvaluateTasks")),
        "DELETE": Operation(workflows.delete),
    },
    f"{_WORKSPACE}/Tasks": {
        "GET": _list(
            tasks.index,
            *("Priority", "AssignmentStatus", "WorkflowSid", "WorkflowName", "TaskQueueSid"),
            *("TaskQueueName", "EvaluateTaskAttributes", "RoutingTarget", "Ordering", "HasAddons"),
            lists=("AssignmentStatus",),
        ),
        "POST": Operation(
            tasks.create,
            (
                *(*_TASK_PARAMETERS, "Timeout", "WorkflowSid", "RoutingTarget", "IgnoreCapacity"),
                "TaskQueueSid",
            ),
        ),
    },
    f"{_WORKSPACE}/Tasks/{{sid}}": {
        "GET": Operation(tasks.fetch),
        "POST": Operation(tasks.update, (*_TASK_PARAMETERS, "AssignmentStatus", "Reason")),
        "DELETE": Operation(tasks.delete),
    },
    f"{_WORKSPACE}/TaskChannels": {
        "GET": _list(task_channels.index),
        "POST": Operation(
            task_channels.create, ("FriendlyName", "UniqueName", "ChannelOptimizedRouting")
        ),
    },
    f"{_WORKSPACE}/TaskChannels/{{sid}}": {
        "GET": Operation(task_channels.fetch),
        "POST": Operation(task_channels.update, ("FriendlyName", "ChannelOptimizedRouting")),
        "DELETE": Operation(task_channels.delete),
    },
    f"{_WORKSPACE}/Workers/{{worker}}/Channels": {"GET": _list(worker_channels.index)},
    f"{_WORKSPACE}/Workers/{{worker}}/Channels/{{sid}}": {
        "GET": Operation(worker_channels.fetch),
        "POST": Operation(worker_channels.update, ("Capacity", "Available")),
    },
    f"{_WORKSPACE}/Events": {
        "GET": _list(
            events.index,
            *("EndDate", "EventType", "Minutes", "ReservationSid", "StartDate", "TaskQueueSid"),
            *("TaskSid", "WorkerSid", "WorkflowSid", "TaskChannel", "Sid"),
        )
    },
    f"{_WORKSPACE}/Events/{{sid}}": {"GET": Operation(events.fetch)},
    _TASK_RESERVATIONS: {"GET": _list(reservations.index, "ReservationStatus", "WorkerSid")},
    f"{_TASK_RESERVATIONS}/{{sid}}": {
        "GET": Operation(reservations.fetch),
        "POST": Operation(
            reservations.update,
            (*reservations.UPDATE_PARAMETERS, *reservations.SUPERVISE_PARAMETERS),
            reservations.UPDATE_LISTS,
        ),
    },
    _WORKER_RESERVATIONS: {"GET": _list(reservations.index, "ReservationStatus")},
    f"{_WORKER_RESERVATIONS}/{{sid}}": {
        "GET": Operation(reservations.fetch),
        "POST": Operation(
            reservations.update, reservations.UPDATE_PARAMETERS, reservations.UPDATE_LISTS
        ),
    },
}
"""Operations by path and method. The names in braces are the keys of `Request.ids`."""
