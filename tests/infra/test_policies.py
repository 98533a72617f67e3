"""Each function may make the calls that it makes, on its own resources, and no other.

The calls are recorded while the app does all that its functions can do.
"""

from itertools import product
from urllib.parse import urlencode

import pytest

from app import app
from chalicelib import config
from chalicelib.domain.reservations import Status
from chalicelib.usecases.sweep import sweep
from infra import declared, permissions
from infra.declared import API, SWEEP
from tests.support import sid

PLACE = {"partition": "aws", "region": "us-east-1", "account": "123456789012"}
ARN = f"arn:aws:{{service}}:{PLACE['region']}:{PLACE['account']}:{{resource}}"

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def environ(environ):  # the routes' fixture, and one setting more
    return {**environ, "MAX_WRAPUP_SECONDS": "60"}


@pytest.fixture
def stage(tables):
    """A stage that is declared as those of config.json are, over the tables of the test."""
    environ = {
        "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
        "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
        "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
        "SECRETS_PARAMETER": "/taskrouter-callbacks/dev/secrets",
        "RESERVATIONS_TABLE": tables.reservations,
        "STATE_TABLE": tables.state,
    }
    return declared.Stage(
        name="dev",
        app=app.app_name,
        api_stage="dev",
        settings=config.load(environ),
        policy_files={API: "api.json", SWEEP: "sweep.json"},
    )


@pytest.fixture
def allowed(stage):
    """What a function's policy allows: (action, ARN)."""
    rendered = permissions.render(stage, **PLACE)

    def of(handler):
        pairs = set()
        for statement in rendered[stage.policy_files[handler]]["Statement"]:
            assert statement["Effect"] == "Allow"
            pairs |= set(product(as_list(statement["Action"]), as_list(statement["Resource"])))
        return pairs

    return of


def as_list(value):
    return value if isinstance(value, list) else [value]


@pytest.fixture
def calls(dynamodb, api):
    """The calls to DynamoDB since it was last emptied: (action, ARN)."""
    made = set()

    def note(model, params, **_):
        for table in [params["TableName"]] if "TableName" in params else params["RequestItems"]:
            index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
            arn = ARN.format(service="dynamodb", resource=f"table/{table}{index}")
            made.add((f"dynamodb:{model.name}", arn))

    api.service.dynamodb.meta.events.register("provide-client-params.dynamodb.*", note)
    return made


def of_service(pairs, *services):
    return {(action, arn) for action, arn in pairs if action.split(":")[0] in services}


def record(api, **given):
    """A callback's Reservation that TaskRouter knows as well; its parameters."""
    seen = api.taskrouter.add(created_at=api.clock.now, **given)
    parameters = api.callback_parameters(
        ReservationSid=seen.reservation_sid, TaskSid=seen.task_sid, WorkerSid=seen.worker_sid
    )
    assert api.post_callback(parameters).status_code == 200
    return seen


def use_every_route(api):
    first, second, third = record(api), record(api), record(api)
    api.taskrouter.becomes(first.reservation_sid, Status.ACCEPTED)
    event = {
        "AccountSid": api.service.settings.twilio_account_sid,
        "WorkspaceSid": api.service.settings.twilio_workspace_sid,
        "EventType": "reservation.accepted",
        "ReservationSid": first.reservation_sid,
        "TaskSid": first.task_sid,
        "WorkerSid": first.worker_sid,
        "TimestampMs": str(api.clock.now),
    }
    url = f"{api.service.settings.public_base_url}/event_callback"
    told = api.http.post(
        "/event_callback",
        headers={"Content-Type": FORM, "X-Twilio-Signature": api.sign(event, url)},
        body=urlencode(event).encode(),
    )
    assert told.status_code == 204
    for verb, seen in (("accept", second), ("reject", third)):
        path = f"/reservations/{seen.reservation_sid}/{verb}"
        body = {"activity_sid": sid("WA")} if verb == "reject" else {}
        assert api.post_json(path, body).status_code == 200
    for query in ("", "?status=pending", f"?worker_sid={first.worker_sid}"):
        assert api.call("GET", f"/reservations{query}").status_code == 200
    assert api.call("GET", f"/reservations/{first.reservation_sid}").status_code == 200
    created = api.post_json("/create-task", {}, headers={"Idempotency-Key": "one"})
    assert created.status_code == 201


def test_the_apis_function_may_do_what_it_does_and_no_more(api, calls, allowed):
    use_every_route(api)

    assert of_service(allowed(API), "dynamodb") == calls


def test_the_sweeps_function_may_do_what_it_does_and_no_more(api, calls, allowed):
    record(api)
    api.taskrouter.becomes(record(api).reservation_sid, Status.WRAPPING)
    unheard = api.taskrouter.add(created_at=api.clock.now)  # its callback never came
    api.taskrouter.happened(unheard, Status.PENDING, at=api.clock.now)
    calls.clear()

    for _ in range(3):
        api.clock.now += 3_600_000
        sweep(
            api.service.desk,
            api.service.orders,
            time_left_ms=lambda: 60_000,
            report=lambda result: None,
        )

    assert api.taskrouter.calls["update"] == 1  # one wrap-up was stuck, and completed
    assert of_service(allowed(SWEEP), "dynamodb") == calls


def test_beside_the_tables_there_are_only_secrets_logs_and_traces(stage, allowed):
    for handler in (API, SWEEP):
        group = f"log-group:{stage.log_group(handler)}:*"
        secret = "parameter/taskrouter-callbacks/dev/secrets"
        assert allowed(handler) - of_service(allowed(handler), "dynamodb") == {
            ("ssm:GetParameter", ARN.format(service="ssm", resource=secret)),
            ("logs:CreateLogStream", ARN.format(service="logs", resource=group)),
            ("logs:PutLogEvents", ARN.format(service="logs", resource=group)),
            # AWS gives X-Ray no resource to name.
            ("xray:PutTraceSegments", "*"),
            ("xray:PutTelemetryRecords", "*"),
        }
