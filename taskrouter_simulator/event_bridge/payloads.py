"""Renders resources as the browser SDK expects, and selects the payload of an event.

The names and formats differ from those of the REST API: times are seconds since the epoch, each
versioned resource contains its version, and a Reservation contains its Task. The SDK raises an
error if a property is missing. The sources are the property lists and the test data of
twilio-taskrouter.js.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.model import (
    HELD,
    Activity,
    Event,
    Reservation,
    ReservationStatus,
    Resource,
    Task,
    TaskQueue,
    Transfer,
    Worker,
    WorkerChannel,
    Workspace,
)
from taskrouter_simulator.engine.names import CHANNEL_NAMES
from taskrouter_simulator.engine.reservations import DEFAULT_TIMEOUT

Payload = dict[str, Any]

_HOLDER_STATUSES = HELD | {ReservationStatus.COMPLETED, ReservationStatus.CANCELED}


def activity(engine: Engine, workspace: Workspace, item: Activity) -> Payload:
    """Return an Activity as JSON."""
    return {
        **_common(engine, workspace, item),
        "available": item.available,
        "friendly_name": item.friendly_name,
    }


def worker(engine: Engine, workspace: Workspace, item: Worker) -> Payload:
    """Return a Worker as JSON."""
    current = workspace.activities[item.activity_sid]
    return {
        **_common(engine, workspace, item),
        "activity_name": current.friendly_name,
        "activity_sid": current.sid,
        "attributes": item.attributes,
        "available": current.available,
        "date_status_changed": int(item.activity_changed),
        "friendly_name": item.friendly_name,
        "version": item.version,
    }


def worker_channel(
    engine: Engine, workspace: Workspace, owner: Worker, item: WorkerChannel
) -> Payload:
    """Return a Worker's WorkerChannel as JSON; only `last_reserved_time` is in milliseconds."""
    held = workers.held_statuses(workspace, owner, item.channel_sid)
    values = {name: read(item, held) for name, read in CHANNEL_NAMES.items()}
    reserved = [
        reservation.created
        for reservation in workspace.reservations.values()
        if reservation.worker_sid == owner.sid
        and workspace.tasks[reservation.task_sid].channel_sid == item.channel_sid
    ]
    return {
        **_common(engine, workspace, item),
        **values,
        "assigned_tasks": len(held),
        "last_reserved_time": int(max(reserved, default=0) * 1000),
        "task_channel_sid": item.channel_sid,
        "task_channel_unique_name": workspace.channels[item.channel_sid].unique_name,
        "worker_sid": owner.sid,
    }


def task(engine: Engine, workspace: Workspace, item: Task) -> Payload:
    """Return a Task as JSON."""
    queue = workspace.queues.get(item.queue_sid or "")
    workflow = workspace.workflows.get(item.workflow_sid or "")
    return {
        **_common(engine, workspace, item),
        "addons": "{}",
        "age": int(engine.seconds_since(item.created)),
        "assignment_status": item.status.value,
        "attributes": item.attributes,
        "priority": item.priority,
        "queue_name": queue.friendly_name if queue else None,
        "queue_sid": item.queue_sid,
        "reason": item.reason,
        "routing_target": item.routing_target,
        "task_channel_sid": item.channel_sid,
        "task_channel_unique_name": workspace.channels[item.channel_sid].unique_name,
        "timeout": item.timeout,
        "version": item.version,
        "virtual_start_time": int(item.virtual_start_time),
        "workflow_name": workflow.friendly_name if workflow else None,
        "workflow_sid": item.workflow_sid,
    }


def reservation(engine: Engine, workspace: Workspace, item: Reservation) -> Payload:
    """Return a Reservation as JSON, with its Task and its incoming and outgoing transfers."""
    outgoing = workspace.tasks[item.task_sid].transfer
    transfers = {"task_transfer": item.transfer}
    if outgoing and outgoing.reservation_sid == item.sid:
        transfers["active_outgoing_task_transfer"] = outgoing
    return {
        **updated_reservation(engine, workspace, item),
        # The SDK fails if a transfer is null.
        **{
            name: transfer(engine, workspace, value)
            for name, value in transfers.items()
            if value is not None
        },
    }


def updated_reservation(engine: Engine, workspace: Workspace, item: Reservation) -> Payload:
    """Return a Reservation as JSON for the response to an update.

    The SDK fails if this response contains a transfer.
    """
    workflow = workspace.workflows.get(item.workflow_sid or "")
    return {
        **_common(engine, workspace, item),
        "reservation_status": item.status.value,
        "reservation_timeout": workflow.task_reservation_timeout if workflow else DEFAULT_TIMEOUT,
        "task": task(engine, workspace, workspace.tasks[item.task_sid]),
        "task_sid": item.task_sid,
        "version": item.version,
        "worker_name": item.worker_name,
        "worker_previous_activity_sid": item.previous_activity_sid,
        "worker_sid": item.worker_sid,
    }


