"""How a Task moves through its Workflow."""

import pytest

from taskrouter_simulator.engine import assignments, reservations, tasks, workflows
from taskrouter_simulator.engine.core import Alert
from taskrouter_simulator.engine.workflows import parse_configuration
from tests.simulator.office import Office, targets


def test_first_matching_filter_is_used():
    office = Office(
        {"expression": "kind == 'a'", "targets": [{"queue": "One"}]},
        {"expression": "kind != null", "targets": [{"queue": "Two"}]},
        default={"queue": "Three"},
    )
    assert office.where(office.enter(kind="a")) == "One"
    assert office.where(office.enter(kind="b")) == "Two"
    assert office.where(office.enter()) == "Three"


def test_task_is_canceled_after_last_target_times_out():
    office = Office(targets({"queue": "One", "timeout": 10}, {"queue": "Two", "timeout": 20}))
    task = office.enter()
    office.clock.advance(9)
    assert office.where(task) == "One"
    office.clock.advance(1)
    assert office.where(task) == "Two"
    office.clock.advance(19)
    assert task.status == "pending"
    office.clock.advance(1)
    assert (task.status, task.reason) == ("canceled", "Task canceled on Workflow timeout")
    assert "workflow.timeout" in office.events()


def test_later_filter_but_not_default_follows_last_target():
    office = Office(
        targets({"queue": "One", "timeout": 10}),
        {"expression": "kind == 'a'", "targets": [{"queue": "Two", "timeout": 10}]},
        default={"queue": "Three"},
    )
    first, second = office.enter(kind="a"), office.enter(kind="b")
    office.clock.advance(10)
    assert (office.where(first), second.status) == ("Two", "canceled")
    office.clock.advance(10)
    assert first.status == "canceled"


def test_target_without_queue_inherits_previous_queue():
    office = Office(
        targets({"queue": "One", "expression": "worker.level > 5", "timeout": 10}, {"priority": 9})
    )
    office.hire("Carol", "One", level=3)
    task = office.enter()
    assert task.status == "pending"
    office.clock.advance(10)
    assert (office.offered_to(task), task.priority) == (["Carol"], 9)


def test_reservation_time_out_moves_task_to_next_target():
    """Twilio's example: time-outs add up on the Task's age, and the Task leaves Q1 early."""
    office = Office(
        targets(
            {"queue": "One", "timeout": 10},
            {"queue": "Two", "timeout": 10},
            {"queue": "Three", "timeout": 10},
        )
    )
    task = office.enter()
    office.clock.advance(3)
    office.hire("Carol", "One")
    assert office.offered_to(task) == ["Carol"]
    office.clock.advance(5)
    assert office.where(task) == "Two"
    office.clock.advance(11)
    assert office.where(task) == "Two"
    office.clock.advance(1)
    assert office.where(task) == "Three"


def test_setting_keeps_task_at_target_after_reservation_time_out():
    office = Office(
        targets({"queue": "One", "timeout": 100}, {"queue": "Two"}),
        timeout_moves_to_next_target=False,
    )
    office.hire("Carol", "One")
    task = office.enter()
    office.clock.advance(5)
    assert office.where(task) == "One"


def test_rejected_task_restarts_after_timed_out_targets():
    office = Office(
        targets({"queue": "One", "timeout": 2}, {"queue": "Two", "timeout": 10}),
    )
    carol = office.hire("Carol", "One")
    task = office.enter()
    office.clock.advance(3)
    away = office.activity_sid("Offline")
    reservations.reject(office.engine, office.workspace, office.reservations(task)[0], away)
    office.clock.run_due()
    assert (office.where(task), task.status) == ("Two", "pending")
    assert office.activity_of(carol) == "Offline"


def test_step_is_skipped_only_if_nobody_is_free():
    office = Office(
        targets({"queue": "One", "skip_if": "workers.available == 0"}, {"queue": "Two"})
    )
    assert office.where(office.enter()) == "Two"
    office.hire("Carol", "One")
    task = office.enter()
    assert (office.where(task), office.offered_to(task)) == ("One", ["Carol"])


def test_skip_if_counts_workers_by_activity():
    office = Office(default={"queue": "Three"})
    busy = office.activity_sid("Busy")
    text = office.configuration(
        targets({"queue": "One", "skip_if": f"workers.{busy} == 1 AND workers.unavailable == 1"}),
        default={"queue": "Two"},
    )
    office.flow.configuration = workflows.require_configuration(office.workspace, text)
    office.move(office.hire("Carol", "One"), "Busy")
    assert office.where(office.enter()) == "Two"


def test_task_that_skipped_filter_uses_default():
    office = Office(targets({"queue": "One", "skip_if": "1==1"}), default={"queue": "Two"})
    task = office.enter()
    assert office.where(task) == "Two"
    assert "workflow.skipped" in office.events()


def test_skip_if_is_not_evaluated_again_while_task_waits():
    office = Office(
        targets({"queue": "One", "skip_if": "workers.available == 0"}, {"queue": "Two"}),
        multi=True,
    )
    carol = office.hire("Carol", "One")
    office.enter()
    waiting = office.enter()
    office.move(carol, "Offline")
    assert (office.where(waiting), waiting.status) == ("One", "pending")


