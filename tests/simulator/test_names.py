"""Names that TaskRouter supplies resolve, and other names are refused where they cannot resolve."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_simulator.engine import assignments, tasks, workers, workflows, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.names import CHANNEL_NAMES, TIME_NAMES
from taskrouter_simulator.testing import running
from tests.simulator.conftest import Simulation, refusal, send_request
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter

VOICE = "worker.channel.voice"


def simulate_at(moment, *filters, **options):
    """Return a simulation whose clock shows a moment."""
    simulation = WorkflowSimulation(*filters, **options)
    simulation.clock.jump(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())
    return simulation


def offer(simulation, **attributes):
    """Return the names of the Workers that a new Task is offered to."""
    return simulation.offered_to(simulation.enqueue_task(**attributes))


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-26T10:00", True),  # a Thursday
        ("2026-11-26T17:30", False),
        ("2026-11-27T08:30", False),
        ("2026-11-27T18:29", True),
        ("2026-11-28T11:01", True),
        ("2026-11-29T11:01", False),
    ],
)
def test_documented_time_of_day_routing_works(moment, is_open):
    expression = (
        "(taskrouter.dayOfWeek IN ['Mon', 'Tue', 'Thu'] AND taskrouter.currentTime > 800"
        " AND taskrouter.currentTime < 1730) OR (taskrouter.dayOfWeek IN ['Wed', 'Fri']"
        " AND taskrouter.currentTime > 0900 AND taskrouter.currentTime < 1830)"
        " OR (taskrouter.dayOfWeek = 'Sat' AND taskrouter.currentTime > 1100)"
    )
    simulation = simulate_at(
        moment,
        {"expression": expression, "targets": [{"queue": "One"}]},
        default={"queue": "Two"},
    )
    queue_name = simulation.queue_name(simulation.enqueue_task())
    assert queue_name == ("One" if is_open else "Two")


@pytest.mark.parametrize(
    "expression",
    [
        "taskrouter.currentTime == 805",
        "taskrouter.currentTime = 0805",
        "taskrouter.currentHour > 7 AND taskrouter.currentHour < 18",
        "taskrouter.currentHour == '08'",
        "taskrouter.currentHour == 8",
        "8 = taskrouter.currentHour",
        "taskrouter.currentHour IN [8, 9]",
        "taskrouter.currentMin >= 5 AND taskrouter.currentMin <= 05",
        "taskrouter.currentMin == '05'",
        "taskrouter.dayOfWeek IN task.days",
        "taskrouter.dayOfWeek != 'Fri'",
    ],
)
@pytest.mark.parametrize("mixed_types", ["unequal", "false", "numbers"])
def test_time_of_day_resolves_in_filters_and_targets(expression, mixed_types):
    simulation = simulate_at(
        "2026-11-26T08:05",
        {"expression": expression, "targets": [{"queue": "One", "expression": expression}]},
        mixed_types=mixed_types,
    )
    simulation.add_worker("Carol", "One")
    assert offer(simulation, days=["Wed", "Thu"]) == ["Carol"]


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 31)))  # noqa: DTZ001 - made aware below
def test_time_of_day_matches_calendar(moment):
    values = {name: read(moment.replace(tzinfo=UTC)) for name, read in TIME_NAMES.items()}
    assert values == {
        "currentTime": 100 * moment.hour + moment.minute,
        "currentHour": f"{moment.hour:02}",
        "currentMin": f"{moment.minute:02}",
        "dayOfWeek": moment.strftime("%a"),
    }


@pytest.mark.parametrize("setting", [False, True])
def test_setting_ignores_case_of_day(setting):
    simulation = simulate_at(
        "2026-11-26T08:05",
        {"expression": "taskrouter.dayOfWeek IN ['Mon', 'THU']", "targets": [{"queue": "One"}]},
        default={"queue": "Two"},
        day_of_week_ignores_case=setting,
    )
    assert simulation.queue_name(simulation.enqueue_task()) == ("One" if setting else "Two")


def test_waiting_task_is_offered_when_time_of_day_matches():
    simulation = simulate_at(
        "2026-11-26T07:58:30",
        catch_all_filter({"queue": "One", "expression": "taskrouter.currentTime >= 0800"}),
    )
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(89)
    assert task.status == "pending"
    simulation.clock.advance(1)
    assert simulation.offered_to(task) == ["Carol"]


def simulate_capacity(expression, capacity=1):
    """Return a multitasking simulation and Carol, whose voice and chat capacity is given."""
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "expression": expression}), multi=True
    )
    carol = simulation.add_worker("Carol", "One")
    for name in ("voice", "chat"):
        channel = carol.channels[simulation.workspace.channel(name).sid]
        workers.update_channel(
            simulation.engine, simulation.workspace, carol, channel, capacity=capacity
        )
    return simulation, carol


def create_voice_task(simulation):
    """Route a voice Task directly to Carol's TaskQueue; return the Task."""
    queue_sid = simulation.queues["One"].sid
    return simulation_task(simulation, queue_sid=queue_sid, channel="voice")


