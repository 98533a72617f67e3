"""A callback gets a response within 3 seconds even if DynamoDB or SSM is slow.

TaskRouter waits 5 seconds for a response. These tests measure timeouts, so they use real sockets,
real boto3 clients and the real clock.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from botocore.config import Config

from chalicelib import config, runtime
from chalicelib.adapters.dynamodb import client as adapter
from tests.routes.conftest import ENVIRON, Api

LIMIT_SECONDS = 3.0


@dataclass
class Endpoint:
    """A fake AWS endpoint with a fixed delay and response."""

    url: str
    requests: int = 0


def http_response(status: int, body: dict[str, Any]) -> bytes:
    text = json.dumps(body)
    head = f"HTTP/1.1 {status} x\r\nContent-Type: application/x-amz-json-1.0\r\n"
    return f"{head}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()


@pytest.fixture
def endpoint() -> Iterator[Callable[[float, bytes], Endpoint]]:
    """A function that starts an endpoint with a delay and a raw response.

    An empty response closes the connection.
    """
    ended = threading.Event()
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def respond(connection: socket.socket, delay: float, raw_response: bytes) -> None:
        with connection:
            connection.recv(65536)
            ended.wait(delay)
            if not ended.is_set() and raw_response:
                connection.sendall(raw_response)

    def serve(listener: socket.socket, target: Endpoint, delay: float, raw_response: bytes) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            target.requests += 1
            thread = threading.Thread(target=respond, args=(connection, delay, raw_response))
            threads.append(thread)
            thread.start()

    def start(delay: float, raw_response: bytes) -> Endpoint:
        listener = socket.create_server(("127.0.0.1", 0))
        target = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=serve, args=(listener, target, delay, raw_response))
        threads.append(thread)
        thread.start()
        listeners.append(listener)
        return target

    yield start
    ended.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join()


def client_at(url: str, service: str, original: Any) -> Any:
    """Return a client for another endpoint, with the timeouts of `original`."""
    timeouts: Config = original.meta.config
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=timeouts,
    )


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


THROTTLED = http_response(
    400, {"__type": "com.amazonaws.dynamodb#ThrottlingException", "message": "slow"}
)
BROKEN = http_response(
    500, {"__type": "com.amazonaws.dynamodb#InternalServerError", "message": "broken"}
)


@pytest.mark.parametrize(
    ("delay", "raw_response"),
    [(1, BROKEN), (10, b""), (60, b""), (0, THROTTLED), (0, BROKEN), (0, b"")],
    ids=["1 s", "10 s", "hanging", "throttling", "5xx", "connection closed"],
)
def test_app_returns_503_in_time_if_dynamodb_fails(
    api: Api, endpoint: Callable[[float, bytes], Endpoint], delay: float, raw_response: bytes
) -> None:
    dynamodb = endpoint(delay, raw_response)
    original = adapter.make_client(api.service.settings.dynamodb_seconds)
    api.service.store._client = client_at(dynamodb.url, "dynamodb", original)

    started = time.monotonic()
    response = api.post_callback(api.callback_parameters())

    assert time.monotonic() - started < LIMIT_SECONDS
    assert (response.status_code, response.json_body["Code"]) == (503, "StoreUnavailable")
    assert dynamodb.requests == 2


def test_app_returns_503_in_time_if_ssm_hangs_at_cold_start(
    api: Api, endpoint: Callable[[float, bytes], Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    ssm, dynamodb = endpoint(60, b""), endpoint(60, b"")
    simulate_cold_start(api, monkeypatch, ssm, dynamodb)

    started = time.monotonic()
    response = api.post_callback(api.callback_parameters())

    assert time.monotonic() - started < LIMIT_SECONDS
    assert (response.status_code, response.json_body["Code"]) == (503, "SecretsUnavailable")


def test_slow_ssm_and_hanging_dynamodb_share_one_time_budget(
    api: Api, endpoint: Callable[[float, bytes], Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    value = json.dumps(
        {
            "auth_tokens": [ENVIRON["TWILIO_AUTH_TOKEN"]],
            "api_keys": {ENVIRON["TWILIO_API_KEY_SID"]: ENVIRON["TWILIO_API_KEY_SECRET"]},
        }
    )
    ssm = endpoint(0.4, http_response(200, {"Parameter": {"Value": value}}))
    dynamodb = endpoint(60, b"")
    simulate_cold_start(api, monkeypatch, ssm, dynamodb)

    started = time.monotonic()
    response = api.post_callback(api.callback_parameters())

    assert time.monotonic() - started < LIMIT_SECONDS
    assert (response.status_code, response.json_body["Code"]) == (503, "StoreUnavailable")


def simulate_cold_start(
    api: Api, monkeypatch: pytest.MonkeyPatch, ssm: Endpoint, dynamodb: Endpoint
) -> None:
    """Switch to a new runtime that uses these endpoints and has not read its secrets."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", ssm.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    original = adapter.make_client(api.service.settings.dynamodb_seconds)
    cold_runtime = replace(
        api.service,
        settings=config.load({**ENVIRON, **table_settings(api), "SECRETS_PARAMETER": "/x"}),
        dynamodb=client_at(dynamodb.url, "dynamodb", original),
    )
    runtime.use(cold_runtime)


def table_settings(api: Api) -> dict[str, str]:
    settings = api.service.settings
    return {"RESERVATIONS_TABLE": settings.reservations_table, "STATE_TABLE": settings.state_table}