def test_setting_applies_default_filter_timeout():
    for setting in (False, True):
        office = Office(default={"queue": "One", "timeout": 10}, default_filter_timeout=setting)
        task = office.enter()
        office.clock.advance(10)
        assert (task.status == "canceled") is setting


def test_target_expressions_compare_task_and_worker():
    office = Office(targets({"queue": "One", "expression": "task.skill IN worker.skills"}))
    office.hire("Carol", "One", skills=["chess"])
    office.hire("Dan", "One", skills=["go"])
    assert office.offered_to(office.enter(skill="go")) == ["Dan"]
    assert office.offered_to(office.enter(skill="shogi")) == []


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("worker.level DESC", ["High", "Low", "None"]),
        ("worker.level ASC", ["Low", "High", "None"]),
        ("worker.none ASC, worker.level DESC", ["High", "Low", "None"]),
        ("", ["None", "Low", "High"]),
        ("nonsense here", ["None", "Low", "High"]),
    ],
)
def test_order_by_sorts_workers(order, expected):
    office = Office(targets({"queue": "One", "order_by": order}))
    office.hire("None", "One")
    office.hire("Low", "One", level=1)
    office.hire("High", "One", level=10**400)  # more than a float holds
    offered = [office.offered_to(office.enter())[0] for _ in range(3)]
    assert offered == expected


@pytest.mark.parametrize("key", ["known_worker_sid", "known_worker_friendly_name"])
def test_known_worker_is_required_until_target_times_out(key):
    office = Office(targets({"queue": "One", key: "task.agent", "timeout": 10}, {"queue": "One"}))
    office.hire("Carol", "One")
    dan = office.hire("Dan", "One")
    office.move(dan, "Offline")
    task = office.enter(agent=dan.sid if key.endswith("sid") else "Dan")
    assert task.status == "pending"
    office.clock.advance(10)
    assert office.offered_to(task) == ["Carol"]


@pytest.mark.parametrize(("agent", "code"), [("Bob", 40152), (None, 40154), (7, 40154)])
def test_unknown_known_worker_emits_alert(agent, code):
    office = Office(targets({"queue": "One", "known_worker_friendly_name": "task.agent"}))
    office.enter(agent=agent)
    assert code in [effect.code for effect in office.effects if isinstance(effect, Alert)]


def test_empty_target_workers_matches_nobody():
    office = Office(targets({"queue": "One"}))
    office.hire("Carol", "One")
    office.queues["One"].target_workers = ""
    assert office.enter().status == "pending"


def test_lifo_queue_serves_newest_task_first():
    office = Office(targets({"queue": "One"}))
    office.queues["One"].task_order = "LIFO"
    old = office.enter()
    office.clock.advance(1)
    new = office.enter()
    office.hire("Carol", "One")
    assert (old.status, new.status) == ("pending", "reserved")


def test_earlier_virtual_start_time_moves_task_ahead():
    office = Office(targets({"queue": "One"}))
    first = office.enter()
    early = tasks.create(
        office.engine, office.workspace, workflow_sid=office.flow.sid, virtual_start_time=1.0
    )
    office.hire("Carol", "One")
    assert (first.status, early.status) == ("pending", "reserved")


def test_first_of_several_reserved_workers_to_accept_is_assigned():
    office = Office(targets({"queue": "One"}))
    office.queues["One"].max_reserved_workers = 2
    for name in ("Carol", "Dan", "Eve"):
        office.hire(name, "One")
    task = office.enter()
    first, second = office.reservations(task)
    assert task.times_reserved == 1
    assignments.accept(office.engine, office.workspace, second)
    assert (first.status, second.status) == ("rescinded", "accepted")
    assert [office.activity_of(office.worker(name)) for name in ("Carol", "Dan", "Eve")] == [
        "Idle", "Busy", "Idle"
    ]  # fmt: skip


def test_task_is_pending_after_last_of_several_reservations_ends():
    office = Office(targets({"queue": "One"}))
    office.queues["One"].max_reserved_workers = 2
    office.hire("Carol", "One")
    office.hire("Dan", "One")
    task = office.enter()
    first, second = office.reservations(task)
    away = office.activity_sid("Offline")
    reservations.reject(office.engine, office.workspace, first, away)
    assert task.status == "reserved"
    reservations.reject(office.engine, office.workspace, second, away)
    assert task.status == "pending"


def test_reevaluation_cancels_offers_and_uses_new_configuration():
    office = Office(targets({"queue": "One"}))
    carol = office.hire("Carol", "One")
    task = office.enter()
    text = office.configuration(targets({"queue": "Two"}))
    office.flow.configuration = workflows.require_configuration(office.workspace, text)
    tasks.reevaluate(office.engine, office.workspace, office.flow)
    office.clock.run_due()
    assert [each.status for each in office.reservations(task)] == ["canceled"]
    assert (office.where(task), office.activity_of(carol)) == ("Two", "Idle")


def test_task_keeps_its_original_configuration():
    office = Office(targets({"queue": "One", "timeout": 10}, {"queue": "Two"}))
    task = office.enter()
    office.flow.configuration = parse_configuration('{"task_routing": {}}')
    office.clock.advance(10)
    assert office.where(task) == "Two"
