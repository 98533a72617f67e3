"""Settings for undocumented behavior of calls, each with several values."""

import pytest

from taskrouter_simulator.engine import assignments
from taskrouter_simulator.testing import running
from tests.simulator.exchange import APP, DEQUEUE, DESK, NUMBER, Exchange, steps

CONFERENCE = {"instruction": "conference", "to": DESK, "from": NUMBER}


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
def test_unanswered_call_ends_reservation_as_set(instruction, setting, status, alice, task):
    exchange = Exchange({**instruction, "timeout": 20}, unanswered_call=setting)
    call = exchange.place("1", worker_answers=False)
    exchange.make_alice_idle()
    reservation = exchange.reservation_of(call)
    exchange.serve(19.9)
    assert reservation.status == "pending"
    exchange.instruction = {}
    exchange.serve(0.1)
    assert (reservation.status, exchange.activity_of(exchange.alice)) == (status, alice)
    assert exchange.task_of(call).status == task
    assert exchange.worker_leg().status == "no-answer"
    assert call.queued
    if setting == "pending":
        exchange.serve(1180)
        assert reservation.status == "timeout"


@pytest.mark.parametrize(("accept", "status"), [(False, "pending"), (True, "canceled")])
def test_unanswered_call_instruction_ends_reservation_only_if_it_accepts(accept, status):
    instruction = {"instruction": "call", "to": DESK, "from": NUMBER, "url": f"{APP}agent"}
    exchange = Exchange({**instruction, "accept": accept})
    call = exchange.place("1", worker_answers=False)
    exchange.make_alice_idle()
    reservation = exchange.reservation_of(call)
    exchange.instruction = {}
    exchange.serve(60)
    assert reservation.status == status


@pytest.mark.parametrize("seconds", [0.0, 7.0])
def test_reservation_timer_is_paused_while_phone_rings(seconds):
    exchange = Exchange(DEQUEUE, answer_seconds=seconds)
    next(iter(exchange.workspace.workflows.values())).task_reservation_timeout = 5
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.serve(seconds)
    assert exchange.reservation_of(call).status == "accepted"
    assert call.steps[-1]["at"] == exchange.clock.now()


def test_call_is_unanswered_if_ringing_reaches_time_limit():
    exchange = Exchange({**DEQUEUE, "timeout": 5}, answer_seconds=5.0, unanswered_call="timeout")
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.serve(5)
    assert exchange.reservation_of(call).status == "timeout"


def test_worker_can_decline_call():
    exchange = Exchange(DEQUEUE, answer_seconds=10.0)
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.instruction = {}
    reservation = exchange.reservation_of(call)
    exchange.hang_up(exchange.worker_leg())
    assert (reservation.status, call.status) == ("canceled", "in-progress")
    exchange.serve(10)
    assert call.partner_sid is None


def test_phone_stops_ringing_when_caller_hangs_up():
    exchange = Exchange(DEQUEUE, answer_seconds=10.0)
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.hang_up(call)
    assert exchange.worker_leg().status == "canceled"
    assert exchange.reservation_of(call).status == "canceled"
    exchange.serve(10)
    assert exchange.task_of(call).status == "canceled"


def test_accept_over_rest_stops_ringing_without_connecting():
    exchange = Exchange(DEQUEUE, answer_seconds=10.0)
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.instruction = {}
    assignments.accept(exchange.engine, exchange.workspace, exchange.reservation_of(call))
    exchange.serve(10)
    assert exchange.worker_leg().status == "canceled"
    assert call.queued


@pytest.mark.parametrize("setting", ["completed", "wrapping", "assigned"])
def test_ended_call_finishes_task_as_set(setting):
    exchange = Exchange(ended_call=setting)
    offline = exchange.activity_sid("Offline")
    exchange.instruction = {**DEQUEUE, "post_work_activity_sid": offline}
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.hang_up(call)
    task, reservation = exchange.task_of(call), exchange.reservation_of(call)
    assert task.status == setting
    assert reservation.status == ("accepted" if setting == "assigned" else setting)
    assert exchange.activity_of(exchange.alice) == "Offline"
    if setting != "completed":
        exchange.move(exchange.alice, "Idle")
        assignments.complete(exchange.engine, exchange.workspace, task)
        assert reservation.status == "completed"
        assert exchange.activity_of(exchange.alice) == "Idle"


@pytest.mark.parametrize(("seconds", "status"), [(15.0, "completed"), (0.1, "failed")])
def test_twiml_request_has_time_limit(app, seconds, status):
    app.answer("/incoming_call", b"<Response/>", kind="text/xml")
    app.delay = 0.3
    with running(callback_base_url=app.url, twiml_seconds=seconds) as taskrouter:
        assert taskrouter.place_call("+1", "+2")["status"] == status


@pytest.mark.parametrize("setting", ["leave", "error", "none"])
def test_canceled_task_removes_call_from_queue_as_set(setting):
    exchange = Exchange(canceled_task_result=setting)
    exchange.documents["left_queue"] = "<Say>Sorry.</Say>"
    call = exchange.place("1")
    assignments.cancel(exchange.engine, exchange.workspace, exchange.task_of(call), "by hand")
    exchange.serve()
    if setting == "none":
        assert (call.status, steps(call)[-1]) == ("in-progress", "enqueued")
        exchange.hang_up(call)
        return
    assert exchange.requests()[-1][1]["QueueResult"] == setting
    assert (call.status, steps(call)[-2:]) == ("completed", ["say", "ended"])


def test_first_document_is_requested_from_voice_path(app):
    app.answer("/voice", b"<Response/>", kind="text/xml")
    with running(callback_base_url=app.url, voice_path="/voice") as taskrouter:
        assert taskrouter.place_call("+1", "+2")["status"] == "completed"
    assert app.received[0]["path"] == "/voice"


@pytest.mark.parametrize("seconds", [30, 600])
def test_task_of_call_has_default_timeout(seconds):
    exchange = Exchange(task_timeout=seconds)
    call = exchange.place("1")
    exchange.serve(seconds - 1)
    assert exchange.task_of(call).status == "pending"
    exchange.serve(1)
    assert exchange.task_of(call).status == "canceled"


def test_full_queue_rejects_calls():
    exchange = Exchange(voice_queue_size=1)
    first, second = exchange.place("1"), exchange.place("1")
    assert first.queued
    assert second.queued is None
    assert exchange.requests()[-1][1]["QueueResult"] == "queue-full"
    exchange.hang_up(first)
    assert exchange.place("1").queued


def test_connected_call_does_not_count_as_queued():
    exchange = Exchange(DEQUEUE, voice_queue_size=1)
    first = exchange.place("1")
    exchange.make_alice_idle()
    second = exchange.place("1")
    assert first.partner_sid
    assert second.queued
