"""Routing of Tasks through the filters and targets of a Workflow."""

import json
import math

import pytest

from taskrouter_simulator.engine import (
    assignments,
    reservations,
    tasks,
    workers,
    workflows,
    workspaces,
)
from taskrouter_simulator.engine.core import Alert
from taskrouter_simulator.engine.workflows import parse_configuration
from tests.simulator.workflow_simulation import WorkflowSimulation, catch_all_filter


def test_first_matching_filter_is_used():
    simulation = WorkflowSimulation(
        {"expression": "kind == 'a'", "targets": [{"queue": "One"}]},
        {"expression": "kind != null", "targets": [{"queue": "Two"}]},
        default={"queue": "Three"},
    )
    assert simulation.queue_name(simulation.enqueue_task(kind="a")) == "One"
    assert simulation.queue_name(simulation.enqueue_task(kind="b")) == "Two"
    assert simulation.queue_name(simulation.enqueue_task()) == "Three"


def test_task_is_canceled_after_last_target_times_out():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 10}, {"queue": "Two", "timeout": 20})
    )
    task = simulation.enqueue_task()
    simulation.clock.advance(9)
    assert simulation.queue_name(task) == "One"
    simulation.clock.advance(1)
    assert simulation.queue_name(task) == "Two"
    simulation.clock.advance(19)
    assert task.status == "pending"
    simulation.clock.advance(1)
    assert (task.status, task.reason) == ("canceled", "Task canceled on Workflow timeout")
    assert "workflow.timeout" in simulation.event_types()


def test_task_moves_to_later_filter_but_not_to_default_filter():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 10}),
        {"expression": "kind == 'a'", "targets": [{"queue": "Two", "timeout": 10}]},
        default={"queue": "Three"},
    )
    first, second = simulation.enqueue_task(kind="a"), simulation.enqueue_task(kind="b")
    simulation.clock.advance(10)
    assert (simulation.queue_name(first), second.status) == ("Two", "canceled")
    simulation.clock.advance(10)
    assert first.status == "canceled"


def test_target_without_queue_inherits_previous_queue():
    simulation = WorkflowSimulation(
        catch_all_filter(
            {"queue": "One", "expression": "worker.level > 5", "timeout": 10}, {"priority": 9}
        )
    )
    simulation.add_worker("Carol", "One", level=3)
    task = simulation.enqueue_task()
    assert task.status == "pending"
    simulation.clock.advance(10)
    assert (simulation.offered_to(task), task.priority) == (["Carol"], 9)


def test_reservation_timeout_moves_task_to_next_target():
    """Target timeouts add up from the Task's creation, as in Twilio's example.

    A Reservation timeout moves the Task out of the first TaskQueue early.
    """
    simulation = WorkflowSimulation(
        catch_all_filter(
            {"queue": "One", "timeout": 10},
            {"queue": "Two", "timeout": 10},
            {"queue": "Three", "timeout": 10},
        )
    )
    task = simulation.enqueue_task()
    simulation.clock.advance(3)
    simulation.add_worker("Carol", "One")
    assert simulation.offered_to(task) == ["Carol"]
    simulation.clock.advance(5)
    assert simulation.queue_name(task) == "Two"
    simulation.clock.advance(11)
    assert simulation.queue_name(task) == "Two"
    simulation.clock.advance(1)
    assert simulation.queue_name(task) == "Three"


def test_task_stays_at_target_after_reservation_timeout_if_so_configured():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 100}, {"queue": "Two"}),
        timeout_moves_to_next_target=False,
    )
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(5)
    assert simulation.queue_name(task) == "One"


def test_task_skips_timed_out_targets_after_rejection():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 2}, {"queue": "Two", "timeout": 10}),
    )
    carol = simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    simulation.clock.advance(3)
    offline = simulation.activity_sid("Offline")
    reservations.reject(
        simulation.engine, simulation.workspace, simulation.reservations(task)[0], offline
    )
    simulation.clock.run_due()
    assert (simulation.queue_name(task), task.status) == ("Two", "pending")
    assert simulation.activity_of(carol) == "Offline"


def test_target_is_skipped_only_if_its_skip_if_expression_is_true():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "skip_if": "workers.available == 0"}, {"queue": "Two"})
    )
    assert simulation.queue_name(simulation.enqueue_task()) == "Two"
    simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    assert (simulation.queue_name(task), simulation.offered_to(task)) == ("One", ["Carol"])


