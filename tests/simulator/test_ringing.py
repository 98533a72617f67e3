"""A Worker's phone rings for a waiting caller while the Reservation is pending."""

import pytest

from taskrouter_simulator.engine import assignments, instructions, reservations, workers, workspaces
from tests.simulator.exchange import APP, DEQUEUE, DESK, NUMBER, Exchange

CALL = {"instruction": "call", "to": DESK, "from": NUMBER, "url": f"{APP}agent"}


def instruct(exchange, reservation, instruction):
    """Execute an instruction as REST does."""
    instructions.execute(exchange.engine, exchange.workspace, reservation, instruction)
    exchange.serve()


def ringing(**parameters):
    """Return a caller for whom Alice's phone rings for ten seconds; defer later callbacks."""
    exchange = Exchange({**DEQUEUE, **parameters}, answer_seconds=10.0)
    exchange.documents["desk"] = "<Dial>+15550003333</Dial>"
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.instruction = {}
    return exchange, call, exchange.reservation_of(call)


def statuses(exchange):
    return [call.status for call in exchange.engine.calls.values()]


def test_redirect_stops_ringing_and_resumes_reservation_timer():
    exchange, call, reservation = ringing()
    redirect = {"instruction": "redirect", "call_sid": call.sid, "url": f"{APP}desk"}
    instruct(exchange, reservation, redirect)
    assert exchange.worker_leg().status == "canceled"
    exchange.serve(1199)
    assert reservation.status == "pending"
    exchange.serve(1)
    assert reservation.status == "timeout"


def test_second_call_to_worker_replaces_first():
    exchange, call, reservation = ringing()
    instruct(exchange, reservation, DEQUEUE)
    assert statuses(exchange) == ["in-progress", "canceled", "ringing"]
    exchange.serve(10)
    assert call.partner_sid == exchange.worker_leg().sid


def test_pending_reservation_times_out_after_second_call():
    exchange, call, reservation = ringing()
    exchange.documents["agent"] = "<Hangup/>"
    instruct(exchange, reservation, CALL)
    exchange.serve(1200)
    assert reservation.status == "timeout"
    assert call.queued


@pytest.fixture
def plain():
    """A caller in a queue without a Workflow, and a Task that names the call."""
    exchange = Exchange(DEQUEUE, answer_seconds=10.0)
    exchange.documents["enqueue_call"] = "<Enqueue>desk</Enqueue>"
    call = exchange.place("1")
    exchange.make_alice_idle()
    task = exchange.task(f'{{"selected_language": "es", "call_sid": "{call.sid}"}}')
    exchange.serve(5)
    return exchange, call, exchange.reservations(task)[-1]


def test_task_over_rest_connects_named_call(plain):
    exchange, call, reservation = plain
    exchange.serve(5)
    assert (call.partner_sid, reservation.status) == (exchange.worker_leg().sid, "accepted")


def test_other_phones_stop_ringing_when_caller_is_connected(plain):
    exchange, call, _ = plain
    workers.set_attributes(
        exchange.engine, exchange.workspace, exchange.bob, exchange.alice.attributes
    )
    exchange.move(exchange.bob, "Idle")
    task = exchange.task(f'{{"selected_language": "es", "call_sid": "{call.sid}"}}')
    exchange.serve()
    assert statuses(exchange) == ["in-progress", "ringing", "ringing"]
    exchange.instruction = {}
    exchange.serve(5)
    assert statuses(exchange) == ["in-progress", "in-progress", "canceled"]
    exchange.serve(1195)
    assert exchange.reservations(task)[-1].status == "timeout"


