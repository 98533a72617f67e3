"""Settings for undocumented callback behavior, each tested with several values."""

import re

import pytest
from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator

from taskrouter_simulator.callbacks.signature import sign
from taskrouter_simulator.testing import running
from tests.simulator.test_callbacks import alert_codes, offer_task


@pytest.mark.parametrize("setting", [False, True])
def test_failed_callbacks_cancel_reservation_only_if_configured(app, setting):
    app.set_response("/assignment_callback", {}, 500)
    with running(callback_base_url=app.url, failed_callbacks_cancel=setting) as taskrouter:
        offer_task(taskrouter)
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        (first, *_) = workspace.workers(taskrouter.workers["Alice"]).reservations.list()
        assert first.reservation_status == ("canceled" if setting else "pending")


@pytest.mark.parametrize("setting", [False, True])
@pytest.mark.parametrize(("body", "code"), [(b"{", "40001"), (b'{"message": "success"}', "40005")])
def test_invalid_response_body_triggers_fallback_only_if_configured(app, body, code, setting):
    app.set_response("/assignment_callback", body)
    settings = {"fallback_path": "/fallback", "bad_json_uses_fallback": setting,
                "fallback_error_parameters": True}  # fmt: skip
    with running(callback_base_url=app.url, **settings) as taskrouter:
        offer_task(taskrouter)
    fallback = [request["parameters"] for request in app.received if request["path"] == "/fallback"]
    assert len(fallback) == setting
    assert all(parameters["ErrorCode"] == code for parameters in fallback)


@pytest.mark.parametrize(
    ("setting", "pattern"), [("seconds", "[0-9]{10}"), ("iso", "20..-..-..T.*"), ("none", None)]
)
def test_timestamp_format_is_configurable(app, setting, pattern):
    with running(callback_base_url=app.url, callback_timestamp=setting) as taskrouter:
        offer_task(taskrouter)
    timestamp = app.received[0]["parameters"].get("Timestamp")
    assert timestamp is None if pattern is None else re.fullmatch(pattern, timestamp)


@pytest.mark.parametrize("setting", [False, True])
def test_fallback_contains_error_parameters_only_if_configured(app, setting):
    app.set_response("/assignment_callback", {}, 500)
    settings = {"fallback_path": "/fallback", "fallback_error_parameters": setting}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        offer_task(taskrouter)
    added = app.received[1]["parameters"].keys() - app.received[0]["parameters"].keys()
    assert added == ({"ErrorCode", "ErrorUrl"} if setting else set())


@pytest.mark.parametrize(("setting", "attempts"), [(True, [1, 2]), (False, [1])])
def test_failed_connection_to_fallback_url_is_retried_only_if_configured(app, setting, attempts):
    app.set_response("/assignment_callback", {}, 500)
    settings = {"fallback_path": "/fallback", "fallback_connection_overrides": setting}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        taskrouter.fault("fallback", "cut")
        offer_task(taskrouter)
        assert [entry["attempt"] for entry in taskrouter.log("fallback")] == attempts
        assert alert_codes(taskrouter) == [11200, 11200]


@pytest.mark.parametrize(("setting", "attempts"), [(True, 3), (False, 1)])
def test_connection_overrides_in_fallback_url_apply_only_if_configured(app, setting, attempts):
    app.set_response("/assignment_callback", {}, 500)
    app.set_response("/fallback", {}, 503)
    settings = {
        "fallback_path": "/fallback#rp=5xx&rc=2",
        "fallback_connection_overrides": setting,
    }
    with running(callback_base_url=app.url, **settings) as taskrouter:
        offer_task(taskrouter)
    assert [request["path"] for request in app.received].count("/fallback") == attempts


@pytest.mark.parametrize(("seconds", "task_status"), [(5.0, "assigned"), (0.1, "reserved")])
def test_time_limit_of_fallback_callback_is_configurable(app, seconds, task_status):
    app.set_response("/assignment_callback", {}, 500)
    app.set_response("/fallback", {"instruction": "accept"})
    app.delay = 0.3
    settings = {"fallback_path": "/fallback", "fallback_callback_seconds": seconds}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        assert offer_task(taskrouter)[0] == task_status


def received_kinds(app):
    """Return the kind of each request received about a new Reservation, in order of arrival."""
    kinds = {"/assignment_callback": "callback", "/events": "event"}
    return [
        kinds[request["path"]]
        for request in app.received
        if request["parameters"].get("EventType", "reservation.created") == "reservation.created"
    ]


