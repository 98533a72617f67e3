"""The cost of a routing pass does not depend on Tasks and Workers that no change affects."""

import json
from types import SimpleNamespace

import pytest

from taskrouter_simulator.engine import assignments, indexes, tasks, waiting, workers, workspaces
from taskrouter_simulator.engine.indexes import Dependencies, find_dependencies, find_index
from taskrouter_simulator.engine.waiting import WaitHeap
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter

NONE = (0, False, False)


@pytest.mark.parametrize(
    ("expression", "number", "on_state", "on_time"),
    [
        ("", *NONE),
        ("  ", *NONE),
        ("1==1", *NONE),
        ("worker.level > 1 AND worker.sid != 'x' AND worker.friendly_name != 'y'", *NONE),
        ("worker.level > task.level AND task.name.first == 'x'", 2, False, False),
        ("worker.activity_name == 'Idle'", 0, True, False),
        ("worker.activity_sid == 'WA'", 0, True, False),
        ("worker.channel.chat.assigned_tasks > 0", 0, True, False),
        ("taskrouter.currentTime > 5", 0, False, True),
        ("taskrouter.currentTime > task.time OR worker.activity_name == 'x'", 1, True, True),
        ("'a' IN worker.skills AND 'b' IN worker.activity_names", *NONE),
    ],
)
def test_dependencies_of_an_expression_are_found(expression, number, on_state, on_time):
    found = find_dependencies(expression)
    assert (len(found.task_values), found.on_state, found.on_time) == (number, on_state, on_time)


def test_name_without_prefix_is_a_worker_property_or_an_attribute():
    assert find_dependencies("activity_name == 'Idle'").on_state
    assert not find_dependencies("level == 1").on_state
    assert Dependencies() == find_dependencies("")


def test_task_values_are_looked_up_in_the_context_of_a_task():
    (value,) = find_dependencies("worker.level > task.level").task_values
    assert value({"task": {"level": 7}, "level": 8}) == 7


class CostSimulation(WorkflowSimulation):
    """Records the text of each expression that is evaluated."""

    def __init__(self, *filters, default=None, **settings):
        super().__init__(*filters, default=default, multi=True, **settings)
        self.evaluations = []
        compile_expression = self.engine.compile

        def compile_and_count(text):
            predicate = compile_expression(text)

            def count(context):
                self.evaluations.append(text)
                return predicate(context)

            return count

        self.engine.compile = compile_and_count

    def cost(self, **attributes):
        """Run a Task's life cycle twice; return the expressions evaluated the second time."""
        self.run_life_cycle(**attributes)
        self.evaluations.clear()
        self.run_life_cycle(**attributes)
        return self.evaluations.copy()

    def run_life_cycle(self, **attributes):
        task = self.enqueue_task(**attributes)
        self.clock.run_due()
        assert task.status == "reserved"
        assignments.accept(self.engine, self.workspace, task.reservations[0])
        self.clock.run_due()
        assignments.complete(self.engine, self.workspace, task)
        self.clock.advance(1)


LEVEL = "worker.level == task.level"
LEVELS = "task.level IN worker.levels"


@pytest.mark.parametrize(
    "target",
    [
        {"queue": "Two"},
        {"queue": "One", "expression": LEVEL},
        {"queue": "One", "known_worker_sid": "task.agent"},
        {"queue": "One", "known_worker_friendly_name": "task.agent"},
        {"queue": "Two", "skip_if": "workers.available > 5"},
    ],
)
def test_waiting_tasks_add_no_evaluations(target):
    simulation = CostSimulation(
        {"expression": "kind == 'other'", "targets": [target]}, default={"queue": "One"}
    )
    simulation.add_worker("Carol", "One", level=0)
    simulation.add_worker("Dan", "One", level=0)
    before = simulation.cost()
    for number in range(1, 50):
        simulation.enqueue_task(kind="other", level=number, agent=f"nobody {number}")
    assert simulation.cost() == before == ["kind == 'other'"]


def test_workers_that_do_not_match_add_no_evaluations():
    simulation = CostSimulation(catch_all_filter({"queue": "One", "expression": LEVEL}))
    simulation.add_worker("Carol", "One", level=1)
    before = simulation.cost(level=1)
    for number in range(20):
        simulation.add_worker(f"Other level {number}", "One", level=2)
        simulation.add_worker(f"Other queue {number}", "Two", level=1)
    assert simulation.cost(level=1) == before == ["1==1"]


def test_changed_worker_is_evaluated_once_for_tasks_with_equal_values():
    simulation = CostSimulation(catch_all_filter({"queue": "One", "expression": LEVEL}))
    carol = simulation.add_worker("Carol", "One", level=9)
    for number in range(30):
        simulation.enqueue_task(level=number % 3, name=number)
    simulation.evaluations.clear()
    workers.set_attributes(
        simulation.engine, simulation.workspace, carol, '{"queues": ["One"], "level": 8}'
    )
    simulation.clock.run_due()
    assert simulation.evaluations.count(LEVEL) == 3


def test_expression_with_time_is_evaluated_once_a_minute():
    expression = "taskrouter.currentTime >= 2300"
    simulation = CostSimulation(catch_all_filter({"queue": "One", "expression": expression}))
    simulation.add_worker("Carol", "One")
    for _ in range(30):
        simulation.enqueue_task()
    simulation.evaluations.clear()
    simulation.clock.advance(39)
    assert simulation.evaluations == []
    simulation.clock.advance(1)
    assert simulation.evaluations == [expression]
    simulation.clock.advance(60)
    assert simulation.evaluations == [expression, expression]


