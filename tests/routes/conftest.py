"""Fixtures for calling the app through `chalice.test`, with a local DynamoDB."""

import io
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from chalice.test import Client, HTTPResponse
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import TaskRouterGrant
from twilio.request_validator import RequestValidator

from app import app
from chalicelib import config, observability, runtime
from chalicelib.domain.reservations import RemoteReservation
from local.callback_log import MemoryCallbackLog
from taskrouter_simulator.testing import TaskRouter as Simulator
from tests.support import FakeTaskRouter, ManualClock, sid

BASE_URL = "https://example.test/api"
ENVIRON = {
    "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
    "TWILIO_AUTH_TOKEN": "test-auth-token",
    "TWILIO_API_KEY_SID": "SK" + "b" * 32,
    "TWILIO_API_KEY_SECRET": "API key secret used only by the tests",
    "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
    "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
    "PUBLIC_BASE_URL": BASE_URL,
}
FORM = "application/x-www-form-urlencoded"


def create_token(environ: Mapping[str, str], role: str | None, **overrides: Any) -> str:
    """Return a token for the app whose settings are in *environ*.

    Args:
        environ: The app's settings.
        role: Role in the TaskRouter grant; None for a grant without a role.
        **overrides: Values that replace the defaults, such as `ttl` or `worker_sid`.
    """
    values = {
        "account_sid": environ["TWILIO_ACCOUNT_SID"],
        "key": environ["TWILIO_API_KEY_SID"],
        "secret": environ["TWILIO_API_KEY_SECRET"],
        "workspace_sid": environ["TWILIO_WORKSPACE_SID"],
        "worker_sid": None,
        "identity": None,
        "ttl": 3600,
        **overrides,
    }
    grant = TaskRouterGrant(
        workspace_sid=values["workspace_sid"], worker_sid=values["worker_sid"], role=role
    )
    token = AccessToken(
        values["account_sid"],
        values["key"],
        values["secret"],
        grants=[grant],
        identity=values["identity"],
        ttl=values["ttl"],
    )
    return str(token.to_jwt())


@dataclass
class Api:
    """The app, with methods that send requests as an API client or as Twilio."""

    http: Any
    service: runtime.Runtime
    taskrouter: FakeTaskRouter
    clock: ManualClock
    log: io.StringIO
    environ: dict[str, str]

    def token(self, role: str | None = "supervisor", **overrides: Any) -> str:
        return create_token(self.environ, role, **overrides)

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "",
        body: bytes = b"",
        content_type: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> HTTPResponse:
        """Send a request. The default token is a supervisor's; None sends no token."""
        all_headers = dict(headers or {})
        if token is not None:
            all_headers["Authorization"] = f"Bearer {token or self.token()}"
        if content_type:
            all_headers["Content-Type"] = content_type
        return self.http.request(method, path, headers=all_headers, body=body)

    def post_json(self, path: str, value: object, **options: Any) -> HTTPResponse:
        body = json.dumps(value).encode()
        return self.call("POST", path, body=body, content_type="application/json", **options)

    def callback_parameters(self, **overrides: str) -> dict[str, str]:
        return {
            "AccountSid": ENVIRON["TWILIO_ACCOUNT_SID"],
            "WorkspaceSid": ENVIRON["TWILIO_WORKSPACE_SID"],
            "WorkflowSid": ENVIRON["TWILIO_WORKFLOW_SID"],
            "TaskQueueSid": "WQ" + "e" * 32,
            "WorkerSid": sid("WK"),
            "WorkerAttributes": '{"languages": ["en", "es"]}',
            "TaskSid": sid("WT"),
            "TaskAttributes": '{"selected_language": "es"}',
            "TaskAge": "1",
            "TaskPriority": "0",
            "ReservationSid": sid("WR"),
            **overrides,
        }

    def post_callback(
        self,
        parameters: dict[str, str],
        *,
        path: str = "/assignment_callback",
        signature: str | None = "",
        content_type: str = FORM,
        headers: dict[str, str] | None = None,
    ) -> HTTPResponse:
        """Post a callback. The default signature is valid; None sends no signature."""
        all_headers = {"Content-Type": content_type, **(headers or {})}
        if signature is not None:
            all_headers["X-Twilio-Signature"] = signature or self.sign(parameters, BASE_URL + path)
        body = urlencode(parameters).encode()
        return self.http.post(path, headers=all_headers, body=body)

    def sign(self, parameters: Any, url: str = f"{BASE_URL}/assignment_callback") -> str:
        validator = RequestValidator(ENVIRON["TWILIO_AUTH_TOKEN"])
        return str(validator.compute_signature(url, parameters))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def reserve(api: Api, **overrides: str) -> RemoteReservation:
    """Add a Reservation to the fake TaskRouter and post its assignment callback."""
    remote = api.taskrouter.add(**overrides)
    response = api.post_callback(
        api.callback_parameters(
            ReservationSid=remote.reservation_sid,
            TaskSid=remote.task_sid,
            WorkerSid=remote.worker_sid,
        )
    )
    assert response.status_code == 200
    return remote


def list_pages(api: Api, query: str = "") -> Iterator[HTTPResponse]:
    """Yield the responses of `GET /reservations` from the first to the last page."""
    cursor = ""
    while True:
        response = api.call("GET", f"/reservations?{query}{cursor}")
        assert response.status_code == 200, response.body
        yield response
        if response.json_body["next_cursor"] is None:
            return
        cursor = f"&cursor={response.json_body['next_cursor']}"


@pytest.fixture
def environ(tables: Any) -> dict[str, str]:
    """Environment variables that a test can change before it uses the `api` fixture."""
    return {
        **ENVIRON,
        "RESERVATIONS_TABLE": tables.reservations,
        "STATE_TABLE": tables.state,
    }


@pytest.fixture
def tutorial(environ: dict[str, str]) -> None:
    """Enable the tutorial's GET routes and default Task."""
    environ["TUTORIAL_ROUTES"] = "true"


@pytest.fixture
def api(dynamodb: Any, environ: dict[str, str]) -> Iterator[Api]:
    clock = ManualClock()
    callback_log = MemoryCallbackLog()
    service = runtime.Runtime(
        settings=config.load(environ),
        dynamodb=dynamodb.client(),
        clock=clock,
        local_log=callback_log,
    )
    taskrouter = FakeTaskRouter()
    vars(service)["taskrouter"] = taskrouter
    observability.configure("INFO")
    log = io.StringIO()
    handler = logging.getLogger("taskrouter-callbacks").handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(log)
    observability.copy_lines(callback_log)
    runtime.use(service)
    with Client(app, stage_name="tests") as client:
        yield Api(client.http, service, taskrouter, clock, log, environ)
    runtime.use(None)


@pytest.fixture
def simulated_api(
    environ: dict[str, str], taskrouter: Simulator, request: pytest.FixtureRequest
) -> Api:
    """The app with the simulator instead of the fake TaskRouter."""
    environ |= {
        "TWILIO_ACCOUNT_SID": taskrouter.account_sid,
        "TWILIO_API_KEY_SID": taskrouter.api_key_sid,
        "TWILIO_API_KEY_SECRET": taskrouter.api_key_secret,
        "TWILIO_WORKSPACE_SID": taskrouter.workspace_sid,
        "TWILIO_WORKFLOW_SID": taskrouter.workflow_sid,
        "TWILIO_TASKROUTER_URL": taskrouter.url,
    }
    api: Api = request.getfixturevalue("api")
    del vars(api.service)["taskrouter"]
    return api
