"""Resources of a new Workspace, and errors when a resource cannot be created or deleted."""

import pytest

from taskrouter_simulator.engine import assignments, tasks, workers, workflows, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.events import require_types
from tests.simulator.state_simulation import StateSimulation
from tests.simulator.workflow_simulation import WorkflowSimulation


@pytest.fixture
def center():
    return StateSimulation()


def error_for(center, operation, *arguments, **options):
    """Check that an operation fails and changes nothing; return the error message."""
    before = {name: (item.version, vars(item).copy()) for name, item in center.resources().items()}
    with pytest.raises(BadRequest) as error:
        operation(center.engine, center.workspace, *arguments, **options)
    after = {name: (item.version, vars(item).copy()) for name, item in center.resources().items()}
    assert after == before
    return error.value.message


def test_new_workspace_has_built_in_channels_and_default_activities_are_added_separately():
    simulation = WorkflowSimulation(default={"queue": "One"})
    workspace = workspaces.create(simulation.engine, friendly_name="Sales")
    channels = [
        (channel.unique_name, channel.friendly_name, channel.channel_optimized_routing)
        for channel in workspace.channels.values()
    ]
    names = ("default", "voice", "sms", "chat", "video")
    assert channels == [(name, name.capitalize(), False) for name in names]
    assert (workspace.multi_task_enabled, workspace.activities) == (True, {})
    workspaces.add_default_activities(simulation.engine, workspace)
    found = [(item.friendly_name, item.available) for item in workspace.activities.values()]
    assert found == [("Offline", False), ("Available", True), ("Unavailable", False)]
    offline = next(iter(workspace.activities))
    assert workspace.default_activity_sid == workspace.timeout_activity_sid == offline


@pytest.mark.parametrize("use", ["default", "timeout", "worker", "reservation", "assignment"])
def test_activity_in_use_cannot_be_deleted(center, use):
    activity = workspaces.add_activity(center.engine, center.workspace, friendly_name="New")
    match use:
        case "default":
            center.workspace.default_activity_sid = activity.sid
        case "timeout":
            center.workspace.timeout_activity_sid = activity.sid
        case "worker":
            center.set_activity(center.carol, "New")
        case "reservation":
            center.queues["Two"].reservation_activity_sid = activity.sid
        case "assignment":
            center.queues["Two"].assignment_activity_sid = activity.sid
    message = f"Activity {activity.sid} is in use and cannot be deleted"
    assert error_for(center, workspaces.delete_activity, activity) == message


@pytest.mark.parametrize("status", ["pending", "assigned", "wrapping"])
def test_queue_with_open_task_cannot_be_deleted(center, status):
    queue = center.queues["Two"]
    task = center.do(tasks.create, queue_sid=queue.sid)
    task.status = status
    message = f"TaskQueue {queue.sid} is in use and cannot be deleted"
    assert error_for(center, workspaces.delete_queue, queue) == message
    task.status = "canceled"
    workspaces.delete_queue(center.engine, center.workspace, queue)
    assert queue.sid not in center.workspace.queues


def test_queue_used_by_workflow_cannot_be_deleted(center):
    queue = center.queues["One"]
    center.do(assignments.delete, center.task)
    message = f"TaskQueue {queue.sid} is in use and cannot be deleted"
    assert error_for(center, workspaces.delete_queue, queue) == message


def test_workflow_with_open_task_cannot_be_deleted(center):
    message = f"Workflow {center.workflow.sid} has tasks and cannot be deleted"
    assert error_for(center, workflows.delete, center.workflow) == message
    center.do(assignments.cancel, center.task)
    workflows.delete(center.engine, center.workspace, center.workflow)
    assert center.workflow.sid not in center.workspace.workflows