@pytest.mark.parametrize(
    ("dialed_first", "apart", "own_is_accepted"),
    [(True, 5, True), (False, 5, False), (True, 0, False)],  # fetching a document takes time
)
def test_caller_of_two_tasks_is_connected_once(dialed_first, apart, own_is_accepted):
    exchange = Exchange(answer_seconds=10.0)
    spanish = exchange.alice.attributes
    workers.set_attributes(exchange.engine, exchange.workspace, exchange.bob, spanish)
    call = exchange.place("1")
    own = exchange.task_of(call)
    attributes = f'{{"selected_language": "es", "call_sid": "{call.sid}"}}'
    other = exchange.task(attributes, priority=0 if dialed_first else 9)

    def instruction(parameters):
        if parameters["TaskSid"] == other.sid:
            return DEQUEUE
        sid = parameters["ReservationSid"]
        exchange.documents["agent"] = f'<Dial><Queue reservationSid="{sid}"/></Dial>'
        return CALL

    exchange.instruction = instruction
    exchange.make_alice_idle()
    exchange.serve(apart)
    exchange.move(exchange.bob, "Idle")
    exchange.serve()
    exchange.instruction = {}
    exchange.serve(10 - apart)
    first, second = (own, other) if own_is_accepted else (other, own)
    assert exchange.reservations(first)[-1].status == "accepted"
    exchange.serve(5)
    assert exchange.reservations(second)[-1].status == "pending"
    legs = [call for call in exchange.engine.calls.values() if call.partner_sid]
    assert len(legs) == 2


def test_connected_caller_is_not_connected_again(plain):
    exchange, call, _ = plain
    exchange.serve(5)
    exchange.move(exchange.alice, "Idle")
    exchange.task(f'{{"selected_language": "es", "call_sid": "{call.sid}"}}')
    exchange.serve()
    assert exchange.alerts() == [40133]
    assert statuses(exchange) == ["in-progress", "in-progress"]


def test_task_over_rest_outlives_its_caller(plain):
    exchange, call, reservation = plain
    exchange.instruction = {}
    exchange.hang_up(call)
    assert (exchange.worker_leg().status, reservation.status) == ("canceled", "pending")
    exchange.serve(1195)
    assert reservation.status == "timeout"


@pytest.fixture
def both():
    """A caller, and two Workers whose phones ring for ten seconds."""
    exchange = Exchange({**DEQUEUE, "timeout": 20}, answer_seconds=10.0)
    for queue in exchange.workspace.queues.values():
        queue.max_reserved_workers = 2
    attributes = exchange.alice.attributes
    workers.set_attributes(exchange.engine, exchange.workspace, exchange.bob, attributes)
    exchange.move(exchange.bob, "Idle")
    exchange.make_alice_idle()
    return exchange


def test_first_answer_stops_other_phones(both):
    call = both.place("1")
    assert statuses(both) == ["in-progress", "ringing", "ringing"]
    both.serve(10)
    assert statuses(both) == ["in-progress", "in-progress", "canceled"]
    offered = both.reservations(both.task_of(call))
    assert [reservation.status for reservation in offered] == ["accepted", "rescinded"]
    assert both.activity_of(both.bob) == "Idle"


def test_every_offer_ends_if_nobody_answers(both):
    call = both.place("1", worker_answers=False)
    both.instruction = {}
    both.serve(20)
    offered = both.reservations(both.task_of(call))[:2]
    assert [reservation.status for reservation in offered] == ["canceled", "canceled"]


@pytest.mark.parametrize(
    "end", [assignments.accept, reservations.reject, reservations.rescind, reservations.time_out]
)
@pytest.mark.parametrize("instruction", [DEQUEUE, CALL])
def test_phone_stops_ringing_when_reservation_ends(instruction, end):
    exchange, call, reservation = ringing(**instruction)
    end(exchange.engine, exchange.workspace, reservation)
    assert exchange.worker_leg().status == "canceled"
    exchange.serve(10)
    assert (call.queued is None, call.partner_sid) == (False, None)


@pytest.mark.parametrize("result", ["leave", "none"])
def test_deleted_workspace_stops_ringing_and_releases_callers(result):
    exchange = Exchange(DEQUEUE, answer_seconds=10.0, canceled_task_result=result)
    call = exchange.place("1")
    exchange.make_alice_idle()
    workspaces.delete(exchange.engine, exchange.workspace)
    exchange.serve(10)
    assert exchange.worker_leg().status == "canceled"
    assert call.has_ended == (result == "leave")
    assert call.partner_sid is None
