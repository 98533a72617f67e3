"""The cost of a routing pass does not depend on unaffected Tasks and Workers."""

import json
from types import SimpleNamespace

import pytest

from taskrouter_simulator.engine import (
    assignments,
    indexes,
    routing,
    tasks,
    waiting,
    workers,
    workspaces,
)
from taskrouter_simulator.engine.expressions import check
from taskrouter_simulator.engine.indexes import find_index, split_by_state
from taskrouter_simulator.engine.waiting import WaitHeap
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter


@pytest.mark.parametrize(
    ("expression", "fixed", "state"),
    [
        ("", "", ""),
        ("  ", "", ""),
        ("1==1", "1==1", ""),
        ("worker.sid != 'x' AND worker.friendly_name != 'y'",) * 2 + ("",),
        ("'a' IN worker.skills AND 'b' IN worker.activity_names",) * 2 + ("",),
        ("a == 1 AND worker.activity_name == 'x'", "a == 1", "worker.activity_name == 'x'"),
        ("activity_name == 'x' AND a == 1", "a == 1", "activity_name == 'x'"),
        ("a == 1 AND worker.activity_sid=='WA'", "a == 1", "worker.activity_sid=='WA'"),
        ("worker.channel.chat.available == true", "", "worker.channel.chat.available == true"),
        ("taskrouter.currentTime > 5 and a == 1", "taskrouter.currentTime > 5 AND a == 1", ""),
        (
            "((a == 1 OR b == 2) AND (channel.x == 3 or c IN ['x', 'y'])) AND (d == 4)",
            "(a == 1 OR b == 2) AND (d == 4)",
            "(channel.x == 3 or c IN ['x', 'y'])",
        ),
        (
            "a == 1 OR b == 2 AND activity_sid == 'x'",
            "",
            "a == 1 OR b == 2 AND activity_sid == 'x'",
        ),
    ],
)
def test_expression_is_split_by_dependency_on_the_state_of_a_worker(expression, fixed, state):
    assert tuple(part.text for part in split_by_state(expression)) == (fixed, state)


def test_parts_of_a_deeply_nested_expression_are_valid():
    deep = "(" * 49 + "a == 1 OR b == 2" + ")" * 49
    for part in split_by_state(f"({deep} AND {deep} AND activity_sid == 'WA')"):
        check(part.text)


def test_each_part_of_an_expression_has_its_own_dependencies():
    fixed, state = split_by_state(
        "worker.level > task.level AND taskrouter.currentTime > 5 AND "
        "worker.channel.chat.assigned_tasks < task.limit.chat"
    )
    context = {"task": {"level": 7, "limit": {"chat": 3}}, "level": 8}
    assert [value(context) for value in fixed.task_values] == [7]
    assert [value(context) for value in state.task_values] == [3]
    assert (fixed.depends_on_time, state.depends_on_time) == (True, False)
    assert split_by_state("activity_sid == 'WA' OR taskrouter.currentMin == 5")[1].depends_on_time


class CostSimulation(WorkflowSimulation):
    """A simulation that records the text of each evaluated expression."""

    def __init__(self, *filters, default=None, **settings):
        super().__init__(*filters, default=default, multi=True, **settings)
        self.evaluations = []
        compile_expression = self.engine.compile

        def compile_and_record(text):
            predicate = compile_expression(text)

            def record(context):
                self.evaluations.append(text)
                return predicate(context)

            return record

        self.engine.compile = compile_and_record

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


def record_calls(monkeypatch, module, name):
    """Return a list to which each call to a function appends its arguments."""
    function, calls = getattr(module, name), []

    def record(*arguments):
        calls.append(arguments)
        return function(*arguments)

    monkeypatch.setattr(module, name, record)
    return calls


LEVEL = "worker.level == task.level"
OTHER_LEVEL = "worker.level != task.level"
LEVELS = "task.level IN worker.levels"
IDLE_ON_CHAT = "worker.channel.chat.assigned_tasks == 0"


