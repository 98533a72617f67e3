"""Assignment callbacks over HTTP, from the signature to the executed instruction."""

import json
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from taskrouter_simulator.callbacks.signature import sign
from taskrouter_simulator.testing import running
from tests.simulator.test_instructions import CALL_ATTRIBUTES, INVALID_PARAMETERS, VALID_PARAMETERS

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, st.dictionaries(TEXT, TEXT))
def test_signature_is_accepted_by_sdk(token, parameters):
    url = "https://example.com/callback?a=1"
    assert RequestValidator(token).validate(url, parameters, sign(token, url, parameters))


def test_user_name_and_password_in_url_are_not_signed():
    signed = sign("t", "https://user:p@ss@example.com:8443/a@b?c=@", {})
    assert signed == sign("t", "https://example.com:8443/a@b?c=@", {})
    assert sign("t", "https://user@example.com", {}) == sign("t", "https://example.com", {})


def test_requested_url_equals_signed_url(app):
    path = "/a%7Eb%2Fc?d=%7e&e=f+g"
    with running(callback_base_url=app.url, assignment_path=path) as taskrouter:
        offer_task(taskrouter)
        (received,) = app.received
        assert received["path"] == path
        assert RequestValidator(taskrouter.auth_token).validate(
            f"{app.url}{path}", received["parameters"], received["headers"]["X-Twilio-Signature"]
        )


@pytest.fixture
def app_and_taskrouter(app):
    """An app, and a simulator that sends callbacks to the app."""
    with running(callback_base_url=app.url, fallback_path="/fallback") as taskrouter:
        yield app, taskrouter


def offer_task(taskrouter):
    """Set Alice to Idle, create a Task for her, and wait for the callbacks.

    Returns:
        The Task's status and the name of Alice's Activity after the callbacks.
    """
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes='{"selected_language": "es", "name": "José & co"}')
    taskrouter.advance()
    return task.fetch().assignment_status, alice.fetch().activity_name


def alert_codes(taskrouter):
    return [alert["code"] for alert in taskrouter.log("alert")]