def transfer(engine: Engine, workspace: Workspace, item: Transfer) -> Payload:
    """Return a transfer of a Task as JSON."""
    initiating = workspace.reservations[item.reservation_sid]
    return {
        **_common(engine, workspace, item),
        "initiating_queue_sid": initiating.queue_sid,
        "initiating_reservation_sid": initiating.sid,
        "initiating_worker_sid": item.worker_sid,
        "initiating_workflow_sid": initiating.workflow_sid,
        "task_sid": item.task_sid,
        "transfer_mode": item.mode,
        "transfer_status": item.status,
        "transfer_to": item.to,
        "transfer_type": item.kind,
    }


def task_queue(engine: Engine, workspace: Workspace, item: TaskQueue) -> Payload:
    """Return a TaskQueue as JSON."""
    reservation_activity = workspace.activities.get(item.reservation_activity_sid or "")
    assignment_activity = workspace.activities.get(item.assignment_activity_sid or "")
    return {
        **_common(engine, workspace, item),
        "assignment_activity_name": assignment_activity.friendly_name
        if assignment_activity
        else None,
        "assignment_activity_sid": item.assignment_activity_sid,
        "friendly_name": item.friendly_name,
        "lifo_queue": item.task_order == "LIFO",
        "max_reserved_workers": item.max_reserved_workers,
        "reservation_activity_name": reservation_activity.friendly_name
        if reservation_activity
        else None,
        "reservation_activity_sid": item.reservation_activity_sid,
        "target_workers": item.target_workers,
        "task_order": item.task_order,
    }


def _common(engine: Engine, workspace: Workspace, item: Resource) -> Payload:
    return {
        "account_sid": engine.account_sid,
        "date_created": int(item.created),
        "date_updated": int(item.updated),
        "sid": item.sid,
        "workspace_sid": workspace.sid,
    }


def _worker_payload(engine: Engine, workspace: Workspace, event: Event) -> Payload:
    return worker(engine, workspace, workspace.workers[event.resource_sid])


def _worker_channel_payload(engine: Engine, workspace: Workspace, event: Event) -> Payload:
    owner = workspace.workers[event.resource_sid]
    changed = owner.channels[event.parameters["TaskChannelSid"]]
    return worker_channel(engine, workspace, owner, changed)


def _reservation_payload(engine: Engine, workspace: Workspace, event: Event) -> Payload:
    return reservation(engine, workspace, workspace.reservations[event.resource_sid])


def _task_payload(engine: Engine, workspace: Workspace, event: Event) -> Payload:
    return task(engine, workspace, workspace.tasks[event.resource_sid])


def _transfer_payload(engine: Engine, workspace: Workspace, event: Event) -> Payload:
    changed = workspace.tasks[event.parameters["TaskSid"]].transfer
    return transfer(engine, workspace, cast("Transfer", changed))


_TRANSFER_CHANGES = "initiated attempt-failed completed failed canceled"
_RESERVATION_CHANGES = "created accepted rejected timeout canceled rescinded completed wrapup"
EVENTS: Mapping[tuple[str, str], Callable[[Engine, Workspace, Event], Payload]] = {
    ("worker", "worker.activity.update"): _worker_payload,
    ("worker", "worker.attributes.update"): _worker_payload,
    ("worker", "worker.capacity.update"): _worker_channel_payload,
    ("worker", "worker.channel.availability.update"): _worker_channel_payload,
    **{
        ("reservation", f"reservation.{change}"): _reservation_payload
        for change in _RESERVATION_CHANGES.split()
    },
    **{
        ("task", f"task.{change}"): _task_payload
        for change in ("updated", "canceled", "completed", "wrapup")
    },
    **{
        ("transfer", f"task.transfer-{change}"): _transfer_payload
        for change in _TRANSFER_CHANGES.split()
    },
}
"""Functions that return the payload of an event, by ResourceType and event type.

Events that have no entry are not sent. The SDK also handles `reservation.failed`, but the payload
of this event is undocumented. `POST /simulator/events` can publish an event about the wrong type of
resource; such an event has no entry either.
"""


def recipients(workspace: Workspace, event: Event) -> set[str]:
    """Return the SIDs of the Workers that an event concerns."""
    if event.resource_type == "transfer":
        return {event.parameters["TransferInitiatingWorkerSid"]}
    if event.resource_type == "task":
        return holders(workspace.tasks[event.resource_sid])
    return {event.parameters["WorkerSid"]}


def holders(item: Task) -> set[str]:
    """Return the SIDs of the Workers with an open, completed or canceled Reservation for a Task."""
    return {held.worker_sid for held in item.reservations if held.status in _HOLDER_STATUSES}