@pytest.mark.parametrize(
    "target",
    [
        {"queue": "Two"},
        {"queue": "One", "expression": LEVEL},
        {"queue": "One", "known_worker_sid": "task.agent"},
        {"queue": "One", "known_worker_friendly_name": "task.agent"},
        {"queue": "Two", "skip_if": "workers.available > 5"},
        {"queue": "One", "expression": f"{LEVEL} AND {IDLE_ON_CHAT}"},
        {"queue": "One", "expression": f"worker.activity_name == 'Idle' AND {LEVEL}"},
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


@pytest.mark.parametrize("expression", [OTHER_LEVEL, f"{OTHER_LEVEL} AND {IDLE_ON_CHAT}"])
def test_waiting_tasks_on_a_channel_without_capacity_are_not_visited(expression, monkeypatch):
    """The waiting Tasks have different levels, and all of them match the Worker."""
    simulation = CostSimulation(
        {
            "expression": "kind == 'chat'",
            "targets": [{"queue": "One", "expression": expression}],
        },
        default={"queue": "One"},
    )
    context = simulation.engine, simulation.workspace
    carol = simulation.add_worker("Carol", "One", level=0)
    chat = carol.channels[simulation.workspace.channel("chat").sid]
    workers.update_channel(*context, carol, chat, capacity=0)
    checks = record_calls(monkeypatch, workers, "has_capacity")
    changes = record_calls(monkeypatch, indexes.WorkerIndex, "_change_free")
    counts = []
    for number in range(1, 20):
        attributes = json.dumps({"kind": "chat", "level": number})
        sid = simulation.workflow.sid
        tasks.create(*context, attributes=attributes, channel="chat", workflow_sid=sid)
        simulation.run_life_cycle()
        checks.clear()
        changes.clear()
        simulation.run_life_cycle()
        counts.append((len(checks), len(changes), len(simulation.evaluations)))
        simulation.evaluations.clear()
    assert counts[1:] == counts[1:2] * 18


def test_free_workers_are_not_sorted_again_for_each_task(monkeypatch):
    target = {"queue": "One", "order_by": "worker.level DESC"}
    simulation = CostSimulation(catch_all_filter(target))
    contexts = record_calls(monkeypatch, workers, "expression_context")
    counts = []
    for number in range(20):
        simulation.add_worker(f"Worker {number}", "One", level=number)
        simulation.run_life_cycle()
        contexts.clear()
        simulation.run_life_cycle()
        counts.append(len(contexts))
    assert counts == counts[:1] * 20


def test_workers_who_do_not_match_add_no_evaluations():
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


def test_condition_on_state_is_not_evaluated_after_a_worker_stops_matching():
    busy_on_chat = "worker.channel.chat.assigned_tasks > 0"
    target = {"queue": "One", "expression": f"{LEVEL} AND {busy_on_chat}"}
    simulation = CostSimulation(
        {"expression": "kind == 'other'", "targets": [target]}, default={"queue": "One"}
    )
    carol = simulation.add_worker("Carol", "One", level=1)
    simulation.enqueue_task(kind="other", level=1)
    assert busy_on_chat in simulation.cost()
    attributes = json.dumps({"queues": ["One"], "level": 2})
    workers.set_attributes(simulation.engine, simulation.workspace, carol, attributes)
    assert busy_on_chat not in simulation.cost()


@pytest.mark.parametrize(
    "expression",
    [
        "taskrouter.currentTime >= 2300",
        "worker.activity_name == 'x' OR taskrouter.currentTime >= 2300",
    ],
)
def test_time_dependent_expression_is_evaluated_once_a_minute(expression):
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
    assert simulation.evaluations == ["queues HAS 'One'"]


def test_tasks_with_different_values_are_not_examined_after_capacity_is_exhausted(monkeypatch):
    simulation = CostSimulation(catch_all_filter({"queue": "One", "expression": OTHER_LEVEL}))
    waiting_tasks = [simulation.enqueue_task(level=level) for level in range(30)]
    examined = record_calls(monkeypatch, routing, "_offer")
    simulation.add_worker("Carol", "One", level=99)
    assert [task.status for task in waiting_tasks[:2]] == ["reserved", "pending"]
    assert len(examined) == 1


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


@pytest.mark.parametrize(
    "expression", [LEVELS, "worker.channel.default.assigned_tasks <= task.level"]
)
def test_dropped_requirement_leaves_no_reference_in_a_worker(expression, monkeypatch):
    monkeypatch.setattr(indexes, "_MIN_PURGE_SIZE", 5)
    simulation = CostSimulation(catch_all_filter({"queue": "One", "expression": expression}))
    dan = simulation.add_worker("Dan", "One", levels=list(range(40)))
    for level in range(40):
        simulation.run_life_cycle(level=level)
    entry = find_index(simulation.engine, simulation.workspace).workers._entries[dan.sid]
    counts = [len(group.requirements) for group in entry.groups.values()]
    assert min(counts) > 0
    assert sum(counts) <= 5


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
