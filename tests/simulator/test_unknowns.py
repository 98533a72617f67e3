"""What Twilio's documents leave open about callbacks: each setting, tried both ways."""

import re

import pytest
from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator

from taskrouter_simulator.callbacks.signature import sign
from taskrouter_simulator.testing import running
from tests.simulator.test_callbacks import codes, offer


@pytest.mark.parametrize("setting", [False, True])
def test_what_becomes_of_a_reservation_whose_callbacks_all_fail_is_a_setting(app, setting):
    app.answer("/assignment_callback", {}, 500)
    with running(callback_base_url=app.url, failed_callbacks_cancel=setting) as taskrouter:
        offer(taskrouter)
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        (first, *_) = workspace.workers(taskrouter.workers["Alice"]).reservations.list()
        assert first.reservation_status == ("canceled" if setting else "pending")


@pytest.mark.parametrize("setting", [False, True])
@pytest.mark.parametrize(("body", "code"), [(b"{", "40001"), (b'{"message": "success"}', "40005")])
def test_whether_bad_json_goes_to_the_fallback_is_a_setting(app, body, code, setting):
    app.answer("/assignment_callback", body)
    settings = {"fallback_path": "/fallback", "bad_json_uses_fallback": setting,
                "fallback_error_parameters": True}  # fmt: skip
    with running(callback_base_url=app.url, **settings) as taskrouter:
        offer(taskrouter)
    fallback = [one["parameters"] for one in app.received if one["path"] == "/fallback"]
    assert len(fallback) == setting
    assert all(one["ErrorCode"] == code for one in fallback)


@pytest.mark.parametrize(
    ("setting", "pattern"), [("seconds", "[0-9]{10}"), ("iso", "20..-..-..T.*"), ("none", None)]
)
def test_the_timestamp_is_a_setting(app, setting, pattern):
    with running(callback_base_url=app.url, callback_timestamp=setting) as taskrouter:
        offer(taskrouter)
    timestamp = app.received[0]["parameters"].get("Timestamp")
    assert timestamp is None if pattern is None else re.fullmatch(pattern, timestamp)


@pytest.mark.parametrize("setting", [False, True])
def test_whether_a_fallback_callback_tells_the_error_is_a_setting(app, setting):
    app.answer("/assignment_callback", {}, 500)
    settings = {"fallback_path": "/fallback", "fallback_error_parameters": setting}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        offer(taskrouter)
    told = app.received[1]["parameters"].keys() - app.received[0]["parameters"].keys()
    assert told == ({"ErrorCode", "ErrorUrl"} if setting else set())


@pytest.mark.parametrize(("setting", "attempts"), [(True, [1, 2]), (False, [1])])
def test_whether_the_fallbacks_connection_is_retried_is_a_setting(app, setting, attempts):
    app.answer("/assignment_callback", {}, 500)
    settings = {"fallback_path": "/fallback", "fallback_connection_overrides": setting}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        taskrouter.fault("fallback", "cut")
        offer(taskrouter)
        assert [entry["attempt"] for entry in taskrouter.log("fallback")] == attempts
        assert codes(taskrouter) == [11200, 11200]


@pytest.mark.parametrize(("setting", "attempts"), [(True, 3), (False, 1)])
def test_whether_overrides_hold_for_the_fallback_url_is_a_setting(app, setting, attempts):
    app.answer("/assignment_callback", {}, 500)
    app.answer("/fallback", {}, 503)
    settings = {
        "fallback_path": "/fallback#rp=5xx&rc=2",
        "fallback_connection_overrides": setting,
    }
    with running(callback_base_url=app.url, **settings) as taskrouter:
        offer(taskrouter)
    assert [one["path"] for one in app.received].count("/fallback") == attempts


@pytest.mark.parametrize(("seconds", "assigned"), [(5.0, "assigned"), (0.1, "reserved")])
def test_how_long_a_fallback_callback_may_take_is_a_setting(app, seconds, assigned):
    app.answer("/assignment_callback", {}, 500)
    app.answer("/fallback", {"instruction": "accept"})
    app.delay = 0.3
    settings = {"fallback_path": "/fallback", "fallback_callback_seconds": seconds}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        assert offer(taskrouter)[0] == assigned


def told(app):
    """Which of the two that tell of a new Reservation the app has heard, in order."""
    kinds = {"/assignment_callback": "callback", "/events": "event"}
    return [
        kinds[one["path"]]
        for one in app.received
        if one["parameters"].get("EventType", "reservation.created") == "reservation.created"
    ]


