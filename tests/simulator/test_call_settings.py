"""Call settings. Some of these settings cover behavior that Twilio does not document."""

import pytest

from taskrouter_simulator.engine import assignments
from taskrouter_simulator.testing import running
from tests.simulator.call_simulation import (
    APP,
    DEQUEUE,
    NUMBER,
    WORKER_NUMBER,
    CallSimulation,
    steps,
)

CONFERENCE = {
    "instruction": "conference", "to": WORKER_NUMBER, "from": NUMBER,
    "end_conference_on_customer_exit": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "status", "alice", "task"),
    [
        ("canceled", "canceled", "Idle", "pending"),
        ("rejected", "rejected", "Idle", "pending"),
        ("timeout", "timeout", "Offline", "pending"),
        ("pending", "pending", "Reserved", "reserved"),
    ],
)
@pytest.mark.parametrize("instruction", [DEQUEUE, CONFERENCE])
def test_unanswered_call_sets_reservation_status_as_configured(
    instruction, setting, status, alice, task
):
    simulation = CallSimulation({**instruction, "timeout": 20}, unanswered_call=setting)
    call = simulation.place_call("1", worker_answers=False)
    simulation.make_alice_idle()
    reservation = simulation.reservation_of(call)
    simulation.run(19.9)
    assert reservation.status == "pending"
    simulation.instruction = {}
    simulation.run(0.1)
    assert (reservation.status, simulation.activity_of(simulation.alice)) == (status, alice)
    assert simulation.task_of(call).status == task
    assert simulation.worker_leg().status == "no-answer"
    assert call.queued
    if setting == "pending":
        simulation.run(1180)
        assert reservation.status == "timeout"


@pytest.mark.parametrize(("accept", "status"), [(False, "pending"), (True, "canceled")])
def test_unanswered_call_ends_reservation_only_if_instruction_sets_accept_to_true(accept, status):
    instruction = {"instruction": "call", "to": WORKER_NUMBER, "from": NUMBER, "url": f"{APP}agent"}
    simulation = CallSimulation({**instruction, "accept": accept})
    call = simulation.place_call("1", worker_answers=False)
    simulation.make_alice_idle()
    reservation = simulation.reservation_of(call)
    simulation.instruction = {}
    simulation.run(60)
    assert reservation.status == status


@pytest.mark.parametrize("seconds", [0.0, 7.0])
def test_reservation_does_not_time_out_while_phone_rings(seconds):
    simulation = CallSimulation(DEQUEUE, answer_seconds=seconds)
    next(iter(simulation.workspace.workflows.values())).task_reservation_timeout = 5
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.run(seconds)
    assert simulation.reservation_of(call).status == "accepted"
    assert call.steps[-1]["at"] == simulation.clock.now()


def test_call_is_unanswered_if_phone_rings_until_time_limit():
    simulation = CallSimulation(
        {**DEQUEUE, "timeout": 5}, answer_seconds=5.0, unanswered_call="timeout"
    )
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.run(5)
    assert simulation.reservation_of(call).status == "timeout"


def test_worker_can_decline_call():
    simulation = CallSimulation(DEQUEUE, answer_seconds=10.0)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.instruction = {}
    reservation = simulation.reservation_of(call)
    simulation.hang_up(simulation.worker_leg())
    assert (reservation.status, call.status) == ("canceled", "in-progress")
    simulation.run(10)
    assert call.partner_sid is None


def test_phone_stops_ringing_when_caller_hangs_up():
    simulation = CallSimulation(DEQUEUE, answer_seconds=10.0)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.hang_up(call)
    assert simulation.worker_leg().status == "canceled"
    assert simulation.reservation_of(call).status == "canceled"
    simulation.run(10)
    assert simulation.task_of(call).status == "canceled"


def test_accepting_the_reservation_stops_ringing_without_connecting_the_caller():
    simulation = CallSimulation(DEQUEUE, answer_seconds=10.0)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.instruction = {}
    assignments.accept(simulation.engine, simulation.workspace, simulation.reservation_of(call))
    simulation.run(10)
    assert simulation.worker_leg().status == "canceled"
    assert call.queued


@pytest.mark.parametrize("setting", ["completed", "wrapping", "assigned"])
def test_ended_call_sets_task_status_as_configured(setting):
    simulation = CallSimulation(ended_call=setting)
    offline = simulation.activity_sid("Offline")
    simulation.instruction = {**DEQUEUE, "post_work_activity_sid": offline}
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.hang_up(call)
    task, reservation = simulation.task_of(call), simulation.reservation_of(call)
    assert task.status == setting
    assert reservation.status == ("accepted" if setting == "assigned" else setting)
    assert simulation.activity_of(simulation.alice) == "Offline"
    if setting != "completed":
        simulation.set_activity(simulation.alice, "Idle")
        assignments.complete(simulation.engine, simulation.workspace, task)
        assert reservation.status == "completed"
        assert simulation.activity_of(simulation.alice) == "Idle"


