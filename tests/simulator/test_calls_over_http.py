"""Phone calls over the HTTP API: control routes, signed TwiML requests and log entries."""

import json

import pytest
import requests
from twilio.request_validator import RequestValidator

from taskrouter_simulator.testing import running
from tests.simulator.call_simulation import CALLER, DEQUEUE, NUMBER, WORKFLOW, enqueue_verb


def twiml(verbs):
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>'.encode()


@pytest.fixture
def app_and_taskrouter(app):
    """An app with the voice routes, and a simulator that places calls to the app."""
    menu = '<Gather numDigits="1" action="enqueue_call" timeout="5"><Say>One.</Say></Gather>'
    app.set_response("/incoming_call", twiml(menu), content_type="text/xml")
    app.set_response(
        "/enqueue_call",
        twiml(enqueue_verb(action="left_queue")),
        content_type="text/xml; charset=utf-8",
    )
    app.set_response("/left_queue", twiml("<Hangup/>"), content_type="application/xml")
    with running(callback_base_url=app.url) as taskrouter:
        yield app, taskrouter


def workspace_of(taskrouter):
    return taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)


def set_alice_idle(taskrouter):
    alice = workspace_of(taskrouter).workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    taskrouter.advance()


def test_dequeue_instruction_connects_a_call_and_hanging_up_completes_the_call(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.set_response("/assignment_callback", DEQUEUE)
    call = taskrouter.place_call(CALLER, NUMBER, "1")
    task = workspace_of(taskrouter).tasks(call["task_sid"])
    attributes = json.loads(task.fetch().attributes)
    assert (attributes["call_sid"], attributes["selected_language"]) == (call["sid"], "es")
    assert task.fetch().task_channel_unique_name == "voice"

    set_alice_idle(taskrouter)
    assert task.fetch().assignment_status == "assigned"
    call = taskrouter.call(call["sid"])
    worker_call_sid = json.loads(task.fetch().attributes)["worker_call_sid"]
    assert call["connected_with"] == worker_call_sid
    assert taskrouter.call(worker_call_sid)["to"] == DEQUEUE["to"]

    assert taskrouter.hang_up(call["sid"])["status"] == "completed"
    assert task.fetch().assignment_status == "completed"
    assert [item.reservation_status for item in task.reservations.list()] == ["completed"]
    entries = [entry for entry in taskrouter.log("call") if entry["call_sid"] == call["sid"]]
    steps = [entry["step"] for entry in entries]
    assert steps == [
        "placed", "document", "say", "pressed", "document", "enqueued", "ringing the Worker",
        "connected", "ended",
    ]  # fmt: skip
    assert [entry["step"] for entry in taskrouter.call(call["sid"])["steps"]] == steps
    assert taskrouter.log("alert") == []


def test_every_twiml_request_is_signed(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    taskrouter.place_call(CALLER, NUMBER, "1")
    assert [request["path"] for request in app.received] == ["/incoming_call", "/enqueue_call"]
    validator = RequestValidator(taskrouter.auth_token)
    for request in app.received:
        signature = request["headers"]["X-Twilio-Signature"]
        assert validator.validate(app.url + request["path"], request["parameters"], signature)
    assert [entry["url"] for entry in taskrouter.log("twiml")] == [
        f"{app.url}/incoming_call", f"{app.url}/enqueue_call"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "content_type", "code"),
    [(500, "text/xml", 11200), (404, "text/xml", 11200), (200, "application/json", 12300),
     (200, "", 12300)],
)  # fmt: skip
def test_call_fails_if_status_or_content_type_of_twiml_is_invalid(
    app_and_taskrouter, status, content_type, code
):
    app, taskrouter = app_and_taskrouter
    app.set_response("/enqueue_call", twiml(""), status, content_type)
    call = taskrouter.place_call(CALLER, NUMBER, "1")
    assert call["status"] == "failed"
    (alert,) = taskrouter.log("alert")
    assert (alert["code"], alert["call_sid"]) == (code, call["sid"])
    assert workspace_of(taskrouter).tasks.list() == []


@pytest.mark.parametrize(("size", "codes"), [(64 * 1024, []), (64 * 1024 + 1, [11750])])
def test_call_fails_if_twiml_exceeds_64_kb(app_and_taskrouter, size, codes):
    app, taskrouter = app_and_taskrouter
    padding = " " * (size - len(twiml("<Hangup/>")))
    app.set_response("/incoming_call", twiml(f"<Hangup/>{padding}"), content_type="text/xml")
    assert taskrouter.place_call(CALLER, NUMBER)["status"] == ("failed" if codes else "completed")
    assert [alert["code"] for alert in taskrouter.log("alert")] == codes


@pytest.mark.parametrize(
    "content_type", ["text/xml", "application/xml", "text/html; charset=utf-8"]
)
def test_every_twiml_content_type_is_accepted(app_and_taskrouter, content_type):
    app, taskrouter = app_and_taskrouter
    app.set_response("/incoming_call", twiml("<Hangup/>"), content_type=content_type)
    assert taskrouter.place_call(CALLER, NUMBER)["status"] == "completed"


@pytest.mark.parametrize(("kind", "status"), [("cut", "failed"), ("duplicate", "in-progress")])
def test_twiml_request_is_subject_to_faults(app_and_taskrouter, kind, status):
    _, taskrouter = app_and_taskrouter
    taskrouter.fault("twiml", kind, path="/enqueue_call", times=None)
    call = taskrouter.place_call(CALLER, NUMBER, "1")
    assert call["status"] == status
    assert len(workspace_of(taskrouter).tasks.list()) == (kind == "duplicate")


def test_twiml_after_hangup_is_ignored(app_and_taskrouter):
    _, taskrouter = app_and_taskrouter
    taskrouter.fault("twiml", "latency", path="/enqueue_call", seconds=10)
    call = taskrouter.place_call(CALLER, NUMBER, "1")
    taskrouter.hang_up(call["sid"])
    taskrouter.advance(10)
    assert workspace_of(taskrouter).tasks.list() == []


def test_instruction_over_rest_connects_call_placed_with_custom_url(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.set_response("/custom", twiml(enqueue_verb(workflowSid=WORKFLOW)), content_type="text/xml")
    call = taskrouter.place_call(CALLER, NUMBER, url=f"{app.url}/custom")
    set_alice_idle(taskrouter)
    task = workspace_of(taskrouter).tasks(call["task_sid"])
    task.reservations.list()[0].update(
        instruction="conference", to=DEQUEUE["to"], from_=DEQUEUE["from"]
    )
    assert taskrouter.call(call["sid"])["connected_with"]


VALID_CALL = {"from": CALLER, "to": NUMBER, "url": "http://app.example/"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "from must be"),
        ({"from": CALLER}, "to must be"),
        ({**VALID_CALL, "from": 7}, "from must be"),
        ({**VALID_CALL, "from": "a b"}, "from must be"),
        ({**VALID_CALL, "to": "x" * 101}, "to must be"),
        ({**VALID_CALL, "from": "\ud800"}, "from must be"),
        ({**VALID_CALL, "to": "client:zoé"}, "to must be"),
        ({**VALID_CALL, "url": "/incoming_call"}, "url must be"),
        ({**VALID_CALL, "url": 7}, "url must be"),
        ({**VALID_CALL, "url": None}, "url must be an absolute URL; it can be omitted"),
        ({**VALID_CALL, "url": ""}, "url must be"),
        ({"from": CALLER, "to": NUMBER}, "url must be an absolute URL; it can be omitted"),
        ({**VALID_CALL, "digits": 1}, "digits must be"),
        ({**VALID_CALL, "digits": ["1", 2]}, "digits must be"),
        ({**VALID_CALL, "digits": "one"}, "digits must be"),
        ({**VALID_CALL, "digits": ["1"] * 101}, "digits must be"),
        ({**VALID_CALL, "worker_answers": "no"}, "worker_answers must be"),
        ({**VALID_CALL, "volume": 11}, "unknown name 'volume'; use one of from, to, url"),
        ([], "the body must be a JSON object"),
        ("{", "the body is not JSON or is nested too deeply"),
    ],
)
def test_invalid_call_is_rejected_with_reason(taskrouter, body, message):
    text = body if isinstance(body, str) else json.dumps(body)
    response = requests.post(f"{taskrouter.url}/simulator/calls", data=text, timeout=5)
    assert response.status_code == 400
    assert response.json()["message"].startswith(message)
    assert taskrouter._request("GET", "/calls") == {"calls": []}


