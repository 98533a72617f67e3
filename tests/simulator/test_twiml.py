"""TwiML verbs and their effects on a call."""

import pytest

from taskrouter_simulator.engine import assignments, tasks
from taskrouter_simulator.engine.calls import call_control, execution
from taskrouter_simulator.engine.core import FetchTwiml
from tests.simulator.call_simulation import (
    APP,
    DEQUEUE,
    MENU,
    CallSimulation,
    enqueue_verb,
    steps,
)


@pytest.mark.parametrize("key", [None, "", "#"])
def test_call_continues_after_gather_times_out_without_digits(key):
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = MENU + enqueue_verb('{"selected_language": "en"}')
    call = simulation.place_call(key)
    assert call.task_sid == ""
    simulation.run(4.9)
    assert call.task_sid == ""
    simulation.run(0.1)
    assert simulation.attributes_of(call)["selected_language"] == "en"


def test_gather_can_request_its_action_url_without_digits():
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = MENU.replace(">", ' actionOnEmptyResult="true">', 1)
    simulation.place_call()
    simulation.run(5)
    assert simulation.requests()[-1][1]["Digits"] == ""


def test_each_gather_gets_next_pressed_keys():
    simulation = CallSimulation()
    simulation.documents["enqueue_call"] = MENU.replace("enqueue_call", "menus/second")
    simulation.documents["menus/second"] = "<Redirect>../last_document</Redirect>"
    simulation.documents["last_document"] = "<Hangup/>"
    call = simulation.place_call("7", "1")
    assert [path for path, _ in simulation.requests()] == [
        "incoming_call", "enqueue_call", "menus/second", "last_document"
    ]  # fmt: skip
    assert [step["digits"] for step in call.steps if step["step"] == "pressed"] == ["7", "1"]
    assert call.status == "completed"


def test_pause_has_requested_length():
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = '<Pause length="3"/><Say>Hello</Say>'
    call = simulation.place_call()
    simulation.run(2.9)
    assert call.status == "in-progress"
    simulation.run(0.1)
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
def test_gather_applies_digit_limit_and_finish_key(attributes, pressed, digits):
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = f'<Gather {attributes} action="enqueue_call"/>'
    simulation.place_call(pressed)
    assert simulation.requests()[-1][1]["Digits"] == digits


def test_pause_in_gather_does_not_delay_a_key_press():
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = MENU.replace("</Gather>", "<Pause/></Gather>")
    assert steps(simulation.place_call("1"))[2:4] == ["say", "pressed"]


def test_task_noun_sets_priority_and_timeout():
    simulation = CallSimulation()
    simulation.documents["enqueue_call"] = enqueue_verb(task_options='priority="7" timeout="30"')
    call = simulation.place_call("1")
    assert simulation.task_of(call).priority == 7
    simulation.run(30)
    assert simulation.task_of(call).reason == tasks.TTL_EXCEEDED


def test_redirect_ends_pause():
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = '<Pause length="3"/><Hangup/>'
    simulation.documents["transfer"] = '<Pause length="9"/><Say>Hello</Say><Pause/>'
    call = simulation.place_call()
    call_control.redirect(simulation.engine, call.sid, f"{APP}transfer")
    simulation.run(8.9)
    assert steps(call)[-1] == "paused"
    simulation.run(0.1)
    assert steps(call)[-2:] == ["say", "paused"]


def test_response_to_earlier_request_is_ignored():
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = '<Pause length="60"/>'
    call = simulation.place_call()
    call_control.redirect(simulation.engine, call.sid, f"{APP}slow")
    call_control.redirect(simulation.engine, call.sid, f"{APP}fast")
    requests = [effect for effect in simulation.effects if isinstance(effect, FetchTwiml)]
    slow, fast = requests[-2:]
    for request, verb in ((slow, "Hangup"), (fast, "Pause"), (fast, "Hangup")):
        body = f"<Response><{verb}/></Response>".encode()
        execution.receive_document(simulation.engine, call.sid, request.request, body)
    assert (call.status, steps(call)[-1]) == ("in-progress", "paused")


