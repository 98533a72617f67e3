"""TwiML: what each verb does to a call."""

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
def test_a_gather_takes_as_many_keys_as_it_wants(attributes, pressed, digits):
    exchange = Exchange()
    exchange.documents["incoming_call"] = f'<Gather {attributes} action="enqueue_call"/>'
    exchange.place(pressed)
    assert exchange.requests()[-1][1]["Digits"] == digits


def test_a_pause_in_a_menu_does_not_hold_up_the_key():
    exchange = Exchange()
    exchange.documents["incoming_call"] = MENU.replace("</Gather>", "<Pause/></Gather>")
    assert steps(exchange.place("1"))[2:4] == ["say", "pressed"]


def test_priority_and_timeout_of_the_task_are_heeded():
    exchange = Exchange()
    exchange.documents["enqueue_call"] = queue(more='priority="7" timeout="30"')
    call = exchange.place("1")
    assert exchange.task_of(call).priority == 7
    exchange.serve(30)
    assert exchange.task_of(call).reason == tasks.TTL_EXCEEDED


def test_a_call_that_is_redirected_leaves_its_pause_behind():
    exchange = Exchange()
    exchange.documents["incoming_call"] = '<Pause length="3"/><Hangup/>'
    exchange.documents["desk"] = '<Pause length="9"/><Say>Hello</Say><Pause/>'
    call = exchange.place()
    call_control.redirect(exchange.engine, call.sid, f"{APP}desk")
    exchange.serve(8.9)
    assert steps(call)[-1] == "paused"
    exchange.serve(0.1)
    assert steps(call)[-2:] == ["say", "paused"]


def test_a_document_that_comes_when_another_was_asked_for_is_not_heard():
    exchange = Exchange()
    exchange.documents["incoming_call"] = '<Pause length="60"/>'
    call = exchange.place()
    call_control.redirect(exchange.engine, call.sid, f"{APP}slow")
    call_control.redirect(exchange.engine, call.sid, f"{APP}fast")
    slow, fast = [one for one in exchange.effects if isinstance(one, FetchTwiml)][-2:]
    for asked, verb in ((slow, "Hangup"), (fast, "Pause"), (fast, "Hangup")):
        body = f"<Response><{verb}/></Response>".encode()
        execution.receive_document(exchange.engine, call.sid, asked.request, body)
    assert (call.status, steps(call)[-1]) == ("in-progress", "paused")


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


def test_what_is_said_is_read_through_its_markup_and_across_its_lines():
    exchange = Exchange()
    exchange.documents["incoming_call"] = """<Say>Caf&#233;
        &amp; <emphasis>tea</emphasis>, <break time="1s"/>please.</Say>"""
    call = exchange.place()
    assert [one["text"] for one in call.steps if one["step"] == "say"] == ["Café & tea, please."]


def test_the_blanks_in_a_tasks_attributes_stay():
    exchange = Exchange()
    exchange.documents["enqueue_call"] = queue('{"name": "a  b"}')
    assert exchange.attributes_of(exchange.place("1"))["name"] == "a  b"


@pytest.mark.parametrize(
    "waits", ['<Gather timeout="5"/>', '<Say>Please hold.</Say><Pause length="5"/>']
)
def test_a_loop_that_waits_goes_on_until_somebody_hangs_up(waits):
    exchange = Exchange()
    exchange.documents["incoming_call"] = f"{waits}<Redirect/>"
    call = exchange.place()
    for _ in range(150):
        exchange.serve(5)
    assert (call.status, exchange.alerts()) == ("in-progress", [])
    assert len(exchange.requests()) == 151


@pytest.mark.parametrize("document", ["<Redirect/>", '<Pause length="0"/><Redirect/>'])
def test_a_document_that_redirects_to_itself_does_not_go_on_for_ever(document):
    exchange = Exchange()
    exchange.documents["incoming_call"] = document
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


def test_a_task_that_is_deleted_ends_the_wait_too():
    exchange = Exchange()
    call = exchange.place("1")
    assignments.delete(exchange.engine, exchange.workspace, exchange.task_of(call))
    exchange.serve()
    assert exchange.requests()[-1][1]["QueueResult"] == "leave"
    assert call.status == "completed"
