"""Capacity of Workers, and Tasks that target a Worker or a TaskQueue."""

from taskrouter_simulator.engine import assignments, reservations, tasks, workers, workspaces
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter


def test_multitasking_worker_is_limited_by_channel_capacity():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}), multi=True)
    carol = simulation.add_worker("Carol", "One")
    channel = carol.channels[simulation.workspace.channel("default").sid]
    workers.update_channel(simulation.engine, simulation.workspace, carol, channel, capacity=2)
    created = [simulation.enqueue_task() for _ in range(3)]
    assert [task.status for task in created] == ["reserved", "reserved", "pending"]
    assert simulation.activity_of(carol) == "Idle"
    for task in created[:2]:
        assignments.accept(
            simulation.engine, simulation.workspace, simulation.reservations(task)[0]
        )
    assert simulation.activity_of(carol) == "Idle"
    assignments.complete(simulation.engine, simulation.workspace, created[0])
    simulation.clock.run_due()
    assert created[2].status == "reserved"


def test_each_channel_has_separate_capacity_and_availability():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}), multi=True)
    carol = simulation.add_worker("Carol", "One")
    chat = simulation.workspace.channel("chat").sid
    workers.update_channel(
        simulation.engine, simulation.workspace, carol, carol.channels[chat], available=False
    )
    created = {
        name: tasks.create(
            simulation.engine,
            simulation.workspace,
            workflow_sid=simulation.workflow.sid,
            channel=name,
        )
        for name in ("default", "voice", "chat")
    }
    simulation.clock.run_due()
    assert {name: task.status.value for name, task in created.items()} == {
        "default": "reserved", "voice": "reserved", "chat": "pending"
    }  # fmt: skip


def test_multitasking_worker_goes_offline_after_reservation_timeout():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}), multi=True)
    carol = simulation.add_worker("Carol", "One")
    simulation.enqueue_task()
    simulation.clock.advance(5)
    assert simulation.activity_of(carol) == "Offline"


def test_change_between_available_activities_keeps_reservations():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}), multi=True)
    workspaces.add_activity(
        simulation.engine, simulation.workspace, friendly_name="Happy", available=True
    )
    carol = simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.set_activity(carol, "Happy")
    assert simulation.offered_to(task) == ["Carol"]


def test_task_can_target_unavailable_worker():
    simulation = WorkflowSimulation(default={"queue": "Two"})
    carol = simulation.add_worker("Carol", "One")
    simulation.set_activity(carol, "Offline")
    task = tasks.create(simulation.engine, simulation.workspace, routing_target=carol.sid)
    simulation.clock.run_due()
    assert simulation.offered_to(task) == ["Carol"]
    limited = tasks.create(
        simulation.engine, simulation.workspace, routing_target=carol.sid, ignore_capacity=False
    )
    simulation.clock.run_due()
    assert limited.status == "pending"


def test_task_that_targets_worker_enters_the_oldest_queue_of_the_worker():
    simulation = WorkflowSimulation(default={"queue": "One"})
    carol = simulation.add_worker("Carol", "Two")
    workspaces.add_queue(simulation.engine, simulation.workspace, friendly_name="Newest")
    task = tasks.create(simulation.engine, simulation.workspace, routing_target=carol.sid)
    assert task.queue_sid == simulation.queues["Two"].sid


def test_rejected_task_is_offered_to_targeted_worker_again_after_delay():
    simulation = WorkflowSimulation(default={"queue": "Two"})
    carol = simulation.add_worker("Carol", "One")
    simulation.set_activity(carol, "Offline")
    task = tasks.create(simulation.engine, simulation.workspace, routing_target=carol.sid)
    simulation.clock.run_due()
    reservations.reject(simulation.engine, simulation.workspace, task.reservations[-1])
    simulation.clock.run_due()
    assert (task.status, task.times_reserved) == ("pending", 1)
    simulation.clock.advance(1)
    assert (task.status, task.times_reserved) == ("reserved", 2)


def test_task_can_target_queue():
    simulation = WorkflowSimulation(default={"queue": "Two"})
    simulation.add_worker("Carol", "Three")
    task = tasks.create(
        simulation.engine, simulation.workspace, queue_sid=simulation.queues["Three"].sid
    )
    simulation.clock.run_due()
    assert simulation.offered_to(task) == ["Carol"]