def test_invalid_twiml_emits_alert_and_ends_call():
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = "<?xml no <Response/>"
    call = simulation.place_call()
    assert (call.status, simulation.alert_codes()) == ("failed", [12100])


def test_task_remains_completed_if_the_twiml_after_leaving_the_queue_is_invalid():
    simulation = CallSimulation(DEQUEUE)
    simulation.documents["left_queue"] = "<Oops"
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.hang_up(simulation.worker_leg())
    assert (call.status, simulation.task_of(call).status) == ("failed", "completed")


def test_unknown_verb_emits_alert_and_is_skipped():
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = "<Dance/><Redirect>enqueue_call</Redirect>"
    call = simulation.place_call()
    assert simulation.alert_codes() == [12200]
    assert call.task_sid


def test_say_text_omits_markup_and_line_breaks():
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = """<Say>Caf&#233;
        &amp; <emphasis>tea</emphasis>, <break time="1s"/>please.</Say>"""
    call = simulation.place_call()
    spoken = [step["text"] for step in call.steps if step["step"] == "say"]
    assert spoken == ["Café & tea, please."]


def test_task_attributes_keep_spaces():
    simulation = CallSimulation()
    simulation.documents["enqueue_call"] = enqueue_verb('{"name": "a  b"}')
    assert simulation.attributes_of(simulation.place_call("1"))["name"] == "a  b"


@pytest.mark.parametrize(
    "waiting_verbs", ['<Gather timeout="5"/>', '<Say>Please hold.</Say><Pause length="5"/>']
)
def test_redirect_loop_with_pause_continues(waiting_verbs):
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = f"{waiting_verbs}<Redirect/>"
    call = simulation.place_call()
    for _ in range(150):
        simulation.run(5)
    assert (call.status, simulation.alert_codes()) == ("in-progress", [])
    assert len(simulation.requests()) == 151


@pytest.mark.parametrize("document", ["<Redirect/>", '<Pause length="0"/><Redirect/>'])
def test_endless_redirect_without_pause_ends_call(document):
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = document
    call = simulation.place_call()
    assert (call.status, simulation.alert_codes()) == ("failed", [12100])


@pytest.mark.parametrize("url", ["http://[", "ftp://a/b", "http://a b/", "mailto:a@b"])
def test_invalid_url_ends_call(url):
    simulation = CallSimulation()
    simulation.documents["incoming_call"] = f"<Redirect>{url}</Redirect>"
    call = simulation.place_call()
    assert (call.status, simulation.alert_codes()) == ("failed", [11100])


@pytest.mark.parametrize(
    "verb",
    [
        enqueue_verb("{"),
        enqueue_verb("[1]"),
        enqueue_verb('"text"'),
        enqueue_verb('{"a": NaN}'),
        enqueue_verb('{"a": "' + "x" * 4096 + '"}'),
        enqueue_verb(workflowSid="WW" + "0" * 32),
    ],
)
def test_failed_task_creation_emits_alert_and_ends_wait(verb):
    simulation = CallSimulation()
    simulation.documents["enqueue_call"] = verb
    call = simulation.place_call("1")
    assert simulation.alert_codes() == [14222]
    path, parameters = simulation.requests()[-1]
    assert (path, parameters["QueueResult"]) == ("left_queue", "error")
    assert (call.status, simulation.workspace.tasks) == ("completed", {})


def test_call_continues_with_the_next_verb_if_enqueue_fails_and_has_no_action():
    simulation = CallSimulation()
    failing = enqueue_verb("{").replace('action="left_queue"', "")
    simulation.documents["enqueue_call"] = failing * 500 + "<Say>Sorry.</Say>"
    call = simulation.place_call("1")
    assert steps(call)[-2:] == ["say", "ended"]


def test_deleted_task_ends_wait():
    simulation = CallSimulation()
    call = simulation.place_call("1")
    assignments.delete(simulation.engine, simulation.workspace, simulation.task_of(call))
    simulation.run()
    assert simulation.requests()[-1][1]["QueueResult"] == "leave"
    assert call.status == "completed"
