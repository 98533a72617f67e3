"""A long routing pass pauses for other operations, and misses none of their changes."""

import asyncio
import json
import random

import pytest

from taskrouter_simulator.clock import Clock
from taskrouter_simulator.engine import assignments, reservations, tasks, workers
from taskrouter_simulator.engine.model import (
    Configuration,
    ReservationStatus,
    Target,
    TaskStatus,
)
from tests.simulator import reference_routing
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter

FILTERS = [
    {"expression": "level == 1", "targets": [{"queue": "One", "timeout": 9}, {"queue": "Two"}]},
    catch_all_filter({"queue": "Two", "expression": "worker.level >= task.level"}),
]


class StepSimulation(WorkflowSimulation):
    """A Workspace in which the test runs each routing pass step by step."""

    def __init__(self, seed):
        super().__init__(*FILTERS, multi=True, reoffer_delay=0.0)
        self.random = random.Random(seed)  # noqa: S311  reproducible, not secret
        self.passes = []
        self.clock.run_steps = self.passes.append
        for number in range(4):
            self.add_worker(f"Worker {number}", "One", "Two", level=number)
        self.finish()

    def change(self):
        """Execute a random operation."""
        context = self.engine, self.workspace
        worker = self.random.choice(list(self.workspace.workers.values()))
        pending = [
            item
            for item in self.workspace.reservations.values()
            if item.status is ReservationStatus.PENDING
        ]
        assigned = [
            task for task in self.workspace.tasks.values() if task.status is TaskStatus.ASSIGNED
        ]
        match self.random.randrange(9):
            case 0 | 1 | 2:
                attributes = json.dumps({"level": self.random.randrange(4)})
                priority = self.random.randrange(2)
                sid = self.workflow.sid
                tasks.create(*context, attributes=attributes, priority=priority, workflow_sid=sid)
            case 3 if pending:
                assignments.accept(*context, self.random.choice(pending))
            case 4 if pending:
                reservations.reject(*context, self.random.choice(pending))
            case 5 if assigned:
                assignments.complete(*context, self.random.choice(assigned))
            case 6:
                sid = self.activity_sid(self.random.choice(["Idle", "Offline"]))
                workers.set_activity(*context, worker, sid)
            case 7:
                attributes = {"queues": ["One", "Two"], "level": self.random.randrange(4)}
                workers.set_attributes(*context, worker, json.dumps(attributes))
            case 8:
                self.make_rare_change(context)

    def make_rare_change(self, context):
        waiting = [task for task in self.workspace.tasks.values() if task.status == "pending"]
        match self.random.randrange(4):
            case 0:
                tasks.reevaluate(*context, self.workflow)
            case 1 if waiting:
                assignments.cancel(*context, self.random.choice(waiting))
            case 2 if waiting:
                tasks.update(*context, self.random.choice(waiting), priority=5)
            case 3:
                self.engine.touch(self.queues["One"])
                self.engine.schedule_routing(self.workspace)

    def finish(self):
        """Finish all passes without other operations."""
        self.clock.run_due()
        while self.passes:
            for _ in self.passes.pop(0):
                pass
            self.clock.run_due()


@pytest.mark.parametrize("seed", range(30))
def test_pass_with_operations_between_its_steps_leaves_nothing_to_do(seed):
    simulation = StepSimulation(seed)
    for _ in range(8):
        for _ in range(5):
            simulation.change()
        simulation.clock.run_due()
        for steps in simulation.passes:
            for _ in steps:
                if simulation.random.random() < 0.5:
                    simulation.change()
        simulation.passes.clear()
    simulation.finish()
    simulation.effects.clear()
    count = len(simulation.workspace.events)
    reference_routing.route(simulation.engine, simulation.workspace)
    assert len(simulation.workspace.events) == count
    assert simulation.effects == []


def paused_pass(simulation):
    """Pause a pass after it offers the most urgent Task but before it offers three other Tasks.

    Returns:
        The remaining steps of the pass, and the three Tasks that are still waiting.
    """
    context, sid = (simulation.engine, simulation.workspace), simulation.workflow.sid
    for worker in simulation.workspace.workers.values():
        workers.set_activity(*context, worker, simulation.activity_sid("Offline"))
    waiting = [tasks.create(*context, attributes='{"level": 0}', workflow_sid=sid) for _ in "abc"]
    simulation.finish()
    for worker in simulation.workspace.workers.values():
        workers.set_activity(*context, worker, simulation.activity_sid("Idle"))
    first = tasks.create(*context, attributes='{"level": 0}', workflow_sid=sid, priority=9)
    simulation.clock.run_due()
    steps = simulation.passes.pop()
    while first.status == "pending":
        next(steps)
    return steps, waiting