def simulation_task(simulation, **options):
    task = tasks.create(simulation.engine, simulation.workspace, **options)
    simulation.clock.run_due()
    return task


def is_offered(simulation):
    """Return whether a new chat Task is offered to Carol."""
    task = simulation_task(simulation, workflow_sid=simulation.workflow.sid, channel="chat")
    return simulation.offered_to(task) == ["Carol"]


def test_free_worker_has_full_capacity():
    simulation, _ = simulate_capacity(f"{VOICE}.available_capacity_percentage == 100")
    assert is_offered(simulation)


@pytest.mark.parametrize(
    ("expression", "pending", "accepted", "wrapping", "completed"),
    [
        (f"{VOICE}.available_capacity_percentage == 100", False, False, False, True),
        (f"{VOICE}.available_capacity_percentage == 0", True, True, True, False),
        (f"{VOICE}.assigned_tasks == 0", True, False, True, True),
        (f"{VOICE}.configured_capacity = 1", True, True, True, True),
    ],
)
def test_channel_names_follow_reservation(expression, pending, accepted, wrapping, completed):
    for step, expected in enumerate((pending, accepted, wrapping, completed)):
        simulation, _ = simulate_capacity(expression)
        task = create_voice_task(simulation)
        (reservation,) = task.reservations
        if step > 0:
            assignments.accept(simulation.engine, simulation.workspace, reservation)
        for operation in (assignments.wrap, assignments.complete)[: step - 1 if step else 0]:
            operation(simulation.engine, simulation.workspace, task)
        assert is_offered(simulation) is expected


@given(st.integers(0, 7), st.integers(0, 7))
def test_percentage_is_rounded_down(capacity, held):
    simulation = Simulation()
    channel = next(iter(simulation.alice.channels.values()))
    channel.capacity = capacity
    percentage = CHANNEL_NAMES["available_capacity_percentage"](channel, ["pending"] * held)
    assert percentage == (int(max(0, capacity - held) / capacity * 100) if capacity else 0)


@pytest.mark.parametrize(("setting", "count"), [("held", 1), ("accepted", 0)])
def test_setting_defines_assigned_tasks_in_rest_responses(setting, count):
    with running(assigned_tasks=setting) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        alice = workspace.workers(taskrouter.workers["Alice"])
        alice.update(activity_sid=taskrouter.activities["Idle"])
        task = workspace.tasks.create(attributes='{"selected_language": "es"}')
        taskrouter.advance()
        (reservation,) = task.reservations.list()
        assert alice.worker_channels("default").fetch().assigned_tasks == count
        assert alice.worker_channels("default").fetch().available_capacity_percentage == 0
        reservation.update(reservation_status="accepted")
        assert alice.worker_channels("default").fetch().assigned_tasks == 1


@pytest.mark.parametrize("setting", [False, True])
def test_setting_allows_names_that_begin_with_digit(setting):
    def simulate():
        return WorkflowSimulation(
            catch_all_filter({"queue": "One", "expression": "worker.levels.988ENsk > 1"}),
            names_may_begin_with_digit=setting,
        )

    if not setting:
        with pytest.raises(BadRequest, match="worker.levels.988ENsk contains a name that begins"):
            simulate()
        return
    simulation = simulate()
    simulation.add_worker("Carol", "One", levels={"988ENsk": 2})
    assert offer(simulation) == ["Carol"]


def test_target_can_compare_with_single_equals_sign():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "expression": "task.owner = worker.sid"})
    )
    simulation.add_worker("Carol", "One")
    dan = simulation.add_worker("Dan", "One")
    assert offer(simulation, owner=dan.sid) == ["Dan"]


