"""Status callbacks of calls to Workers: events, parameters, method and signature."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from twilio.request_validator import RequestValidator

from taskrouter_simulator.engine import assignments
from taskrouter_simulator.engine.calls import call_control
from taskrouter_simulator.engine.core import StatusCallback
from taskrouter_simulator.testing import running
from tests.simulator.call_simulation import (
    APP,
    CALLER,
    DEQUEUE,
    NUMBER,
    WORKER_NUMBER,
    CallSimulation,
    enqueue_verb,
)

STATUS_URL = "http://status.example/progress?tenant=7"
ALL_EVENTS = "initiated,ringing,answered,completed"
DEQUEUE_ALL = {**DEQUEUE, "status_callback_url": STATUS_URL, "status_callback_events": ALL_EVENTS}
CALL = {
    "instruction": "call", "to": WORKER_NUMBER, "from": NUMBER, "url": f"{APP}agent",
    "status_callback_url": STATUS_URL,
}  # fmt: skip
CONFERENCE = {
    "instruction": "conference", "to": WORKER_NUMBER, "from": NUMBER,
    "status_callback": STATUS_URL, "end_conference_on_exit": True,
}  # fmt: skip


def simulate(instruction, **settings):
    """Return a simulation, and the call of a waiting caller whose Task is offered to Alice."""
    simulation = CallSimulation(instruction, **settings)
    simulation.documents["agent"] = "<Pause length='30'/>"
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    return simulation, call


def callbacks(simulation):
    return [effect for effect in simulation.effects if isinstance(effect, StatusCallback)]


def reported(simulation):
    """Return the CallStatus and the SequenceNumber of each status callback."""
    return [
        (item.parameters["CallStatus"], item.parameters["SequenceNumber"])
        for item in callbacks(simulation)
    ]


def test_dequeue_instruction_reports_every_requested_event_in_order():
    simulation, call = simulate(DEQUEUE_ALL, answer_seconds=5.0)
    assert reported(simulation) == [("initiated", "0"), ("ringing", "1")]
    simulation.run(5)
    assert reported(simulation)[2:] == [("in-progress", "2")]
    simulation.clock.advance(61.5)
    simulation.hang_up(call)
    assert reported(simulation)[3:] == [("completed", "3")]


def test_dequeue_status_callback_contains_the_task_call_sid():
    simulation, call = simulate(DEQUEUE_ALL, answer_seconds=5.0)
    simulation.run(5)
    simulation.clock.advance(61.5)
    simulation.hang_up(simulation.worker_leg())
    first, *_, last = callbacks(simulation)
    leg = simulation.worker_leg()
    assert {(item.method, item.url) for item in callbacks(simulation)} == {("GET", STATUS_URL)}
    common = {
        **leg.parameters(simulation.engine.account_sid),
        "CallSid": leg.sid, "AccountSid": simulation.engine.account_sid,
        "From": NUMBER, "To": WORKER_NUMBER, "Direction": "outbound-api",
        "CallbackSource": "call-progress-events", "taskCallSid": call.sid,
    }  # fmt: skip
    assert first.parameters == {
        **common, "CallStatus": "initiated", "SequenceNumber": "0",
        "Timestamp": "Tue, 14 Nov 2023 22:13:20 +0000",
    }  # fmt: skip
    assert last.parameters == {
        **common, "CallStatus": "completed", "SequenceNumber": "3", "CallDuration": "61",
        "Timestamp": "Tue, 14 Nov 2023 22:14:26 +0000",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (None, [("completed", "0")]),
        ("completed", [("completed", "0")]),
        ("answered,completed", [("in-progress", "0"), ("completed", "1")]),
        ([" ringing "], [("ringing", "0")]),
        ("initiated", [("initiated", "0")]),
    ],
)
def test_dequeue_instruction_reports_only_requested_events(events, expected):
    simulation, call = simulate({**DEQUEUE_ALL, "status_callback_events": events})
    simulation.hang_up(call)
    assert reported(simulation) == expected


def test_nothing_is_reported_without_a_status_callback_url():
    simulation, call = simulate({**DEQUEUE, "status_callback_events": ALL_EVENTS})
    simulation.hang_up(call)
    assert callbacks(simulation) == []


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_call_reports_its_end_with_the_configured_method(method):
    simulation, call = simulate(CALL, call_status_callback_method=method.lower())
    assert callbacks(simulation) == []
    simulation.run(30)
    (callback,) = callbacks(simulation)
    assert (callback.method, callback.url) == (method, STATUS_URL)
    assert callback.parameters["CallStatus"] == "completed"
    assert callback.parameters["CallDuration"] == "30"
    assert callback.parameters["taskCallSid"] == call.sid


@pytest.mark.parametrize("method", ["POST", "GET", None])
@pytest.mark.parametrize(
    ("events", "expected"),
    [(None, ["completed"]), (["answered", "initiated"], ["initiated", "in-progress"])],
)
def test_conference_instruction_reports_the_status_of_the_workers_call(method, events, expected):
    simulation, _ = simulate(
        {**CONFERENCE, "status_callback_method": method, "status_callback_event": events}
    )
    simulation.hang_up(simulation.worker_leg())
    assert [item.parameters["CallStatus"] for item in callbacks(simulation)] == expected
    assert {item.method for item in callbacks(simulation)} == {method or "POST"}
    assert all("taskCallSid" not in item.parameters for item in callbacks(simulation))


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda simulation, _call: simulation.run(10), "no-answer"),
        (lambda simulation, _call: simulation.hang_up(simulation.worker_leg()), "no-answer"),
        (lambda simulation, call: simulation.hang_up(call), "canceled"),
    ],
    ids=["no answer", "declined", "caller hangs up"],
)
def test_unanswered_call_is_reported_with_the_completed_event(end, status):
    simulation = CallSimulation({**DEQUEUE_ALL, "timeout": 10}, answer_seconds=10.0)
    call = simulation.place_call("1")
    simulation.make_alice_idle()
    simulation.instruction = {}
    end(simulation, call)
    last = callbacks(simulation)[-1].parameters
    assert (last["CallStatus"], last["CallDuration"]) == (status, "0")
    assert [status for status, _ in reported(simulation)][:2] == ["initiated", "ringing"]
    assert len(callbacks(simulation)) == 3


def offer_without_call(instruction, **attributes):
    """Return a simulation, a Task without a simulated call, and the Task's Reservation."""
    simulation = CallSimulation(instruction)
    simulation.documents["agent"] = "<Pause length='30'/>"
    task = simulation.create_task(json.dumps({"selected_language": "es", **attributes}))
    simulation.make_alice_idle()
    return simulation, task, simulation.reservations(task)[-1]