def test_free_worker_is_offered_only_the_first_of_many_waiting_tasks():
    simulation = CostSimulation(catch_all_filter({"queue": "One"}))
    waiting_tasks = [simulation.enqueue_task() for _ in range(30)]
    simulation.evaluations.clear()
    simulation.add_worker("Carol", "One")
    assert [task.status for task in waiting_tasks[:2]] == ["reserved", "pending"]
    assert simulation.evaluations == ["queues HAS 'One'", "1==1"]


def test_requirements_without_waiting_tasks_are_dropped(monkeypatch):
    monkeypatch.setattr(indexes, "_MIN_PURGE_SIZE", 5)
    simulation = CostSimulation(catch_all_filter({"queue": "One", "expression": LEVEL}))
    carol = simulation.add_worker("Carol", "One", level=3)
    first = [simulation.enqueue_task(level=level) for level in (3, 0, 0)]
    for level in range(10, 40):
        task = simulation.enqueue_task(level=level)
        assignments.cancel(simulation.engine, simulation.workspace, task)
    simulation.evaluations.clear()
    workers.set_attributes(
        simulation.engine, simulation.workspace, carol, '{"queues": ["One"], "level": 0}'
    )
    simulation.clock.run_due()
    assert simulation.evaluations.count(LEVEL) <= 7
    assignments.accept(simulation.engine, simulation.workspace, first[0].reservations[0])
    assignments.complete(simulation.engine, simulation.workspace, first[0])
    simulation.clock.run_due()
    assert [task.status for task in first] == ["completed", "reserved", "pending"]


def test_dropped_requirement_leaves_no_reference_in_a_worker(monkeypatch):
    monkeypatch.setattr(indexes, "_MIN_PURGE_SIZE", 5)
    simulation = CostSimulation(catch_all_filter({"queue": "One", "expression": LEVELS}))
    dan = simulation.add_worker("Dan", "One", levels=list(range(40)))
    for level in range(40):
        simulation.run_life_cycle(level=level)
    entry = find_index(simulation.engine, simulation.workspace).workers._entries[dan.sid]
    assert 0 < len(entry.requirements) <= 5
    assert 0 < len(entry.free_for) <= 5


def test_wait_heap_yields_waits_in_order_and_drops_ended_waits(monkeypatch):
    monkeypatch.setattr(waiting, "_MIN_PURGE_SIZE", 4)
    heap = WaitHeap()
    waits = [SimpleNamespace(number=number, is_over=False) for number in (3, 1, 2, 5, 4)]
    for wait in waits:
        heap.push(wait.number, wait)
    waits[1].is_over = True
    assert heap.first() == (2, waits[2])
    assert {wait.number for wait in heap} == {2, 3, 4, 5}
    assert [wait.number for wait in heap.pop_until(4)] == [2, 3, 4]
    assert heap.first() == (5, waits[3])
    assert list(heap.pop_until(4.9)) == []
    waits[3].is_over = True
    assert heap.first() is None


def test_wait_heap_stays_small_when_waits_end(monkeypatch):
    monkeypatch.setattr(waiting, "_MIN_PURGE_SIZE", 4)
    heap = WaitHeap()
    heap.push(0, SimpleNamespace(is_over=False))
    for number in range(1, 1000):
        wait = SimpleNamespace(is_over=False)
        heap.push(number, wait)
        wait.is_over = True
    assert len(heap._heap) <= 5


def test_each_workspace_has_its_own_indexes():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}))
    other = workspaces.create(simulation.engine, friendly_name="Other")
    workspaces.add_default_activities(simulation.engine, other)
    queue = workspaces.add_queue(simulation.engine, other, friendly_name="All")
    first = tasks.create(simulation.engine, other, queue_sid=queue.sid)
    second = simulation.enqueue_task()
    simulation.clock.run_due()
    sid = other.activity("Available").sid
    workers.create(simulation.engine, other, friendly_name="Dan", activity_sid=sid)
    simulation.add_worker("Carol", "One")
    simulation.clock.run_due()
    assert [item.worker_name for item in first.reservations] == ["Dan"]
    assert simulation.offered_to(second) == ["Carol"]
    workspaces.delete(simulation.engine, other)
    third = simulation.enqueue_task()
    simulation.add_worker("Eve", "One")
    assert simulation.offered_to(third) == ["Eve"]


def test_restored_workspace_is_indexed_again():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}))
    waiting_task = simulation.enqueue_task()
    workspace = simulation.workspace
    copy = type(workspace)(**vars(workspace))
    simulation.engine.workspaces[workspace.sid] = copy
    sid = simulation.activity_sid("Idle")
    attributes = json.dumps({"queues": ["One"]})
    workers.create(
        simulation.engine, copy, friendly_name="Carol", attributes=attributes, activity_sid=sid
    )
    simulation.clock.run_due()
    assert simulation.offered_to(waiting_task) == ["Carol"]


def test_waiting_task_is_offered_after_a_channel_update():
    simulation = CostSimulation(catch_all_filter({"queue": "One"}))
    carol = simulation.add_worker("Carol", "One")
    _, second, third = [simulation.enqueue_task() for _ in range(3)]
    channel = carol.channels[second.channel_sid]
    arguments = simulation.engine, simulation.workspace, carol, channel
    workers.update_channel(*arguments, capacity=2)
    simulation.clock.run_due()
    assert (second.status, third.status) == ("reserved", "pending")
    workers.update_channel(*arguments, capacity=9, available=False)
    simulation.clock.run_due()
    assert third.status == "pending"
    workers.update_channel(*arguments, available=True)
    simulation.clock.run_due()
    assert third.status == "reserved"
