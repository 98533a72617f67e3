"""The quickstart's life cycle in the engine without HTTP."""

import pytest

from taskrouter_simulator.engine import assignments, reservations, workers
from taskrouter_simulator.engine.core import AssignmentCallback
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.instructions import handle_response
from taskrouter_simulator.engine.model import ReservationStatus
from tests.simulator.conftest import SPANISH, Story


def test_task_waits_while_nobody_is_available(story):
    task = story.task()
    assert task.status == "pending"
    assert (
        story.workspace.queues[task.queue_sid].friendly_name == "Customer Care Requests - Spanish"
    )


def test_available_worker_is_reserved(story):
    task, reservation = story.reserved()
    assert (task.status, reservation.status) == ("reserved", "pending")
    assert story.activity_of(story.alice) == "Reserved"


def test_callback_has_every_documented_parameter(story):
    task, reservation = story.reserved()
    (effect,) = [each for each in story.effects if isinstance(each, AssignmentCallback)]
    assert effect.url == "http://127.0.0.1:8000/assignment_callback"
    assert effect.parameters == {
        "Timestamp": "1700000000",
        "AccountSid": story.engine.account_sid,
        "WorkspaceSid": story.workspace.sid,
        "WorkflowSid": task.workflow_sid,
        "TaskQueueSid": task.queue_sid,
        "WorkerSid": story.alice.sid,
        "WorkerAttributes": '{"languages": ["en", "es"]}',
        "TaskSid": task.sid,
        "TaskAttributes": SPANISH,
        "TaskAge": "0",
        "TaskPriority": "0",
        "ReservationSid": reservation.sid,
    }


def test_accept_assigns_task_and_makes_worker_busy(story):
    task, reservation = story.reserved()
    assignments.accept(story.engine, story.workspace, reservation)
    assert (task.status, reservation.status) == ("assigned", "accepted")
    assert story.activity_of(story.alice) == "Busy"


def test_time_out_sets_worker_offline_and_task_pending(story):
    task, reservation = story.reserved()
    story.clock.advance(1199)
    assert reservation.status == "pending"
    story.clock.advance(1)
    assert (task.status, reservation.status) == ("pending", "timeout")
    assert story.activity_of(story.alice) == "Offline"


def test_worker_is_reoffered_task_when_available_after_time_out(story):
    task, _ = story.reserved()
    story.clock.advance(1200)
    story.move(story.alice, "Idle")
    assert [each.status for each in story.reservations(task)] == ["timeout", "pending"]


def test_rejected_task_goes_to_next_worker(story):
    story.move(story.bob, "Idle")
    story.clock.advance(1)
    story.move(story.alice, "Idle")
    task = story.task('{"selected_language": "en"}')
    (first,) = story.reservations(task)
    assert first.worker_name == "Bob"
    reservations.reject(story.engine, story.workspace, first)
    story.clock.run_due()
    assert story.reservations(task)[-1].worker_name == "Alice"
    assert story.activity_of(story.bob) == "Idle"


def test_reject_sets_named_activity(story):
    task, reservation = story.reserved()
    reservations.reject(story.engine, story.workspace, reservation, story.activity_sid("Offline"))
    story.clock.run_due()
    assert (task.status, story.activity_of(story.alice)) == ("pending", "Offline")


def test_rejected_task_is_reoffered_to_same_worker_after_delay(story):
    task, reservation = story.reserved()
    reservations.reject(story.engine, story.workspace, reservation)
    story.clock.run_due()
    assert task.status == "pending"
    story.clock.advance(1)
    assert task.status == "reserved"


def test_task_is_canceled_after_maximum_assignments():
    story = Story(max_assignments=3)
    task, _ = story.reserved()
    for _ in range(3):
        assert task.status == "reserved"
        reservations.reject(story.engine, story.workspace, story.reservations(task)[-1])
        story.clock.advance(1)
    assert task.status == "canceled"
    assert "Max assignment count exceeded" in task.reason


def test_cancel_ends_reservation_and_frees_worker(story):
    task, reservation = story.reserved()
    assignments.cancel(story.engine, story.workspace, task, "not needed")
    assert (reservation.status, task.reason) == ("canceled", "not needed")
    assert story.activity_of(story.alice) == "Idle"


