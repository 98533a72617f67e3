"""Calls: TwiML creates a Task for the caller, who is then connected with a Worker."""

import pytest

from taskrouter_simulator.engine.calls import call_control
from taskrouter_simulator.engine.errors import BadRequest
from tests.simulator.exchange import (
    APP,
    CALLER,
    DEQUEUE,
    DESK,
    NUMBER,
    WORKFLOW,
    Exchange,
    queue,
    steps,
)

CONNECTING = [DEQUEUE, {"instruction": "conference", "to": DESK, "from": NUMBER}]


def test_pressed_key_creates_task_with_call_attributes():
    exchange = Exchange()
    call = exchange.place("1")

    task = exchange.task_of(call)
    assert exchange.workspace.channels[task.channel_sid].unique_name == "voice"
    assert task.workflow_sid == WORKFLOW
    attributes = exchange.attributes_of(call)
    expected = {
        "selected_language": "es",
        "call_sid": call.sid,
        "account_sid": exchange.engine.account_sid,
        "from": CALLER,
        "caller": CALLER,
        "to": NUMBER,
        "called": NUMBER,
        "direction": "inbound",
        "call_status": "in-progress",
        "api_version": "2010-04-01",
    }
    assert {name: attributes[name] for name in expected} == expected
    locations = {f"{party}_{part}" for party in ("from", "to", "caller", "called")
                 for part in ("city", "state", "zip", "country")}  # fmt: skip
    assert attributes.keys() == expected.keys() | locations
    assert steps(call) == ["placed", "document", "say", "pressed", "document", "enqueued"]


def test_document_attributes_override_call_attributes():
    exchange = Exchange()
    exchange.documents["enqueue_call"] = queue('{"from": "a friend", "to": null}')
    attributes = exchange.attributes_of(exchange.place("1"))
    assert (attributes["from"], attributes["to"]) == ("a friend", None)
    assert attributes["caller"] == CALLER


def test_twiml_requests_have_twilio_parameters():
    exchange = Exchange()
    call = exchange.place("1")
    (first, parameters), (second, pressed) = exchange.requests()
    assert (first, second) == ("incoming_call", "enqueue_call")
    assert parameters["CallStatus"] == "ringing"
    assert (pressed["CallStatus"], pressed["Digits"]) == ("in-progress", "1")
    for request in (parameters, pressed):
        assert request["CallSid"] == call.sid
        assert request["AccountSid"] == exchange.engine.account_sid
        assert (request["From"], request["To"], request["Direction"]) == (CALLER, NUMBER, "inbound")
        assert (request["ApiVersion"], request["FromCity"]) == ("2010-04-01", "")


@pytest.mark.parametrize("instruction", CONNECTING)
def test_hangup_completes_task_of_connected_call(instruction):
    exchange = Exchange(instruction)
    call = exchange.place("1")
    exchange.make_alice_idle()

    leg = exchange.worker_leg()
    assert exchange.reservation_of(call).status == "accepted"
    assert exchange.task_of(call).status == "assigned"
    assert (call.partner_sid, leg.partner_sid) == (leg.sid, call.sid)
    assert (leg.caller, leg.called) == (NUMBER, DESK)
    assert call.steps[-1]["to"] == "Alice"
    if instruction is DEQUEUE:
        assert exchange.attributes_of(call)["worker_call_sid"] == leg.sid

    exchange.hang_up(call)
    assert exchange.reservation_of(call).status == "completed"
    assert exchange.task_of(call).status == "completed"
    exchange.serve()
    assert call.status == "completed"
    assert leg.status == "completed"
    assert exchange.alerts() == []


def test_worker_hangup_continues_caller_with_action():
    exchange = Exchange(DEQUEUE)
    exchange.documents["left_queue"] = '<Say>Goodbye.</Say><Pause length="3"/>'
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.serve(60)
    exchange.hang_up(exchange.worker_leg())
    assert exchange.task_of(call).status == "completed"
    path, parameters = exchange.requests()[-1]
    assert (path, parameters["QueueResult"], parameters["QueueTime"]) == (
        "left_queue", "bridged", "60"
    )  # fmt: skip
    assert steps(call)[-2:] == ["say", "paused"]
    exchange.serve(3)
    assert call.status == "completed"


def test_post_work_activity_is_set_when_call_ends():
    exchange = Exchange()
    exchange.instruction = {**DEQUEUE, "post_work_activity_sid": exchange.activity_sid("Offline")}
    call = exchange.place("1")
    exchange.make_alice_idle()
    assert exchange.activity_of(exchange.alice) == "Busy"
    exchange.hang_up(call)
    assert exchange.activity_of(exchange.alice) == "Offline"


def test_hangup_while_waiting_cancels_task():
    exchange = Exchange()
    call = exchange.place("1")
    exchange.make_alice_idle()
    assert exchange.reservation_of(call).status == "pending"
    exchange.hang_up(call)
    task = exchange.task_of(call)
    assert (task.status, task.reason) == ("canceled", "hangup")
    assert exchange.reservation_of(call).status == "canceled"
    assert exchange.activity_of(exchange.alice) == "Idle"
    assert [path for path, _ in exchange.requests()] == ["incoming_call", "enqueue_call"]


def test_hangup_in_menu_creates_no_task():
    exchange = Exchange()
    call = exchange.place()
    exchange.hang_up(call)
    exchange.serve(10)
    assert (call.status, exchange.workspace.tasks) == ("completed", {})
    assert steps(call)[-2:] == ["pressed nothing", "ended"]
    with pytest.raises(BadRequest):
        exchange.hang_up(call)