UNKNOWN_CALL = "CA" + "5" * 32


@pytest.mark.parametrize("operation", [assignments.complete, assignments.wrap, assignments.delete])
def test_call_to_worker_ends_when_a_task_with_an_unknown_call_is_no_longer_assigned(operation):
    simulation, task, reservation = offer_without_call(DEQUEUE_ALL, call_sid=UNKNOWN_CALL)
    leg = simulation.worker_leg()
    assert (reservation.status, leg.status) == ("accepted", "in-progress")
    assert json.loads(task.attributes)["worker_call_sid"] == leg.sid
    assert leg.steps[-1] == {
        "at": simulation.engine.now(), "step": "connected", "with_call": None, "how": "dequeue"
    }  # fmt: skip
    operation(simulation.engine, simulation.workspace, task)
    assert leg.status == "completed"
    assert leg.steps[-1]["why"] == "the caller is assumed to have hung up"
    assert reported(simulation)[-1] == ("completed", "3")
    assert callbacks(simulation)[-1].parameters["taskCallSid"] == UNKNOWN_CALL


def test_worker_hangup_completes_a_task_with_an_unknown_call():
    simulation, task, _ = offer_without_call(DEQUEUE_ALL, call_sid=UNKNOWN_CALL)
    simulation.hang_up(simulation.worker_leg())
    assert task.status == "completed"
    assert len(callbacks(simulation)) == 4


