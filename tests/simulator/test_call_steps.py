"""The steps, alerts and TwiML requests of calls, in full detail."""

import pytest

from taskrouter_simulator.engine import tasks
from taskrouter_simulator.engine.call_model import Call, Verb
from taskrouter_simulator.engine.calls import call_control, execution
from taskrouter_simulator.engine.core import Alert, CallStep, FetchTwiml
from taskrouter_simulator.engine.errors import BadRequest
from tests.simulator.call_simulation import (
    APP,
    CALLER,
    DEQUEUE,
    NUMBER,
    WORKER_NUMBER,
    WORKFLOW,
    CallSimulation,
    steps,
)

NOW = 1_700_000_000.0


def place(document, *keys, **settings):
    """Place a call whose first document consists of the given verbs."""
    simulation = CallSimulation(**settings)
    simulation.documents["incoming_call"] = document
    return simulation, simulation.place_call(*keys)


def alerts(simulation):
    return [effect for effect in simulation.effects if isinstance(effect, Alert)]


def assert_failed(simulation, call, code, message):
    """Check the alert and the last step of a failed call."""
    details = {"call_sid": call.sid, "url": call.url}
    assert alerts(simulation) == [Alert(code, message, "error", details)]
    assert call.steps[-1] == {"at": NOW, "step": "ended", "why": message, "status": "failed"}


def test_every_step_of_a_connected_call_is_recorded():
    simulation = CallSimulation({**DEQUEUE, "timeout": 20}, answer_seconds=5.0)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    leg = simulation.worker_leg()
    simulation.run(5)
    simulation.clock.advance(2)
    simulation.hang_up(leg)
    documents = {
        name: f"<Response>{text}</Response>" for name, text in simulation.documents.items()
    }
    url = f"{APP}enqueue_call"
    expected = [
        (0, "placed", {"caller": CALLER, "called": NUMBER}),
        (0, "document", {"url": f"{APP}incoming_call", "twiml": documents["incoming_call"]}),
        (0, "say", {"text": "Uno.", "language": "es"}),
        (0, "pressed", {"digits": "1"}),
        (0, "document", {"url": url, "twiml": documents["enqueue_call"]}),
        (0, "enqueued", {"queue": WORKFLOW, "task_sid": call.task_sid}),
        (0, "ringing the Worker", {"worker": "Alice", "with_call": leg.sid}),
        (5, "connected", {"to": "Alice", "with_call": leg.sid, "how": "dequeue"}),
        (7, "left the queue", {"result": "bridged"}),
        (7, "document", {"url": f"{APP}left_queue", "twiml": documents["left_queue"]}),
        (7, "ended", {"why": "the document has no more verbs", "status": "completed"}),
    ]
    assert call.steps == [
        {"at": NOW + at, "step": step, **details} for at, step, details in expected
    ]
    assert leg.steps == [
        {"at": NOW, "step": "ringing", "at_worker": "Alice", "called": WORKER_NUMBER},
        {"at": NOW + 5, "step": "connected", "with_call": call.sid, "how": "dequeue"},
        {"at": NOW + 7, "step": "ended", "why": "hung up", "status": "completed"},
    ]
    logged = [effect for effect in simulation.effects if isinstance(effect, CallStep)]
    for party in (call, leg):
        recorded = [effect for effect in logged if effect.call_sid == party.sid]
        logged_steps = [{"step": effect.step, **effect.details} for effect in recorded]
        assert logged_steps == [
            {k: v for k, v in step.items() if k != "at"} for step in party.steps
        ]
        assert (party.version, party.updated) == (len(recorded), NOW + 7)
        assert (party.partner_sid, party.queued) == (None, None)
    assert vars(leg).items() >= {
        "caller": NUMBER, "called": WORKER_NUMBER, "direction": "outbound-api", "url": "",
        "workspace_sid": simulation.workspace.sid, "caller_sid": call.sid,
        "reservation_sid": simulation.reservation_of(call).sid, "status": "completed",
    }.items()  # fmt: skip


