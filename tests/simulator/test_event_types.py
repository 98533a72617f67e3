"""Operations that cause events of every type in `AUTOMATIC_TYPES` except `workspace.deleted`."""

import json

from taskrouter_simulator.engine.events import TYPES

AUTOMATIC_TYPES = {
    *(f"activity.{change}" for change in ("created", "updated", "deleted")),
    *(
        f"reservation.{change}"
        for change in ("created", "accepted", "rejected", "timeout", "canceled", "rescinded",
                     "completed", "wrapup")
    ),
    *(
        f"task.{change}"
        for change in ("created", "updated", "canceled", "wrapup", "completed", "deleted",
                     "system-deleted")
    ),
    *(f"task-channel.{change}" for change in ("created", "updated", "deleted")),
    *(
        f"task-queue.{change}"
        for change in ("created", "deleted", "entered", "timeout", "moved", "expression.updated")
    ),
    *(
        f"worker.{change}"
        for change in ("created", "activity.update", "attributes.update", "capacity.update",
                     "channel.availability.update", "deleted")
    ),
    *(
        f"workflow.{change}"
        for change in ("created", "updated", "deleted", "target-matched", "entered", "timeout",
                     "skipped")
    ),
    *(f"workspace.{change}" for change in ("created", "updated", "deleted")),
}  # fmt: skip
"""All documented types except transfer events and `reservation.failed`.

test_transfers.py covers transfer events. `reservation.failed` is published only on request.
"""


def test_operations_publish_every_automatic_event_type(taskrouter):
    taskrouter.reset(DESCRIPTION)
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    change_channels(taskrouter, workspace)
    cause_task_events(taskrouter, workspace)
    delete_resources(taskrouter, workspace)
    published = {event.event_type for event in workspace.events.list(minutes=43_200)}
    other_workspace = workspace._version.workspaces.create(friendly_name="Other")
    published |= {event.event_type for event in other_workspace.events.list()}
    # A deleted Workspace's Events cannot be listed, so the test does not delete the Workspace.
    assert published | {"workspace.deleted"} == AUTOMATIC_TYPES
    transfers = {event_type for event_type in TYPES if "transfer" in event_type}
    assert AUTOMATIC_TYPES | transfers | {"reservation.failed"} == TYPES


def change_channels(taskrouter, workspace):
    channel = workspace.task_channels.create(friendly_name="Fax", unique_name="fax")
    channel.update(friendly_name="Telefax")
    worker_channel = workspace.workers(taskrouter.workers["Carol"]).worker_channels("default")
    worker_channel.update(capacity=3, available=False)
    worker_channel.update(available=True)
    channel.delete()


def cause_task_events(taskrouter, workspace):
    def create_task(to):
        carol = workspace.workers(taskrouter.workers["Carol"])
        carol.update(activity_sid=taskrouter.activities["Here"])
        attributes = json.dumps({"to": to})
        task = workspace.tasks.create(attributes=attributes, workflow_sid=taskrouter.workflow_sid)
        taskrouter.advance()
        return task, task.reservations.list(reservation_status="pending")

    _, (reservation,) = create_task("first")
    gone = taskrouter.activities["Gone"]
    reservation.update(reservation_status="rejected", worker_activity_sid=gone)
    taskrouter.advance(20)
    task, (first_reservation, second_reservation) = create_task("both")
    task.update(priority=3)
    first_reservation.update(reservation_status="accepted")
    assert second_reservation.fetch().reservation_status == "rescinded"
    task.update(assignment_status="wrapping")
    task.update(assignment_status="completed")
    create_task("first")
    taskrouter.advance(5)
    task, _ = create_task("first")
    task.update(assignment_status="canceled")
    create_task("nobody")
    taskrouter.advance(30)
    _, (reservation, *_) = create_task("first")
    reservation.update(reservation_status="accepted")
    taskrouter.advance(86_400)
    task, _ = create_task("first")
    task.delete()


def delete_resources(taskrouter, workspace):
    carol = workspace.workers(taskrouter.workers["Carol"])
    carol.update(attributes="{}", activity_sid=taskrouter.activities["Gone"])
    carol.delete()
    activity = workspace.activities.create(friendly_name="Lunch")
    activity.update(friendly_name="Dinner")
    activity.delete()
    queue = workspace.task_queues(taskrouter.task_queues["Second"])
    queue.update(target_workers="1==2")
    workflow = workspace.workflows(taskrouter.workflow_sid)
    workflow.update(friendly_name="Renamed")
    workflow.delete()
    queue.delete()
    workspace.update(friendly_name="Renamed")


DESCRIPTION = {
    "friendly_name": "Event types",
    "activities": [
        {"friendly_name": "Gone"},
        {"friendly_name": "Here", "available": True},
    ],
    "task_queues": [
        {"friendly_name": "First", "target_workers": "friendly_name == 'Carol'"},
        {"friendly_name": "Second", "max_reserved_workers": 2},
        {"friendly_name": "Empty", "target_workers": "1 == 2"},
    ],
    "workers": [
        {"friendly_name": "Carol", "activity": "Here"},
        {"friendly_name": "Dan", "activity": "Here", "capacity": {"default": 9}},
    ],
    "workflows": [
        {
            "friendly_name": "Main",
            "assignment_callback_url": "",
            "task_reservation_timeout": 5,
            "configuration": {
                "task_routing": {
                    "filters": [
                        {"expression": "to == 'first'",
                         "targets": [{"queue": "First", "timeout": 20}]},
                        {"expression": "to == 'both'",
                         "targets": [{"queue": "Empty", "skip_if": "1==1"}, {"queue": "Second"}]},
                        {"expression": "to == 'nobody'",
                         "targets": [{"queue": "Empty", "timeout": 10},
                                     {"queue": "First", "expression": "1==2", "timeout": 10}]},
                    ]
                }
            },
        }
    ],
}  # fmt: skip


def test_workspace_description_is_json():
    assert json.loads(json.dumps(DESCRIPTION)) == DESCRIPTION