def test_complete_ends_reservation_and_leaves_worker_busy(story):
    task, reservation = story.reserved()
    assignments.accept(story.engine, story.workspace, reservation)
    assignments.complete(story.engine, story.workspace, task)
    assert (task.status, reservation.status) == ("completed", "completed")
    assert story.activity_of(story.alice) == "Busy"


def test_closed_task_is_discarded_after_five_minutes(story):
    task, reservation = story.reserved()
    assignments.cancel(story.engine, story.workspace, task)
    story.clock.advance(299)
    assert task.sid in story.workspace.tasks
    story.clock.advance(1)
    assert task.sid not in story.workspace.tasks
    assert reservation.sid not in story.workspace.reservations


def test_delete_completes_accepted_reservation(story):
    task, reservation = story.reserved()
    assignments.accept(story.engine, story.workspace, reservation)
    assignments.delete(story.engine, story.workspace, task)
    assert reservation.status == "completed"
    assert task.sid not in story.workspace.tasks


def test_assigned_task_is_deleted_after_a_day(story):
    task, reservation = story.reserved()
    assignments.accept(story.engine, story.workspace, reservation)
    story.clock.advance(86_400)
    assert task.sid not in story.workspace.tasks
    assert "task.system-deleted" in story.events()


def test_unassigned_task_is_canceled_after_timeout(story):
    task = story.task(timeout=60)
    story.clock.advance(60)
    assert (task.status, task.reason) == ("canceled", "Task TTL Exceeded")


def test_task_without_matching_filter_is_canceled(story):
    assert story.task('{"selected_language": "fr"}').status == "canceled"


@pytest.mark.parametrize("verb", [assignments.accept, reservations.reject])
def test_ended_reservation_cannot_be_changed(story, verb):
    _, reservation = story.reserved()
    story.clock.advance(1200)
    with pytest.raises(BadRequest, match="is not currently in a Pending state"):
        verb(story.engine, story.workspace, reservation)
    assert reservation.status == "timeout"
    assert story.activity_of(story.alice) == "Offline"


def test_transition_table_has_every_status():
    assert set(reservations.TRANSITIONS) == set(ReservationStatus)


def test_reject_keeps_activity_changed_in_the_meantime(story):
    _, reservation = story.reserved()
    story.move(story.alice, "Busy")
    reservations.reject(story.engine, story.workspace, reservation)
    assert story.activity_of(story.alice) == "Busy"


def test_single_tasking_worker_has_one_offer_at_a_time(story):
    story.reserved()
    second = story.task()
    story.move(story.alice, "Idle")
    assert second.status == "pending"


def test_task_with_higher_priority_is_first(story):
    low, high = story.task(priority=1), story.task(priority=2)
    story.move(story.alice, "Idle")
    assert (low.status, high.status) == ("pending", "reserved")


def test_longest_waiting_worker_is_first(story):
    story.move(story.bob, "Idle")
    story.clock.advance(10)
    story.move(story.alice, "Idle")
    task = story.task('{"selected_language": "en"}')
    assert story.reservations(task)[0].worker_name == "Bob"


def test_wrapping_task_can_be_completed(story):
    task, reservation = story.reserved()
    assignments.accept(story.engine, story.workspace, reservation)
    assignments.wrap(story.engine, story.workspace, task)
    assert (task.status, reservation.status) == ("wrapping", "wrapping")
    assignments.set_status(story.engine, story.workspace, task, task.status.COMPLETED, "done")
    assert (task.status, reservation.status) == ("completed", "completed")


def test_accept_instruction_assigns_task(story):
    task, reservation = story.reserved()
    handle_response(story.engine, story.workspace.sid, reservation.sid, {"instruction": "accept"})
    assert task.status == "assigned"


def test_late_instruction_emits_alert_and_changes_nothing(story):
    _, reservation = story.reserved()
    story.clock.advance(1200)
    handle_response(story.engine, story.workspace.sid, reservation.sid, {"instruction": "accept"})
    assert reservation.status == "timeout"
    assert story.effects[-1].message.endswith("is not currently in a Pending state.")


def test_task_age_has_no_rounding_error(story):
    task = story.task()
    for age in range(1, 200):
        story.clock.advance(1)
        assert int(story.engine.seconds_since(task.created)) == age


def test_worker_with_reservation_is_not_deleted(story):
    story.reserved()
    with pytest.raises(BadRequest):
        workers.delete(story.engine, story.workspace, story.alice)
