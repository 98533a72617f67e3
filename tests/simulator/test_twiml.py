"""TwiML: the effect of each verb on a call."""

import pytest

from taskrouter_simulator.engine import assignments, tasks
from taskrouter_simulator.engine.calls import call_control, execution
from taskrouter_simulator.engine.core import FetchTwiml
from tests.simulator.exchange import (
    APP,
    DEQUEUE,
    MENU,
    Exchange,
    queue,
    steps,
)


@pytest.mark.parametrize("key", [None, "", "#"])
def test_gather_without_key_continues_after_timeout(key):
    exchange = Exchange()
    exchange.documents["incoming_call"] = MENU + queue('{"selected_language": "en"}')
    call = exchange.place(key)
    assert call.task_sid == ""
    exchange.serve(4.9)
    assert call.task_sid == ""
    exchange.serve(0.1)
    assert exchange.attributes_of(call)["selected_language"] == "en"


def test_gather_requests_action_on_empty_result():
    exchange = Exchange()
    exchange.documents["incoming_call"] = MENU.replace(">", ' actionOnEmptyResult="true">', 1)
    exchange.place()
    exchange.serve(5)
    assert exchange.requests()[-1][1]["Digits"] == ""


def test_each_gather_takes_next_entry_of_keys():
    exchange = Exchange()
    exchange.documents["enqueue_call"] = MENU.replace("enqueue_call", "again/here")
    exchange.documents["again/here"] = "<Redirect>../enqueue_call_at_last</Redirect>"
    exchange.documents["enqueue_call_at_last"] = "<Hangup/>"
    call = exchange.place("7", "1")
    assert [path for path, _ in exchange.requests()] == [
        "incoming_call", "enqueue_call", "again/here", "enqueue_call_at_last"
    ]  # fmt: skip
    assert [step["digits"] for step in call.steps if step["step"] == "pressed"] == ["7", "1"]
    assert call.status == "completed"


def test_pause_takes_its_length():
    exchange = Exchange()
    exchange.documents["incoming_call"] = '<Pause length="3"/><Say>Hello</Say>'
    call = exchange.place()
    exchange.serve(2.9)
    assert call.status == "in-progress"
    exchange.serve(0.1)
    assert (call.status, steps(call)[-2:]) == ("completed", ["say", "ended"])


@pytest.mark.parametrize(
    ("attributes", "pressed", "digits"),
    [
        ('numDigits="1"', "12", "1"),
        ('numDigits="4"', "12#3", "12"),
        ('finishOnKey="*"', "1#2*3", "1#2"),
        ('finishOnKey=""', "1#*", "1#*"),
        ("", "123456", "123456"),
    ],
)
def test_gather_limits_keys(attributes, pressed, digits):
    exchange = Exchange()
    exchange.documents["incoming_call"] = f'<Gather {attributes} action="enqueue_call"/>'
    exchange.place(pressed)
    assert exchange.requests()[-1][1]["Digits"] == digits


def test_pause_in_gather_does_not_delay_key():
    exchange = Exchange()
    exchange.documents["incoming_call"] = MENU.replace("</Gather>", "<Pause/></Gather>")
    assert steps(exchange.place("1"))[2:4] == ["say", "pressed"]


def test_task_noun_sets_priority_and_timeout():
    exchange = Exchange()
    exchange.documents["enqueue_call"] = queue(task_options='priority="7" timeout="30"')
    call = exchange.place("1")
    assert exchange.task_of(call).priority == 7
    exchange.serve(30)
    assert exchange.task_of(call).reason == tasks.TTL_EXCEEDED


def test_redirect_ends_pause():
    exchange = Exchange()
    exchange.documents["incoming_call"] = '<Pause length="3"/><Hangup/>'
    exchange.documents["desk"] = '<Pause length="9"/><Say>Hello</Say><Pause/>'
    call = exchange.place()
    call_control.redirect(exchange.engine, call.sid, f"{APP}desk")
    exchange.serve(8.9)
    assert steps(call)[-1] == "paused"
    exchange.serve(0.1)
    assert steps(call)[-2:] == ["say", "paused"]


