"""Each operation sets exactly these timers and changes exactly these versions."""

import pytest

from taskrouter_simulator.engine import assignments, reservations, tasks, workers, workspaces
from tests.simulator.state_simulation import Center

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
    assert Center(status).due() == due


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
def test_ended_task_leaves_no_timers(status, operation, due):
    center = Center(status)
    center.do(operation, center.task)
    assert center.due() == due
    center.clock.advance(300)
    assert (center.task.sid in center.workspace.tasks) is (operation is assignments.wrap)
    assert center.due() == ([DAY] if operation is assignments.wrap else [])


@pytest.mark.parametrize("status", ["pending", "reserved", "assigned", "wrapping", "closed"])
def test_deleted_workspace_leaves_no_timers(status):
    center = Center("pending" if status == "closed" else status)
    if status == "closed":
        center.do(assignments.cancel, center.task)
    center.engine.schedule_routing(center.workspace, 50.0)
    workspaces.delete(center.engine, center.workspace)
    assert center.due() == []
    assert center.engine._timers == {}


def test_assigned_task_that_is_closed_is_not_deleted_by_the_system():
    center = Center("assigned", assigned_task_seconds=10, closed_task_seconds=20)
    center.do(assignments.complete, center.task)
    center.clock.advance(19.9)
    assert center.task.sid in center.workspace.tasks
    center.clock.advance(0.1)
    assert center.task.sid not in center.workspace.tasks
    assert "task.system-deleted" not in center.event_types()


@pytest.mark.parametrize("seconds", [10, 20])
def test_assigned_task_is_deleted_after_configured_time(seconds):
    center = Center("assigned", assigned_task_seconds=seconds)
    center.clock.advance(seconds - 0.1)
    assert center.task.sid in center.workspace.tasks
    center.clock.advance(0.1)
    assert center.task.sid not in center.workspace.tasks
    assert center.due() == []


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
def test_operation_changes_version_and_time_of_affected_resources(
    status, operation, subject, expected
):
    center = Center(status)
    assert center.changes(operation, getattr(center, subject)) == expected


def test_offer_changes_version_of_task_and_worker():
    center = Center("pending")
    version = center.task.version
    center.carol = center.add_worker("Carol", "One")
    assert (center.task.version - version, center.carol.version) == (1, 2)


def test_change_of_worker_changes_its_version():
    center = Center()
    center.engine.cancel_timer("reservation", center.reservation.sid)
    idle = center.activity_sid("Idle")
    assert center.changes(workers.set_activity, center.carol, idle) == {"Carol": 1}
    assert center.changes(workers.set_activity, center.carol, idle) == {}
    assert center.changes(workers.set_attributes, center.carol, "{}") == {"Carol": 1}
    channel = center.resources()["Carol's channel"]
    for options in ({}, {"capacity": 2}, {"available": False}):
        changed = center.changes(workers.update_channel, center.carol, channel, **options)
        assert changed == {"Carol's channel": 1}


def test_reevaluation_changes_version_of_waiting_tasks_of_the_workflow():
    center = Center()
    other = center.do(tasks.create, queue_sid=center.queues["Two"].sid)
    version = other.version
    changed = center.changes(tasks.reevaluate, center.workflow)
    assert (changed["task"], other.version - version) == (2, 0)  # pending, reserved
    center.do(assignments.accept, center.task.reservations[-1])
    assert center.changes(tasks.reevaluate, center.workflow) == {}
