"""Capacity of Workers, and Tasks that target a Worker or a TaskQueue."""

from taskrouter_simulator.engine import assignments, reservations, tasks, workers, workspaces
from tests.simulator.office import Office, targets


def test_multitasking_worker_is_limited_by_channel_capacity():
    office = Office(targets({"queue": "One"}), multi=True)
    carol = office.hire("Carol", "One")
    share = carol.channels[office.workspace.channel("default").sid]
    workers.update_channel(office.engine, office.workspace, carol, share, capacity=2)
    created = [office.enter() for _ in range(3)]
    assert [task.status for task in created] == ["reserved", "reserved", "pending"]
    assert office.activity_of(carol) == "Idle"
    for task in created[:2]:
        assignments.accept(office.engine, office.workspace, office.reservations(task)[0])
    assert office.activity_of(carol) == "Idle"
    assignments.complete(office.engine, office.workspace, created[0])
    office.clock.run_due()
    assert created[2].status == "reserved"


def test_each_channel_has_separate_capacity():
    office = Office(targets({"queue": "One"}), multi=True)
    carol = office.hire("Carol", "One")
    chat = office.workspace.channel("chat").sid
    workers.update_channel(
        office.engine, office.workspace, carol, carol.channels[chat], available=False
    )
    created = {
        name: tasks.create(
            office.engine, office.workspace, workflow_sid=office.flow.sid, channel=name
        )
        for name in ("default", "voice", "chat")
    }
    office.clock.run_due()
    assert {name: task.status.value for name, task in created.items()} == {
        "default": "reserved", "voice": "reserved", "chat": "pending"
    }  # fmt: skip


def test_multitasking_worker_goes_offline_on_time_out():
    office = Office(targets({"queue": "One"}), multi=True)
    carol = office.hire("Carol", "One")
    office.enter()
    office.clock.advance(5)
    assert office.activity_of(carol) == "Offline"


def test_change_between_available_activities_keeps_reservations():
    office = Office(targets({"queue": "One"}), multi=True)
    workspaces.add_activity(office.engine, office.workspace, friendly_name="Happy", available=True)
    carol = office.hire("Carol", "One")
    task = office.enter()
    office.move(carol, "Happy")
    assert office.offered_to(task) == ["Carol"]


def test_task_can_target_unavailable_worker():
    office = Office(default={"queue": "Two"})
    carol = office.hire("Carol", "One")
    office.move(carol, "Offline")
    task = tasks.create(office.engine, office.workspace, routing_target=carol.sid)
    office.clock.run_due()
    assert office.offered_to(task) == ["Carol"]
    limited = tasks.create(
        office.engine, office.workspace, routing_target=carol.sid, ignore_capacity=False
    )
    office.clock.run_due()
    assert limited.status == "pending"


def test_targeted_worker_is_reoffered_task_after_delay():
    office = Office(default={"queue": "Two"})
    carol = office.hire("Carol", "One")
    office.move(carol, "Offline")
    task = tasks.create(office.engine, office.workspace, routing_target=carol.sid)
    office.clock.run_due()
    reservations.reject(office.engine, office.workspace, task.reservations[-1])
    office.clock.run_due()
    assert (task.status, task.times_reserved) == ("pending", 1)
    office.clock.advance(1)
    assert (task.status, task.times_reserved) == ("reserved", 2)


def test_task_can_target_queue():
    office = Office(default={"queue": "Two"})
    office.hire("Carol", "Three")
    task = tasks.create(office.engine, office.workspace, queue_sid=office.queues["Three"].sid)
    office.clock.run_due()
    assert office.offered_to(task) == ["Carol"]
