"""Calls: TwiML is carried out, the caller becomes a Task, caller and Worker are connected."""

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


def test_a_pressed_key_leads_to_a_task_with_the_calls_attributes():
    exchange = Exchange()
    call = exchange.place("1")

    task = exchange.task_of(call)
    assert exchange.workspace.channels[task.channel_sid].unique_name == "voice"
    assert task.workflow_sid == WORKFLOW
    attributes = exchange.attributes_of(call)
    known = {
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
    assert {name: attributes[name] for name in known} == known
    places = {f"{end}_{part}" for end in ("from", "to", "caller", "called")
              for part in ("city", "state", "zip", "country")}  # fmt: skip
    assert attributes.keys() == known.keys() | places
    assert steps(call) == ["placed", "document", "say", "pressed", "document", "enqueued"]


def test_the_documents_attributes_win_over_the_calls():
    exchange = Exchange()
    exchange.documents["enqueue_call"] = queue('{"from": "a friend", "to": null}')
    attributes = exchange.attributes_of(exchange.place("1"))
    assert (attributes["from"], attributes["to"]) == ("a friend", None)
    assert attributes["caller"] == CALLER


def test_the_app_is_asked_as_twilio_asks():
    exchange = Exchange()
    call = exchange.place("1")
    (first, parameters), (second, pressed) = exchange.requests()
    assert (first, second) == ("incoming_call", "enqueue_call")
    assert parameters["CallStatus"] == "ringing"
    assert (pressed["CallStatus"], pressed["Digits"]) == ("in-progress", "1")
    for asked in (parameters, pressed):
        assert asked["CallSid"] == call.sid
        assert asked["AccountSid"] == exchange.engine.account_sid
        assert (asked["From"], asked["To"], asked["Direction"]) == (CALLER, NUMBER, "inbound")
        assert (asked["ApiVersion"], asked["FromCity"]) == ("2010-04-01", "")


@pytest.mark.parametrize("instruction", CONNECTING)
def test_caller_and_worker_are_connected_and_the_end_of_the_call_ends_the_work(instruction):
    exchange = Exchange(instruction)
    call = exchange.place("1")
    exchange.at_work()

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


def test_where_the_worker_hangs_up_the_caller_goes_on_with_the_action():
    exchange = Exchange(DEQUEUE)
    exchange.documents["left_queue"] = '<Say>Goodbye.</Say><Pause length="3"/>'
    call = exchange.place("1")
    exchange.at_work()
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


def test_a_post_work_activity_comes_when_the_call_ends():
    exchange = Exchange()
    exchange.instruction = {**DEQUEUE, "post_work_activity_sid": exchange.activity_sid("Offline")}
    call = exchange.place("1")
    exchange.at_work()
    assert exchange.activity_of(exchange.alice) == "Busy"
    exchange.hang_up(call)
    assert exchange.activity_of(exchange.alice) == "Offline"


def test_who_hangs_up_while_waiting_cancels_the_task():
    exchange = Exchange()
    call = exchange.place("1")
    exchange.at_work()
    assert exchange.reservation_of(call).status == "pending"
    exchange.hang_up(call)
    task = exchange.task_of(call)
    assert (task.status, task.reason) == ("canceled", "hangup")
    assert exchange.reservation_of(call).status == "canceled"
    assert exchange.activity_of(exchange.alice) == "Idle"
    assert [path for path, _ in exchange.requests()] == ["incoming_call", "enqueue_call"]


def test_who_hangs_up_in_the_menu_leaves_nothing_behind():
    exchange = Exchange()
    call = exchange.place()
    exchange.hang_up(call)
    exchange.serve(10)
    assert (call.status, exchange.workspace.tasks) == ("completed", {})
    assert steps(call)[-2:] == ["pressed nothing", "ended"]
    with pytest.raises(BadRequest):
        exchange.hang_up(call)


def test_only_the_newest_calls_that_have_ended_are_kept(monkeypatch):
    monkeypatch.setattr(call_control, "_MAX_CALLS", 3)
    exchange = Exchange()
    waiting, *ended = [exchange.place("1") for _ in range(3)]
    for call in ended:
        exchange.hang_up(call)
    newest = exchange.place("1")
    assert list(exchange.engine.calls) == [waiting.sid, ended[1].sid, newest.sid]


QUEUE_LEG = '<Dial><Queue reservationSid="{sid}" {more}/></Dial>'


def call_instruction(exchange, more="", **given):
    """The call instruction, and the document that the Worker's leg then gets."""

    def answer(parameters):
        sid = given.pop("sid", parameters["ReservationSid"])
        exchange.documents["agent"] = QUEUE_LEG.format(sid=sid, more=more)
        url = f"{APP}agent"
        return {"instruction": "call", "to": DESK, "from": NUMBER, "url": url, **given}

    return answer


def test_a_call_to_the_worker_leaves_the_reservation_pending_until_its_document_dials_the_queue():
    exchange = Exchange()
    offline = exchange.activity_sid("Offline")
    exchange.instruction = call_instruction(exchange, f'postWorkActivitySid="{offline}"')
    call = exchange.place("1")
    exchange.at_work()
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


def test_a_call_whose_document_dials_nothing_leaves_the_reservation_pending():
    exchange = Exchange()
    exchange.documents["agent"] = "<Say>A caller waits.</Say>"
    url = f"{APP}agent"
    exchange.instruction = {"instruction": "call", "to": DESK, "from": NUMBER, "url": url}
    call = exchange.place("1")
    exchange.at_work()
    assert exchange.reservation_of(call).status == "pending"
    assert exchange.worker_leg().status == "completed"
    exchange.serve(1200)
    assert exchange.reservation_of(call).status == "timeout"


@pytest.mark.parametrize("given", [{"accept": True}, {"sid": "WR" + "0" * 32}])
def test_a_queue_that_cannot_be_dialed_raises_an_alert(given):
    # accepted already, or not there
    exchange = Exchange()
    exchange.instruction = call_instruction(exchange, **given)
    exchange.place("1")
    exchange.at_work()
    assert exchange.alerts() == [14215]


@pytest.mark.parametrize("accept", [False, True])
def test_redirect_takes_the_caller_to_another_document(accept):
    exchange = Exchange()
    exchange.documents["desk"] = "<Dial>+15550003333</Dial>"
    exchange.instruction = redirect_to_desk(accept=accept)
    call = exchange.place("1")
    exchange.at_work()
    assert steps(call)[-3:] == ["redirected", "document", "dialed"]
    assert exchange.reservation_of(call).status == ("accepted" if accept else "pending")
    exchange.hang_up(call)
    assert exchange.task_of(call).status == ("completed" if accept else "canceled")


def redirect_to_desk(sid=None, *, accept=False):
    """The redirect instruction, by default for the call of the Task that is offered."""

    def answer(parameters):
        own = parameters["TaskAttributes"].partition('"call_sid": "')[2][:34]
        url = f"{APP}desk"
        return {"instruction": "redirect", "call_sid": sid or own, "url": url, "accept": accept}

    return answer


@pytest.mark.parametrize(
    ("name", "code"), [("dequeue", 40133), ("conference", 40145), ("call", 40113)]
)
def test_a_caller_who_does_not_wait_any_more_cannot_be_connected(name, code):
    exchange = Exchange()
    exchange.documents["desk"] = "<Dial>+15550003333</Dial>"
    exchange.instruction = redirect_to_desk()
    call = exchange.place("1")
    exchange.at_work()
    exchange.instruction = {
        "instruction": name, "to": DESK, "from": NUMBER, "url": f"{APP}agent"
    }  # fmt: skip
    exchange.serve(1200)
    exchange.at_work()
    assert exchange.alerts() == [code]
    assert call.partner_sid is None


@pytest.mark.parametrize(
    ("accept", "status", "reason"), [(False, "canceled", "redirected"), (True, "completed", None)]
)
def test_a_call_that_is_enqueued_anew_is_done_with_its_former_task(accept, status, reason):
    exchange = Exchange()
    exchange.documents["desk"] = queue(more='priority="3"')
    exchange.instruction = redirect_to_desk(accept=accept)
    call = exchange.place("1")
    former = exchange.task_of(call)
    exchange.move(exchange.alice, "Idle")
    exchange.clock.advance(0)
    exchange.move(exchange.alice, "Offline")  # so that the second Task waits
    exchange.serve()
    assert (former.status, former.reason) == (status, reason)
    assert exchange.task_of(call) is not former
    assert (exchange.task_of(call).priority, call.queued is None) == (3, False)
    exchange.hang_up(call)
    assert exchange.task_of(call).status == "canceled"


@pytest.mark.parametrize("ended", [False, True])
def test_a_call_that_is_connected_or_over_cannot_be_redirected(ended):
    exchange = Exchange(DEQUEUE)
    call = exchange.place("1")
    exchange.at_work()
    if ended:
        exchange.hang_up(call)
    exchange.task('{"selected_language": "es"}')
    exchange.instruction = redirect_to_desk(call.sid)
    exchange.move(exchange.alice, "Idle")
    exchange.serve()
    assert exchange.alerts() == [40122]
