"""The events that operations publish, with their descriptions and parameters."""

import json

import pytest

from taskrouter_simulator.engine import assignments, tasks, workers, workflows, workspaces
from taskrouter_simulator.identifiers import derived_hex
from tests.simulator.state_simulation import StateSimulation
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter


def events_of(center, operation, *arguments, **options):
    """Execute an operation; return the published events without the common parameters."""
    before = len(center.workspace.events)
    center.do(operation, *arguments, **options)
    new_events = list(center.workspace.events.values())[before:]
    result = []
    for event in new_events:
        common = {
            "Sid": event.sid,
            "EventType": event.event_type,
            "EventDescription": event.description,
            "AccountSid": center.engine.account_sid,
            "WorkspaceSid": center.workspace.sid,
            "WorkspaceName": "Quickstart",
            "ResourceType": event.event_type.partition(".")[0],
            "ResourceSid": event.resource_sid,
            "Timestamp": str(int(event.created)),
            "TimestampMs": str(int(event.created * 1000)),
        }
        assert common.items() <= event.parameters.items()
        assert (event.resource_type, event.created) == (
            common["ResourceType"], center.clock.now()
        )  # fmt: skip
        parameters = {name: value for name, value in event.parameters.items() if name not in common}
        result.append((event.event_type, event.description, event.resource_sid, parameters))
    return result


def task_parameters(center, status, **others):
    task = center.task
    return {
        "TaskSid": task.sid,
        "TaskAttributes": "{}",
        "TaskAge": str(int(center.clock.now() - task.created)),
        "TaskPriority": "0",
        "TaskAssignmentStatus": status,
        "TaskAddons": "{}",
        "TaskChannelSid": task.channel_sid,
        "TaskChannelUniqueName": "default",
        "WorkflowSid": center.workflow.sid,
        "WorkflowName": "Test",
        **others,
    }


def queue_parameters(center, name):
    queue = center.queues[name]
    return {
        "TaskQueueSid": queue.sid,
        "TaskQueueName": name,
        "TaskQueueTargetExpression": queue.target_workers,
    }


FILTER_PARAMETERS = {"WorkflowFilterName": "", "WorkflowFilterExpression": "1==1"}


@pytest.mark.parametrize(
    ("status", "operation", "reason", "change", "reason_parameters"),
    [
        ("pending", assignments.cancel, "no", "canceled", {"TaskCanceledReason": "no"}),
        ("pending", assignments.cancel, None, "canceled", {}),
        ("assigned", assignments.complete, "no", "completed", {"TaskCompletedReason": "no"}),
        ("assigned", assignments.wrap, "no", "wrapup", {"TaskCompletedReason": "no"}),
    ],
)
def test_last_event_of_status_change_describes_task(
    status, operation, reason, change, reason_parameters
):
    center = StateSimulation(status)
    center.clock.advance(7)
    *_, last = events_of(center, operation, center.task, reason)
    description = reason if change == "canceled" and reason else f"Task {change}"
    parameters = task_parameters(
        center,
        center.task.status.value,
        **FILTER_PARAMETERS,
        **queue_parameters(center, "One"),
        **reason_parameters,
    )
    assert last == (f"task.{change}", description, center.task.sid, parameters)


def test_second_reason_replaces_first():
    center = StateSimulation("assigned")
    center.do(assignments.wrap, center.task, "first")
    center.do(assignments.complete, center.task)
    assert center.task.reason == "first"
    center = StateSimulation("assigned")
    center.do(assignments.wrap, center.task, "first")
    center.do(assignments.complete, center.task, "second")
    assert center.task.reason == "second"


def test_event_about_task_without_workflow_omits_workflow_and_filter():
    center = StateSimulation()
    two = center.queues["Two"].sid
    center.task = center.do(tasks.create, queue_sid=two)
    ((_, _, _, parameters),) = events_of(center, tasks.update, center.task)
    expected = task_parameters(center, "pending", **queue_parameters(center, "Two"))
    del expected["WorkflowSid"], expected["WorkflowName"]
    assert parameters == expected


def test_events_describe_move_to_another_target():
    center = WorkflowSimulation(
        {"filter_friendly_name": "All", "expression": "1==1",
         "targets": [{"queue": "One", "timeout": 10}, {"queue": "Two"}]},
    )  # fmt: skip
    center.task = center.enqueue_task()
    before = len(center.workspace.events)
    center.clock.advance(10)
    events = list(center.workspace.events.values())[before:]
    queues = {name: queue.sid for name, queue in center.queues.items()}
    summaries = [(event.event_type, event.description, event.resource_sid) for event in events]
    assert summaries == [
        ("task-queue.timeout", "Task timed out of TaskQueue", queues["One"]),
        ("workflow.target-matched", "Task matched a Workflow target", center.workflow.sid),
        ("task-queue.moved", "Task moved to another TaskQueue", queues["Two"]),
        ("task-queue.entered", "Task entered TaskQueue", queues["Two"]),
    ]
    names = [event.parameters["TaskQueueName"] for event in events]
    assert names == ["One", "One", "Two", "Two"]
    assert {event.parameters["WorkflowFilterName"] for event in events} == {"All"}


