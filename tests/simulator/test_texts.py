"""Names, SIDs, URLs and suggestions for misspelled names."""

import re

import pytest

from taskrouter_simulator.callbacks.signature import sign, signature_headers
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.identifiers import (
    Credentials,
    derived_hex,
    is_url,
    new_sid,
    resolve_url,
)
from taskrouter_simulator.log import Log
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.spelling import describe_unknown, find_similar, fold


def test_new_sids_are_random():
    sids = {new_sid("WT") for _ in range(10)}
    assert len(sids) == 10
    assert all(re.fullmatch("WT[0-9a-f]{32}", sid) for sid in sids)


def test_credentials_are_derived_from_their_names():
    assert vars(Credentials()) == {
        "account_sid": "AC" + derived_hex("account"),
        "auth_token": derived_hex("auth-token"),
        "api_key_sid": "SK" + derived_hex("api-key"),
        "api_key_secret": derived_hex("api-key-secret"),
        "shared_key_id": derived_hex("shared-key-id"),
        "shared_key": derived_hex("shared-key"),
    }
    assert re.fullmatch("[0-9a-f]{32}", derived_hex("account"))
    assert derived_hex("account") not in repr(Credentials())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a", True),
        ("HTTPS://a:1/b?c#d", True),
        ("http://[::1]:80", True),
        ("http://a:65535", True),
        ("http://a:65536", False),
        ("http://a:x", False),
        ("http://", False),
        ("http://:80", False),
        ("http:///a", False),
        ("ftp://a", False),
        ("//a", False),
        ("a", False),
        ("", False),
        ("http://a b", False),
        ("http://a/\x7f", False),
        ("http://a/~!", True),
        ("http://a/ü", False),
        ("http://[", False),
    ],
)
def test_url_is_absolute_and_encoded(text, expected):
    assert is_url(text) is expected
    assert resolve_url("", text) == (text if expected else None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "http://a/b/c"),
        ("d", "http://a/b/d"),
        ("/d", "http://a/d"),
        ("?d", "http://a/b/c?d"),
        ("http://e", "http://e"),
        ("http://[", None),
        ("d e", None),
        ("mailto:x", None),
    ],
)
def test_url_is_resolved_against_base(url, expected):
    assert resolve_url("http://a/b/c", url) == expected


@pytest.mark.parametrize(
    ("name", "similar"),
    [("taskSid", "task_sid"), ("TASK_SID", "task_sid"), ("taks_sid", "task_sid"), ("xyz", None),
     ("wor", "worker"), ("wo", None)],
)  # fmt: skip
def test_most_similar_name_is_found(name, similar):
    assert find_similar(name, ["task", "task_sid", "worker"]) == similar


def test_similarity_has_a_minimum():
    assert find_similar("worke", ["worker"], cutoff=0.9) == "worker"
    assert find_similar("work", ["worker"], cutoff=0.9) is None
    assert find_similar("Work_Er", ["worker"], cutoff=1) == "worker"
    assert find_similar("worke", ["worker"], cutoff=1) is None
    assert fold("A_b__C") == "abc"


def test_description_of_unknown_name_suggests_known_names():
    assert describe_unknown("tsk", iter(["task", "worker"])) == "'tsk'; did you mean task?"
    assert describe_unknown("x", iter(["task", "worker"])) == "'x'; use one of task, worker"
    assert describe_unknown("x", []) == "'x'; there are none"
    assert describe_unknown("x" * 101, []) == f"'{'x' * 100}'; there are none"
    assert find_similar("a" * 100 + "b" * 100, ["a" * 100], cutoff=1) == "a" * 100


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("http://a:80/b:80", "http://a/b:80"),
        ("http://a/b", "http://a/b"),
        ("http://u:p@a:80/", "http://a/"),
        ("http://[::1]:80/", "http://[::1]/"),
    ],
)
def test_port_is_removed_from_signed_url_if_configured(url, signed):
    credentials, parameters = Credentials(), {"b": "2", "a": "1"}
    headers = signature_headers(credentials, Settings(signed_port=False), url, parameters)
    expected = sign(credentials.auth_token, signed, {"a": "1", "b": "2"})
    assert headers == {"X-Twilio-Signature": expected}
    with_port = signature_headers(credentials, Settings(), url, parameters)
    assert with_port == {"X-Twilio-Signature": sign(credentials.auth_token, url, parameters)}
    shared = signature_headers(credentials, Settings(shared_key_signatures=True), url, parameters)
    assert shared == {
        "X-Twilio-Signature": sign(credentials.shared_key, url, parameters, "sha256"),
        "X-Twilio-Webhooks-Signature-Settings": (
            f"key={credentials.shared_key_id},algorithm=HMAC_SHA256"
        ),
    }


