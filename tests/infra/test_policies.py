"""Each function's policy allows exactly the calls that the function makes.

The tests record the calls while they use every route and run the sweep.
"""

import json
import os
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from urllib.parse import urlencode

import pytest

from app import app
from chalicelib import config
from chalicelib.adapters.callback_log import CloudWatchCallbackLog
from chalicelib.adapters.secrets import ParameterSecrets, ssm_client
from chalicelib.domain.callback_log import CallbackQuery, LogPosition
from chalicelib.domain.reservations import Status
from chalicelib.domain.workers import Activity, WorkerActivity
from chalicelib.routes.callbacks import twilio_routes
from chalicelib.routes.console import console_version
from chalicelib.usecases.search_callbacks import search_callbacks
from chalicelib.usecases.sweep import sweep_due_reservations
from infra.aws import policies, stage_config
from infra.aws.stage_config import API, SWEEP
from tests.scripted_aws import http_response, respond, scripted_server
from tests.support import NOW, ManualClock, sid

ARN = "arn:*:{service}:*:*:{resource}"

FORM = "application/x-www-form-urlencoded"
CHALICELIB = Path(__file__).parents[2] / "chalicelib"
SECRETS = "/taskrouter-callbacks/dev/secrets"


@pytest.fixture
def environ(environ):  # adds a setting to the fixture of the same name
    return {**environ, "MAX_WRAPUP_SECONDS": "60"}


@pytest.fixture
def stage(tables):
    """A stage like those in config.json, with the test's tables."""
    environ = {
        "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
        "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
        "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
        "SECRETS_PARAMETER": SECRETS,
        "RESERVATIONS_TABLE": tables.reservations,
        "STATE_TABLE": tables.state,
    }
    return stage_config.Stage(
        name="dev",
        app=app.app_name,
        settings=config.load(environ),
    )


@pytest.fixture
def allowed(stage):
    """A function that returns a policy's allowed calls as (action, ARN) pairs."""
    rendered = policies.render(stage)

    def calls_of(handler):
        pairs = set()
        for statement in rendered[stage.policy_file(handler)]["Statement"]:
            assert statement["Effect"] == "Allow"
            pairs |= set(product(as_list(statement["Action"]), as_list(statement["Resource"])))
        return pairs

    return calls_of


def as_list(value):
    return value if isinstance(value, list) else [value]


@pytest.fixture
def calls(dynamodb, api):
    """The set of calls to DynamoDB as (action, ARN) pairs."""
    recorded = set()

    def record(model, params, **_):
        for table in [params["TableName"]] if "TableName" in params else params["RequestItems"]:
            index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
            arn = ARN.format(service="dynamodb", resource=f"table/{table}{index}")
            recorded.add((f"dynamodb:{model.name}", arn))

    events = api.service.dynamodb.meta.events
    events.register("provide-client-params.dynamodb.*", record)
    yield recorded
    events.unregister("provide-client-params.dynamodb.*", record)


def filter_by_service(pairs, *services):
    return {(action, arn) for action, arn in pairs if action.split(":")[0] in services}


def create_reservation(api, **fields):
    """Create a Reservation in TaskRouter and post its callback."""
    reservation = api.taskrouter.add(created_at=api.clock.now, **fields)
    parameters = api.callback_parameters(
        ReservationSid=reservation.reservation_sid,
        TaskSid=reservation.task_sid,
        WorkerSid=reservation.worker_sid,
    )
    assert api.post_callback(parameters).status_code == 200
    return reservation


def post_signed(api, path, parameters):
    url = f"{api.service.settings.public_base_url}{path}"
    headers = {"Content-Type": FORM, "X-Twilio-Signature": api.sign(parameters, url)}
    return api.http.post(path, headers=headers, body=urlencode(parameters).encode())


VOICE_ROUTES = sorted(
    {path for path, _ in twilio_routes(app)} - {path for path in app.routes if "callback" in path}
)