def test_skip_if_expression_can_count_workers_by_activity():
    simulation = WorkflowSimulation(default={"queue": "Three"})
    busy = simulation.activity_sid("Busy")
    text = simulation.configuration(
        catch_all_filter(
            {"queue": "One", "skip_if": f"workers.{busy} == 1 AND workers.unavailable == 1"}
        ),
        default={"queue": "Two"},
    )
    simulation.workflow.configuration = workflows.require_configuration(
        simulation.engine, simulation.workspace, text
    )
    simulation.set_activity(simulation.add_worker("Carol", "One"), "Busy")
    assert simulation.queue_name(simulation.enqueue_task()) == "Two"


def test_task_that_skipped_all_targets_uses_default_filter():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "skip_if": "1==1"}), default={"queue": "Two"}
    )
    task = simulation.enqueue_task()
    assert simulation.queue_name(task) == "Two"
    assert "workflow.skipped" in simulation.event_types()


def test_skip_if_expression_is_not_evaluated_again_while_task_waits():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "skip_if": "workers.available == 0"}, {"queue": "Two"}),
        multi=True,
    )
    carol = simulation.add_worker("Carol", "One")
    simulation.enqueue_task()
    waiting = simulation.enqueue_task()
    simulation.set_activity(carol, "Offline")
    assert (simulation.queue_name(waiting), waiting.status) == ("One", "pending")


def test_timeout_of_default_filter_applies_only_if_configured():
    for setting in (False, True):
        simulation = WorkflowSimulation(
            default={"queue": "One", "timeout": 10}, default_filter_timeout=setting
        )
        task = simulation.enqueue_task()
        simulation.clock.advance(10)
        assert (task.status == "canceled") is setting


def test_target_expressions_compare_task_and_worker():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "expression": "task.skill IN worker.skills"})
    )
    simulation.add_worker("Carol", "One", skills=["chess"])
    simulation.add_worker("Dan", "One", skills=["go"])
    assert simulation.offered_to(simulation.enqueue_task(skill="go")) == ["Dan"]
    assert simulation.offered_to(simulation.enqueue_task(skill="shogi")) == []


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("worker.level DESC", ["High", "Low", "None"]),
        ("worker.level ASC", ["Low", "High", "None"]),
        ("worker.none ASC, worker.level DESC", ["High", "Low", "None"]),
        ("worker.level  DESC", ["High", "Low", "None"]),
        ("worker.level\tdesc , worker.none", ["High", "Low", "None"]),
        ("", ["None", "Low", "High"]),
    ],
)
def test_order_by_clause_sorts_workers(order, expected):
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One", "order_by": order}))
    simulation.add_worker("None", "One")
    simulation.add_worker("Low", "One", level=1)
    simulation.add_worker("High", "One", level=10**400)  # exceeds the range of a float
    offered = [simulation.offered_to(simulation.enqueue_task())[0] for _ in range(3)]
    assert offered == expected


def test_order_by_clause_sorts_workers_whose_attribute_is_nan_last():
    """NaN, which is neither less nor greater than any number, must not disrupt the sort order."""
    target = {"queue": "One", "order_by": "worker.level"}
    simulation = WorkflowSimulation(catch_all_filter(target))
    for name, level in (("NaN", math.nan), ("Five", 5), ("Four", 4), ("Infinity", math.inf)):
        simulation.add_worker(name, "One", level=level)
    offered = [simulation.offered_to(simulation.enqueue_task())[0] for _ in range(4)]
    assert offered == ["Four", "Five", "Infinity", "NaN"]


def test_order_by_clause_uses_changed_worker_attributes():
    target = {"queue": "One", "order_by": "worker.level DESC"}
    simulation = WorkflowSimulation(catch_all_filter(target))
    simulation.add_worker("Carol", "One", level=2)
    dan = simulation.add_worker("Dan", "One", level=1)
    task = simulation.enqueue_task()
    assert simulation.offered_to(task) == ["Carol"]
    attributes = json.dumps({"queues": ["One"], "level": 3})
    workers.set_attributes(simulation.engine, simulation.workspace, dan, attributes)
    reservations.reject(simulation.engine, simulation.workspace, task.reservations[0])
    simulation.clock.run_due()
    assert simulation.offered_to(task) == ["Dan"]
    assert simulation.offered_to(simulation.enqueue_task()) == ["Carol"]
    assert simulation.offered_to(simulation.enqueue_task()) == []


