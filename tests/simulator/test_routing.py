"""How Tasks move through Workflow steps, and the order in which Tasks are offered."""

import pytest

from taskrouter_simulator.engine import assignments, reservations, tasks, workers, workspaces
from taskrouter_simulator.engine.core import Alert
from tests.simulator.workflow_simulation import (
    WorkflowSimulation,
    catch_all_filter,
    filter_with_target,
)


def create(simulation, **options):
    """Create a Task that enters its Workflow, but is not offered until the clock runs."""
    options.setdefault("workflow_sid", simulation.workflow.sid)
    return tasks.create(simulation.engine, simulation.workspace, **options)


def reject(simulation, task, activity=None):
    sid = simulation.activity_sid(activity) if activity else None
    reservations.reject(simulation.engine, simulation.workspace, task.reservations[-1], sid)
    simulation.clock.run_due()


def test_target_that_expires_when_reservation_times_out_is_skipped():
    simulation = WorkflowSimulation(
        catch_all_filter(
            {"queue": "One", "timeout": 3}, {"queue": "Two", "timeout": 2}, {"queue": "Three"}
        )
    )
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(5)
    assert (simulation.queue_name(task), task.status) == ("Three", "pending")
    assert simulation.event_types("task-queue.")[-2:] == ["task-queue.moved", "task-queue.entered"]
    assert "task-queue.timeout" not in simulation.event_types()


def test_task_stays_at_last_target_after_reservation_timeout():
    simulation = WorkflowSimulation(filter_with_target(), default={"queue": "Two"})
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(5)
    assert (simulation.queue_name(task), task.status) == ("One", "pending")


def test_target_that_expires_when_reservation_is_rejected_is_skipped():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 2}, {"queue": "Two", "timeout": 10})
    )
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(2)
    reject(simulation, task, "Offline")
    assert (simulation.queue_name(task), task.status) == ("Two", "pending")
    assert "task-queue.timeout" not in simulation.event_types()


def test_rejected_task_may_use_default_filter_even_if_a_step_timed_out():
    simulation = WorkflowSimulation(
        catch_all_filter(
            {"queue": "One", "timeout": 10},
            {"queue": "Two", "skip_if": "workers.available == 0"},
        ),
        default={"queue": "Three"},
    )
    simulation.add_worker("Carol", "Two")
    task = simulation.enqueue_task()
    simulation.clock.advance(10)
    assert simulation.offered_to(task) == ["Carol"]
    reject(simulation, task, "Offline")
    assert (simulation.queue_name(task), task.status) == ("Three", "pending")


def test_timeouts_of_all_matching_filters_add_up():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 10}, {"queue": "Two", "timeout": 10}),
        {"expression": "1==2", "targets": [{"queue": "Two", "timeout": 1000}]},
        catch_all_filter({"queue": "Three", "timeout": 5}),
    )
    carol = simulation.add_worker("Carol", "Three")
    simulation.set_activity(carol, "Offline")
    task = simulation.enqueue_task()
    simulation.clock.advance(20)
    assert simulation.queue_name(task) == "Three"
    simulation.clock.advance(4.9)
    assert task.status == "pending"
    simulation.clock.advance(0.1)
    assert task.status == "canceled"


def test_deadline_after_rejection_includes_timeouts_of_expired_filters():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 3}, {"queue": "One", "timeout": 1}),
        catch_all_filter({"queue": "Two", "timeout": 10}),
        default={"queue": "Three"},
    )
    simulation.workflow.task_reservation_timeout = 100
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(4)
    reject(simulation, task, "Offline")
    assert simulation.queue_name(task) == "Two"
    simulation.clock.advance(9.9)
    assert task.status == "pending"
    simulation.clock.advance(0.1)
    assert task.status == "canceled"


def test_task_that_outlived_every_matching_filter_does_not_use_default_filter():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 3}), default={"queue": "Three"}
    )
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(4)
    reject(simulation, task, "Offline")
    assert task.status == "canceled"