def test_twiml_requests_have_all_parameters():
    simulation = CallSimulation()
    call = simulation.place_call("1")
    first, second = [item for item in simulation.effects if isinstance(item, FetchTwiml)]
    locations = {
        f"{party}{part}": ""
        for party in ("From", "To", "Caller", "Called")
        for part in ("City", "State", "Zip", "Country")
    }
    parameters = {
        **locations, "CallSid": call.sid, "AccountSid": simulation.engine.account_sid,
        "ApiVersion": "2010-04-01", "CallStatus": "ringing", "Direction": "inbound",
        "From": CALLER, "Caller": CALLER, "To": NUMBER, "Called": NUMBER,
    }  # fmt: skip
    assert first == FetchTwiml(call.sid, 1, f"{APP}incoming_call", parameters)
    parameters |= {"CallStatus": "in-progress", "Digits": "1"}
    assert second == FetchTwiml(call.sid, 2, f"{APP}enqueue_call", parameters)


def test_unknown_verb_is_skipped_with_a_warning():
    name = "D" * 150
    simulation, call = place(f"<{name}/><Say>Hello</Say>")
    message = f"{'D' * 100} is not a TwiML verb that the simulator supports"
    details = {"call_sid": call.sid, "url": f"{APP}incoming_call"}
    assert alerts(simulation) == [Alert(12200, message, "warning", details)]
    assert steps(call)[-2:] == ["say", "ended"]


def test_invalid_document_fails_call_with_reason():
    simulation, call = place("<Say>")
    (alert,) = alerts(simulation)
    assert alert.message.startswith("the document is not XML: ")
    assert_failed(simulation, call, 12100, alert.message)
    assert steps(call) == ["placed", "ended"]


def test_invalid_url_fails_call_with_reason():
    url = "http://[" + "x" * 200
    simulation, call = place(f"<Redirect>{url}</Redirect>")
    assert call.url == f"{APP}incoming_call"
    assert_failed(simulation, call, 11100, f"{url[:100]} is not a valid URL")


def test_call_fails_after_100_documents_without_a_pause():
    simulation, call = place("<Redirect/>")
    assert len(simulation.requests()) == 100
    reason = "more than 100 documents were requested without a pause"
    assert_failed(simulation, call, 12100, reason)


def test_only_first_failure_of_latest_request_fails_call():
    simulation = CallSimulation()
    call = simulation.place_call("1")
    call_control.redirect(simulation.engine, call.sid, f"{APP}x")
    request = call.requests
    execution.receive_failure(simulation.engine, call.sid, request - 1, 11200, "early")
    assert alerts(simulation) == []
    execution.receive_failure(simulation.engine, call.sid, request, 11200, "late")
    execution.receive_failure(simulation.engine, call.sid, request, 11200, "again")
    execution.receive_failure(simulation.engine, "CA0", request, 11200, "unknown")
    assert_failed(simulation, call, 11200, "late")
    assert call.url == f"{APP}x"


LONG = "x" * 1001


def test_long_text_is_truncated_in_steps():
    document = f"<Say>{LONG}</Say>"
    _, call = place(document)
    assert call.steps[2] == {"at": NOW, "step": "say", "text": LONG[:1000], "language": ""}
    assert call.steps[1]["twiml"] == f"<Response>{document}"[:1000]


def test_played_url_is_recorded():
    _, call = place("<Play>http://a/b.mp3</Play>")
    assert call.steps[2] == {"at": NOW, "step": "play", "text": "http://a/b.mp3", "language": ""}


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [("", 1), ('length="0"', 0), ('length="3600"', 3600), ('length="3601"', 1),
     ('length="x"', 1)],
)  # fmt: skip
def test_pause_lasts_one_second_by_default(attributes, seconds):
    simulation, call = place(f"<Pause {attributes}/>")
    simulation.clock.advance(seconds - 0.1 if seconds else 0)
    assert call.has_ended == (not seconds)
    assert call.steps[2] == {"at": NOW, "step": "paused", "seconds": seconds}
    simulation.clock.advance(0.2)
    assert call.has_ended


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [("", 5), ('timeout="0"', 0), ('timeout="3600"', 3600), ('timeout="3601"', 5)],
)
def test_gather_waits_five_seconds_by_default(attributes, seconds):
    simulation, call = place(f"<Gather {attributes}/>")
    simulation.clock.advance(seconds - 0.1 if seconds else 0)
    assert call.has_ended == (not seconds)
    assert call.steps[2] == {"at": NOW, "step": "pressed nothing", "seconds": seconds}
    simulation.clock.advance(0.2)
    assert call.has_ended