def test_oldest_ended_call_is_dropped_above_limit(monkeypatch):
    monkeypatch.setattr(call_control, "_MAX_CALLS", 3)
    exchange = Exchange()
    waiting, *ended = [exchange.place("1") for _ in range(3)]
    for call in ended:
        exchange.hang_up(call)
    newest = exchange.place("1")
    assert list(exchange.engine.calls) == [waiting.sid, ended[1].sid, newest.sid]


DIAL_QUEUE = '<Dial><Queue reservationSid="{sid}" {attributes}/></Dial>'


def call_instruction(exchange, queue_attributes="", **options):
    """Return a call instruction, and define the document of the Worker's leg."""

    def answer(parameters):
        sid = options.pop("sid", parameters["ReservationSid"])
        exchange.documents["agent"] = DIAL_QUEUE.format(sid=sid, attributes=queue_attributes)
        url = f"{APP}agent"
        return {"instruction": "call", "to": DESK, "from": NUMBER, "url": url, **options}

    return answer


def test_call_instruction_accepts_when_document_dials_queue():
    exchange = Exchange()
    offline = exchange.activity_sid("Offline")
    exchange.instruction = call_instruction(exchange, f'postWorkActivitySid="{offline}"')
    call = exchange.place("1")
    exchange.make_alice_idle()
    leg = exchange.worker_leg()
    path, parameters = exchange.requests()[-1]
    assert (path, parameters["CallSid"], parameters["Direction"]) == (
        "agent", leg.sid, "outbound-api"
    )  # fmt: skip
    assert exchange.reservation_of(call).status == "accepted"
    assert call.partner_sid == leg.sid
    exchange.hang_up(call)
    assert exchange.task_of(call).status == "completed"
    assert exchange.activity_of(exchange.alice) == "Offline"


def test_call_instruction_without_dial_leaves_reservation_pending():
    exchange = Exchange()
    exchange.documents["agent"] = "<Say>A caller waits.</Say>"
    url = f"{APP}agent"
    exchange.instruction = {"instruction": "call", "to": DESK, "from": NUMBER, "url": url}
    call = exchange.place("1")
    exchange.make_alice_idle()
    assert exchange.reservation_of(call).status == "pending"
    assert exchange.worker_leg().status == "completed"
    exchange.serve(1200)
    assert exchange.reservation_of(call).status == "timeout"


@pytest.mark.parametrize("options", [{"accept": True}, {"sid": "WR" + "0" * 32}])
def test_dialing_unavailable_reservation_emits_alert(options):
    # The Reservation is already accepted or does not exist.
    exchange = Exchange()
    exchange.instruction = call_instruction(exchange, **options)
    exchange.place("1")
    exchange.make_alice_idle()
    assert exchange.alerts() == [14215]


@pytest.mark.parametrize("accept", [False, True])
def test_redirect_moves_caller_to_another_document(accept):
    exchange = Exchange()
    exchange.documents["desk"] = "<Dial>+15550003333</Dial>"
    exchange.instruction = redirect_to_desk(accept=accept)
    call = exchange.place("1")
    exchange.make_alice_idle()
    assert steps(call)[-3:] == ["redirected", "document", "dialed"]
    assert exchange.reservation_of(call).status == ("accepted" if accept else "pending")
    exchange.hang_up(call)
    assert exchange.task_of(call).status == ("completed" if accept else "canceled")


def redirect_to_desk(sid=None, *, accept=False):
    """Return a redirect instruction, by default for the call of the offered Task."""

    def answer(parameters):
        task_call_sid = parameters["TaskAttributes"].partition('"call_sid": "')[2][:34]
        url = f"{APP}desk"
        return {
            "instruction": "redirect",
            "call_sid": sid or task_call_sid,
            "url": url,
            "accept": accept,
        }

    return answer


@pytest.mark.parametrize(
    ("name", "code"), [("dequeue", 40133), ("conference", 40145), ("call", 40113)]
)
def test_caller_no_longer_waiting_is_not_connected(name, code):
    exchange = Exchange()
    exchange.documents["desk"] = "<Dial>+15550003333</Dial>"
    exchange.instruction = redirect_to_desk()
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.instruction = {
        "instruction": name, "to": DESK, "from": NUMBER, "url": f"{APP}agent"
    }  # fmt: skip
    exchange.serve(1200)
    exchange.make_alice_idle()
    assert exchange.alerts() == [code]
    assert call.partner_sid is None


@pytest.mark.parametrize(
    ("accept", "status", "reason"), [(False, "canceled", "redirected"), (True, "completed", None)]
)
def test_second_enqueue_finishes_first_task(accept, status, reason):
    exchange = Exchange()
    exchange.documents["desk"] = queue(task_options='priority="3"')
    exchange.instruction = redirect_to_desk(accept=accept)
    call = exchange.place("1")
    first = exchange.task_of(call)
    exchange.move(exchange.alice, "Idle")
    exchange.clock.advance(0)
    exchange.move(exchange.alice, "Offline")  # the second Task waits
    exchange.serve()
    assert (first.status, first.reason) == (status, reason)
    assert exchange.task_of(call) is not first
    assert (exchange.task_of(call).priority, call.queued is None) == (3, False)
    exchange.hang_up(call)
    assert exchange.task_of(call).status == "canceled"


@pytest.mark.parametrize("ended", [False, True])
def test_connected_or_ended_call_is_not_redirected(ended):
    exchange = Exchange(DEQUEUE)
    call = exchange.place("1")
    exchange.make_alice_idle()
    if ended:
        exchange.hang_up(call)
    exchange.task('{"selected_language": "es"}')
    exchange.instruction = redirect_to_desk(call.sid)
    exchange.move(exchange.alice, "Idle")
    exchange.serve()
    assert exchange.alerts() == [40122]