def test_call_instruction_calls_the_worker_if_the_task_has_no_call():
    simulation, _, reservation = offer_without_call(CALL)
    leg = simulation.worker_leg()
    assert [path for path, _ in simulation.requests()] == ["agent"]
    assert (leg.status, reservation.status) == ("in-progress", "pending")
    simulation.run(30)
    (callback,) = callbacks(simulation)
    assert callback.parameters["CallStatus"] == "completed"
    assert "taskCallSid" not in callback.parameters


def test_worker_call_with_its_own_twiml_document_continues_after_the_task_is_completed():
    simulation, task, _ = offer_without_call({**CALL, "accept": True})
    assignments.complete(simulation.engine, simulation.workspace, task)
    assert simulation.worker_leg().status == "in-progress"


def test_call_to_worker_for_another_task_continues_when_task_ends():
    simulation, task, _ = offer_without_call(DEQUEUE_ALL, call_sid=UNKNOWN_CALL)
    call = simulation.place_call("1")
    simulation.set_activity(simulation.alice, "Idle")
    simulation.run()
    first, second = (leg for leg in simulation.engine.calls.values() if leg.reservation_sid)
    assignments.complete(simulation.engine, simulation.workspace, task)
    assert (first.status, second.status, call.partner_sid) == (
        "completed", "in-progress", second.sid
    )  # fmt: skip
    assignments.complete(simulation.engine, simulation.workspace, simulation.task_of(call))
    assert second.status == "in-progress"


def test_ringing_phone_can_be_answered_manually():
    simulation = CallSimulation(DEQUEUE_ALL)
    call = simulation.place_call("1", worker_answers=False)
    simulation.make_alice_idle()
    leg = simulation.worker_leg()
    assert (leg.status, simulation.reservation_of(call).status) == ("ringing", "pending")
    simulation.run(59)
    call_control.answer(leg)
    assert (leg.status, call.partner_sid) == ("in-progress", leg.sid)
    assert simulation.reservation_of(call).status == "accepted"
    assert leg.on_answer is leg.on_no_answer is None
    simulation.run(60)
    assert leg.status == "in-progress"


# Over HTTP


def twiml(verbs):
    return f"<Response>{verbs}</Response>".encode()


@pytest.fixture
def app_and_taskrouter(app):
    """An app that enqueues callers, and a simulator in which Alice is idle."""
    app.set_response("/incoming_call", twiml(enqueue_verb(action="")), content_type="text/xml")
    with running(callback_base_url=app.url) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        alice = workspace.workers(taskrouter.workers["Alice"])
        alice.update(activity_sid=taskrouter.activities["Idle"])
        yield app, taskrouter