@pytest.mark.parametrize(
    ("attributes", "pressed", "digits"),
    [('numDigits="100"', "1" * 150, "1" * 100), ('numDigits="101"', "1" * 150, "1" * 150),
     ("", "12#3", "12"), ('finishOnKey=""', "12#3", "12#3"), ('numDigits="0"', "12", "")],
)  # fmt: skip
def test_gather_ends_at_digit_limit_or_finish_key(attributes, pressed, digits):
    simulation, call = place(f"<Gather {attributes}><Play>a</Play><Say>b</Say></Gather>", pressed)
    if not digits:
        assert steps(call)[-1] == "pressed nothing"
        return
    assert [step["step"] for step in call.steps[2:5]] == ["play", "say", "pressed"]
    path, parameters = simulation.requests()[1]
    assert (path, parameters["Digits"]) == ("incoming_call", digits)


@pytest.mark.parametrize("value", ["false", "TRUE", "1"])
def test_action_on_empty_result_attribute_must_be_lowercase_true(value):
    simulation, call = place(f'<Gather actionOnEmptyResult="{value}" action="enqueue_call"/>')
    simulation.run(5)
    assert (len(simulation.requests()), call.status) == (1, "completed")


@pytest.mark.parametrize(
    ("dial", "to"),
    [
        ("<Dial>+1</Dial>", "+1"),
        *((f"<Dial><{noun}>x</{noun}></Dial>", "x")
          for noun in ("Number", "Client", "Sip", "Conference", "Queue")),
        ("<Dial>+1<Other>x</Other></Dial>", "+1x"),
    ],
)  # fmt: skip
def test_dialing_call_stays_in_progress(dial, to):
    simulation, call = place(dial)
    assert call.steps[-1] == {"at": NOW, "step": "dialed", "to": to}
    assert (call.status, alerts(simulation)) == ("in-progress", [])


def test_dialing_unknown_reservation_continues_with_next_verb():
    sid = "WR" + "0" * 60
    simulation, call = place(f'<Dial><Queue reservationSid="{sid}"/></Dial><Say>x</Say>')
    details = {"call_sid": call.sid, "url": f"{APP}incoming_call"}
    message = f"Reservation {sid[:50]} has no waiting call"
    assert alerts(simulation) == [Alert(14215, message, "error", details)]
    assert steps(call)[-2:] == ["say", "ended"]


def test_redirect_ignores_unknown_call_and_rejects_ended_call():
    simulation = CallSimulation()
    call = simulation.place_call()
    call_control.redirect(simulation.engine, "CA0", f"{APP}x")
    assert len(simulation.requests()) == 1
    simulation.hang_up(call)
    with pytest.raises(BadRequest) as error:
        call_control.redirect(simulation.engine, call.sid, f"{APP}x")
    assert error.value.message == f"Call {call.sid} cannot be redirected"


def test_ended_call_is_removed_when_the_1001st_call_is_placed():
    simulation = CallSimulation()
    calls = []
    for _ in range(1000):
        call = Call(
            **vars(simulation.engine.new_resource("CA")),
            caller="", called="", direction="inbound", url="", status="completed",
        )  # fmt: skip
        execution.add(simulation.engine, call)
        calls.append(call)
    assert len(simulation.engine.calls) == 1000
    simulation.place_call()
    assert len(simulation.engine.calls) == 1000
    assert calls[0].sid not in simulation.engine.calls


@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_call_has_ended_in_every_final_status(status):
    _, call = place("<Pause/>")
    assert not call.has_ended
    call.status = status
    assert call.has_ended


def test_first_child_with_one_of_the_names_is_found():
    children = tuple(Verb(name, {}, "", ()) for name in ("A", "B", "C"))
    verb = Verb("Dial", {}, "", children)
    assert (verb.child("C", "B"), verb.child("D")) == (children[1], None)


def test_second_enqueue_cancels_first_task_with_the_reason_redirected():
    simulation = CallSimulation()
    call = simulation.place_call("1")
    first = simulation.task_of(call)
    call_control.redirect(simulation.engine, call.sid, f"{APP}enqueue_call")
    simulation.run()
    assert (first.status, first.reason) == ("canceled", "redirected")
    assert simulation.task_of(call).status == "pending"
    tasks.update(simulation.engine, simulation.workspace, simulation.task_of(call), priority=1)
    simulation.hang_up(call)
    assert simulation.task_of(call).reason == "hangup"