@pytest.mark.parametrize(
    ("setting", "delayed", "before", "after"),
    [
        ("unordered", "assignment", ["event"], ["event", "callback"]),
        ("unordered", "event", ["callback"], ["callback", "event"]),
        ("callback-first", "assignment", [], ["callback", "event"]),
        ("callback-first", "event", ["callback"], ["callback", "event"]),
        ("event-first", "event", [], ["event", "callback"]),
        ("event-first", "assignment", ["event"], ["event", "callback"]),
    ],
)
def test_order_of_callback_and_event_is_configurable(app, setting, delayed, before, after):
    settings = {"event_path": "/events", "callback_order": setting}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        taskrouter.fault(delayed, "latency", seconds=10, times=None)
        offer_task(taskrouter)
        assert received_kinds(app) == before
        taskrouter.advance(10)
        assert received_kinds(app) == after


def test_event_is_sent_even_if_callback_fails(app):
    app.set_response("/assignment_callback", {}, 500)
    settings = {"event_path": "/events", "callback_order": "callback-first"}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        offer_task(taskrouter)
    assert received_kinds(app) == ["callback", "event"]


@pytest.mark.parametrize("setting", ["callback-first", "event-first"])
def test_configured_order_does_not_delay_callback_if_no_events_are_posted(app, setting):
    with running(callback_base_url=app.url, callback_order=setting) as taskrouter:
        offer_task(taskrouter)
    assert received_kinds(app) == ["callback"]


@pytest.mark.parametrize("setting", [False, True])
def test_events_are_posted_one_at_a_time_only_if_configured(app, setting):
    app.delay = 0.05
    settings = {"event_path": "/events", "event_callbacks_in_order": setting}
    with running(callback_base_url=app.url, assignment_path="", **settings) as taskrouter:
        offer_task(taskrouter)
        events = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid).events
        published = [event.sid for event in events.list()]
    posted = [request["parameters"]["Sid"] for request in app.received]
    assert sorted(posted) == sorted(published[-len(posted) :])
    if setting:
        assert posted == published[-len(posted) :]
    assert (app.max_concurrent == 1) is setting


@pytest.mark.parametrize("setting", ["TwilioProxy/1.1", "TwilioProxy/2.0"])
def test_user_agent_is_configurable(app, setting):
    with running(callback_base_url=app.url, user_agent=setting) as taskrouter:
        offer_task(taskrouter)
    assert app.received[0]["headers"]["User-Agent"] == setting


@pytest.mark.parametrize("setting", [False, True])
def test_idempotency_token_is_sent_only_if_configured(app, setting):
    with running(callback_base_url=app.url, idempotency_token=setting) as taskrouter:
        offer_task(taskrouter)
    assert ("I-Twilio-Idempotency-Token" in app.received[0]["headers"]) is setting


@pytest.mark.parametrize("setting", [False, True])
def test_signed_url_contains_port_only_if_configured(app, setting):
    with running(callback_base_url=app.url, signed_port=setting) as taskrouter:
        offer_task(taskrouter)
    (received,) = app.received
    url = f"{app.url if setting else 'http://127.0.0.1'}/assignment_callback"
    signature = received["headers"]["X-Twilio-Signature"]
    assert signature == sign(taskrouter.auth_token, url, received["parameters"])
    validator = RequestValidator(taskrouter.auth_token)
    with_port = f"{app.url}/assignment_callback"
    assert validator.validate(with_port, received["parameters"], signature)


@pytest.mark.parametrize("setting", [False, True])
def test_callback_is_signed_with_shared_key_only_if_configured(app, setting):
    with running(callback_base_url=app.url, shared_key_signatures=setting) as taskrouter:
        offer_task(taskrouter)
        credentials = taskrouter._request("GET", "")
    (received,) = app.received
    header = received["headers"].get("X-Twilio-Webhooks-Signature-Settings")
    expected = f"key={credentials['shared_key_id']},algorithm={HMAC_SHA256}"
    assert header == (expected if setting else None)
    key = credentials["shared_key"] if setting else credentials["auth_token"]
    assert RequestValidator(key).validate(
        f"{app.url}/assignment_callback",
        received["parameters"],
        received["headers"]["X-Twilio-Signature"],
        HMAC_SHA256 if setting else HMAC_SHA1,
    )
