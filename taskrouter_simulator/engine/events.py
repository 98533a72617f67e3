"""Events: what happened, with the parameters that Twilio's event callback carries."""

from taskrouter_simulator.engine.core import Engine, EventCallback
from taskrouter_simulator.engine.model import (
    Event,
    Reservation,
    Task,
    TaskQueue,
    Worker,
    Workflow,
    Workspace,
)
from taskrouter_simulator.identifiers import made_up

_OPERATING_UNIT_SID = "OU" + made_up("operating-unit")


TYPES = frozenset(
    f"{resource}.{what}"
    for resource, whats in {
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
    for what in whats.split()
)
"""All that Twilio documents (https://www.twilio.com/docs/taskrouter/api/event/reference)."""


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
    **more: str,
) -> None:
    """Record an event, and have it posted if the Workspace wants it.

    Args:
        engine: the engine.
        workspace: where it happened.
        event_type: one of Twilio's types, such as "task.created".
        description: Twilio's sentence for it.
        sid: the resource that it is about.
        task: adds the Task's parameters, its Workflow's and its TaskQueue's.
        worker: adds the Worker's.
        reservation: adds ReservationSid.
        **more: further parameters, by Twilio's name.
    """
    parameters = dict(more)
    if task:
        parameters |= _task(engine, workspace, task)
    if worker:
        parameters |= _worker(workspace, worker)
    if reservation:
        parameters["ReservationSid"] = reservation.sid
    event = Event(
        **vars(engine.stamp("EV")),
        event_type=event_type,
        description=description,
        resource_type=event_type.split(".", maxsplit=1)[0],
        resource_sid=sid,
        parameters=parameters,
    )
    event.parameters |= _base(engine, workspace, event)
    workspace.events[event.sid] = event
    if len(workspace.events) > engine.settings.log_size:
        del workspace.events[next(iter(workspace.events))]
    if workspace.event_callback_url and wanted(workspace, event_type):
        engine.emit(EventCallback(workspace.event_callback_url, event))


def wanted(workspace: Workspace, event_type: str) -> bool:
    """Whether the Workspace's filter lets the type through; an empty filter lets all."""
    names = {name.strip() for name in workspace.events_filter.split(",")} - {""}
    return not names or event_type in names


def _base(engine: Engine, workspace: Workspace, event: Event) -> dict[str, str]:
    return {
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


def _task(engine: Engine, workspace: Workspace, task: Task) -> dict[str, str]:
    parameters = {
        "TaskSid": task.sid,
        "TaskAttributes": task.attributes,
        "TaskAge": str(int(engine.since(task.created))),
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
        parameters |= _workflow(workflow, task)
    if queue := workspace.queues.get(task.queue_sid or ""):
        parameters |= _queue(queue)
    return parameters


def _workflow(workflow: Workflow, task: Task) -> dict[str, str]:
    parameters = {"WorkflowSid": workflow.sid, "WorkflowName": workflow.friendly_name}
    if task.step and (chosen := task.step.filter):
        parameters["WorkflowFilterName"] = chosen.name or ""
        parameters["WorkflowFilterExpression"] = chosen.expression
    return parameters


def _queue(queue: TaskQueue) -> dict[str, str]:
    return {
        "TaskQueueSid": queue.sid,
        "TaskQueueName": queue.friendly_name,
        "TaskQueueTargetExpression": queue.target_workers,
    }


def _worker(workspace: Workspace, worker: Worker) -> dict[str, str]:
    return {
        "WorkerSid": worker.sid,
        "WorkerName": worker.friendly_name,
        "WorkerAttributes": worker.attributes,
        "WorkerActivitySid": worker.activity_sid,
        "WorkerActivityName": workspace.activities[worker.activity_sid].friendly_name,
        "WorkerVersion": str(worker.version),
        "OperatingUnitSid": _OPERATING_UNIT_SID,
    }