def test_worker_attribute_named_channel_can_be_used_without_prefix():
    simulation = Simulation()
    workspaces.add_queue(
        simulation.engine,
        simulation.workspace,
        friendly_name="Web",
        target_workers="channel HAS 'web' AND worker.channel.chat.assigned_tasks == 0",
    )
    queue = list(simulation.workspace.queues.values())[-1]
    simulation.alice.attributes = '{"channel": ["web"]}'
    members = workers.members(simulation.engine, simulation.workspace, queue)
    assert members == [simulation.alice]


@pytest.mark.parametrize("in_queue", [True, False])
def test_channel_cannot_be_deleted_while_expression_uses_it(in_queue):
    expression = "worker.channel.fax.assigned_tasks == 0"
    simulation = Simulation()
    engine, workspace = simulation.engine, simulation.workspace
    fax = workspaces.add_channel(engine, workspace, friendly_name="Fax", unique_name="fax")
    queue = workspaces.add_queue(
        engine, workspace, friendly_name="New", target_workers=expression if in_queue else "1==1"
    )
    configuration = {"filters": [target_of(queue.sid, "1==1" if in_queue else expression)]}
    workflow = workflows.add(
        engine,
        workspace,
        friendly_name="New",
        configuration=json.dumps({"task_routing": configuration}),
    )
    with pytest.raises(BadRequest, match="in use"):
        workspaces.delete_channel(engine, workspace, fax)
    workflows.delete(engine, workspace, workflow)
    queue.target_workers = "1==1"
    workspaces.delete_channel(engine, workspace, fax)
    assert workspace.channel("fax") is None


@pytest.mark.parametrize("name", ["worker", "workers"])
def test_filter_can_use_task_attribute_named_like_namespace(name):
    simulation = WorkflowSimulation(
        {"expression": f"{name} == 'Carol'", "targets": [{"queue": "One"}]},
        {"expression": f"task.{name}.name == 'Dan'", "targets": [{"queue": "Two"}]},
    )
    assert simulation.queue_name(simulation.enqueue_task(**{name: "Carol"})) == "One"
    assert simulation.queue_name(simulation.enqueue_task(**{name: {"name": "Dan"}})) == "Two"


@pytest.mark.parametrize(("agent", "expected"), [("CAROL", ["Carol"]), ("carola", [])])
def test_known_worker_is_found_by_name_regardless_of_case(agent, expected):
    simulation = WorkflowSimulation(target(known_worker_friendly_name="task.agent"))
    simulation.add_worker("Carol", "One")
    assert offer(simulation, agent=agent) == expected


def target_of(queue_sid, expression):
    return catch_all_filter({"queue": queue_sid, "expression": expression})


def test_activity_cannot_be_deleted_while_skip_if_counts_it():
    simulation = WorkflowSimulation(default={"queue": "One"})
    engine, workspace = simulation.engine, simulation.workspace
    lunch = workspaces.add_activity(engine, workspace, friendly_name="Lunch")
    skipping = catch_all_filter({"queue": "One", "skip_if": f"workers.{lunch.sid} > 1"})
    workflow = workflows.add(
        engine, workspace, friendly_name="New", configuration=simulation.configuration(skipping)
    )
    with pytest.raises(BadRequest, match="in use"):
        workspaces.delete_activity(engine, workspace, lunch)
    workflows.delete(engine, workspace, workflow)
    workspaces.delete_activity(engine, workspace, lunch)
    assert workspace.activity("Lunch") is None


def target(**texts):
    return catch_all_filter({"queue": "One", **texts})