def test_response_to_earlier_request_is_ignored():
    exchange = Exchange()
    exchange.documents["incoming_call"] = '<Pause length="60"/>'
    call = exchange.place()
    call_control.redirect(exchange.engine, call.sid, f"{APP}slow")
    call_control.redirect(exchange.engine, call.sid, f"{APP}fast")
    requests = [effect for effect in exchange.effects if isinstance(effect, FetchTwiml)]
    slow, fast = requests[-2:]
    for request, verb in ((slow, "Hangup"), (fast, "Pause"), (fast, "Hangup")):
        body = f"<Response><{verb}/></Response>".encode()
        execution.receive_document(exchange.engine, call.sid, request.request, body)
    assert (call.status, steps(call)[-1]) == ("in-progress", "paused")


def test_invalid_twiml_emits_alert_and_ends_call():
    exchange = Exchange()
    exchange.documents["incoming_call"] = "<?xml no <Response/>"
    call = exchange.place()
    assert (call.status, exchange.alerts()) == ("failed", [12100])


def test_invalid_twiml_after_queue_keeps_task_completed():
    exchange = Exchange(DEQUEUE)
    exchange.documents["left_queue"] = "<Oops"
    call = exchange.place("1")
    exchange.make_alice_idle()
    exchange.hang_up(exchange.worker_leg())
    assert (call.status, exchange.task_of(call).status) == ("failed", "completed")


def test_unknown_verb_is_skipped_with_warning():
    exchange = Exchange()
    exchange.documents["incoming_call"] = "<Dance/><Redirect>enqueue_call</Redirect>"
    call = exchange.place()
    assert exchange.alerts() == [12200]
    assert call.task_sid


def test_say_text_omits_markup_and_line_breaks():
    exchange = Exchange()
    exchange.documents["incoming_call"] = """<Say>Caf&#233;
        &amp; <emphasis>tea</emphasis>, <break time="1s"/>please.</Say>"""
    call = exchange.place()
    spoken = [step["text"] for step in call.steps if step["step"] == "say"]
    assert spoken == ["Café & tea, please."]


def test_task_attributes_keep_spaces():
    exchange = Exchange()
    exchange.documents["enqueue_call"] = queue('{"name": "a  b"}')
    assert exchange.attributes_of(exchange.place("1"))["name"] == "a  b"


@pytest.mark.parametrize(
    "waits", ['<Gather timeout="5"/>', '<Say>Please hold.</Say><Pause length="5"/>']
)
def test_loop_with_pause_continues(waits):
    exchange = Exchange()
    exchange.documents["incoming_call"] = f"{waits}<Redirect/>"
    call = exchange.place()
    for _ in range(150):
        exchange.serve(5)
    assert (call.status, exchange.alerts()) == ("in-progress", [])
    assert len(exchange.requests()) == 151


@pytest.mark.parametrize("document", ["<Redirect/>", '<Pause length="0"/><Redirect/>'])
def test_endless_redirect_ends_call(document):
    exchange = Exchange()
    exchange.documents["incoming_call"] = document
    call = exchange.place()
    assert (call.status, exchange.alerts()) == ("failed", [12100])


@pytest.mark.parametrize("url", ["http://[", "ftp://a/b", "http://a b/", "mailto:a@b"])
def test_invalid_url_ends_call(url):
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
def test_failed_task_creation_emits_alert_and_ends_wait(verb):
    exchange = Exchange()
    exchange.documents["enqueue_call"] = verb
    call = exchange.place("1")
    assert exchange.alerts() == [14222]
    path, parameters = exchange.requests()[-1]
    assert (path, parameters["QueueResult"]) == ("left_queue", "error")
    assert (call.status, exchange.workspace.tasks) == ("completed", {})


def test_failed_enqueue_without_action_continues_with_next_verb():
    exchange = Exchange()
    failing = queue("{").replace('action="left_queue"', "")
    exchange.documents["enqueue_call"] = failing * 500 + "<Say>Sorry.</Say>"
    call = exchange.place("1")
    assert steps(call)[-2:] == ["say", "ended"]


def test_deleted_task_ends_wait():
    exchange = Exchange()
    call = exchange.place("1")
    assignments.delete(exchange.engine, exchange.workspace, exchange.task_of(call))
    exchange.serve()
    assert exchange.requests()[-1][1]["QueueResult"] == "leave"
    assert call.status == "completed"