def test_log_entry_has_number_time_and_kind():
    log = Log(max_entries=10, max_answers=2, now=lambda: 7.0)
    log.record("alert", code=1)
    log.record("event", answer="x" * 20_001)
    assert log.entries() == [
        {"id": 1, "at": 7.0, "kind": "alert", "code": 1},
        {"id": 2, "at": 7.0, "kind": "event", "answer": "x" * 20_000, "answer_length": 20_001},
    ]
    assert log.entries(after=1) == log.entries("event")
    assert (log.entries("alert", after=1), log.entries(after=2)) == ([], [])


def test_log_keeps_response_to_newest_requests_only():
    log = Log(max_entries=10, max_answers=2, now=lambda: 7.0)
    for number in range(1, 4):
        log.record("request", answer={"a": number})
        log.record("alert", code=number)
    answers = [entry["answer"] for entry in log.entries("request")]
    assert answers == [None, None, {"a": 3}]
    for entry in log.entries("alert"):
        assert "answer" not in entry


class Loop:
    """Records the delays after which a clock asks to be woken."""

    def __init__(self):
        self.handles = []

    def call_later(self, delay, action):
        handle = Handle(delay, action)
        self.handles.append(handle)
        return handle

    def delays(self):
        return [handle.delay for handle in self.handles if not handle.is_canceled]


class Handle:
    def __init__(self, delay, action):
        self.delay, self.action, self.is_canceled = delay, action, False

    def cancel(self):
        self.is_canceled = True


def test_clock_asks_loop_to_wake_it_for_next_timer_only():
    moment, fired, loop = [10.0], [], Loop()
    clock = Clock(lambda: moment[0])
    clock.call_at(15.0, lambda: fired.append(15))
    clock.attach(loop)
    assert loop.delays() == [5.0]
    timer = clock.call_at(12.0, lambda: fired.append(12))
    assert loop.delays() == [2.0]
    timer.cancel()
    moment[0] = 14.0
    clock.run_due()
    assert (loop.delays(), fired) == ([1.0], [])
    moment[0] = 16.0
    clock.call_at(15.5, lambda: fired.append(15.5))
    assert loop.delays() == [0.0]
    clock.run_due()
    assert fired == [15, 15.5]
    clock.call_at(20.0, lambda: None)
    count = len(loop.handles)
    clock.attach(None)
    clock.call_at(17.0, lambda: None)
    assert len(loop.handles) == count


def test_frozen_clock_wakes_only_for_timers_that_are_due():
    loop = Loop()
    clock = Clock(lambda: 10.0, frozen=True)
    clock.attach(loop)
    clock.call_at(10.5, lambda: None)
    assert loop.delays() == []
    clock.call_at(10.0, lambda: None)
    assert loop.delays() == [0.0]
    clock.call_at(9.0, lambda: None)
    assert loop.delays() == [0.0]


def test_clock_schedules_wakeup_even_if_an_action_fails():
    loop, clock = Loop(), Clock(lambda: 10.0)
    clock.attach(loop)

    def fail():
        raise ZeroDivisionError

    clock.call_at(10.0, fail)
    clock.call_at(13.0, lambda: None)
    with pytest.raises(ZeroDivisionError):
        clock.run_due()
    assert loop.delays() == [3.0]


def test_time_never_moves_back():
    clock = Clock(lambda: 10.0)
    clock.jump(15.0)
    clock.jump(12.0)
    assert clock.now() == 15.0
    clock.advance(2)
    assert clock.now() == 17.0


def test_timers_due_within_advanced_time_run_at_their_time():
    clock, fired = Clock(lambda: 10.0), []
    for when in (9.0, 10.0, 12.0, 12.5):
        clock.call_at(when, lambda: fired.append(clock.now()))
    clock.call_at(11.0, lambda: clock.call_at(11.5, lambda: fired.append(clock.now())))
    clock.advance(2)
    assert fired == [10.0, 10.0, 11.5, 12.0]
    assert clock.next_due() == 12.5
    clock.clear()
    assert clock.next_due() is None


def test_canceled_timers_are_dropped_when_a_thousand_timers_are_reached():
    clock = Clock(lambda: 0.0)
    for _ in range(999):
        clock.call_at(5.0, lambda: None).cancel()
    clock.call_at(5.0, lambda: None)
    assert len(clock._timers) == 1000
    clock.call_at(5.0, lambda: None)
    assert len(clock._timers) == 2
    for _ in range(998):
        clock.call_at(5.0, lambda: None)
    clock.call_at(1.0, lambda: None)  # no timer was canceled: the limit doubles
    assert (len(clock._timers), clock._purge_at, clock.next_due()) == (1001, 2000, 1.0)
