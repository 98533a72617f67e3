"""Timers that operations set or cancel, and resource versions that operations change."""

import pytest

from taskrouter_simulator.engine import assignments, reservations, tasks, workers, workspaces
from tests.simulator.state_simulation import StateSimulation

DAY = 86_400


@pytest.mark.parametrize(
    ("status", "due"),
    [
        ("pending", [100, DAY]),
        ("reserved", [5, DAY]),
        ("assigned", [DAY]),
        ("wrapping", [DAY]),
    ],
)
def test_task_has_timers_for_its_status(status, due):
    assert StateSimulation(status).due() == due


OPERATIONS = [
    ("pending", assignments.cancel, [300]),
    ("reserved", assignments.cancel, [300]),
    ("assigned", assignments.complete, [300]),
    ("wrapping", assignments.complete, [300]),
    ("assigned", assignments.wrap, [DAY]),
    *((status, assignments.delete, []) for status in ("pending", "reserved", "assigned")),
    ("wrapping", assignments.delete, []),
]


@pytest.mark.parametrize(("status", "operation", "due"), OPERATIONS)
def test_operation_leaves_at_most_the_deletion_timer(status, operation, due):
    simulation = StateSimulation(status)
    simulation.do(operation, simulation.task)
    assert simulation.due() == due
    simulation.clock.advance(300)
    assert (simulation.task.sid in simulation.workspace.tasks) is (operation is assignments.wrap)
    assert simulation.due() == ([DAY] if operation is assignments.wrap else [])


@pytest.mark.parametrize("status", ["pending", "reserved", "assigned", "wrapping", "closed"])
def test_deleted_workspace_leaves_no_timers(status):
    simulation = StateSimulation("pending" if status == "closed" else status)
    if status == "closed":
        simulation.do(assignments.cancel, simulation.task)
    simulation.engine.schedule_routing(simulation.workspace, 50.0)
    workspaces.delete(simulation.engine, simulation.workspace)
    assert simulation.due() == []
    assert simulation.engine.timers == {}


def test_completed_task_is_deleted_without_system_deleted_event():
    simulation = StateSimulation("assigned", assigned_task_seconds=10, closed_task_seconds=20)
    simulation.do(assignments.complete, simulation.task)
    simulation.clock.advance(19.9)
    assert simulation.task.sid in simulation.workspace.tasks
    simulation.clock.advance(0.1)
    assert simulation.task.sid not in simulation.workspace.tasks
    assert "task.system-deleted" not in simulation.event_types()


@pytest.mark.parametrize("seconds", [10, 20])
def test_assigned_task_is_deleted_after_configured_time(seconds):
    simulation = StateSimulation("assigned", assigned_task_seconds=seconds)
    simulation.clock.advance(seconds - 0.1)
    assert simulation.task.sid in simulation.workspace.tasks
    simulation.clock.advance(0.1)
    assert simulation.task.sid not in simulation.workspace.tasks
    assert simulation.due() == []


CHANGES = [
    ("pending", assignments.cancel, "task", {"task": 1}),
    ("reserved", assignments.accept, "reservation", {"reservation": 1, "task": 1, "Carol": 1}),
    (
        "reserved",
        reservations.reject,
        "reservation",
        {"reservation": 1, "task": 1, "Carol": 2},
    ),
    ("reserved", reservations.time_out, "reservation", {"reservation": 1, "task": 1, "Carol": 2}),
    ("reserved", assignments.cancel, "task", {"reservation": 1, "task": 1, "Carol": 2}),
    ("reserved", assignments.delete, "task", {"reservation": 1, "Carol": 2}),
    ("assigned", assignments.wrap, "task", {"reservation": 1, "task": 1}),
    ("assigned", assignments.complete, "task", {"reservation": 1, "task": 1, "Carol": 1}),
    ("wrapping", assignments.complete, "task", {"reservation": 1, "task": 1, "Carol": 1}),
    ("reserved", tasks.update, "task", {"task": 1}),
]


@pytest.mark.parametrize(("status", "operation", "subject", "expected"), CHANGES)
def test_operation_changes_version_and_update_time_of_affected_resources(
    status, operation, subject, expected
):
    simulation = StateSimulation(status)
    assert simulation.changes(operation, getattr(simulation, subject)) == expected


def test_offer_changes_version_of_task_and_worker():
    simulation = StateSimulation("pending")
    version = simulation.task.version
    simulation.carol = simulation.add_worker("Carol", "One")
    assert (simulation.task.version - version, simulation.carol.version) == (1, 2)


def test_worker_update_changes_version_of_worker_or_channel():
    simulation = StateSimulation()
    simulation.engine.cancel_timer("reservation", simulation.reservation.sid)
    idle = simulation.activity_sid("Idle")
    assert simulation.changes(workers.set_activity, simulation.carol, idle) == {"Carol": 1}
    assert simulation.changes(workers.set_activity, simulation.carol, idle) == {}
    assert simulation.changes(workers.set_attributes, simulation.carol, "{}") == {"Carol": 1}
    channel = simulation.resources()["Carol's channel"]
    for options, expected in (
        ({}, {"Carol's channel": 1}),
        ({"capacity": 2}, {"Carol": 1, "Carol's channel": 1}),
        ({"available": False}, {"Carol": 1, "Carol's channel": 1}),
    ):
        changed = simulation.changes(workers.update_channel, simulation.carol, channel, **options)
        assert changed == expected


def test_reevaluation_changes_version_of_waiting_tasks_in_workflow():
    simulation = StateSimulation()
    other = simulation.do(tasks.create, queue_sid=simulation.queues["Two"].sid)
    version = other.version
    changed = simulation.changes(tasks.reevaluate, simulation.workflow)
    # The Task first becomes pending, and is then reserved again.
    assert (changed["task"], other.version - version) == (2, 0)
    simulation.do(assignments.accept, simulation.task.reservations[-1])
    assert simulation.changes(tasks.reevaluate, simulation.workflow) == {}
