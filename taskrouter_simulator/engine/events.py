"""Publishes events in Twilio's event callback format."""

from taskrouter_simulator.engine.core import Engine, EventCallback
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Event, Reservation, Task, Worker, Workspace
from taskrouter_simulator.identifiers import derived_hex

_OPERATING_UNIT_SID = "OU" + derived_hex("operating-unit")

TYPES = frozenset(
    f"{resource}.{change}"
    for resource, changes in {
        "activity": "created updated deleted",
        "reservation": "created accepted rejected timeout canceled rescinded completed failed"
        " wrapup",
        "task": "created updated canceled wrapup completed deleted system-deleted"
        " transfer-initiated transfer-attempt-failed transfer-failed transfer-canceled"
        " transfer-completed",
        "task-channel": "created updated deleted",
        "task-queue": "created deleted entered timeout moved expression.updated",
        "worker": "created activity.update attributes.update capacity.update"
        " channel.availability.update deleted",
        "workflow": "created updated deleted target-matched entered timeout skipped",
        "workspace": "created updated deleted",
    }.items()
    for change in changes.split()
)
"""All documented event types (https://www.twilio.com/docs/taskrouter/api/event/reference)."""

RESOURCE_TYPES = {
    "TC": "task-channel",
    "TT": "transfer",
    "WA": "activity",
    "WK": "worker",
    "WQ": "task-queue",
    "WR": "reservation",
    "WS": "workspace",
    "WT": "task",
    "WW": "workflow",
}
"""ResourceType by the prefix of the ResourceSid. "transfer" was observed in events from Twilio."""


def publish(
    engine: Engine,
    workspace: Workspace,
    event_type: str,
    description: str,
    *,
    sid: str,
    task: Task | None = None,
    worker: Worker | None = None,
    reservation: Reservation | None = None,
    **parameters: str,
) -> None:
    """Record an event, and post it if the Workspace subscribes to its type.

    Args:
        engine: The engine.
        workspace: The Workspace.
        event_type: One of TYPES, such as "task.created".
        description: Description of the event, sent as EventDescription.
        sid: SID of the affected resource, which determines the ResourceType.
        task: Adds parameters of the Task, its Workflow and its TaskQueue.
        worker: Adds parameters of the Worker.
        reservation: Adds ReservationSid.
        **parameters: Additional parameters, keyed by Twilio's parameter names.
    """
    parameters |= _task_parameters(engine, workspace, task) if task else {}
    parameters |= _worker_parameters(workspace, worker) if worker else {}
    parameters |= {"ReservationSid": reservation.sid} if reservation else {}
    event = Event(
        **vars(engine.new_resource("EV")),
        event_type=event_type,
        description=description,
        resource_type=RESOURCE_TYPES[sid[:2]],
        resource_sid=sid,
        parameters=parameters,
    )
    event.parameters |= {
        "Sid": event.sid,
        "EventType": event.event_type,
        "AccountSid": engine.account_sid,
        "WorkspaceSid": workspace.sid,
        "WorkspaceName": workspace.friendly_name,
        "EventDescription": event.description,
        "ResourceType": event.resource_type,
        "ResourceSid": event.resource_sid,
        "Timestamp": str(int(event.created)),
        "TimestampMs": str(int(event.created * 1000)),
    }
    _record(engine, workspace, event)


def _record(engine: Engine, workspace: Workspace, event: Event) -> None:
    """Store an event, emit its callback if the Workspace subscribes to it, and call `on_event`.

    If there are too many events, the oldest event is dropped.
    """
    workspace.events[event.sid] = event
    if len(workspace.events) > engine.settings.log_size:
        workspace.events.popitem(last=False)
    if workspace.event_callback_url and is_subscribed(workspace, event.event_type):
        engine.emit(EventCallback(workspace.event_callback_url, event))
    engine.on_event(engine, workspace, event)


def is_subscribed(workspace: Workspace, event_type: str) -> bool:
    """Return whether the Workspace subscribes to an event type.

    An empty filter subscribes to all types.
    """
    names = _types(workspace.events_filter)
    return not names or event_type in names


def require_types(events_filter: str) -> None:
    """Check that a Workspace's filter contains only documented event types.

    Raises:
        BadRequest: A type is unknown.
    """
    if unknown := sorted(_types(events_filter) - TYPES):
        raise BadRequest(f"EventsFilter contains unknown event types: {', '.join(unknown)[:200]}")


def _types(events_filter: str) -> set[str]:
    return {name.strip() for name in events_filter.split(",")} - {""}


def _task_parameters(engine: Engine, workspace: Workspace, task: Task) -> dict[str, str]:
    parameters = {
        "TaskSid": task.sid,
        "TaskAttributes": task.attributes,
        "TaskAge": str(int(engine.seconds_since(task.created))),
        "TaskPriority": str(task.priority),
        "TaskAssignmentStatus": task.status.value,
        "TaskAddons": "{}",
        "TaskChannelSid": task.channel_sid,
        "TaskChannelUniqueName": workspace.channels[task.channel_sid].unique_name,
    }
    if task.reason:
        key = "TaskCanceledReason" if task.status == "canceled" else "TaskCompletedReason"
        parameters[key] = task.reason
    if workflow := workspace.workflows.get(task.workflow_sid or ""):
        parameters |= {"WorkflowSid": workflow.sid, "WorkflowName": workflow.friendly_name}
        if task.step and (matched := task.step.filter):
            parameters["WorkflowFilterName"] = matched.name or ""
            parameters["WorkflowFilterExpression"] = matched.expression
    if queue := workspace.queues.get(task.queue_sid or ""):
        parameters |= {
            "TaskQueueSid": queue.sid,
            "TaskQueueName": queue.friendly_name,
            "TaskQueueTargetExpression": queue.target_workers,
        }
    return parameters


def _worker_parameters(workspace: Workspace, worker: Worker) -> dict[str, str]:
    return {
        "WorkerSid": worker.sid,
        "WorkerName": worker.friendly_name,
        "WorkerAttributes": worker.attributes,
        "WorkerActivitySid": worker.activity_sid,
        "WorkerActivityName": workspace.activities[worker.activity_sid].friendly_name,
        "WorkerVersion": str(worker.version),
        "OperatingUnitSid": _OPERATING_UNIT_SID,
    }