def test_task_canceled_during_a_pass_is_skipped():
    simulation = StepSimulation(0)
    steps, (first, second, third) = paused_pass(simulation)
    assignments.cancel(simulation.engine, simulation.workspace, first)
    assert list(steps) == [None, None]
    assert [task.status for task in (first, second, third)] == ["canceled", "reserved", "reserved"]


def test_task_reevaluated_during_a_pass_is_offered_according_to_the_new_configuration():
    simulation = StepSimulation(0)
    steps, waiting = paused_pass(simulation)
    default = simulation.queues["One"].sid
    simulation.workflow.configuration = Configuration(default=Target(queue_sid=default))
    tasks.reevaluate(simulation.engine, simulation.workspace, simulation.workflow)
    assert list(steps) == []
    assert {task.status for task in waiting} == {"pending"}
    simulation.finish()
    assert {simulation.queue_name(task) for task in waiting} == {"One"}
    assert {task.status for task in waiting} == {"reserved"}


def test_deleting_the_workspace_ends_a_pass():
    simulation = StepSimulation(0)
    tasks.create(simulation.engine, simulation.workspace, workflow_sid=simulation.workflow.sid)
    simulation.clock.run_due()
    (steps,) = simulation.passes
    next(steps)
    del simulation.engine.workspaces[simulation.workspace.sid]
    assert list(steps) == []


def run_on_loop(operation, **options):
    """Run an async function with a clock that is attached to the event loop."""

    async def run():
        clock = Clock(asyncio.get_running_loop().time, **options)
        clock.attach(asyncio.get_running_loop())
        await operation(clock)
        clock.attach(None)

    asyncio.run(run())


async def until(condition):
    while not condition():  # noqa: ASYNC110  check in every event loop iteration
        await asyncio.sleep(0)


def steps(log, number):
    for step in range(number):
        log.append(step)
        yield


def test_event_loop_runs_after_every_fifty_steps_but_timers_wait():
    log = []

    async def operation(clock):
        now = clock.now()
        clock.call_at(now, lambda: clock.run_steps(steps(log, 120)))
        clock.call_at(now, lambda: log.append("timer"))
        while "timer" not in log:
            await asyncio.sleep(0)
            log.append("request")

    run_on_loop(operation)
    first, second = log.index(50), log.index(100)
    assert "request" in log[log.index(49) : first]
    assert "request" in log[log.index(99) : second]
    assert "request" not in log[log.index(0) : log.index(49)]
    assert log.index("timer") > log.index(119)


def test_frozen_clock_runs_all_steps_at_once():
    log = []

    async def operation(clock):
        clock.call_at(clock.now(), lambda: clock.run_steps(steps(log, 120)))
        await until(lambda: log)
        assert log == list(range(120))

    async def frozen(clock):
        start = clock.now()
        frozen_clock = Clock(lambda: start, frozen=True)
        frozen_clock.attach(asyncio.get_running_loop())
        await operation(frozen_clock)
        frozen_clock.attach(None)

    run_on_loop(frozen)


def test_explicit_run_finishes_paused_steps_before_timers_run():
    log = []

    async def operation(clock):
        now = clock.now()
        clock.call_at(now, lambda: clock.run_steps(steps(log, 120)))
        clock.call_at(now, lambda: log.append("timer"))
        await until(lambda: log)
        assert log == list(range(50))
        clock.run_due()
        assert log == [*range(120), "timer"]

    run_on_loop(operation)


def test_clearing_the_clock_drops_paused_steps():
    log = []

    async def operation(clock):
        clock.call_at(clock.now(), lambda: clock.run_steps(steps(log, 120)))
        await until(lambda: log)
        clock.clear()
        clock.call_at(clock.now(), lambda: log.append("timer"))
        await until(lambda: "timer" in log)
        assert log == [*range(50), "timer"]

    run_on_loop(operation)