def test_callback_is_posted_as_signed_form(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    offer_task(taskrouter)
    (received,) = app.received
    headers, parameters = received["headers"], received["parameters"]
    assert headers["Content-Type"] == "application/x-www-form-urlencoded; charset=utf-8"
    assert headers["User-Agent"] == "TwilioProxy/1.1"
    assert re.fullmatch("[0-9a-f]{32}", headers["I-Twilio-Idempotency-Token"])
    url = f"{app.url}/assignment_callback"
    validator = RequestValidator(taskrouter.auth_token)
    assert validator.validate(url, parameters, headers["X-Twilio-Signature"])


def test_empty_object_leaves_reservation_pending(app_and_taskrouter):
    _, taskrouter = app_and_taskrouter
    assert offer_task(taskrouter) == ("reserved", "Reserved")
    assert alert_codes(taskrouter) == []


def test_empty_body_leaves_reservation_pending(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.set_response("/assignment_callback", b"")
    assert offer_task(taskrouter) == ("reserved", "Reserved")
    assert alert_codes(taskrouter) == []


def test_accept_instruction_is_executed(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.set_response("/assignment_callback", {"instruction": "accept"})
    assert offer_task(taskrouter) == ("assigned", "Busy")


@pytest.mark.parametrize("name", VALID_PARAMETERS)
def test_each_instruction_is_executed_and_logged(app_and_taskrouter, name):
    app, taskrouter = app_and_taskrouter
    parameters = {
        key: f"{app.url}/{key}" if key in {"url", "status_callback_url"} else value
        for key, value in VALID_PARAMETERS[name].items()
    }
    body = {"instruction": name, **parameters}
    app.set_response("/assignment_callback", body)
    app.set_response("/url", b"<Response><Pause/></Response>", content_type="text/xml")
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes=json.dumps(CALL_ATTRIBUTES))
    taskrouter.advance()

    (entry,) = taskrouter.log("assignment")[:1]
    assert json.loads(entry["answer"]) == body
    assert taskrouter.log("alert") == []
    (reservation,) = workspace.tasks(task.sid).reservations.list()
    expected = "rejected" if name == "reject" else "accepted"
    assert reservation.reservation_status == expected
    has_call = "worker_call_sid" in json.loads(workspace.tasks(task.sid).fetch().attributes)
    assert has_call is (name in {"dequeue", "call"})


@pytest.mark.parametrize(("name", "change", "code"), INVALID_PARAMETERS)
def test_each_invalid_instruction_emits_alert(app_and_taskrouter, name, change, code):
    app, taskrouter = app_and_taskrouter
    parameters = {**VALID_PARAMETERS[name], **change}
    app.set_response("/assignment_callback", {"instruction": name, **parameters})
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes=json.dumps(CALL_ATTRIBUTES))
    taskrouter.advance()

    (alert,) = taskrouter.log("alert")
    (reservation,) = workspace.tasks(task.sid).reservations.list()
    assert (alert["code"], alert["reservation_sid"]) == (code, reservation.sid)
    assert reservation.reservation_status == "pending"


def test_response_in_several_chunks_is_read_completely(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.pause = 0.1
    app.set_response("/assignment_callback", {"instruction": "accept"})
    assert offer_task(taskrouter) == ("assigned", "Busy")
    assert taskrouter.log("alert") == []


def test_alert_with_lone_surrogate_can_be_read(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.set_response("/assignment_callback", b'{"instruction": "\\ud800"}')
    offer_task(taskrouter)
    assert [alert["code"] for alert in taskrouter.log("alert")] == [55555]


def test_reject_instruction_changes_activity(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    offline = taskrouter.activities["Offline"]
    app.set_response("/assignment_callback", {"instruction": "reject", "activity_sid": offline})
    assert offer_task(taskrouter) == ("pending", "Offline")


def test_rejected_task_is_offered_again_every_second(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.set_response("/assignment_callback", {"instruction": "reject"})
    assert offer_task(taskrouter) == ("pending", "Idle")
    taskrouter.advance(5)
    assert len(app.received) == 6


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", 40001),
        (b'"{}"', 40001),
        (b'{"instruction": "accept", "n": NaN}', 40001),
        (b'{"instruction": "accept", "n": -Infinity}', 40001),
        ({"message": "success"}, 40005),
        ({"instruction": "dance"}, 55555),
        ({"instruction": ["accept"]}, 55555),
        ({"instruction": "reject", "activity_sid": "WA0"}, 40100),
    ],
)
def test_invalid_response_emits_alert_and_changes_nothing(app_and_taskrouter, body, code):
    app, taskrouter = app_and_taskrouter
    app.set_response("/assignment_callback", body)
    assert offer_task(taskrouter) == ("reserved", "Reserved")
    assert alert_codes(taskrouter) == [code]
    assert len(app.received) == 1


@pytest.mark.parametrize(
    ("status", "content_type", "code"),
    [(503, "application/json", 11200), (204, "application/json", 11200), (302, "", 11200),
     (200, "text/html", 40000), (200, "", 40000)],
)  # fmt: skip
def test_failed_callback_triggers_fallback(app_and_taskrouter, status, content_type, code):
    app, taskrouter = app_and_taskrouter
    app.set_response("/assignment_callback", {"instruction": "accept"}, status, content_type)
    app.set_response("/fallback", {"instruction": "accept"})
    assert offer_task(taskrouter) == ("assigned", "Busy")
    assert [request["path"] for request in app.received] == ["/assignment_callback", "/fallback"]
    assert app.received[0]["parameters"] == app.received[1]["parameters"]
    assert alert_codes(taskrouter) == [code]


def test_slow_callback_response_is_ignored_and_fallback_is_used(app):
    app.delay = 0.5
    app.set_response("/assignment_callback", {"instruction": "accept"})
    settings = {"fallback_path": "/fallback", "assignment_callback_seconds": 0.3}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        assert offer_task(taskrouter) == ("reserved", "Reserved")
        assert alert_codes(taskrouter) == [11200]
        assert [entry["error"] for entry in taskrouter.log("assignment")] == [
            "no response within 0.3 s"
        ]
    assert [request["path"] for request in app.received] == ["/assignment_callback", "/fallback"]


def test_reservation_times_out_if_both_urls_fail(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.set_response("/assignment_callback", {}, 500)
    app.set_response("/fallback", {}, 500)
    assert offer_task(taskrouter) == ("reserved", "Reserved")
    taskrouter.advance(1200)
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    assert workspace.tasks.list()[0].assignment_status == "pending"


def test_late_response_emits_alert_and_changes_nothing(app):
    with running(callback_base_url=app.url) as taskrouter:
        app.delay = 0.3
        app.set_response("/assignment_callback", {"instruction": "accept"})
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        alice = workspace.workers(taskrouter.workers["Alice"])
        alice.update(activity_sid=taskrouter.activities["Idle"])
        task = workspace.tasks.create(attributes='{"selected_language": "es"}')
        task.update(assignment_status="canceled")
        taskrouter.advance()
        assert task.fetch().assignment_status == "canceled"
        assert len(alert_codes(taskrouter)) == 1


def test_fragment_is_neither_signed_nor_sent(app):
    with running(callback_base_url=app.url, assignment_path="/a?b=c#rt=1000") as taskrouter:
        offer_task(taskrouter)
        (received,) = app.received
        assert received["path"] == "/a?b=c"
        assert RequestValidator(taskrouter.auth_token).validate(
            f"{app.url}/a?b=c", received["parameters"], received["headers"]["X-Twilio-Signature"]
        )


@pytest.mark.parametrize(
    ("fragment", "attempts"),
    [
        ("", 1),
        ("#rp=5xx", 2),
        ("#rp=5xx&rc=3", 4),
        ("#rp=all&rc=2", 3),
        ("#rp=4xx&rc=2", 1),
        ("#rp=5xx&rc=9", 2),
        ("#rp=nonsense&rc=x", 1),
    ],
)
def test_connection_overrides_control_retries(app, fragment, attempts):
    app.set_response("/assignment_callback", {}, 503)
    path = f"/assignment_callback{fragment}"
    with running(callback_base_url=app.url, assignment_path=path) as taskrouter:
        offer_task(taskrouter)
    assert len(app.received) == attempts
    assert len({request["headers"]["I-Twilio-Idempotency-Token"] for request in app.received}) == 1


def test_failed_connection_is_retried_once(unused_port):
    with running(callback_base_url=f"http://127.0.0.1:{unused_port}") as taskrouter:
        offer_task(taskrouter)
        assert [entry["attempt"] for entry in taskrouter.log("assignment")] == [1, 2]
        assert alert_codes(taskrouter) == [11200]


@pytest.mark.parametrize("fragment", ["rt=100", "tt=100"])
def test_read_and_total_timeouts_can_be_shortened(app, fragment):
    app.delay = 0.4
    path = f"/assignment_callback#{fragment}"
    with running(callback_base_url=app.url, assignment_path=path) as taskrouter:
        offer_task(taskrouter)
        (entry,) = taskrouter.log("assignment")
        assert entry["error"] == "no response within 0.1 s"


@pytest.fixture
def unused_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