def simulate_conference(*, multi=True, **settings):
    """Return a simulation and a call that is connected to a Worker through a conference."""
    simulation = CallSimulation(CONFERENCE, **settings)
    simulation.workspace.multi_task_enabled = multi
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    assert call.conference_sid
    return simulation, call


@pytest.mark.parametrize("setting", ["wrapping", "completed", "assigned"])
@pytest.mark.parametrize("worker_hangs_up", [True, False])
def test_ended_conference_sets_task_status_as_configured(setting, worker_hangs_up):
    different_setting = {"wrapping": "completed", "completed": "assigned", "assigned": "wrapping"}[
        setting
    ]
    simulation, call = simulate_conference(ended_conference=setting, ended_call=different_setting)
    simulation.hang_up(simulation.worker_leg() if worker_hangs_up else call)
    assert simulation.task_of(call).status == setting


def test_task_is_wrapping_after_conference_only_in_multitasking_workspace():
    simulation, call = simulate_conference()
    simulation.hang_up(call)
    task, reservation = simulation.task_of(call), simulation.reservation_of(call)
    assert (task.status, reservation.status) == ("wrapping", "wrapping")
    assignments.complete(simulation.engine, simulation.workspace, task)
    assert (task.status, reservation.status) == ("completed", "completed")

    simulation, call = simulate_conference(multi=False)
    simulation.hang_up(call)
    assert simulation.task_of(call).status == "completed"


def test_task_is_completed_when_dequeued_call_ends_in_multitasking_workspace():
    simulation = CallSimulation(DEQUEUE)
    simulation.workspace.multi_task_enabled = True
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.hang_up(call)
    assert simulation.task_of(call).status == "completed"


@pytest.mark.parametrize("answer_seconds", [0.0, 5.0])
def test_conference_attributes_contain_call_sids_after_worker_answers(answer_seconds):
    simulation = CallSimulation(CONFERENCE, answer_seconds=answer_seconds)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    assert ("conference" in simulation.attributes_of(call)) is (not answer_seconds)
    simulation.run(answer_seconds)
    conference = simulation.attributes_of(call)["conference"]
    assert conference["sid"].startswith("CF")
    assert conference["participants"] == {
        "worker": simulation.worker_leg().sid, "customer": call.sid
    }  # fmt: skip


def test_unanswered_conference_call_adds_no_attributes():
    simulation = CallSimulation(CONFERENCE)
    call = simulation.place_call("1", worker_answers=False)
    simulation.make_alice_idle()
    simulation.instruction = {}
    simulation.run(60)
    assert "conference" not in simulation.attributes_of(call)


@pytest.mark.parametrize(("seconds", "status"), [(15.0, "completed"), (0.1, "failed")])
def test_twiml_request_has_time_limit(app, seconds, status):
    app.set_response("/incoming_call", b"<Response/>", content_type="text/xml")
    app.delay = 0.3
    with running(callback_base_url=app.url, twiml_seconds=seconds) as taskrouter:
        assert taskrouter.place_call("+1", "+2")["status"] == status


@pytest.mark.parametrize("setting", ["leave", "error", "none"])
def test_canceled_task_removes_call_from_queue_as_configured(setting):
    simulation = CallSimulation(canceled_task_result=setting)
    simulation.documents["left_queue"] = "<Say>Sorry.</Say>"
    call = simulation.place_call("1")
    assignments.cancel(
        simulation.engine, simulation.workspace, simulation.task_of(call), "not needed"
    )
    simulation.run()
    if setting == "none":
        assert (call.status, steps(call)[-1]) == ("in-progress", "enqueued")
        simulation.hang_up(call)
        return
    assert simulation.requests()[-1][1]["QueueResult"] == setting
    assert (call.status, steps(call)[-2:]) == ("completed", ["say", "ended"])


def test_first_document_is_requested_from_configured_path(app):
    app.set_response("/voice", b"<Response/>", content_type="text/xml")
    with running(callback_base_url=app.url, voice_path="/voice") as taskrouter:
        assert taskrouter.place_call("+1", "+2")["status"] == "completed"
    assert app.received[0]["path"] == "/voice"


@pytest.mark.parametrize("seconds", [30, 600])
def test_task_for_call_has_configured_timeout(seconds):
    simulation = CallSimulation(task_timeout=seconds)
    call = simulation.place_call("1")
    simulation.run(seconds - 1)
    assert simulation.task_of(call).status == "pending"
    simulation.run(1)
    assert simulation.task_of(call).status == "canceled"


def test_full_queue_rejects_calls():
    simulation = CallSimulation(voice_queue_size=1)
    first, second = simulation.place_call("1"), simulation.place_call("1")
    assert first.queued
    assert second.queued is None
    assert simulation.requests()[-1][1]["QueueResult"] == "queue-full"
    simulation.hang_up(first)
    assert simulation.place_call("1").queued


def test_connected_call_does_not_count_as_queued():
    simulation = CallSimulation(DEQUEUE, voice_queue_size=1)
    first = simulation.place_call("1")
    simulation.make_alice_idle()
    second = simulation.place_call("1")
    assert first.partner_sid
    assert second.queued
