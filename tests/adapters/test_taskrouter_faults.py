"""The TaskRouter client stays within its time limits and reports whether a request was sent.

The tests use real sockets and short time limits.
"""

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.adapters.exchange import Exchange
from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio.taskrouter import PAGE_SECONDS, REQUEST_SECONDS, TwilioTaskRouter
from chalicelib.domain.errors import (
    TaskRouterError,
    TaskRouterNotSent,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Dequeue
from chalicelib.domain.reservations import Status
from chalicelib.domain.tasks import NewTask
from chalicelib.usecases.deadlines import REQUEST_LIMIT_MS
from chalicelib.usecases.run_budget import _MIN_TIME_LEFT_MS
from tests.scripted_server import Peer, ScriptedServer, running_server
from tests.support import busy_exchanges

SECONDS = 0.5
SLACK = 2.0
"""Additional time for busy machines, in seconds."""
TASK, WORKER, RESERVATION = "WT" + "1" * 32, "WK" + "2" * 32, "WR" + "3" * 32
LARGE = "x" * 12_000_000
"""A string that does not fit into the buffers of two sockets."""


def response(body: object, *, status: int = 200, headers: str = "") -> bytes:
    text = json.dumps(body)
    head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode()


ACCEPTED = response(
    {
        "sid": RESERVATION,
        "task_sid": TASK,
        "worker_sid": WORKER,
        "reservation_status": "accepted",
        "date_created": "2026-11-22T01:02:03Z",
    }
)


def make_client(url: str, seconds: float = SECONDS) -> TwilioTaskRouter:
    return TwilioTaskRouter(
        base_url=url,
        account_sid="AC" + "a" * 32,
        secrets=FixedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"})),
        workspace_sid="WS" + "c" * 32,
        seconds=seconds,
        page_seconds=seconds,
    )


def fetch(client: TwilioTaskRouter) -> object:
    return client.fetch_reservation(RESERVATION, task_sid=TASK)


def accept(client: TwilioTaskRouter) -> object:
    return client.update_reservation(
        RESERVATION, task_sid=TASK, to=Status.ACCEPTED, activity_sid=None
    )


def instruct(client: TwilioTaskRouter) -> object:
    instruction = Dequeue(from_="+15556667777")
    return client.send_instruction(RESERVATION, task_sid=TASK, instruction=instruction)


def create(client: TwilioTaskRouter, attributes: str = "{}") -> object:
    return client.create_task(NewTask(attributes=attributes, workflow_sid="WW" + "d" * 32))


def create_large(client: TwilioTaskRouter) -> object:
    return create(client, LARGE)


SINGLE_REQUESTS = [fetch, accept, instruct, create]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running_server() as running:
        yield running


@pytest.fixture(autouse=True)
def no_thread_leaks() -> Iterator[None]:
    """Check that the threads of abandoned exchanges end soon."""
    yield
    ends_at = time.monotonic() + 3
    while exchanges := busy_exchanges():
        assert time.monotonic() < ends_at, exchanges
        time.sleep(0.01)


@pytest.fixture
def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def error_of(
    call: Callable[[TwilioTaskRouter], object],
    url: str,
    *,
    limit: float = SECONDS,
    client: TwilioTaskRouter | None = None,
) -> TaskRouterError:
    """Return the error that a call raises within its time limit."""
    started = time.monotonic()
    with pytest.raises(TaskRouterError) as raised:
        call(client or make_client(url))
    assert time.monotonic() - started < limit + SLACK
    return raised.value


@pytest.mark.parametrize("call", SINGLE_REQUESTS)
def test_request_whose_connection_is_refused_is_reported_as_not_sent(
    call: Callable[[TwilioTaskRouter], object], unused_url: str
) -> None:
    error = error_of(call, unused_url)
    assert type(error) is TaskRouterNotSent
    assert error.message == (
        f"TaskRouter at {unused_url} can't be reached: connection refused. "
        "The request was not sent. Retry."
    )
    assert error.retry_after == 1


def test_request_to_an_unknown_host_is_reported_as_not_sent() -> None:
    assert type(error_of(accept, "http://host.invalid")) is TaskRouterNotSent


def test_request_to_a_server_without_tls_is_reported_as_not_sent(server: ScriptedServer) -> None:
    server.script = lambda peer: peer.send(ACCEPTED)
    error = error_of(accept, server.url.replace("http:", "https:"))
    assert type(error) is TaskRouterNotSent


def test_request_whose_tls_handshake_hangs_is_reported_as_not_sent(server: ScriptedServer) -> None:
    assert type(error_of(accept, server.url.replace("http:", "https:"))) is TaskRouterNotSent


def test_request_whose_host_lookup_hangs_is_reported_as_not_sent(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume, getaddrinfo = threading.Event(), socket.getaddrinfo

    def hang(*args: Any, **options: Any) -> Any:
        resume.wait(5)
        return getaddrinfo(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    error = error_of(accept, server.url)
    resume.set()
    time.sleep(0.1)

    assert type(error) is TaskRouterNotSent
    assert server.requests == []


@pytest.mark.parametrize("end", [Peer.reset, lambda _peer: None], ids=["reset", "closed"])
def test_incomplete_request_is_reported_as_not_sent(
    server: ScriptedServer, end: Callable[[Peer], None]
) -> None:
    def end_while_reading(peer: Peer) -> None:
        peer.connection.recv(10_000)
        end(peer)

    server.script = end_while_reading
    client = make_client(server.url, seconds=3)
    assert type(error_of(create_large, server.url, client=client, limit=3)) is TaskRouterNotSent
    assert server.requests == []


@pytest.mark.parametrize("call", SINGLE_REQUESTS)
@pytest.mark.parametrize("end", [Peer.reset, lambda _peer: None], ids=["reset", "closed"])
def test_outcome_of_a_complete_request_without_a_response_is_unknown(
    server: ScriptedServer,
    call: Callable[[TwilioTaskRouter], object],
    end: Callable[[Peer], None],
) -> None:
    def end_after_reading(peer: Peer) -> None:
        peer.read_request()
        end(peer)

    server.script = end_after_reading
    assert type(error_of(call, server.url)) is TaskRouterUnavailable
    assert (len(server.requests), server.connections) == (1, 1)


def drip_headers(peer: Peer) -> None:
    peer.drip(b"HTTP/1.1 200 OK\r\nX-A: ")


def drip_body(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    peer.drip(b"{")


def drip_body_until_closed(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    peer.drip(b"{")


def drip_error_body(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 503 x\r\nContent-Length: 1000000\r\n\r\n")
    peer.drip(b"{")


def send_endless_body(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    peer.send_endlessly()


def send_endless_chunks(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not peer.ended.is_set():
        peer.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")


def send_endless_headers(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\n")
    peer.send_endlessly()


def send_endless_interim_responses(peer: Peer) -> None:
    while not peer.ended.wait(0.001):
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")


SLOW = [
    Peer.hold,
    drip_headers,
    drip_body,
    drip_body_until_closed,
    drip_error_body,
    send_endless_body,
    send_endless_chunks,
    send_endless_headers,
    send_endless_interim_responses,
]


@pytest.mark.parametrize("call", [fetch, instruct])
@pytest.mark.parametrize("respond", SLOW)
def test_response_that_does_not_end_is_abandoned_at_the_time_limit(
    server: ScriptedServer,
    call: Callable[[TwilioTaskRouter], object],
    respond: Callable[[Peer], None],
) -> None:
    closed = threading.Event()

    def serve(peer: Peer) -> None:
        peer.read_request()
        with contextlib.suppress(OSError):
            respond(peer)
        if not peer.ended.is_set():
            closed.set()

    server.script = serve
    assert type(error_of(call, server.url)) is TaskRouterUnavailable
    assert closed.wait(2), "The client did not close the connection."
    assert len(server.requests) == 1


def test_request_that_the_server_does_not_read_is_abandoned_at_the_time_limit(
    server: ScriptedServer,
) -> None:
    server.script = lambda peer: peer.ended.wait(3) and None
    assert isinstance(error_of(create_large, server.url), TaskRouterUnavailable)


def test_connection_to_a_server_with_a_full_backlog_is_abandoned_at_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
        try:
            error = error_of(accept, f"http://127.0.0.1:{port}")
        finally:
            for connection in waiting:
                connection.close()
    assert type(error) is TaskRouterNotSent


def test_reset_of_a_reused_connection_leaves_the_outcome_unknown(server: ScriptedServer) -> None:
    def respond_to_first_request(peer: Peer) -> None:
        peer.read_request()
        peer.send(ACCEPTED)
        peer.read_request()
        peer.reset()

    server.script = respond_to_first_request
    client = make_client(server.url)
    fetch(client)
    assert type(error_of(accept, server.url, client=client)) is TaskRouterUnavailable
    assert (len(server.requests), server.connections) == (2, 1)


def test_connection_closed_while_idle_is_replaced(server: ScriptedServer) -> None:
    def respond_once(peer: Peer) -> None:
        peer.read_request()
        peer.send(ACCEPTED)

    server.script = respond_once
    client = make_client(server.url)
    for _ in range(3):
        accept(client)
        time.sleep(0.05)
    assert (len(server.requests), server.connections) == (3, 3)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", SINGLE_REQUESTS)
def test_redirect_is_not_followed(
    server: ScriptedServer, call: Callable[[TwilioTaskRouter], object], status: int
) -> None:
    def redirect(peer: Peer) -> None:
        peer.read_request()
        peer.send(response({}, status=status, headers=f"Location: {server.url}/other\r\n"))

    server.script = redirect
    assert type(error_of(call, server.url)) is TaskRouterUnavailable
    assert len(server.requests) == 1


# Proxies


def test_request_through_an_unreachable_proxy_is_reported_as_not_sent(
    server: ScriptedServer, unused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", unused_url)
    assert type(error_of(accept, server.url)) is TaskRouterNotSent
    assert server.connections == 0


@pytest.mark.parametrize(
    "respond",
    [
        lambda peer: peer.send(b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        lambda peer: peer.reset(),
        lambda peer: peer.hold(),
        lambda peer: peer.drip(b"HTTP/1.1 200 "),
    ],
    ids=["refuses", "resets", "hangs", "drips"],
)
def test_request_through_a_proxy_that_opens_no_tunnel_is_reported_as_not_sent(
    server: ScriptedServer, respond: Callable[[Peer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(peer: Peer) -> None:
        assert peer.read_request().startswith(b"CONNECT")
        respond(peer)

    server.script = serve
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("https_proxy", server.url)
    assert type(error_of(accept, "https://taskrouter.example")) is TaskRouterNotSent


def test_outcome_of_a_request_that_a_proxy_received_is_unknown(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = lambda peer: peer.read_request() and peer.reset()
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.url)
    assert type(error_of(accept, "http://taskrouter.example")) is TaskRouterUnavailable
    assert len(server.requests) == 1


@pytest.mark.parametrize("scheme", ["socks5", "socks4a", "socks5h"])
def test_request_through_a_socks_proxy_is_reported_as_not_sent(
    server: ScriptedServer, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", server.url.replace("http", scheme))
    assert type(error_of(accept, "http://taskrouter.example")) is TaskRouterNotSent
    assert server.connections == 0


# Operations with several requests


def respond_slowly(peer: Peer, body: bytes, seconds: float) -> None:
    while peer.read_request():
        peer.ended.wait(seconds)
        peer.send(body)


def test_endless_list_of_reserved_tasks_is_abandoned_at_the_time_limit(
    server: ScriptedServer,
) -> None:
    page = {"tasks": [{"sid": TASK}], "meta": {"key": "tasks", "next_page_url": f"{server.url}/n"}}
    server.script = lambda peer: respond_slowly(peer, response(page), 0.01)
    error = error_of(TwilioTaskRouter.list_reserved_tasks, server.url, limit=2 * SECONDS)
    assert type(error) is TaskRouterUnavailable
    assert len(server.requests) > 2


def test_slow_pages_of_events_are_abandoned_at_the_time_limit(server: ScriptedServer) -> None:
    event = {"event_type": "reservation.created", "event_data": {}}
    next_page = {"key": "events", "next_page_url": f"{server.url}/n"}
    page = response({"events": [event] * 1000, "meta": next_page})
    server.script = lambda peer: respond_slowly(peer, page, SECONDS * 1.2)
    error = error_of(
        lambda client: client.list_events("reservation.created", since=0, until=1),
        server.url,
        limit=2 * SECONDS,
    )
    assert type(error) is TaskRouterUnavailable


def test_search_with_slow_fetches_is_abandoned_at_the_time_limit(server: ScriptedServer) -> None:
    tasks = response({"tasks": [{"sid": TASK}] * 5, "meta": {"key": "tasks"}})
    server.script = lambda peer: respond_slowly(peer, tasks, SECONDS * 0.4)
    error = error_of(lambda client: client.find_tasks("idempotency_marker", "x"), server.url)
    assert type(error) is TaskRouterUnavailable


def test_request_and_its_retry_with_a_new_key_share_one_time_limit(server: ScriptedServer) -> None:
    class RotatedSecrets(FixedSecrets):
        def refresh(self) -> Secrets:
            return Secrets(("token",), {"SK" + "e" * 32: "new"})

    seconds = 4 * SECONDS
    replies = [response({}, status=401), b""]

    def refuse_first(peer: Peer) -> None:
        while peer.read_request():
            peer.ended.wait(seconds * 0.7)
            if not (reply := replies.pop(0)):
                peer.hold()
            peer.send(reply)

    server.script = refuse_first
    client = make_client(server.url, seconds)
    client._secrets = RotatedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"}))
    started = time.monotonic()
    with pytest.raises(TaskRouterUnavailable):
        accept(client)
    # If the retry had its own time limit, the call would end after 1.7 times the limit.
    assert time.monotonic() - started < seconds * 1.5
    assert len(server.requests) == 2


def test_large_page_is_read_but_a_large_resource_is_not(server: ScriptedServer) -> None:
    reservation = json.loads(ACCEPTED.partition(b"\r\n\r\n")[2]) | {"filler": "x" * 2**21}
    bodies = {b"Reservations?": {"reservations": [reservation], "meta": {"key": "reservations"}}}

    def serve(peer: Peer) -> None:
        while request := peer.read_request():
            matching = [body for path, body in bodies.items() if path in request]
            peer.send(response(matching[0] if matching else reservation))

    server.script = serve
    client = make_client(server.url, seconds=3)
    assert [remote.task_sid for remote in client.list_reservations(TASK)] == [TASK]
    assert error_of(fetch, server.url, client=client, limit=3).message == (
        "TaskRouter's response can't be read."
    )


def test_minimum_time_left_for_a_sweep_step_suffices_for_two_pages_or_a_decision() -> None:
    assert 2 * PAGE_SECONDS * 1000 + 8_000 <= _MIN_TIME_LEFT_MS
    assert REQUEST_SECONDS * 1000 + REQUEST_LIMIT_MS + 8_000 <= _MIN_TIME_LEFT_MS


# Arbitrary server behavior


MOMENTS = {
    "immediately": lambda _peer: None,
    "after the first bytes": lambda peer: peer.connection.recv(20),
    "after the request": Peer.read_request,
}
ACTIONS: dict[str, Callable[[Peer], object]] = {
    "closes": lambda _peer: None,
    "resets": Peer.reset,
    "responds": lambda peer: peer.send(ACCEPTED),
    "sends part of a response": lambda peer: peer.send(ACCEPTED[:-5]),
    "sends junk": lambda peer: peer.send(b"\x00\xff\r\n\r\n"),
    "hangs": Peer.hold,
    "drips": drip_headers,
    "fails": lambda peer: peer.send(response({}, status=500)),
}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moment=st.sampled_from(sorted(MOMENTS)),
    action=st.sampled_from(sorted(ACTIONS)),
    size=st.sampled_from([0, 1, 3_000, 200_000, 8_000_000]),
    wait=st.sampled_from([0, 0.05, 0.3]),
)
def test_received_request_is_never_reported_as_not_sent(
    server: ScriptedServer, moment: str, action: str, size: int, wait: float
) -> None:
    def serve(peer: Peer) -> None:
        MOMENTS[moment](peer)
        peer.ended.wait(wait)
        ACTIONS[action](peer)

    server.script = serve
    # The marker identifies the request of this example, because the server may still be reading
    # the request of an earlier example.
    marker = uuid.uuid4().hex
    started = time.monotonic()
    try:
        create(make_client(server.url, seconds=0.2), marker + "x" * size)
    except TaskRouterNotSent:
        time.sleep(0.01)
        assert not [request for request in server.requests if marker.encode() in request]
    except TaskRouterUnavailable:
        pass
    else:
        assert action == "responds"
    assert time.monotonic() - started < 0.2 + SLACK


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.2, 0.3])
def test_nothing_is_sent_after_the_caller_has_stopped_waiting(
    server: ScriptedServer, delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib3.util import connection  # noqa: PLC0415  patched only in this test

    create_connection = connection.create_connection

    def connect_slowly(*args: Any, **options: Any) -> Any:
        connected = create_connection(*args, **options)
        time.sleep(delay)
        return connected

    monkeypatch.setattr(connection, "create_connection", connect_slowly)
    server.script = lambda peer: peer.read_request() and peer.send(ACCEPTED)
    try:
        accept(make_client(server.url, seconds=0.18))
    except TaskRouterNotSent:
        time.sleep(0.2)
        assert server.requests == []


def test_error_in_an_exchange_is_raised_in_the_thread_of_the_caller() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Exchange(stop, 1).run()