def test_timeouts_of_default_filter_and_skipped_targets_add_up():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 100, "skip_if": "1==1"}),
        default={"queue": "Two", "timeout": 10},
        default_filter_timeout=True,
    )
    task = simulation.enqueue_task()
    simulation.clock.advance(109.9)
    assert (simulation.queue_name(task), task.status) == ("Two", "pending")
    simulation.clock.advance(0.1)
    assert task.status == "canceled"


def test_task_in_a_default_filter_without_a_timeout_is_not_canceled():
    simulation = WorkflowSimulation(default={"queue": "One"}, default_filter_timeout=True)
    task = simulation.enqueue_task()
    simulation.clock.advance(86_399)
    assert task.status == "pending"


def test_priority_of_target_replaces_priority_of_task():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "priority": 0, "timeout": 1}, {"queue": "Two"})
    )
    task = create(simulation, priority=7)
    assert task.priority == 0
    task.priority = 7
    simulation.clock.advance(1)
    assert (simulation.queue_name(task), task.priority) == ("Two", 7)


def test_deleted_queue_is_skipped():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}, {"queue": "Two"}))
    del simulation.workspace.queues[simulation.queues["One"].sid]
    task = simulation.enqueue_task()
    assert simulation.queue_name(task) == "Two"
    assert "workflow.skipped" in simulation.event_types()


def test_task_enters_queue_once_for_consecutive_targets_with_same_queue():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 10}, {"queue": "One"})
    )
    task = simulation.enqueue_task()
    entered, version = task.queue_entered, task.version
    simulation.clock.advance(10)
    assert (task.queue_entered, task.version) == (entered, version)
    assert simulation.event_types("task-queue.e") == ["task-queue.entered"]
    assert simulation.event_types("task-queue.m") == []
    assert simulation.event_types("workflow.target-matched") == ["workflow.target-matched"] * 2


def test_move_updates_the_time_at_which_the_task_entered_its_queue():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 10}, {"queue": "Two"})
    )
    task = simulation.enqueue_task()
    version = task.version
    simulation.clock.advance(10)
    assert task.queue_entered == simulation.clock.now() == task.updated
    assert task.version == version + 1


ORDERS = [
    # Among Tasks with equal priority, those in TaskQueues with the preferred order come first.
    ("FIFO", {"One": "FIFO", "Two": "LIFO"}, ["One 1", "One 2", "Two 2", "Two 1"]),
    ("LIFO", {"One": "FIFO", "Two": "LIFO"}, ["Two 2", "Two 1", "One 1", "One 2"]),
    ("FIFO", {"One": "FIFO", "Two": "FIFO"}, ["One 1", "Two 1", "One 2", "Two 2"]),
    ("LIFO", {"One": "LIFO", "Two": "LIFO"}, ["Two 2", "One 2", "Two 1", "One 1"]),
]


@pytest.mark.parametrize("same_time", [True, False])
@pytest.mark.parametrize(("preferred", "orders", "expected"), ORDERS)
def test_tasks_are_offered_according_to_priority_and_queue_order(
    preferred, orders, expected, same_time
):
    simulation = WorkflowSimulation(filter_with_target(), multi=True)
    simulation.workspace.prioritize_queue_order = preferred
    names = {}
    for number in (1, 2):
        for queue, order in orders.items():
            simulation.queues[queue].task_order = order
            task = create(simulation, workflow_sid=None, queue_sid=simulation.queues[queue].sid)
            names[task.sid] = f"{queue} {number}"
            simulation.clock.advance(0 if same_time else 1)
    urgent = create(
        simulation, workflow_sid=None, priority=1, queue_sid=simulation.queues["Two"].sid
    )
    names[urgent.sid] = "urgent"
    simulation.clock.run_due()
    carol = simulation.add_worker("Carol", "One", "Two")
    (channel,) = [item for sid, item in carol.channels.items() if sid == urgent.channel_sid]
    workers.update_channel(simulation.engine, simulation.workspace, carol, channel, capacity=9)
    simulation.clock.run_due()
    offered = list(simulation.workspace.reservations.values())
    assert [names[item.task_sid] for item in offered] == ["urgent", *expected]


