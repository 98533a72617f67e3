"""Who may take how many Tasks, and Tasks that are aimed at a Worker or a TaskQueue."""

from taskrouter_simulator.engine import assignments, reservations, tasks, workers, workspaces
from tests.simulator.office import Office, targets


def test_a_multi_tasking_worker_takes_as_many_tasks_as_its_channel_allows():
    office = Office(targets({"queue": "One"}), multi=True)
    carol = office.hire("Carol", "One")
    share = carol.channels[office.workspace.channel("default").sid]
    workers.update_channel(office.engine, office.workspace, carol, share, capacity=2)
    some = [office.enter() for _ in range(3)]
    assert [task.status for task in some] == ["reserved", "reserved", "pending"]
    assert office.activity_of(carol) == "Idle"
    for task in some[:2]:
        assignments.accept(office.engine, office.workspace, office.reservations(task)[0])
    assert office.activity_of(carol) == "Idle"
    assignments.complete(office.engine, office.workspace, some[0])
    office.clock.run_due()
    assert some[2].status == "reserved"


def test_channels_have_their_own_capacity():
    office = Office(targets({"queue": "One"}), multi=True)
    carol = office.hire("Carol", "One")
    chat = office.workspace.channel("chat").sid
    workers.update_channel(
        office.engine, office.workspace, carol, carol.channels[chat], available=False
    )
    made = {
        name: tasks.create(
            office.engine, office.workspace, workflow_sid=office.flow.sid, channel=name
        )
        for name in ("default", "voice", "chat")
    }
    office.clock.run_due()
    assert {name: task.status.value for name, task in made.items()} == {
        "default": "reserved", "voice": "reserved", "chat": "pending"
    }  # fmt: skip


def test_a_multi_tasking_worker_goes_offline_on_a_time_out_as_well():
    office = Office(targets({"queue": "One"}), multi=True)
    carol = office.hire("Carol", "One")
    office.enter()
    office.clock.advance(5)
    assert office.activity_of(carol) == "Offline"


def test_moving_between_available_activities_keeps_reservations():
    office = Office(targets({"queue": "One"}), multi=True)
    workspaces.add_activity(office.engine, office.workspace, friendly_name="Happy", available=True)
    carol = office.hire("Carol", "One")
    task = office.enter()
    office.move(carol, "Happy")
    assert office.offered_to(task) == ["Carol"]


def test_a_task_can_be_aimed_at_a_worker_whatever_its_activity():
    office = Office(default={"queue": "Two"})
    carol = office.hire("Carol", "One")
    office.move(carol, "Offline")
    task = tasks.create(office.engine, office.workspace, routing_target=carol.sid)
    office.clock.run_due()
    assert office.offered_to(task) == ["Carol"]
    polite = tasks.create(
        office.engine, office.workspace, routing_target=carol.sid, ignore_capacity=False
    )
    office.clock.run_due()
    assert polite.status == "pending"


def test_a_worker_that_rejects_what_was_aimed_at_it_is_asked_again_only_after_a_while():
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


def test_a_task_can_be_aimed_at_a_queue():
    office = Office(default={"queue": "Two"})
    office.hire("Carol", "Three")
    task = tasks.create(office.engine, office.workspace, queue_sid=office.queues["Three"].sid)
    office.clock.run_due()
    assert office.offered_to(task) == ["Carol"]