@pytest.mark.parametrize("key", ["known_worker_sid", "known_worker_friendly_name"])
def test_known_worker_is_required_until_target_times_out(key):
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", key: "task.agent", "timeout": 10}, {"queue": "One"})
    )
    simulation.add_worker("Carol", "One")
    dan = simulation.add_worker("Dan", "One")
    simulation.set_activity(dan, "Offline")
    task = simulation.enqueue_task(agent=dan.sid if key.endswith("sid") else "Dan")
    assert task.status == "pending"
    simulation.clock.advance(10)
    assert simulation.offered_to(task) == ["Carol"]


@pytest.mark.parametrize(("agent", "code"), [("Bob", 40152), (None, 40154), (7, 40154)])
def test_invalid_known_worker_emits_alert(agent, code):
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "known_worker_friendly_name": "task.agent"})
    )
    simulation.enqueue_task(agent=agent)
    assert code in [effect.code for effect in simulation.effects if isinstance(effect, Alert)]


def test_known_worker_of_another_workspace_emits_alert():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "known_worker_sid": "task.agent"})
    )
    other = workspaces.create(simulation.engine, friendly_name="Other")
    workspaces.add_default_activities(simulation.engine, other)
    zoe = workers.create(simulation.engine, other, friendly_name="Zoe")
    simulation.enqueue_task(agent=zoe.sid)
    (alert,) = [effect for effect in simulation.effects if isinstance(effect, Alert)]
    message = f"Known worker {zoe.sid} is in another workspace"
    assert (alert.code, alert.message) == (40155, message)


def test_empty_target_workers_expression_matches_no_worker():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}))
    simulation.add_worker("Carol", "One")
    simulation.queues["One"].target_workers = ""
    assert simulation.enqueue_task().status == "pending"


def test_lifo_queue_offers_newest_task_first():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}))
    simulation.queues["One"].task_order = "LIFO"
    old = simulation.enqueue_task()
    simulation.clock.advance(1)
    new = simulation.enqueue_task()
    simulation.add_worker("Carol", "One")
    assert (old.status, new.status) == ("pending", "reserved")


def test_earlier_virtual_start_time_moves_task_ahead():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}))
    first = simulation.enqueue_task()
    early = tasks.create(
        simulation.engine,
        simulation.workspace,
        workflow_sid=simulation.workflow.sid,
        virtual_start_time=1.0,
    )
    simulation.add_worker("Carol", "One")
    assert (first.status, early.status) == ("pending", "reserved")


def test_first_of_several_reserved_workers_to_accept_is_assigned():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}))
    simulation.queues["One"].max_reserved_workers = 2
    workers = [simulation.add_worker(name, "One") for name in ("Carol", "Dan", "Eve")]
    task = simulation.enqueue_task()
    first, second = simulation.reservations(task)
    assert task.times_reserved == 1
    assignments.accept(simulation.engine, simulation.workspace, second)
    assert (first.status, second.status) == ("rescinded", "accepted")
    activities = [simulation.activity_of(worker) for worker in workers]
    assert activities == ["Idle", "Busy", "Idle"]


def test_task_is_pending_after_last_of_several_reservations_ends():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}))
    simulation.queues["One"].max_reserved_workers = 2
    simulation.add_worker("Carol", "One")
    simulation.add_worker("Dan", "One")
    task = simulation.enqueue_task()
    first, second = simulation.reservations(task)
    offline = simulation.activity_sid("Offline")
    reservations.reject(simulation.engine, simulation.workspace, first, offline)
    assert task.status == "reserved"
    reservations.reject(simulation.engine, simulation.workspace, second, offline)
    assert task.status == "pending"


def test_reevaluation_cancels_reservations_and_uses_new_configuration():
    simulation = WorkflowSimulation(catch_all_filter({"queue": "One"}))
    carol = simulation.add_worker("Carol", "One")
    task = simulation.enqueue_task()
    text = simulation.configuration(catch_all_filter({"queue": "Two"}))
    simulation.workflow.configuration = workflows.require_configuration(
        simulation.engine, simulation.workspace, text
    )
    tasks.reevaluate(simulation.engine, simulation.workspace, simulation.workflow)
    simulation.clock.run_due()
    assert [reservation.status for reservation in simulation.reservations(task)] == ["canceled"]
    assert (simulation.queue_name(task), simulation.activity_of(carol)) == ("Two", "Idle")


def test_task_keeps_its_original_configuration():
    simulation = WorkflowSimulation(
        catch_all_filter({"queue": "One", "timeout": 10}, {"queue": "Two"})
    )
    task = simulation.enqueue_task()
    simulation.workflow.configuration = parse_configuration('{"task_routing": {}}')
    simulation.clock.advance(10)
    assert simulation.queue_name(task) == "Two"
