"""Calls: TwiML is carried out, the caller becomes a Task, caller and Worker are connected."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine import assignments, tasks
from simulator.engine.calls.twiml import TwimlError, parse
from simulator.engine.errors import BadRequest
from tests.simulator.exchange import (
    APP,
    CALLER,
    DEQUEUE,
    DESK,
    MENU,
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


@pytest.mark.parametrize("key", [None, "", "#"])
def test_without_a_key_the_document_goes_on_after_the_gathers_time_out(key):
    exchange = Exchange()
    exchange.documents["incoming_call"] = MENU + queue('{"selected_language": "en"}')
    call = exchange.place(key)
    assert call.task_sid == ""
    exchange.serve(4.9)
    assert call.task_sid == ""
    exchange.serve(0.1)
    assert exchange.attributes_of(call)["selected_language"] == "en"


def test_no_key_leads_to_the_action_where_the_gather_says_so():
    exchange = Exchange()
    exchange.documents["incoming_call"] = MENU.replace(">", ' actionOnEmptyResult="true">', 1)
    exchange.place()
    exchange.serve(5)
    assert exchange.requests()[-1][1]["Digits"] == ""


def test_each_gather_has_a_key_of_its_own():
    exchange = Exchange()
    exchange.documents["enqueue_call"] = MENU.replace("enqueue_call", "again/here")
    exchange.documents["again/here"] = "<Redirect>../enqueue_call_at_last</Redirect>"
    exchange.documents["enqueue_call_at_last"] = "<Hangup/>"
    call = exchange.place("7", "1")
    assert [path for path, _ in exchange.requests()] == [
        "incoming_call", "enqueue_call", "again/here", "enqueue_call_at_last"
    ]  # fmt: skip
    assert [one["digits"] for one in call.steps if one["step"] == "pressed"] == ["7", "1"]
    assert call.status == "completed"


def test_a_pause_takes_its_time():
    exchange = Exchange()
    exchange.documents["incoming_call"] = '<Pause length="3"/><Say>Hello</Say>'
    call = exchange.place()
    exchange.serve(2.9)
    assert call.status == "in-progress"
    exchange.serve(0.1)
    assert (call.status, steps(call)[-2:]) == ("completed", ["say", "ended"])


def test_priority_and_timeout_of_the_task_are_heeded():
    exchange = Exchange()
    exchange.documents["enqueue_call"] = queue(more='priority="7" timeout="30"')
    call = exchange.place("1")
    assert exchange.task_of(call).priority == 7
    exchange.serve(30)
    assert exchange.task_of(call).reason == tasks.TTL_EXCEEDED


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
    exchange.documents["left_queue"] = "<Say>Goodbye.</Say>"
    call = exchange.place("1")
    exchange.at_work()
    exchange.serve(60)
    exchange.hang_up(exchange.worker_leg())
    assert exchange.task_of(call).status == "completed"
    path, parameters = exchange.requests()[-1]
    assert (path, parameters["QueueResult"], parameters["QueueTime"]) == (
        "left_queue", "bridged", "60"
    )  # fmt: skip
    assert steps(call)[-2:] == ["say", "ended"]


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
    with pytest.raises(BadRequest):
        exchange.hang_up(call)


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
    exchange.instruction = lambda parameters: {
        "instruction": "redirect",
        "call_sid": call_sid(parameters),
        "url": f"{APP}desk",
        "accept": accept,
    }
    call = exchange.place("1")
    exchange.at_work()
    assert steps(call)[-3:] == ["redirected", "document", "dialed"]
    assert exchange.reservation_of(call).status == ("accepted" if accept else "pending")
    exchange.hang_up(call)
    assert exchange.task_of(call).status == ("completed" if accept else "canceled")


def call_sid(parameters):
    return parameters["TaskAttributes"].partition('"call_sid": "')[2][:34]


@pytest.mark.parametrize(
    ("name", "code"), [("dequeue", 40133), ("conference", 40145), ("call", 40113)]
)
def test_a_caller_who_does_not_wait_any_more_cannot_be_connected(name, code):
    exchange = Exchange()
    exchange.documents["desk"] = "<Dial>+15550003333</Dial>"
    exchange.instruction = lambda parameters: {
        "instruction": "redirect", "call_sid": call_sid(parameters), "url": f"{APP}desk"
    }  # fmt: skip
    call = exchange.place("1")
    exchange.at_work()
    exchange.instruction = {
        "instruction": name, "to": DESK, "from": NUMBER, "url": f"{APP}agent"
    }  # fmt: skip
    exchange.serve(1200)
    exchange.at_work()
    assert exchange.alerts() == [code]
    assert call.partner_sid is None


def test_a_connected_call_cannot_be_redirected():
    exchange = Exchange(DEQUEUE)
    call = exchange.place("1")
    exchange.at_work()
    exchange.task('{"selected_language": "es"}')
    exchange.instruction = {"instruction": "redirect", "call_sid": call.sid, "url": f"{APP}desk"}
    exchange.move(exchange.alice, "Idle")
    exchange.serve()
    assert exchange.alerts() == [40122]


BAD_TWIML = ["<Response>", "", "{}", "<Html/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><Response/>",
             "<Response>" + "<a>" * 30 + "</a>" * 30 + "</Response>", "\ud800"]  # fmt: skip


@pytest.mark.parametrize("text", BAD_TWIML)
def test_what_is_no_twiml_is_refused(text):
    with pytest.raises(TwimlError):
        parse(text.encode("utf-8", errors="surrogatepass"))


@given(st.binary() | st.text().map(lambda text: f"<Response>{text}</Response>".encode()))
def test_no_document_raises_anything_but_the_own_error(body):
    with contextlib.suppress(TwimlError):
        assert isinstance(parse(body), tuple)


def test_bad_twiml_raises_an_alert_and_ends_the_call():
    exchange = Exchange()
    exchange.documents["incoming_call"] = "<?xml no <Response/>"
    call = exchange.place()
    assert (call.status, exchange.alerts()) == ("failed", [12100])


def test_bad_twiml_of_a_caller_who_waited_cancels_nothing_twice():
    exchange = Exchange(DEQUEUE)
    exchange.documents["left_queue"] = "<Oops"
    call = exchange.place("1")
    exchange.at_work()
    exchange.hang_up(exchange.worker_leg())
    assert (call.status, exchange.task_of(call).status) == ("failed", "completed")


def test_an_unknown_verb_is_passed_over_with_a_warning():
    exchange = Exchange()
    exchange.documents["incoming_call"] = "<Dance/><Redirect>enqueue_call</Redirect>"
    call = exchange.place()
    assert exchange.alerts() == [12200]
    assert call.task_sid


def test_a_document_that_redirects_to_itself_does_not_go_on_for_ever():
    exchange = Exchange()
    exchange.documents["incoming_call"] = "<Redirect/>"
    call = exchange.place()
    assert (call.status, exchange.alerts()) == ("failed", [12100])


@pytest.mark.parametrize("url", ["http://[", "ftp://a/b", "http://a b/", "mailto:a@b"])
def test_a_url_that_is_none_ends_the_call(url):
    exchange = Exchange()
    exchange.documents["incoming_call"] = f"<Redirect>{url}</Redirect>"
    call = exchange.place()
    assert (call.status, exchange.alerts()) == ("failed", [11100])


@pytest.mark.parametrize(
    "verb",
    [
        queue("{"),
        queue("[1]"),
        queue('"text"'),
        queue('{"a": NaN}'),
        queue('{"a": "' + "x" * 4096 + '"}'),
        queue(workflowSid="WW" + "0" * 32),
    ],
)
def test_a_task_that_cannot_be_created_raises_an_alert_and_the_caller_leaves_the_queue(verb):
    exchange = Exchange()
    exchange.documents["enqueue_call"] = verb
    call = exchange.place("1")
    assert exchange.alerts() == [14222]
    path, parameters = exchange.requests()[-1]
    assert (path, parameters["QueueResult"]) == ("left_queue", "error")
    assert (call.status, exchange.workspace.tasks) == ("completed", {})


def test_without_an_action_a_failed_enqueue_goes_on_with_the_next_verb():
    exchange = Exchange()
    failing = queue("{").replace('action="left_queue"', "")
    exchange.documents["enqueue_call"] = failing * 500 + "<Say>Sorry.</Say>"
    call = exchange.place("1")
    assert steps(call)[-2:] == ["say", "ended"]


def test_a_full_queue_takes_no_more_calls():
    exchange = Exchange(voice_queue_size=1)
    first, second = exchange.place("1"), exchange.place("1")
    assert first.waiting
    assert second.waiting is None
    assert exchange.requests()[-1][1]["QueueResult"] == "queue-full"
    exchange.hang_up(first)
    assert exchange.place("1").waiting


def test_a_task_that_is_deleted_ends_the_wait_too():
    exchange = Exchange()
    call = exchange.place("1")
    assignments.delete(exchange.engine, exchange.workspace, exchange.task_of(call))
    exchange.serve()
    assert exchange.requests()[-1][1]["QueueResult"] == "leave"
    assert call.status == "completed"