@pytest.mark.parametrize(
    ("setting", "late", "before", "after"),
    [
        ("unordered", "assignment", ["event"], ["event", "callback"]),
        ("unordered", "event", ["callback"], ["callback", "event"]),
        ("callback-first", "assignment", [], ["callback", "event"]),
        ("callback-first", "event", ["callback"], ["callback", "event"]),
        ("event-first", "event", [], ["event", "callback"]),
        ("event-first", "assignment", ["event"], ["event", "callback"]),
    ],
)
def test_whether_callback_or_event_goes_first_is_a_setting(app, setting, late, before, after):
    settings = {"event_path": "/events", "callback_order": setting}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        taskrouter.fault(late, "latency", seconds=10, times=None)
        offer(taskrouter)
        assert told(app) == before
        taskrouter.advance(10)
        assert told(app) == after


def test_what_goes_second_goes_though_the_first_fails(app):
    app.answer("/assignment_callback", {}, 500)
    settings = {"event_path": "/events", "callback_order": "callback-first"}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        offer(taskrouter)
    assert told(app) == ["callback", "event"]


@pytest.mark.parametrize("setting", ["callback-first", "event-first"])
def test_an_order_holds_nothing_up_where_only_one_of_the_two_is_posted(app, setting):
    with running(callback_base_url=app.url, callback_order=setting) as taskrouter:
        offer(taskrouter)
    assert told(app) == ["callback"]


@pytest.mark.parametrize("setting", [False, True])
def test_whether_an_event_waits_for_the_one_before_is_a_setting(app, setting):
    app.delay = 0.05
    settings = {"event_path": "/events", "event_callbacks_in_order": setting}
    with running(callback_base_url=app.url, assignment_path="", **settings) as taskrouter:
        offer(taskrouter)
        events = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid).events
        happened = [one.sid for one in events.list()]
    heard = [one["parameters"]["Sid"] for one in app.received]
    assert sorted(heard) == sorted(happened[-len(heard) :])
    if setting:
        assert heard == happened[-len(heard) :]
    assert (app.most_at_once == 1) is setting


@pytest.mark.parametrize("setting", ["TwilioProxy/1.1", "TwilioProxy/2.0"])
def test_the_user_agent_is_a_setting(app, setting):
    with running(callback_base_url=app.url, user_agent=setting) as taskrouter:
        offer(taskrouter)
    assert app.received[0]["headers"]["User-Agent"] == setting


@pytest.mark.parametrize("setting", [False, True])
def test_whether_callbacks_carry_an_idempotency_token_is_a_setting(app, setting):
    with running(callback_base_url=app.url, idempotency_token=setting) as taskrouter:
        offer(taskrouter)
    assert ("I-Twilio-Idempotency-Token" in app.received[0]["headers"]) is setting


@pytest.mark.parametrize("setting", [False, True])
def test_whether_the_port_is_signed_is_a_setting(app, setting):
    with running(callback_base_url=app.url, signed_port=setting) as taskrouter:
        offer(taskrouter)
    (received,) = app.received
    url = f"{app.url if setting else 'http://127.0.0.1'}/assignment_callback"
    signature = received["headers"]["X-Twilio-Signature"]
    assert signature == sign(taskrouter.auth_token, url, received["parameters"])
    validator = RequestValidator(taskrouter.auth_token)
    with_port = f"{app.url}/assignment_callback"
    assert validator.validate(with_port, received["parameters"], signature)


@pytest.mark.parametrize("setting", [False, True])
def test_whether_a_shared_key_signs_is_a_setting(app, setting):
    with running(callback_base_url=app.url, shared_key_signatures=setting) as taskrouter:
        offer(taskrouter)
        about = taskrouter._request("GET", "")
    (received,) = app.received
    chosen = received["headers"].get("X-Twilio-Webhooks-Signature-Settings")
    named = f"key={about['shared_key_id']},algorithm={HMAC_SHA256}"
    assert chosen == (named if setting else None)
    key = about["shared_key"] if setting else about["auth_token"]
    assert RequestValidator(key).validate(
        f"{app.url}/assignment_callback",
        received["parameters"],
        received["headers"]["X-Twilio-Signature"],
        HMAC_SHA256 if setting else HMAC_SHA1,
    )