def test_callback_sent_with_get_is_signed_without_body_parameters(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    url = f"{app.url}/status?tenant=7#rc=0"
    app.set_response("/assignment_callback", {**DEQUEUE, "status_callback_url": url})
    call = taskrouter.place_call(CALLER, NUMBER)
    taskrouter.hang_up(call["sid"])
    request = app.received[-1]
    assert (request["method"], request["parameters"]) == ("GET", {})
    assert request["path"].startswith("/status?tenant=7&")
    assert "Content-Type" not in request["headers"]
    signature = request["headers"]["X-Twilio-Signature"]
    validator = RequestValidator(taskrouter.auth_token)
    assert validator.validate(app.url + request["path"], {}, signature)
    query = dict(parse_qsl(urlsplit(request["path"]).query, keep_blank_values=True))
    assert (query["taskCallSid"], query["CallStatus"]) == (call["sid"], "completed")
    (entry,) = taskrouter.log("status")
    assert (entry["method"], entry["url"], entry["status"]) == ("GET", url, 200)
    assert entry["parameters"] == {k: v for k, v in query.items() if k != "tenant"}
    assert taskrouter.log("alert") == []


def test_callback_sent_with_get_adds_a_query_string(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    url = f"{app.url}/status"
    app.set_response("/assignment_callback", {**DEQUEUE, "status_callback_url": url})
    taskrouter.hang_up(taskrouter.place_call(CALLER, NUMBER)["sid"])
    assert app.received[-1]["path"].startswith("/status?FromCity=&")


def test_callback_sent_with_post_is_signed_with_its_form(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    url = f"{app.url}/status"
    body = {**CONFERENCE, "status_callback": url, "end_conference_on_customer_exit": True}
    app.set_response("/assignment_callback", body)
    taskrouter.hang_up(taskrouter.place_call(CALLER, NUMBER)["sid"])
    request = app.received[-1]
    assert (request["method"], request["path"]) == ("POST", "/status")
    assert request["parameters"]["CallStatus"] == "completed"
    signature = request["headers"]["X-Twilio-Signature"]
    assert RequestValidator(taskrouter.auth_token).validate(url, request["parameters"], signature)


@pytest.mark.parametrize(
    ("status", "codes"), [(200, []), (299, []), (300, [11200]), (500, [11200])]
)
def test_status_callback_emits_an_alert_only_if_it_fails(app_and_taskrouter, status, codes):
    app, taskrouter = app_and_taskrouter
    url = f"{app.url}/status"
    app.set_response("/status", {}, status)
    app.set_response("/assignment_callback", {**DEQUEUE, "status_callback_url": url})
    call = taskrouter.place_call(CALLER, NUMBER)
    assert taskrouter.hang_up(call["sid"])["status"] == "completed"
    alerts = taskrouter.log("alert")
    assert [(alert["code"], alert["url"]) for alert in alerts] == [(code, url) for code in codes]


@pytest.mark.parametrize(
    ("kind", "method", "requests"),
    [("duplicate", "GET", 2), ("cut", "GET", 0), ("duplicate", "POST", 1), ("duplicate", None, 2)],
)
def test_status_callback_is_subject_to_faults(app_and_taskrouter, kind, method, requests):
    app, taskrouter = app_and_taskrouter
    url = f"{app.url}/status#rc=0"
    app.set_response("/assignment_callback", {**DEQUEUE, "status_callback_url": url})
    taskrouter.fault("status", kind, method=method, path="/status")
    taskrouter.hang_up(taskrouter.place_call(CALLER, NUMBER)["sid"])
    received = [item for item in app.received if item["path"].startswith("/status")]
    assert len(received) == requests


@pytest.mark.parametrize(("seconds", "codes"), [(15.0, []), (0.05, [11200])])
def test_status_callback_has_time_limit(app, seconds, codes):
    app.set_response("/incoming_call", twiml(enqueue_verb(action="")), content_type="text/xml")
    url = f"{app.url}/status"
    app.set_response("/assignment_callback", {**DEQUEUE, "status_callback_url": url})
    with running(callback_base_url=app.url, status_callback_seconds=seconds) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        workspace.workers(taskrouter.workers["Alice"]).update(
            activity_sid=taskrouter.activities["Idle"]
        )
        call = taskrouter.place_call(CALLER, NUMBER)
        app.delay = 0.2
        taskrouter.hang_up(call["sid"])
        app.delay = 0.0
        assert [alert["code"] for alert in taskrouter.log("alert")] == codes


def test_dequeue_over_rest_accepts_repeated_status_callback_events(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.set_response("/assignment_callback", {})
    call = taskrouter.place_call(CALLER, NUMBER)
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    (reservation,) = workspace.tasks(call["task_sid"]).reservations.list()
    reservation.update(
        instruction="dequeue",
        dequeue_to=WORKER_NUMBER,
        dequeue_from=NUMBER,
        dequeue_status_callback_url=f"{app.url}/status",
        dequeue_status_callback_event=["answered", "initiated"],
    )
    taskrouter.advance()
    statuses = {entry["parameters"]["CallStatus"] for entry in taskrouter.log("status")}
    assert statuses == {"initiated", "in-progress"}
