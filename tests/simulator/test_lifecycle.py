"""The life cycle of a Task in the engine, without HTTP."""

import pytest

from taskrouter_simulator.engine import assignments, reservations, workers
from taskrouter_simulator.engine.core import AssignmentCallback
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.instructions import handle_response
from taskrouter_simulator.engine.model import ReservationStatus
from tests.simulator.conftest import SPANISH, Simulation


def test_task_waits_while_no_worker_is_available(simulation):
    task = simulation.create_task()
    assert task.status == "pending"
    assert (
        simulation.workspace.queues[task.queue_sid].friendly_name
        == "Customer Care Requests - Spanish"
    )


def test_available_worker_is_reserved(simulation):
    task, reservation = simulation.offer_task()
    assert (task.status, reservation.status) == ("reserved", "pending")
    assert simulation.activity_of(simulation.alice) == "Reserved"


def test_callback_has_every_documented_parameter(simulation):
    task, reservation = simulation.offer_task()
    (effect,) = [item for item in simulation.effects if isinstance(item, AssignmentCallback)]
    assert effect.url == "http://127.0.0.1:8000/assignment_callback"
    assert effect.parameters == {
        "Timestamp": "1700000000",
        "AccountSid": simulation.engine.account_sid,
        "WorkspaceSid": simulation.workspace.sid,
        "WorkflowSid": task.workflow_sid,
        "TaskQueueSid": task.queue_sid,
        "WorkerSid": simulation.alice.sid,
        "WorkerAttributes": '{"languages": ["en", "es"]}',
        "TaskSid": task.sid,
        "TaskAttributes": SPANISH,
        "TaskAge": "0",
        "TaskPriority": "0",
        "ReservationSid": reservation.sid,
    }


def test_accepting_reservation_assigns_task_and_makes_worker_busy(simulation):
    task, reservation = simulation.offer_task()
    assignments.accept(simulation.engine, simulation.workspace, reservation)
    assert (task.status, reservation.status) == ("assigned", "accepted")
    assert simulation.activity_of(simulation.alice) == "Busy"


def test_timeout_sets_worker_offline_and_task_pending(simulation):
    task, reservation = simulation.offer_task()
    simulation.clock.advance(1199)
    assert reservation.status == "pending"
    simulation.clock.advance(1)
    assert (task.status, reservation.status) == ("pending", "timeout")
    assert simulation.activity_of(simulation.alice) == "Offline"


def test_task_is_offered_again_when_worker_is_available_after_timeout(simulation):
    task, _ = simulation.offer_task()
    simulation.clock.advance(1200)
    simulation.set_activity(simulation.alice, "Idle")
    assert [reservation.status for reservation in simulation.reservations(task)] == [
        "timeout",
        "pending",
    ]


def test_rejected_task_goes_to_next_worker(simulation):
    simulation.set_activity(simulation.bob, "Idle")
    simulation.clock.advance(1)
    simulation.set_activity(simulation.alice, "Idle")
    task = simulation.create_task('{"selected_language": "en"}')
    (first,) = simulation.reservations(task)
    assert first.worker_name == "Bob"
    reservations.reject(simulation.engine, simulation.workspace, first)
    simulation.clock.run_due()
    assert simulation.reservations(task)[-1].worker_name == "Alice"
    assert simulation.activity_of(simulation.bob) == "Idle"


def test_rejecting_reservation_sets_requested_activity(simulation):
    task, reservation = simulation.offer_task()
    reservations.reject(
        simulation.engine, simulation.workspace, reservation, simulation.activity_sid("Offline")
    )
    simulation.clock.run_due()
    assert (task.status, simulation.activity_of(simulation.alice)) == ("pending", "Offline")


def test_rejected_task_is_offered_to_same_worker_again_after_delay(simulation):
    task, reservation = simulation.offer_task()
    reservations.reject(simulation.engine, simulation.workspace, reservation)
    simulation.clock.run_due()
    assert task.status == "pending"
    simulation.clock.advance(1)
    assert task.status == "reserved"


def test_task_is_canceled_after_the_maximum_number_of_assignments():
    simulation = Simulation(max_assignments=3)
    task, _ = simulation.offer_task()
    for _ in range(3):
        assert task.status == "reserved"
        reservations.reject(
            simulation.engine, simulation.workspace, simulation.reservations(task)[-1]
        )
        simulation.clock.advance(1)
    assert task.status == "canceled"
    assert "Max assignment count exceeded" in task.reason


def test_canceling_task_ends_reservation_and_frees_worker(simulation):
    task, reservation = simulation.offer_task()
    assignments.cancel(simulation.engine, simulation.workspace, task, "not needed")
    assert (reservation.status, task.reason) == ("canceled", "not needed")
    assert simulation.activity_of(simulation.alice) == "Idle"


def test_completing_task_ends_reservation_and_leaves_worker_busy(simulation):
    task, reservation = simulation.offer_task()
    assignments.accept(simulation.engine, simulation.workspace, reservation)
    assignments.complete(simulation.engine, simulation.workspace, task)
    assert (task.status, reservation.status) == ("completed", "completed")
    assert simulation.activity_of(simulation.alice) == "Busy"