def test_channel_that_is_built_in_or_in_use_cannot_be_deleted(center):
    fax = center.do(workspaces.add_channel, friendly_name="Fax", unique_name="fax")
    task = center.do(tasks.create, queue_sid=center.queues["Two"].sid, channel="fax")
    for channel in (fax, center.workspace.channel("video")):
        message = f"TaskChannel {channel.sid} is built in or in use and cannot be deleted"
        assert error_for(center, workspaces.delete_channel, channel) == message
    center.do(assignments.delete, task)
    assert all(fax.sid in worker.channels for worker in center.workspace.workers.values())
    workspaces.delete_channel(center.engine, center.workspace, fax)
    assert not any(fax.sid in worker.channels for worker in center.workspace.workers.values())


@pytest.mark.parametrize("use", ["available", "reserved"])
def test_worker_who_is_available_or_has_open_reservations_cannot_be_deleted(center, use):
    if use == "available":
        center.do(assignments.cancel, center.task)
    else:
        center.set_activity(center.carol, "Offline")
    reason = "cannot be deleted while it is available or has open reservations"
    message = f"Worker {center.carol.sid} {reason}"
    assert error_for(center, workers.delete, center.carol) == message


def test_name_in_use_is_rejected(center):
    in_use = "already exists in this workspace"
    assert (
        error_for(center, workspaces.add_activity, friendly_name="Idle")
        == f"Activity Idle {in_use}"
    )
    assert error_for(center, workspaces.add_queue, friendly_name="One") == f"TaskQueue One {in_use}"
    message = error_for(center, workspaces.add_channel, friendly_name="X", unique_name="voice")
    assert message == f"TaskChannel voice {in_use}"
    message = error_for(center, workflows.add, friendly_name="Test", configuration="")
    assert message == f"Workflow Test {in_use}"
    message = error_for(center, lambda _, workspace: workers.require_free_name(workspace, "CAROL"))
    assert message == f"Worker friendly name CAROL {in_use}"


def test_long_unique_name_is_truncated_in_error(center):
    message = error_for(center, workspaces.add_channel, friendly_name="X", unique_name="-" * 150)
    assert message == (
        f"UniqueName {'-' * 100} must consist of letters, digits, _ and $, and must not begin with"
        " a digit"
    )


def test_error_names_unknown_event_types():
    require_types("")
    require_types(" task.created , ,worker.created")
    with pytest.raises(BadRequest) as error:
        require_types("z,task.created,y")
    assert error.value.message == "EventsFilter contains unknown event types: y, z"
    with pytest.raises(BadRequest) as error:
        require_types("x" * 300)
    assert error.value.message == f"EventsFilter contains unknown event types: {'x' * 200}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workflow_sid": "WW0"}, "WorkflowSid WW0 does not exist in workspace {workspace}"),
        ({"queue_sid": "WQ0"}, "TaskQueueSid WQ0 does not exist in workspace {workspace}"),
        ({"routing_target": "WK0"}, "RoutingTarget WK0 does not exist in workspace {workspace}"),
        ({}, "Missing required parameter WorkflowSid in the post body"),
        (
            {"queue_sid": "{two}", "channel": "x"},
            "TaskChannel x does not exist in workspace {workspace}",
        ),
        (
            {"queue_sid": "{two}", "ignore_capacity": False},
            "IgnoreCapacity requires a RoutingTarget that is a Worker SID",
        ),
        (
            {"routing_target": "{two}", "ignore_capacity": True},
            "IgnoreCapacity requires a RoutingTarget that is a Worker SID",
        ),
        (
            {"routing_target": "{dan}"},
            "Worker {dan} is not in any TaskQueue of workspace {workspace}",
        ),
    ],
    ids=range(8),
)  # fmt: skip
def test_task_with_missing_or_invalid_parameter_is_rejected(center, options, message):
    for queue in center.workspace.queues.values():
        queue.target_workers = "1 == 2"
    sids = {
        "workspace": center.workspace.sid,
        "two": center.queues["Two"].sid,
        "dan": center.add_worker("Dan").sid,
    }
    given = {
        name: value.format(**sids) if isinstance(value, str) else value
        for name, value in options.items()
    }
    count = len(center.workspace.tasks)
    assert error_for(center, tasks.create, **given) == message.format(**sids)
    assert len(center.workspace.tasks) == count