@pytest.mark.parametrize(
    ("sid", "body", "status"),
    [
        ("CA" + "0" * 32, {"status": "completed"}, 404),
        ("", {"status": "completed"}, 401),  # not a control route, so the REST API responds
        (None, {"status": "busy"}, 400),
        (None, {}, 400),
        (None, {"status": "completed", "more": 1}, 400),
    ],
)
def test_invalid_hangup_is_rejected(app_and_taskrouter, sid, body, status):
    _, taskrouter = app_and_taskrouter
    placed = taskrouter.place_call(CALLER, NUMBER, "1")
    url = f"{taskrouter.url}/simulator/calls/{placed['sid'] if sid is None else sid}"
    assert requests.post(url, json=body, timeout=5).status_code == status
    assert taskrouter.call(placed["sid"])["status"] == "in-progress"


def test_ended_call_cannot_be_hung_up_again(app_and_taskrouter):
    _, taskrouter = app_and_taskrouter
    call = taskrouter.place_call(CALLER, NUMBER)
    taskrouter.hang_up(call["sid"])
    url = f"{taskrouter.url}/simulator/calls/{call['sid']}"
    response = requests.post(url, json={"status": "completed"}, timeout=5)
    assert (response.status_code, response.json()["message"]) == (
        400, f"Call {call['sid']} has ended"
    )  # fmt: skip


def test_reset_clears_list_of_calls(app_and_taskrouter):
    _, taskrouter = app_and_taskrouter
    placed = [taskrouter.place_call(CALLER, NUMBER, key)["sid"] for key in ("1", "9")]
    assert [call["sid"] for call in taskrouter._request("GET", "/calls")["calls"]] == placed
    taskrouter.reset()
    assert taskrouter._request("GET", "/calls") == {"calls": []}


def test_reset_discards_pending_twiml_request(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    taskrouter.fault("twiml", "latency", seconds=1)
    taskrouter.place_call(CALLER, NUMBER, "1")
    taskrouter.reset()
    taskrouter.advance(2)
    assert app.received == []