def test_closed_task_is_deleted_after_five_minutes(simulation):
    task, reservation = simulation.offer_task()
    assignments.cancel(simulation.engine, simulation.workspace, task)
    simulation.clock.advance(299)
    assert task.sid in simulation.workspace.tasks
    simulation.clock.advance(1)
    assert task.sid not in simulation.workspace.tasks
    assert reservation.sid not in simulation.workspace.reservations


def test_deleting_task_completes_accepted_reservation(simulation):
    task, reservation = simulation.offer_task()
    assignments.accept(simulation.engine, simulation.workspace, reservation)
    assignments.delete(simulation.engine, simulation.workspace, task)
    assert reservation.status == "completed"
    assert task.sid not in simulation.workspace.tasks


def test_assigned_task_is_deleted_after_a_day(simulation):
    task, reservation = simulation.offer_task()
    assignments.accept(simulation.engine, simulation.workspace, reservation)
    simulation.clock.advance(86_400)
    assert task.sid not in simulation.workspace.tasks
    assert "task.system-deleted" in simulation.event_types()


def test_unassigned_task_is_canceled_after_timeout(simulation):
    task = simulation.create_task(timeout=60)
    simulation.clock.advance(60)
    assert (task.status, task.reason) == ("canceled", "Task TTL Exceeded")


def test_task_without_matching_filter_is_canceled(simulation):
    assert simulation.create_task('{"selected_language": "fr"}').status == "canceled"


@pytest.mark.parametrize("operation", [assignments.accept, reservations.reject])
def test_ended_reservation_cannot_be_changed(simulation, operation):
    _, reservation = simulation.offer_task()
    simulation.clock.advance(1200)
    with pytest.raises(BadRequest, match="is not currently in a Pending state"):
        operation(simulation.engine, simulation.workspace, reservation)
    assert reservation.status == "timeout"
    assert simulation.activity_of(simulation.alice) == "Offline"


def test_reservation_has_one_of_eight_statuses():
    expected = {"pending", "accepted", "rejected", "timeout", "canceled", "rescinded", "wrapping",
                "completed"}  # fmt: skip
    assert {status.value for status in ReservationStatus} == expected
    assert {status.value for status in reservations.TRANSITIONS} == expected


def test_rejection_does_not_undo_a_change_of_activity_after_the_offer(simulation):
    _, reservation = simulation.offer_task()
    simulation.set_activity(simulation.alice, "Busy")
    reservations.reject(simulation.engine, simulation.workspace, reservation)
    assert simulation.activity_of(simulation.alice) == "Busy"


def test_single_tasking_worker_has_one_pending_reservation_at_a_time(simulation):
    simulation.offer_task()
    second = simulation.create_task()
    simulation.set_activity(simulation.alice, "Idle")
    assert second.status == "pending"


def test_task_with_higher_priority_is_offered_first(simulation):
    low, high = simulation.create_task(priority=1), simulation.create_task(priority=2)
    simulation.set_activity(simulation.alice, "Idle")
    assert (low.status, high.status) == ("pending", "reserved")


def test_longest_idle_worker_is_reserved_first(simulation):
    simulation.set_activity(simulation.bob, "Idle")
    simulation.clock.advance(10)
    simulation.set_activity(simulation.alice, "Idle")
    task = simulation.create_task('{"selected_language": "en"}')
    assert simulation.reservations(task)[0].worker_name == "Bob"


def test_wrapping_task_can_be_completed(simulation):
    task, reservation = simulation.offer_task()
    assignments.accept(simulation.engine, simulation.workspace, reservation)
    assignments.wrap(simulation.engine, simulation.workspace, task)
    assert (task.status, reservation.status) == ("wrapping", "wrapping")
    assignments.set_status(
        simulation.engine, simulation.workspace, task, task.status.COMPLETED, "done"
    )
    assert (task.status, reservation.status) == ("completed", "completed")


def test_accept_instruction_assigns_task(simulation):
    task, reservation = simulation.offer_task()
    handle_response(
        simulation.engine, simulation.workspace.sid, reservation.sid, {"instruction": "accept"}
    )
    assert task.status == "assigned"


def test_late_instruction_emits_alert_and_changes_nothing(simulation):
    _, reservation = simulation.offer_task()
    simulation.clock.advance(1200)
    handle_response(
        simulation.engine, simulation.workspace.sid, reservation.sid, {"instruction": "accept"}
    )
    assert reservation.status == "timeout"
    assert simulation.effects[-1].message.endswith("is not currently in a Pending state.")


def test_task_age_has_no_rounding_error(simulation):
    task = simulation.create_task()
    for age in range(1, 200):
        simulation.clock.advance(1)
        assert int(simulation.engine.seconds_since(task.created)) == age


def test_worker_with_reservation_is_not_deleted(simulation):
    simulation.offer_task()
    with pytest.raises(BadRequest):
        workers.delete(simulation.engine, simulation.workspace, simulation.alice)