@pytest.mark.parametrize(
    "matched",
    [
        {"expression": "taskrouter.currentTiem < 1800", "queue": "One"},
        {"expression": "taskrouter.currenttime < 1800", "queue": "One"},
        {"expression": "1==1 AND (2==2 OR taskrouter.today == 'Mon')", "queue": "One"},
        {"expression": "taskrouter == 'Mon'", "queue": "One"},
        {"expression": "taskrouter.dayOfWeek[0] == 'Mon'", "queue": "One"},
        {"expression": "task == 1", "queue": "One"},
        {"expression": "worker.sid == 'WK'", "queue": "One"},
        {"expression": "workers.available > 0", "queue": "One"},
        target(expression="taskrouter.weekday == 'Mon'"),
        target(expression="level > 1"),
        target(expression="worker.channel.voice.available_capacity == 100"),
        target(expression="worker.channel.voice == 100"),
        target(expression="worker.channel.fax.assigned_tasks == 0"),
        target(expression="worker.channel.voice.assigned_tasks.count == 0"),
        target(expression="channel.voice.assigned_tasks == 0"),
        target(expression="'es' IN [worker.channel.voic.assigned_tasks]"),
        target(expression="workers.available > 0"),
        target(skip_if="workers.free == 0"),
        target(skip_if="workers.WA0 == 0"),
        target(skip_if="workers == 0"),
        target(skip_if="worker.level == 0"),
        target(order_by="level DESC"),
        target(order_by="DESC"),
        target(order_by="task.level DESC"),
        target(order_by="worker.channel.voice.capacity DESC"),
        target(known_worker_sid="worker.sid"),
        target(known_worker_friendly_name="taskrouter.dayOfWeek"),
    ],
)
def test_workflow_with_name_that_cannot_resolve_is_refused(matched):
    with pytest.raises(BadRequest, match="Workflow configuration is invalid: "):
        WorkflowSimulation(matched)


@pytest.mark.parametrize(
    "texts",
    [
        {"order_by": "worker.channel.chat.available_capacity_percentage DESC, worker.level"},
        {"skip_if": "workers.available == 0 AND task.vip = true OR 1==1"},
        {"skip_if": "taskrouter.currentHour > 18"},
        {"known_worker_sid": "agent.sid"},
        {"expression": "worker.activity_name == 'Idle' AND worker.friendly_name != 'x'"},
        {"expression": "'x' IN ['x', task.a]"},
    ],
)
def test_workflow_with_documented_names_is_accepted(texts):
    simulation = WorkflowSimulation(target(**texts))
    assert simulation.workflow.configuration.filters


def test_configuration_that_can_route_no_task_is_refused():
    simulation = Simulation()
    for text in ('{"task_routing": {}}', '{"task_routing": {"filter": [{"queue": "WQ"}]}}'):
        with pytest.raises(BadRequest, match="must have filters or a default_filter"):
            workflows.require_configuration(simulation.engine, simulation.workspace, text)


WORKER_EXPRESSIONS = [
    ("task.level == 1", "task.level is not available here; names can begin with worker."),
    ("taskrouter.currentHour > 8", "taskrouter.currentHour is not available here"),
    ("worker.channel.voice.free == 1", "worker.channel.voice.free is not known: free must be one"),
    ("worker.channel.telepathy.assigned_tasks == 1", "telepathy must be one of default, voice"),
    ("worker == 1", "worker must be followed by a name"),
    ("level =! 1", "unexpected '!' at position 8"),
]


def list_refusal(taskrouter, path, **query):
    """Return the message of a refused list request."""
    status, body = send_request(taskrouter, "GET", path, **query)
    assert status == 400, body
    return body["message"]


@pytest.mark.parametrize(("expression", "message"), WORKER_EXPRESSIONS)
def test_expression_over_rest_is_refused_with_parameter_and_reason(
    taskrouter, workspace, expression, message
):
    create = workspace.task_queues.create
    text = refusal(create, friendly_name="New", target_workers=expression)
    assert text.startswith("Unable to create record: TargetWorkers is invalid: ")
    assert message in text
    queue = workspace.task_queues(next(iter(taskrouter.task_queues.values())))
    assert message in refusal(queue.update, target_workers=expression)
    for path, parameter in (
        ("/Workers", "TargetWorkersExpression"),
        ("/TaskQueues", "EvaluateWorkerAttributes"),
    ):
        text = list_refusal(taskrouter, path, **{parameter: expression})
        assert text.startswith(f"{parameter} is invalid: ")
        assert message in text


@pytest.mark.parametrize("expression", ["worker.sid == 'x'", "taskrouter.currentHour > 8", "a ~ b"])
def test_task_list_refuses_expression_that_cannot_resolve(taskrouter, expression):
    message = list_refusal(taskrouter, "/Tasks", EvaluateTaskAttributes=expression)
    assert message.startswith("EvaluateTaskAttributes is invalid: ")


def test_task_queues_can_be_filtered_by_worker_attributes(workspace):
    english = "Customer Care Requests - English"
    queues = workspace.task_queues.list(evaluate_worker_attributes="friendly_name == 'Bob'")
    assert [queue.friendly_name for queue in queues] == [english]
    assert len(workspace.task_queues.list(evaluate_worker_attributes='languages HAS "es"')) == 2