def test_events_describe_workflow_timeout():
    center = WorkflowSimulation(catch_all_filter({"queue": "One", "skip_if": "1==1"}))
    center.task = center.enqueue_task()
    events = list(center.workspace.events.values())[-3:]
    summaries = [(event.event_type, event.description, event.resource_sid) for event in events]
    end = "Task canceled on Workflow timeout"
    assert summaries == [
        ("workflow.skipped", "Task skipped a Workflow step", center.workflow.sid),
        ("workflow.timeout", end, center.workflow.sid),
        ("task.canceled", end, center.task.sid),
    ]


def worker_parameters(center, activity, version):
    return {
        "WorkerSid": center.carol.sid,
        "WorkerName": "Carol",
        "WorkerAttributes": center.carol.attributes,
        "WorkerActivitySid": center.activity_sid(activity),
        "WorkerActivityName": activity,
        "WorkerVersion": str(version),
        "OperatingUnitSid": "OU" + derived_hex("operating-unit"),
    }


def test_worker_events_have_descriptions_and_parameters():
    center = StateSimulation()
    carol, version = center.carol, center.carol.version
    center.clock.advance(2.5)
    offline = center.activity_sid("Offline")
    previous = {
        "WorkerPreviousActivitySid": center.activity_sid("Reserved"),
        "WorkerPreviousActivityName": "Reserved",
        "WorkerTimeInPreviousActivity": "2",
        "WorkerTimeInPreviousActivityMs": "2500",
    }
    assert events_of(center, workers.set_activity, carol, offline) == [
        (
            "worker.activity.update",
            "Worker Carol updated to Offline Activity",
            carol.sid,
            {**worker_parameters(center, "Offline", version + 1), **previous},
        )
    ]
    assert events_of(center, workers.set_attributes, carol, '{"queues": ["One"]}') == [
        (
            "worker.attributes.update",
            "Worker Carol attributes updated",
            carol.sid,
            worker_parameters(center, "Offline", version + 2),
        )
    ]
    channel = center.resources()["Carol's channel"]
    channel_parameters = {"TaskChannelSid": channel.channel_sid, "TaskChannelUniqueName": "default"}
    changes = [("capacity.update", {"capacity": 3})]
    changes += [("channel.availability.update", {"available": False})]
    for changed, (name, options) in enumerate(changes, version + 3):
        parameters = {**worker_parameters(center, "Offline", changed), **channel_parameters}
        expected = (f"worker.{name}", f"Worker Carol: {name}", carol.sid, parameters)
        assert events_of(center, workers.update_channel, carol, channel, **options) == [expected]
        assert events_of(center, workers.update_channel, carol, channel, **options) == []
    assignments.cancel(center.engine, center.workspace, center.task)
    parameters = worker_parameters(center, "Offline", carol.version)
    deleted = ("worker.deleted", "Worker Carol deleted", carol.sid, parameters)
    assert events_of(center, workers.delete, carol) == [deleted]


def test_events_of_other_resources_have_descriptions_and_parameters():
    center = StateSimulation()
    ((event_type, description, sid, parameters),) = events_of(
        center, workspaces.add_activity, friendly_name="Lunch"
    )
    lunch = center.workspace.activity("Lunch")
    assert (event_type, description) == ("activity.created", "Activity Lunch created")
    assert (sid, parameters) == (lunch.sid, {})
    assert events_of(center, workspaces.delete_activity, lunch) == [
        ("activity.deleted", "Activity Lunch deleted", lunch.sid, {})
    ]
    fax = center.do(workspaces.add_channel, friendly_name="Telefax", unique_name="fax")
    channel_parameters = {"TaskChannelSid": fax.sid, "TaskChannelUniqueName": "fax"}
    assert events_of(center, workspaces.delete_channel, fax) == [
        ("task-channel.deleted", "TaskChannel Telefax deleted", fax.sid, channel_parameters)
    ]
    two = center.queues["Two"]
    assert events_of(center, workspaces.delete_queue, two) == [
        ("task-queue.deleted", "TaskQueue Two deleted", two.sid, queue_parameters(center, "Two"))
    ]
    workflow = center.do(
        workflows.add, friendly_name="New", configuration=json.dumps(
            {"task_routing": {"default_filter": {"queue": center.queues["One"].sid}}}
        ),
    )  # fmt: skip
    workflow_parameters = {"WorkflowSid": workflow.sid, "WorkflowName": "New"}
    assert events_of(center, workflows.delete, workflow) == [
        ("workflow.deleted", "Workflow New deleted", workflow.sid, workflow_parameters)
    ]


@pytest.mark.parametrize("size", [1, 3])
def test_only_newest_events_are_kept(size):
    center = StateSimulation(log_size=size)
    center.do(tasks.update, center.task)
    assert len(center.workspace.events) == size
    assert list(center.workspace.events.values())[-1].event_type == "task.updated"