def use_every_route(api):
    first, second, third, fourth = (create_reservation(api) for _ in range(4))
    api.taskrouter.set_status(first.reservation_sid, Status.ACCEPTED)
    event = {
        "AccountSid": api.service.settings.twilio_account_sid,
        "WorkspaceSid": api.service.settings.twilio_workspace_sid,
        "EventType": "reservation.accepted",
        "ReservationSid": first.reservation_sid,
        "TaskSid": first.task_sid,
        "WorkerSid": first.worker_sid,
        "TimestampMs": str(api.clock.now),
    }
    assert post_signed(api, "/event_callback", event).status_code == 204
    parameters = api.callback_parameters()
    assert post_signed(api, "/assignment_callback/fallback", parameters).status_code == 200
    for path in VOICE_ROUTES:
        form = {"AccountSid": event["AccountSid"], "CallSid": sid("CA")}
        assert post_signed(api, path, form).status_code == 200
    for verb, reservation in (("accept", second), ("reject", third), ("complete", second)):
        path = f"/reservations/{reservation.reservation_sid}/{verb}"
        body = {"activity_sid": sid("WA")} if verb == "reject" else {}
        assert api.post_json(path, body).status_code == 200
    for query in ("", "?status=pending", f"?worker_sid={first.worker_sid}"):
        assert api.call("GET", f"/reservations{query}").status_code == 200
    assert api.call("GET", f"/reservations/{first.reservation_sid}").status_code == 200
    query = f"task_sid={fourth.task_sid}&reservation_sid={fourth.reservation_sid}"
    assert api.call("POST", f"/accept_reservation?{query}").status_code == 200
    created = api.post_json(
        "/create-task", {"attributes": {}}, headers={"Idempotency-Key": "key-1"}
    )
    assert created.status_code == 201
    assert api.call("GET", "/overview").status_code == 200
    assert api.call("GET", "/statistics").status_code == 200
    idle = Activity(sid("WA"), "Idle", is_available=True)
    api.taskrouter.workspace_activities = [idle]
    api.taskrouter.workers[first.worker_sid] = WorkerActivity(
        first.worker_sid, "Alice", idle.sid, idle.name, api.clock.now
    )
    worker = api.token("worker", worker_sid=first.worker_sid)
    for method, path in (("GET", "/activities"), ("POST", f"/activity?activity_sid={idle.sid}")):
        assert api.call(method, path, token=worker).status_code == 200
    assert api.call("GET", "/overview", token=worker).status_code == 200
    assert api.call("GET", "/console").status_code == 200
    assert api.call("GET", f"/console/{console_version()}/console.css").status_code == 200
    assert api.call("GET", "/health").status_code == 200
    assert api.call("GET", "/console/session").status_code == 200
    assert api.post_json("/console/session", {}).status_code == 404  # no identity provider
    for path in ("/console/sign-in", "/console/callback"):
        assert api.call("GET", path).status_code == 404  # there is no identity provider
    assert api.call("GET", "/callbacks").status_code == 200
    signature = f"/reservations/{first.reservation_sid}/signature"
    assert api.call("GET", signature).status_code == 200
    assert called_routes(api) == set(app.routes)


def called_routes(api):
    """Return the declared routes for which a request has been logged."""
    patterns = {path: re.sub(r"\{\w+\}", "[^/]+", path) for path in app.routes}
    paths = {line["route"] for line in api.lines() if line["event"] == "request"}
    return {
        path
        for path, pattern in patterns.items()
        if any(re.fullmatch(pattern, logged) for logged in paths)
    }


def test_api_policy_allows_exactly_the_dynamodb_calls_of_the_api(api, calls, allowed):
    use_every_route(api)

    assert filter_by_service(allowed(API), "dynamodb") == calls


def test_sweep_policy_allows_exactly_the_dynamodb_calls_of_the_sweep(api, calls, allowed):
    create_reservation(api)
    api.taskrouter.set_status(create_reservation(api).reservation_sid, Status.WRAPPING)
    unrecorded = api.taskrouter.add(created_at=api.clock.now)  # no callback was posted
    api.taskrouter.add_event(unrecorded, Status.PENDING, at=api.clock.now)
    calls.clear()

    for _ in range(3):
        api.clock.now += 3_600_000
        sweep_due_reservations(
            api.service.collaborators,
            api.service.sweep_policy,
            api.service.statistics,
            time_left_ms=lambda: 60_000,
            report=lambda result: None,
        )

    assert api.taskrouter.calls["update"] == 1  # the overdue wrap-up was completed
    assert filter_by_service(allowed(SWEEP), "dynamodb") == calls


