"""Unknown names are rejected, and resources that expressions use cannot be deleted."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_simulator.engine import names, workflows, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.names import WORKER_NAMES
from tests.simulator.conftest import Simulation, error_for, send_request
from tests.simulator.workflow_simulation import (
    WorkflowSimulation,
    catch_all_filter,
    filter_with_target,
)


@pytest.mark.parametrize("in_queue", [True, False])
def test_channel_cannot_be_deleted_while_expression_uses_it(in_queue):
    expression = "worker.channel.fax.assigned_tasks == 0"
    simulation = Simulation()
    engine, workspace = simulation.engine, simulation.workspace
    fax = workspaces.add_channel(engine, workspace, friendly_name="Fax", unique_name="fax")
    queue = workspaces.add_queue(
        engine, workspace, friendly_name="New", target_workers=expression if in_queue else "1==1"
    )
    only_target = {"queue": queue.sid, "expression": "1==1" if in_queue else expression}
    configuration = {"task_routing": {"filters": [catch_all_filter(only_target)]}}
    workflow = workflows.add(
        engine, workspace, friendly_name="New", configuration=json.dumps(configuration)
    )
    with pytest.raises(BadRequest, match="in use"):
        workspaces.delete_channel(engine, workspace, fax)
    workflows.delete(engine, workspace, workflow)
    queue.target_workers = "1==1"
    workspaces.delete_channel(engine, workspace, fax)
    assert workspace.channel("fax") is None


def test_activity_cannot_be_deleted_while_a_skip_if_expression_refers_to_it():
    simulation = WorkflowSimulation(default={"queue": "One"})
    engine, workspace = simulation.engine, simulation.workspace
    lunch = workspaces.add_activity(engine, workspace, friendly_name="Lunch")
    skipping = filter_with_target(skip_if=f"workers.{lunch.sid} > 1")
    workflow = workflows.add(
        engine, workspace, friendly_name="New", configuration=simulation.configuration(skipping)
    )
    with pytest.raises(BadRequest, match="in use"):
        workspaces.delete_activity(engine, workspace, lunch)
    workflows.delete(engine, workspace, workflow)
    workspaces.delete_activity(engine, workspace, lunch)
    assert workspace.activity("Lunch") is None


@pytest.mark.parametrize(
    "workflow_filter",
    [
        {"expression": "taskrouter.currentTiem < 1800", "queue": "One"},
        {"expression": "taskrouter.currenttime < 1800", "queue": "One"},
        {"expression": "1==1 AND (2==2 OR taskrouter.today == 'Mon')", "queue": "One"},
        {"expression": "taskrouter == 'Mon'", "queue": "One"},
        {"expression": "taskrouter.dayOfWeek[0] == 'Mon'", "queue": "One"},
        {"expression": "task == 1", "queue": "One"},
        {"expression": "worker.sid == 'WK'", "queue": "One"},
        {"expression": "workers.available > 0", "queue": "One"},
        filter_with_target(expression="taskrouter.weekday == 'Mon'"),
        filter_with_target(expression="level > 1"),
        filter_with_target(expression="worker.channel.voice.available_capacity == 100"),
        filter_with_target(expression="worker.channel.voice == 100"),
        filter_with_target(expression="worker.channel.fax.assigned_tasks == 0"),
        filter_with_target(expression="worker.channel.voice.assigned_tasks.count == 0"),
        filter_with_target(expression="channel.voice.assigned_tasks == 0"),
        filter_with_target(expression="'es' IN [worker.channel.voic.assigned_tasks]"),
        filter_with_target(expression="workers.available > 0"),
        filter_with_target(skip_if="workers.free == 0"),
        filter_with_target(skip_if="workers.WA0 == 0"),
        filter_with_target(skip_if="workers == 0"),
        filter_with_target(skip_if="worker.level == 0"),
        filter_with_target(order_by="level DESC"),
        filter_with_target(order_by="DESC"),
        filter_with_target(order_by="task.level DESC"),
        filter_with_target(order_by="worker.channel.voice.capacity DESC"),
        filter_with_target(known_worker_sid="worker.sid"),
        filter_with_target(known_worker_friendly_name="taskrouter.dayOfWeek"),
    ],
)
def test_workflow_with_unknown_name_is_rejected(workflow_filter):
    with pytest.raises(BadRequest, match="Workflow configuration is invalid: "):
        WorkflowSimulation(workflow_filter)


@pytest.mark.parametrize(
    "target_keys",
    [
        {"order_by": "worker.channel.chat.available_capacity_percentage DESC, worker.level"},
        {"skip_if": "workers.available == 0 AND task.vip = true OR 1==1"},
        {"skip_if": "taskrouter.currentHour > 18"},
        {"known_worker_sid": "agent.sid"},
        {"expression": "worker.activity_name == 'Idle' AND worker.friendly_name != 'x'"},
        {"expression": "'x' IN ['x', task.a]"},
    ],
)
def test_workflow_with_documented_names_is_accepted(target_keys):
    simulation = WorkflowSimulation(filter_with_target(**target_keys))
    assert simulation.workflow.configuration.filters


MISSPELLED_IN_TARGET = [
    ("worker.SID", "worker.sid"),
    ("worker.activityName", "worker.activity_name"),
    ("worker.FriendlyName", "worker.friendly_name"),
    ("worker.ACTIVITY_SID", "worker.activity_sid"),
    ("worker.chanel.voice.x", "worker.channel.voice.x"),
    ("worker.channels.voice.assigned_tasks", "worker.channel.voice.assigned_tasks"),
    ("worker.channels.fax.available", "worker.channel.fax.available"),
    ("worker.Channel.voice.assigned_tasks", "worker.channel.voice.assigned_tasks"),
    ("worker.Channel.colors[0]", "worker.channel.colors[0]"),
    ("WORKER.x", "worker.x"),
    ("Worker.level", "worker.level"),
    ("Task.vip", "task.vip"),
    ("TaskRouter.dayOfWeek", "taskrouter.dayOfWeek"),
    ("task_router.currentTime", "taskrouter.currentTime"),
    ("taskruter.currentHour", "taskrouter.currentHour"),
    ("wroker.sid", "worker.sid"),
]


@pytest.mark.parametrize(("name", "suggestion"), MISSPELLED_IN_TARGET)
def test_misspelled_name_in_target_is_rejected_with_suggestion(name, suggestion):
    message = re.escape(f"{name} is not known; did you mean {suggestion}?")
    with pytest.raises(BadRequest, match=message):
        WorkflowSimulation(filter_with_target(expression=f"{name} == 1"))


@pytest.mark.parametrize(
    ("target_keys", "message"),
    [
        ({"skip_if": "Workers.available == 0"}, "did you mean workers.available?"),
        ({"skip_if": "wokers.unavailable > 3"}, "did you mean workers.unavailable?"),
        ({"known_worker_sid": "TASK.agent"}, "did you mean task.agent?"),
        ({"order_by": "Worker.level DESC"}, "did you mean worker.level?"),
        ({"order_by": "worker.channels.voice.assigned_tasks"}, "did you mean worker.channel.voice"),
        ({"order_by": "worker.friendly_name"}, "worker.friendly_name is a string"),
        ({"order_by": "worker.level, worker.sid DESC"}, "worker.sid is a string"),
        ({"order_by": "worker.activity_name ASC"}, "worker.activity_name is a string"),
        ({"order_by": "worker.level\u00a0DESC"}, "is not a reference such as task.agent"),
        ({"order_by": "worker.activity_sid"}, "worker.activity_sid is a string"),
        ({"order_by": "worker.channel.voice.available"}, "available is a boolean, but order_by"),
    ],
)
def test_target_with_invalid_reference_is_rejected_with_reason(target_keys, message):
    with pytest.raises(BadRequest, match=re.escape(message)):
        WorkflowSimulation(filter_with_target(**target_keys))


@pytest.mark.parametrize("name", ["Task.vip", "TASKROUTER.currentTime", "taskroute.dayOfWeek"])
def test_misspelled_namespace_in_filter_is_rejected(name):
    with pytest.raises(BadRequest, match="did you mean task"):
        WorkflowSimulation({"expression": f"{name} == 1", "targets": [{"queue": "One"}]})


MISSPELLED_IN_QUEUE = [
    ("Worker.languages", "worker.languages"),
    ("WORKER.sid", "worker.sid"),
    ("worker.Sid", "worker.sid"),
    ("SID", "worker.sid"),
    ("activityName", "worker.activity_name"),
    ("friendlyname", "worker.friendly_name"),
    ("Channel.voice.assigned_tasks", "worker.channel.voice.assigned_tasks"),
    ("channels.voice.assigned_tasks", "worker.channel.voice.assigned_tasks"),
]


@pytest.mark.parametrize(("name", "suggestion"), MISSPELLED_IN_QUEUE)
def test_misspelled_name_in_queue_is_rejected_with_suggestion(workspace, name, suggestion):
    create = workspace.task_queues.create
    message = error_for(create, friendly_name="New", target_workers=f"1==1 OR {name} == 1")
    assert message.endswith(f"{name} is not known; did you mean {suggestion}?")


@pytest.mark.parametrize(
    "name",
    ["worker.level", "worker.side", "worker.activity", "worker.friend_name", "worker.channels",
     "worker.channels.voice", "worker.skills.voice.level", "worker.schedule.monday.available",
     "worker.Sid.x", "worker.channels[0]", "skills", "tasks.open", "works.sid2", "channel",
     "channels.voice", "status"],
)  # fmt: skip
def test_name_that_may_be_an_attribute_is_accepted(workspace, name):
    queue = workspace.task_queues.create(friendly_name="New", target_workers=f"{name} == 1")
    assert queue.target_workers == f"{name} == 1"


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("worker.SID", {"SID": 1}),
        ("activityName", {"activityName": 1}),
        ("worker.channels.voice.assigned_tasks", {"channels": {"voice": {"assigned_tasks": 1}}}),
        ("worker.Channel.voice", {"Channel": {"voice": 1}}),
    ],
)
def test_existing_worker_attribute_is_not_treated_as_misspelling(workspace, name, attributes):
    carol = workspace.workers.create(friendly_name="Carol", attributes=json.dumps(attributes))
    workspace.task_queues.create(friendly_name="New", target_workers=f"{name} == 1")
    (found,) = workspace.workers.list(task_queue_name="New")
    assert found.sid == carol.sid


@given(st.sampled_from([*WORKER_NAMES, "channel.voice.assigned_tasks"]), st.data())
def test_taskrouter_name_in_a_different_naming_convention_is_rejected(name, data):
    first, dot, rest = name.partition(".")
    words = [
        data.draw(st.sampled_from([str, str.upper, str.title]))(word) for word in first.split("_")
    ]
    spelling = data.draw(st.sampled_from(["_", "", "__"])).join(words) + dot + rest
    simulation = Simulation()

    def check(text):
        workspaces.require_expression(
            simulation.engine, simulation.workspace, f"worker.{text} == 1", names.WORKERS, "X"
        )

    if spelling == name:
        check(spelling)
    else:
        with pytest.raises(BadRequest, match=re.escape(f"did you mean worker.{name}?")):
            check(spelling)


def test_configuration_that_cannot_route_tasks_is_rejected():
    simulation = Simulation()
    for text in ('{"task_routing": {}}', '{"task_routing": {"filter": [{"queue": "WQ"}]}}'):
        with pytest.raises(BadRequest, match="must have filters or a default_filter"):
            workflows.require_configuration(simulation.engine, simulation.workspace, text)


WORKER_EXPRESSIONS = [
    ("task.level == 1", "task.level is not available here; names can begin with `worker.`"),
    ("taskrouter.currentHour > 8", "taskrouter.currentHour is not available here"),
    ("worker.channel.voice.free == 1", "worker.channel.voice.free is not known: free is not one"),
    ("worker.channel.telepathy.assigned_tasks == 1", "telepathy is not one of default, voice"),
    ("worker == 1", "worker must be followed by a name"),
    ("level =! 1", "unexpected '!' at position 8"),
]


def error_for_list(taskrouter, path, **query):
    """Send an invalid list request; return the error message."""
    status, body = send_request(taskrouter, "GET", path, **query)
    assert status == 400, body
    return body["message"]


@pytest.mark.parametrize(("expression", "message"), WORKER_EXPRESSIONS)
def test_invalid_expression_over_rest_is_rejected_with_parameter_and_reason(
    taskrouter, workspace, expression, message
):
    create = workspace.task_queues.create
    text = error_for(create, friendly_name="New", target_workers=expression)
    assert text.startswith("Unable to create record: TargetWorkers is invalid: ")
    assert message in text
    queue = workspace.task_queues(next(iter(taskrouter.task_queues.values())))
    assert message in error_for(queue.update, target_workers=expression)
    for path, parameter in (
        ("/Workers", "TargetWorkersExpression"),
        ("/TaskQueues", "EvaluateWorkerAttributes"),
    ):
        text = error_for_list(taskrouter, path, **{parameter: expression})
        assert text.startswith(f"{parameter} is invalid: ")
        assert message in text


@pytest.mark.parametrize("expression", ["worker.sid == 'x'", "taskrouter.currentHour > 8", "a ~ b"])
def test_task_list_rejects_invalid_expression(taskrouter, expression):
    message = error_for_list(taskrouter, "/Tasks", EvaluateTaskAttributes=expression)
    assert message.startswith("EvaluateTaskAttributes is invalid: ")
