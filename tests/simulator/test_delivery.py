"""Delivery of callbacks: log entries, headers, failures and limits."""

import asyncio
import re
import socket

import pytest

from taskrouter_simulator.callbacks.answers import Response
from taskrouter_simulator.callbacks.delivery import Delivery, DeliveryClient
from taskrouter_simulator.callbacks.signature import sign
from taskrouter_simulator.faults import Fault
from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.settings import Settings

PARAMETERS = {"b": "ü &", "a": ""}


def deliver(url, *, seconds=5.0, settings=None, **options):
    """Deliver a callback; return the response and the log entries."""
    entries = []

    def record(kind, **fields):
        entries.append({"kind": kind, **fields})

    client = DeliveryClient(Credentials(), Settings(**(settings or {})), record)
    delivery = Delivery("event", url, PARAMETERS, seconds, **{"token": "t" * 32, **options})
    return asyncio.run(client.deliver(delivery)), entries


@pytest.fixture
def unused_url():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"


def test_attempt_is_logged_with_request_and_response(app):
    app.set_response("/a?b", "ü".encode() + b"\xff", 201, "Text/HTML ; charset=utf-8")
    response, (entry,) = deliver(f"{app.url}/a?b#rc=0", token="t" * 32)
    assert response == Response(201, "text/html", "ü".encode() + b"\xff")
    assert 0 <= entry["seconds"] < 5
    assert entry == {
        "kind": "event",
        "method": "POST",
        "url": f"{app.url}/a?b#rc=0",
        "attempt": 1,
        "headers": {
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "X-Twilio-Signature": sign(Credentials().auth_token, f"{app.url}/a?b", PARAMETERS),
            "I-Twilio-Idempotency-Token": "t" * 32,
        },
        "parameters": PARAMETERS,
        "status": 201,
        "content_type": "text/html",
        "answer": "ü\N{REPLACEMENT CHARACTER}",
        "error": "",
        "seconds": round(entry["seconds"], 4),
        "fault": None,
    }
    (received,) = app.received
    assert received["parameters"] == PARAMETERS
    assert entry["headers"].items() <= received["headers"].items()


@pytest.mark.parametrize(
    ("status", "failure"),
    [(200, ""), (302, ""), (399, ""), (400, "4xx"), (499, "4xx"), (500, "5xx"), (599, "5xx")],
)
def test_failure_depends_on_status(app, status, failure):
    app.set_response("/", b"", status)
    response, _ = deliver(app.url + "/")
    assert (response.status, response.failure, response.error) == (status, failure, "")


@pytest.mark.parametrize(
    ("fragment", "status", "attempts"),
    [("", 500, 1), ("rp=5xx", 500, 2), ("rp=5xx&rc=0", 500, 1), ("rp=5xx&rc=5", 500, 6),
     ("rp=4xx", 500, 1), ("rp=4xx", 404, 2), ("rp=all", 404, 2), ("rp=all", 200, 1)],
)  # fmt: skip
def test_retry_policy_limits_attempts(app, fragment, status, attempts):
    app.set_response("/", b"", status)
    _, entries = deliver(f"{app.url}/#{fragment}")
    assert [entry["attempt"] for entry in entries] == list(range(1, attempts + 1))
    _, entries = deliver(f"{app.url}/#{fragment}", single_attempt=True)
    assert len(entries) == 1


def test_only_first_megabyte_of_response_is_read(app):
    for size in (999_999, 1_000_000, 1_000_001):
        app.set_response("/", b"x" * size)
        response, _ = deliver(app.url + "/")
        assert len(response.body) == min(size, 1_000_000)


def test_refused_connection_is_retried_once(unused_url):
    response, entries = deliver(unused_url)
    assert (response.status, response.failure, len(entries)) == (None, "ct", 2)
    assert response.error.startswith("no connection: ")
    assert len(response.error) <= 300


def test_broken_connection_is_not_retried_by_default():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

        async def run():
            loop = asyncio.get_running_loop()
            task = asyncio.create_task(asyncio.to_thread(lambda: deliver(url)))
            connection, _ = await loop.run_in_executor(None, server.accept)
            connection.recv(10)
            connection.close()
            return await task

        response, entries = asyncio.run(run())
    assert (response.failure, len(entries)) == ("cut", 1)
    assert re.match("[A-Za-z]+: ?", response.error)


@pytest.mark.parametrize(
    ("fragment", "seconds", "error"),
    [
        ("", 0.1, "no response within 0.1 s"),
        ("tt=100", 5, "no response within 0.1 s"),
        ("rt=100", 5, "no response within 0.1 s"),
        ("rt=150&tt=15000", 5, "no response within 0.15 s"),
    ],
)
def test_delivery_fails_if_response_is_slow(app, fragment, seconds, error):
    app.delay = 0.6
    response, entries = deliver(f"{app.url}/#{fragment}", seconds=seconds)
    assert (response, len(entries)) == (Response(error=error, failure="rt"), 1)


def test_total_timeout_covers_all_attempts(app):
    app.delay = 0.6
    app.set_response("/", b"", 500)
    _, entries = deliver(f"{app.url}/#rp=all&rc=5&tt=1000")
    assert [entry["error"] == "" for entry in entries] == [True, False]


@pytest.mark.parametrize(
    ("moment", "failure", "error", "count"),
    [
        ("before", "ct", "connection cut before the request was sent (injected fault)", 0),
        ("after", "cut", "connection cut before the response arrived (injected fault)", 1),
    ],
)
def test_delivery_has_no_response_if_a_fault_cuts_the_connection(
    app, moment, failure, error, count
):
    fault = Fault(1, "event", "cut", moment=moment)
    response, entries = deliver(app.url + "/", fault=fault, single_attempt=True)
    assert response == Response(error=error, failure=failure)
    assert (len(app.received), entries[0]["fault"]) == (count, "cut")


def test_redirect_is_not_followed_and_cookies_are_not_sent(app):
    app.set_response("/", b"", 302)
    app.headers = {"Location": f"{app.url}/other", "Set-Cookie": "a=b"}
    statuses = [deliver(app.url + "/")[0].status for _ in range(2)]
    assert (statuses, len(app.received)) == ([302, 302], 2)
    assert all("Cookie" not in request["headers"] for request in app.received)
    assert all(request["headers"]["Connection"] == "close" for request in app.received)


@pytest.mark.parametrize("sends_token", [False, True])
def test_settings_determine_the_idempotency_token_and_user_agent_headers(app, sends_token):
    settings = {"idempotency_token": sends_token, "user_agent": "X/1"}
    _, (entry,) = deliver(app.url + "/", settings=settings)
    assert ("I-Twilio-Idempotency-Token" in entry["headers"]) is sends_token
    assert app.received[0]["headers"]["User-Agent"] == "X/1"