@pytest.fixture
def ssm_calls(monkeypatch):
    """The calls to SSM that read the secrets, as (action, ARN) pairs."""
    value = {"auth_tokens": ["t"], "api_keys": {"SK" + "1" * 32: "s"}}
    response = http_response(200, {"Parameter": {"Value": json.dumps(value)}})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_server(respond(response)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", server.url)
        clock = ManualClock()
        secrets = ParameterSecrets(SECRETS, ssm_client(10.0), clock.now_ms)
        assert secrets.get().auth_tokens == ("t",)
        clock.now += 60_000
        secrets.refresh()
    calls = set()
    for request in server.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        (operation,) = re.findall(r"(?i)x-amz-target: AmazonSSM\.(\w+)", head.decode())
        resource = f"parameter/{json.loads(body)['Name'].lstrip('/')}"
        calls.add((f"ssm:{operation}", ARN.format(service="ssm", resource=resource)))
    assert len(server.requests) == 2
    return calls


def test_policies_allow_exactly_the_calls_that_read_secrets(ssm_calls, allowed):
    for handler in (API, SWEEP):
        assert filter_by_service(allowed(handler), "ssm") == ssm_calls


def test_app_calls_only_dynamodb_and_cloudwatch_logs_and_ssm():
    clients = [
        service
        for file in CHALICELIB.rglob("*.py")
        for service in re.findall(
            r'(?:client|JsonApi)\(\s*"(\w+)"', file.read_text(encoding="utf-8")
        )
    ]
    assert sorted(clients) == ["dynamodb", "dynamodb", "logs", "ssm"]


def test_api_policy_allows_exactly_the_searches_of_the_api_log(stage, allowed, fake_logs):
    log = CloudWatchCallbackLog(stage.log_group(API))
    query = CallbackQuery(since=NOW - 1, until=NOW, fields={})
    search_callbacks(query, log=log, limit=1, position=LogPosition(NOW))

    calls = {
        (operation, ARN.format(service="logs", resource=f"log-group:{request['logGroupName']}:*"))
        for operation, request in fake_logs.calls
    }
    allowed_calls = filter_by_service(allowed(API), "logs")
    # Lambda itself makes the other two allowed calls, which write the log.
    assert {call for call in allowed_calls if "Filter" in call[0]} == calls
    assert not {call for call in filter_by_service(allowed(SWEEP), "logs") if "Filter" in call[0]}


def test_policies_allow_reading_only_the_configured_secret_in_secrets_manager(stage):
    settings = replace(stage.settings, secrets_parameter=f"{policies.SECRETS_MANAGER}twilio/dev")
    rendered = policies.render(replace(stage, settings=settings))
    for policy in rendered.values():
        readable = {
            statement["Action"]: statement["Resource"]
            for statement in policy["Statement"]
            if statement["Action"] in ("secretsmanager:GetSecretValue", "ssm:GetParameter")
        }
        secret = "secret:twilio/dev-??????"
        parameter = "parameter/aws/reference/secretsmanager/twilio/dev"
        assert readable == {
            "secretsmanager:GetSecretValue": ARN.format(service="secretsmanager", resource=secret),
            "ssm:GetParameter": ARN.format(service="ssm", resource=parameter),
        }


def test_policies_allow_access_only_to_tables_and_secrets_and_logs_and_traces(stage, allowed):
    for handler in (API, SWEEP):
        group = f"log-group:{stage.log_group(handler)}:*"
        searches = {
            API: {("logs:FilterLogEvents", ARN.format(service="logs", resource=group))},
            SWEEP: set(),
        }
        secret = f"parameter{SECRETS}"
        assert allowed(handler) - filter_by_service(allowed(handler), "dynamodb") == {
            ("ssm:GetParameter", ARN.format(service="ssm", resource=secret)),
            ("logs:CreateLogStream", ARN.format(service="logs", resource=group)),
            ("logs:PutLogEvents", ARN.format(service="logs", resource=group)),
            *searches[handler],
            # These X-Ray actions do not support resource-level permissions.
            ("xray:PutTraceSegments", "*"),
            ("xray:PutTelemetryRecords", "*"),
        }


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_committed_policies_match_the_templates(name):
    declared_stage = stage_config.read(name, allow_empty_sids=True)
    for file, policy in policies.render(declared_stage).items():
        committed = (stage_config.CONFIG.parent / file).read_text(encoding="utf-8")
        assert json.loads(committed) == policy


def test_policies_are_rewritten_only_if_they_differ(tmp_path, monkeypatch, stage):
    monkeypatch.setattr(policies, "PROJECT", tmp_path)
    policies.write(stage)
    api, sweep = (tmp_path / ".chalice" / stage.policy_file(handler) for handler in (API, SWEEP))
    times = [0, 0]
    for path in (api, sweep):
        os.utime(path, (0, 0))
    settings = replace(stage.settings, secrets_parameter="/other")

    policies.write(stage)
    assert [path.stat().st_mtime for path in (api, sweep)] == times

    policies.write(replace(stage, settings=settings))
    assert "parameter/other" in api.read_text()
    assert "parameter/other" in sweep.read_text()
