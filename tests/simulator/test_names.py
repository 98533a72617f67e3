"""Names that TaskRouter supplies, such as the time of day, can be used in expressions."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_simulator.engine import assignments, tasks, workers, workspaces
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.names import CHANNEL_NAMES, TIME_NAMES
from taskrouter_simulator.testing import running
from tests.simulator.conftest import Simulation
from tests.simulator.workflow_simulation import WorkflowSimulation, filter_with_target

VOICE = "worker.channel.voice"


def simulate_at(moment, *filters, **options):
    """Return a simulation whose frozen clock shows the given UTC time (ISO 8601 without a zone)."""
    simulation = WorkflowSimulation(*filters, **options)
    simulation.clock.jump(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())
    return simulation


def offer_new_task(simulation, **attributes):
    """Create a Task; return the names of the Workers who are offered the Task."""
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
def test_documented_time_of_day_expression_routes_tasks(moment, is_open):
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
    assert offer_new_task(simulation, days=["Wed", "Thu"]) == ["Carol"]


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 31)))  # noqa: DTZ001 - UTC is added below
def test_time_of_day_matches_calendar(moment):
    values = {name: read(moment.replace(tzinfo=UTC)) for name, read in TIME_NAMES.items()}
    assert values == {
        "currentTime": 100 * moment.hour + moment.minute,
        "currentHour": f"{moment.hour:02}",
        "currentMin": f"{moment.minute:02}",
        "dayOfWeek": moment.strftime("%a"),
    }


@pytest.mark.parametrize("setting", [False, True])
def test_day_of_week_is_case_insensitive_only_if_configured(setting):
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
        filter_with_target(expression="taskrouter.currentTime >= 0800"),
    )
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(89)
    assert task.status == "pending"
    simulation.clock.advance(1)
    assert simulation.offered_to(task) == ["Carol"]


def simulate_capacity(expression):
    """Return a multitasking simulation in which Carol has capacity 1 for both voice and chat."""
    simulation = WorkflowSimulation(filter_with_target(expression=expression), multi=True)
    carol = simulation.add_worker("Carol", "One")
    for name in ("voice", "chat"):
        channel = carol.channels[simulation.workspace.channel(name).sid]
        workers.update_channel(simulation.engine, simulation.workspace, carol, channel, capacity=1)
    return simulation


def create_voice_task(simulation):
    """Route a voice Task directly to Carol's TaskQueue; return the Task."""
    queue_sid = simulation.queues["One"].sid
    return create_task(simulation, queue_sid=queue_sid, channel="voice")


def create_task(simulation, **options):
    task = tasks.create(simulation.engine, simulation.workspace, **options)
    simulation.clock.run_due()
    return task


def is_offered(simulation):
    """Create a chat Task; return whether the Task is offered to Carol."""
    task = create_task(simulation, workflow_sid=simulation.workflow.sid, channel="chat")
    return simulation.offered_to(task) == ["Carol"]


def test_free_worker_has_full_capacity():
    simulation = simulate_capacity(f"{VOICE}.available_capacity_percentage == 100")
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
def test_channel_values_depend_on_reservation_status(
    expression, pending, accepted, wrapping, completed
):
    for step, expected in enumerate((pending, accepted, wrapping, completed)):
        simulation = simulate_capacity(expression)
        task = create_voice_task(simulation)
        (reservation,) = task.reservations
        if step > 0:
            assignments.accept(simulation.engine, simulation.workspace, reservation)
        for operation in (assignments.wrap, assignments.complete)[: max(0, step - 1)]:
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
def test_assigned_tasks_count_includes_pending_reservations_only_if_configured(setting, count):
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


def test_names_may_begin_with_a_digit_only_if_configured():
    expression = "worker.levels.988ENsk > 1"
    with pytest.raises(BadRequest, match="worker.levels.988ENsk contains a name that begins"):
        WorkflowSimulation(filter_with_target(expression=expression))
    simulation = WorkflowSimulation(
        filter_with_target(expression=expression), names_may_begin_with_digit=True
    )
    simulation.add_worker("Carol", "One", levels={"988ENsk": 2})
    assert offer_new_task(simulation) == ["Carol"]


def test_target_can_compare_with_single_equals_sign():
    simulation = WorkflowSimulation(filter_with_target(expression="task.owner = worker.sid"))
    simulation.add_worker("Carol", "One")
    dan = simulation.add_worker("Dan", "One")
    assert offer_new_task(simulation, owner=dan.sid) == ["Dan"]


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


@pytest.mark.parametrize("name", ["worker", "workers"])
def test_filter_can_use_task_attribute_with_the_name_of_a_namespace(name):
    simulation = WorkflowSimulation(
        {"expression": f"{name} == 'Carol'", "targets": [{"queue": "One"}]},
        {"expression": f"task.{name}.name == 'Dan'", "targets": [{"queue": "Two"}]},
    )
    assert simulation.queue_name(simulation.enqueue_task(**{name: "Carol"})) == "One"
    assert simulation.queue_name(simulation.enqueue_task(**{name: {"name": "Dan"}})) == "Two"


@pytest.mark.parametrize(("agent", "expected"), [("CAROL", ["Carol"]), ("carola", [])])
def test_known_worker_is_found_by_name_regardless_of_case(agent, expected):
    simulation = WorkflowSimulation(filter_with_target(known_worker_friendly_name="task.agent"))
    simulation.add_worker("Carol", "One")
    assert offer_new_task(simulation, agent=agent) == expected