def test_worker_is_not_offered_more_tasks_than_capacity_allows():
    simulation = WorkflowSimulation(filter_with_target(), multi=True)
    simulation.add_worker("Carol", "One")
    created = [create(simulation) for _ in range(3)]
    simulation.clock.run_due()
    assert [task.status for task in created] == ["reserved", "pending", "pending"]


def test_each_channel_has_separate_capacity():
    simulation = WorkflowSimulation(filter_with_target(), multi=True)
    simulation.add_worker("Carol", "One")
    names = ("chat", "chat", "voice", "voice", "chat")
    created = [create(simulation, channel=name) for name in names]
    simulation.clock.run_due()
    assert [task.status == "reserved" for task in created] == [True, False, True, False, False]


@pytest.mark.parametrize("capacity", [0, 1, 2])
def test_channel_capacity_limits_open_reservations(capacity):
    simulation = WorkflowSimulation(filter_with_target(), multi=True, default_capacity=capacity)
    simulation.add_worker("Carol", "One")
    created = [simulation.enqueue_task() for _ in range(3)]
    assert [task.status for task in created].count("reserved") == capacity


@pytest.mark.parametrize("maximum", [1, 2, 3])
def test_queue_reserves_up_to_maximum_number_of_workers(maximum):
    simulation = WorkflowSimulation(filter_with_target())
    simulation.queues["One"].max_reserved_workers = maximum
    for name in ("Carol", "Dan", "Eve"):
        simulation.add_worker(name, "One")
    assert simulation.offered_to(simulation.enqueue_task()) == ["Carol", "Dan", "Eve"][:maximum]


def test_task_is_offered_again_when_first_reoffer_delay_ends():
    simulation = WorkflowSimulation(filter_with_target(), reoffer_delay=10.0)
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.workflow.task_reservation_timeout = 100
    reject(simulation, task)
    simulation.clock.advance(4)
    simulation.add_worker("Dan", "One")
    assert simulation.offered_to(task) == ["Dan"]
    reject(simulation, task)
    simulation.clock.advance(5.9)
    assert simulation.offered_to(task) == []
    simulation.clock.advance(0.1)
    assert simulation.offered_to(task) == ["Carol"]


def test_reoffer_delay_does_not_apply_after_the_rejecting_worker_goes_offline_and_returns():
    simulation = WorkflowSimulation(filter_with_target(), reoffer_delay=10.0)
    carol = simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    reject(simulation, task, "Offline")
    simulation.set_activity(carol, "Idle")
    assert simulation.offered_to(task) == ["Carol"]


def test_worker_whose_reservation_ended_is_the_last_to_be_offered_the_next_task():
    simulation = WorkflowSimulation(filter_with_target(), multi=True)
    simulation.add_worker("Carol", "One")
    simulation.clock.advance(1)
    simulation.add_worker("Dan", "One")
    simulation.clock.advance(1)
    first = simulation.enqueue_task()
    assert simulation.offered_to(first) == ["Carol"]
    assignments.cancel(simulation.engine, simulation.workspace, first)
    assert simulation.offered_to(simulation.enqueue_task()) == ["Dan"]


@pytest.mark.parametrize(("before", "expected"), [("Offline", "Dan"), ("Happy", "Carol")])
def test_return_to_idle_puts_a_worker_last_only_if_the_worker_was_unavailable(before, expected):
    simulation = WorkflowSimulation(filter_with_target(), multi=True)
    workspaces.add_activity(
        simulation.engine, simulation.workspace, friendly_name="Happy", available=True
    )
    carol = simulation.add_worker("Carol", "One")
    simulation.clock.advance(1)
    simulation.add_worker("Dan", "One")
    simulation.set_activity(carol, before)
    simulation.clock.advance(1)
    simulation.set_activity(carol, "Idle")
    assert simulation.offered_to(simulation.enqueue_task()) == [expected]


