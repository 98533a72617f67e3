"""A callback gets a response within 5 seconds even if DynamoDB or SSM is slow.

TaskRouter waits 5 seconds for a response. These tests check time limits, so they use real
sockets, the same AWS clients as a deployed stage, and the real clock. The other routes and the
sweep have no such deadline, but their requests to DynamoDB have the same time limit as those that
the app sends while it handles a callback.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from chalicelib import config, runtime
from chalicelib.adapters.dynamodb import client as adapter
from chalicelib.domain.errors import SweepFailed
from chalicelib.usecases.sweep import sweep_due_reservations
from tests.routes.conftest import ENVIRON, Api
from tests.scripted_aws import (
    SLOW,
    ScriptedServer,
    Step,
    aws_error,
    http_response,
    respond,
    scripted_server,
    stay_silent,
)
from tests.support import sid

LIMIT_SECONDS = 5.0
"""TaskRouter's time limit. The app's default limit of 2.8 s leaves a margin for a busy machine."""
FALLBACK = "/assignment_callback/fallback"

Start = Callable[[Step], ScriptedServer]


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


@pytest.fixture
def dynamodb_with(api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """A function that starts a fake DynamoDB server and connects the app to the server."""
    servers = []

    def start(step: Step) -> ScriptedServer:
        context = scripted_server(step)
        server = context.__enter__()
        servers.append(context)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
        api.service = replace(
            api.service, dynamodb=adapter.make_client(api.service.settings.dynamodb_seconds)
        )
        vars(api.service)["taskrouter"] = api.taskrouter
        runtime.use(api.service)
        return server

    yield start
    for context in servers:
        context.__exit__(None, None, None)


FAILURES = {
    **SLOW,
    "5xx after 1 s": respond(aws_error(500, "InternalServerError"), delay=1),
    "connection closed after 10 s": respond(b"", delay=10),
    "throttling": respond(aws_error(400, "ThrottlingException")),
    "5xx": respond(aws_error(500, "InternalServerError")),
    "connection closed": respond(b""),
}


@pytest.mark.parametrize("step", FAILURES.values(), ids=FAILURES)
def test_callback_gets_503_and_fallback_gets_answer_in_time_if_dynamodb_fails(
    api: Api, dynamodb_with: Start, step: Step
) -> None:
    dynamodb = dynamodb_with(step)
    parameters = api.callback_parameters()

    started = time.monotonic()
    response = api.post_callback(parameters)
    assert time.monotonic() - started < LIMIT_SECONDS
    assert (response.status_code, response.json_body["Code"]) == (503, "StoreUnavailable")

    started = time.monotonic()
    response = api.post_callback(parameters, path=FALLBACK)
    assert time.monotonic() - started < LIMIT_SECONDS
    assert (response.status_code, response.json_body) == (200, {})
    # An endless body exceeds the size limit, so the app does not retry the request.
    assert len(dynamodb.requests) == (2 if step is SLOW["endless body"] else 4)


UNUSABLE = {
    "no fields": http_response(200, {}),
    "no attributes": http_response(200, {"Attributes": {}}),
    "null": http_response(200, {"Attributes": None, "Item": None, "Items": None}),
    "lists": http_response(200, {"Attributes": [], "Item": [], "Items": {}, "Responses": []}),
    "no answer": http_response(200, {"Attributes": {"status": {"S": "pending"}}}),
    "answer of the wrong type": http_response(200, {"Attributes": {"answer": {"S": "x"}}}),
    "failed condition with a number": http_response(
        400, {"__type": "v1#ConditionalCheckFailedException", "Item": 5}
    ),
    "truncated": http_response(200, {"Attributes": {"answer": {"M": {}}}, "Items": []})[:-3],
    "nested": http_response(200, b"[" * 200_000),
}


@pytest.mark.parametrize("response", UNUSABLE.values(), ids=UNUSABLE)
def test_callback_gets_503_and_fallback_gets_answer_if_dynamodb_response_is_unusable(
    api: Api, dynamodb_with: Start, response: bytes
) -> None:
    dynamodb_with(respond(response))
    parameters = api.callback_parameters()

    refused = api.post_callback(parameters)
    assert (refused.status_code, refused.json_body["Code"]) == (503, "StoreUnavailable")
    answered = api.post_callback(parameters, path=FALLBACK)
    assert (answered.status_code, answered.json_body) == (200, {})
    path = f"/reservations/{sid('WR')}"
    for failed in (
        api.call("GET", "/reservations"),
        api.call("GET", "/reservations?status=pending"),
        api.call("GET", "/reservations?status=timeout"),
        api.post_json(f"{path}/accept", {}),
        api.post_json("/create-task", {"attributes": {}}, headers={"Idempotency-Key": "k"}),
    ):
        assert (failed.status_code, failed.json_body["Code"]) == (503, "StoreUnavailable")
    # If a response has no item, the app reports that the Reservation is not recorded (404).
    assert api.call("GET", path).status_code in (404, 503)


def test_callback_gets_503_in_time_if_name_lookup_hangs(
    api: Api, dynamodb_with: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb_with(stay_silent)
    ended = threading.Event()

    def hang(*_arguments: object, **_options: object) -> None:
        ended.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    response = api.post_callback(api.callback_parameters())
    ended.set()

    assert time.monotonic() - started < LIMIT_SECONDS
    assert (response.status_code, response.json_body["Code"]) == (503, "StoreUnavailable")


@pytest.mark.parametrize("step", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize(
    ("operation", "calls"), [("event", 1), ("accept", 3), ("list", 1), ("sweep", 4)]
)
def test_slow_dynamodb_delays_other_operations_only_until_their_calls_time_out(
    api: Api, dynamodb_with: Start, operation: str, calls: int, step: Step
) -> None:
    """A decision whose claim fails reads the record, and then tries to release the claim.

    A sweep tries to reconcile, lists due Reservations, reads the statistics and saves its log line.
    """
    dynamodb_with(step)
    operations: dict[str, Callable[[], int]] = {
        "event": lambda: api.post_callback(_event(api), path="/event_callback").status_code,
        "accept": lambda: api.post_json(f"/reservations/{sid('WR')}/accept", {}).status_code,
        "list": lambda: api.call("GET", "/reservations").status_code,
        "sweep": lambda: _sweep(api),
    }
    _ = api.service.dynamodb.meta  # build botocore's client before measuring the time

    started = time.monotonic()
    status = operations[operation]()

    assert time.monotonic() - started < calls * api.service.settings.dynamodb_seconds + 2
    assert status == 503


def _event(api: Api) -> dict[str, str]:
    return {**api.callback_parameters(), "EventType": "reservation.accepted", "WorkerName": "Al"}


def _sweep(api: Api) -> int:
    with pytest.raises(SweepFailed):
        sweep_due_reservations(
            api.service.collaborators,
            api.service.sweep_policy,
            api.service.statistics,
            time_left_ms=lambda: 60_000,
            report=lambda _line: None,
        )
    return 503


def test_app_returns_503_in_time_if_ssm_hangs_at_cold_start(
    api: Api, dynamodb_with: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb_with(stay_silent)
    with scripted_server(stay_silent) as ssm:
        simulate_cold_start(api, monkeypatch, ssm)

        started = time.monotonic()
        response = api.post_callback(api.callback_parameters())

    assert time.monotonic() - started < LIMIT_SECONDS
    assert (response.status_code, response.json_body["Code"]) == (503, "SecretsUnavailable")


@pytest.mark.parametrize("step", SLOW.values(), ids=SLOW)
def test_slow_ssm_and_slow_dynamodb_share_one_time_budget(
    api: Api, dynamodb_with: Start, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    value = json.dumps(
        {
            "auth_tokens": [ENVIRON["TWILIO_AUTH_TOKEN"]],
            "api_keys": {ENVIRON["TWILIO_API_KEY_SID"]: ENVIRON["TWILIO_API_KEY_SECRET"]},
        }
    )
    dynamodb_with(step)
    response_with_secrets = http_response(200, {"Parameter": {"Value": value}})
    with scripted_server(respond(response_with_secrets, delay=0.4)) as ssm:
        simulate_cold_start(api, monkeypatch, ssm)

        started = time.monotonic()
        response = api.post_callback(api.callback_parameters())

    assert time.monotonic() - started < LIMIT_SECONDS
    assert (response.status_code, response.json_body["Code"]) == (503, "StoreUnavailable")


def simulate_cold_start(api: Api, monkeypatch: pytest.MonkeyPatch, ssm: ScriptedServer) -> None:
    """Switch to a new runtime that has not read its secrets."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", ssm.url)
    settings = api.service.settings
    tables = {
        "RESERVATIONS_TABLE": settings.reservations_table,
        "STATE_TABLE": settings.state_table,
    }
    settings = config.load({**ENVIRON, **tables, "SECRETS_PARAMETER": "/x"})
    runtime.use(replace(api.service, settings=settings))
