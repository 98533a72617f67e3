"""Requests get correct responses in time if TaskRouter is unreachable, silent or slow."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app import app
from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio.taskrouter import TwilioTaskRouter
from chalicelib.domain.errors import SweepFailed
from chalicelib.domain.reservations import RemoteReservation
from chalicelib.usecases.sweep import sweep_due_reservations
from tests.routes.conftest import ENVIRON, Api, reserve
from tests.scripted_server import Peer, ScriptedServer, running_server

TIMEOUT_SECONDS = 0.5
MARGIN_SECONDS = 2.0
CALL = {"instruction": "call", "from": "+15556667777", "url": "https://desk.example/twiml"}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def remote(api: Api) -> RemoteReservation:
    return reserve(api)


def connect_to(api: Api, url: str) -> None:
    """Configure the service to call TaskRouter at *url*, with short timeouts."""
    vars(api.service)["taskrouter"] = TwilioTaskRouter(
        base_url=url,
        account_sid=ENVIRON["TWILIO_ACCOUNT_SID"],
        secrets=FixedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"})),
        workspace_sid=ENVIRON["TWILIO_WORKSPACE_SID"],
        seconds=TIMEOUT_SECONDS,
        page_seconds=TIMEOUT_SECONDS,
    )
    for name in ("collaborators", "task_collaborators"):
        vars(api.service).pop(name, None)


def respond(peer: Peer, remote: RemoteReservation, status: str) -> None:
    """Respond to every request on a connection with the Reservation in the given status."""
    body = json.dumps(
        {
            "sid": remote.reservation_sid,
            "task_sid": remote.task_sid,
            "worker_sid": remote.worker_sid,
            "worker_name": "Alice",
            "reservation_status": status,
            "date_created": "2026-11-22T01:02:03Z",
        }
    )
    while peer.read_request():
        peer.send(f"HTTP/1.1 200 x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


@pytest.fixture
def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(("body", "expected"), [(CALL, (202, "pending")), ({}, (200, "accepted"))])
def test_accept_is_sent_once_after_a_refused_connection(
    api: Api,
    server: ScriptedServer,
    remote: RemoteReservation,
    body: dict[str, Any],
    expected: tuple[int, str],
) -> None:
    path = f"/reservations/{remote.reservation_sid}/accept"
    with running_server() as stopped:
        connect_to(api, stopped.url)
    failed = api.post_json(path, body)
    assert (failed.status_code, failed.json_body["Code"]) == (503, "TaskRouterNotSent")
    assert failed.headers["Retry-After"] == "1"
    assert "The request was not sent." in failed.json_body["Message"]

    connect_to(api, server.url)
    server.script = lambda peer: respond(peer, remote, expected[1])
    responses = [api.post_json(path, body) for _ in range(2)]
    assert {
        (response.status_code, response.json_body["reservation_status"]) for response in responses
    } == {expected}
    assert len(server.requests) == 1


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "order-1"}])
def test_task_creation_can_be_retried_at_once_after_a_refused_connection(
    api: Api, unused_url: str, headers: dict[str, str]
) -> None:
    fake = api.service.taskrouter
    connect_to(api, unused_url)
    failed = api.post_json("/create-task", {"attributes": {}}, headers=headers)
    assert (failed.status_code, failed.json_body["Code"]) == (503, "TaskRouterNotSent")
    assert failed.headers["Retry-After"] == "1"

    vars(api.service)["taskrouter"] = fake
    vars(api.service).pop("task_collaborators")
    created = api.post_json("/create-task", {"attributes": {}}, headers=headers)
    assert created.status_code == 201


def drip(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    peer.drip(b"{")


def drip_headers(peer: Peer) -> None:
    peer.read_request()
    peer.drip(b"HTTP/1.1 200 OK\r\nX-A: ")


def send_endless_body(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    peer.send_endlessly()


@pytest.mark.parametrize("script", [drip, drip_headers, send_endless_body, Peer.hold])
@pytest.mark.parametrize("body", [{}, CALL])
def test_accept_ends_within_two_timeouts_if_taskrouter_is_slow(
    api: Api,
    server: ScriptedServer,
    remote: RemoteReservation,
    script: Callable[[Peer], None],
    body: dict[str, Any],
) -> None:
    server.script = script
    connect_to(api, server.url)
    path = f"/reservations/{remote.reservation_sid}/accept"

    started = time.monotonic()
    response = api.post_json(path, body)
    assert time.monotonic() - started < 2 * TIMEOUT_SECONDS + MARGIN_SECONDS
    assert (response.status_code, response.json_body["Code"]) == (503, "OutcomeUnknown")
    assert response.headers["Retry-After"] == "30"

    api.clock.now += 31_000
    repeated = api.post_json(path, body)
    assert (repeated.status_code, repeated.json_body["Code"]) == (503, "OutcomeUnknown")
    assert ("may have been sent" in repeated.json_body["Message"]) == bool(body)


@pytest.mark.parametrize("script", [drip, Peer.hold, send_endless_body])
def test_sweep_ends_in_time_if_taskrouter_is_slow(
    api: Api, server: ScriptedServer, script: Callable[[Peer], None]
) -> None:
    """Every step ends in time, so the sweep ends soon after starting its last step."""
    for _ in range(20):
        reserve(api)
    api.clock.now += 200_000
    server.script = script
    connect_to(api, server.url)
    started = time.monotonic()
    # Steps can start only during the first second: 26 s are left, and each step requires 25 s.
    with pytest.raises(SweepFailed):
        sweep_due_reservations(
            api.service.collaborators,
            api.service.sweep_policy,
            api.service.statistics,
            time_left_ms=lambda: int((26 - (time.monotonic() - started)) * 1000),
            report=lambda _line: None,
        )
    assert time.monotonic() - started < 1 + 2 * TIMEOUT_SECONDS + MARGIN_SECONDS


def test_read_requests_except_for_activities_do_not_call_taskrouter(
    api: Api, remote: RemoteReservation
) -> None:
    """API Gateway's throttles for these routes rely on this behavior (docs/adr/0038).

    GET /activities calls TaskRouter, so it has the throttle of routes that wait for another
    service. If there is an identity provider, the sign-in routes also have this throttle.
    """
    read_paths = {
        path
        for path, views in app.routes.items()
        if "GET" in views and ("POST" not in views or path == "/console/session")
    } - {"/activities"}
    assert len(read_paths) == 12
    for sid in (remote.reservation_sid, "WR" + "f" * 32):
        for path in read_paths:
            response = api.call("GET", path.replace("{sid}", sid))
            assert response.status_code in (200, 404)
    assert not api.taskrouter.calls