def test_workers_available_since_the_same_time_get_offers_in_order_of_their_creation():
    simulation = WorkflowSimulation(filter_with_target(), multi=True)
    for name in ("Zoe", "Carol", "Ann"):
        simulation.add_worker(name, "One")
    offered = [simulation.offered_to(simulation.enqueue_task()) for _ in range(3)]
    assert offered == [["Zoe"], ["Carol"], ["Ann"]]


def test_non_numeric_attributes_are_sorted_last():
    simulation = WorkflowSimulation(filter_with_target(order_by="worker.level"))
    for name, level in (("A", True), ("B", "1"), ("C", 0), ("D", -1.5), ("E", None)):
        simulation.add_worker(name, "One", level=level)
    offered = [simulation.offered_to(simulation.enqueue_task())[0] for _ in range(5)]
    assert offered == ["D", "C", "A", "B", "E"]


@pytest.mark.parametrize(
    ("key", "agent", "code", "message"),
    [
        ("known_worker_sid", "WK1", 40152, "Known worker WK1 is not in the task queue"),
        ("known_worker_sid", "", 40154, "task.agent does not identify a known worker"),
        ("known_worker_sid", 7, 40154, "task.agent does not identify a known worker"),
        ("known_worker_friendly_name", "Dan", 40152, "Known worker Dan is not in the task queue"),
        ("known_worker_friendly_name", None, 40154, "task.agent does not identify a known worker"),
    ],
)
def test_alert_about_known_worker_is_emitted_once(key, agent, code, message):
    simulation = WorkflowSimulation(filter_with_target(**{key: "task.agent"}))
    simulation.add_worker("Dan", "Two")
    task = simulation.enqueue_task(agent=agent)
    simulation.add_worker("Carol", "One")
    alerts = [effect for effect in simulation.effects if isinstance(effect, Alert)]
    assert alerts == [Alert(code, message, "error", {"task_sid": task.sid})]
    assert task.status == "pending"


def test_sid_of_known_worker_is_compared_exactly():
    simulation = WorkflowSimulation(filter_with_target(known_worker_sid="task.agent"))
    carol = simulation.add_worker("Carol", "One")
    assert simulation.offered_to(simulation.enqueue_task(agent=carol.sid.lower())) == []
    assert simulation.offered_to(simulation.enqueue_task(agent=carol.sid)) == ["Carol"]


@pytest.mark.parametrize("limit", [1, 2])
def test_task_is_canceled_after_maximum_number_of_reservations(limit):
    simulation = WorkflowSimulation(filter_with_target(), max_assignments=limit)
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    for _ in range(limit):
        assert task.status == "reserved"
        reject(simulation, task)
        simulation.clock.advance(1)
    assert task.reason == "Task TTL Exceeded or Max assignment count exceeded"


@pytest.mark.parametrize(("seconds", "matches"), [(0, False), (29.9, False), (30, True)])
def test_time_in_target_expression_is_evaluated_when_the_minute_changes(seconds, matches):
    simulation = WorkflowSimulation(filter_with_target(expression="taskrouter.currentMin == 14"))
    simulation.clock.jump(1_700_000_010.0)  # 22:13:30
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(seconds)
    assert (simulation.offered_to(task) == ["Carol"]) is matches


def test_routing_delay_postpones_the_offer():
    simulation = WorkflowSimulation(filter_with_target(), routing_delay=0.5)
    task = simulation.enqueue_task()
    simulation.add_worker("Carol", "One")
    simulation.clock.advance(0.4)
    assert task.status == "pending"
    simulation.clock.advance(0.1)
    assert task.status == "reserved"
