"""Handling a callback imports no heavy modules, because they would lengthen the cold start."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from tests.routes.conftest import BASE_URL, ENVIRON
from tests.scripted_aws import http_response, respond, scripted_server
from tests.support import sid

HEAVY_MODULES = [
    "twilio.rest",
    "twilio.twiml",
    "jwt",
    "requests",
    "aiohttp",
    "pydantic",
    "jinja2",
    "boto3",
    "s3transfer",
    "botocore.session",
    "botocore.auth",
    "botocore.awsrequest",
    "botocore.httpsession",
    "botocore.utils",
    "urllib3",
    "botocore.client",
    "botocore.model",
    "botocore.loaders",
    "taskrouter_simulator",
    "infra",
]
PATH = "/assignment_callback"


def run(program: str, environ: dict[str, str] | None = None) -> str:
    report = f"import sys; print([name for name in {HEAVY_MODULES} if name in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", f"{program}\n{report}"],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_importing_the_app_imports_no_heavy_module() -> None:
    assert run("import app").splitlines()[-1] == "[]"


def callback_event() -> tuple[str, dict[str, object]]:
    """Return a Reservation SID, and the API Gateway event for the Reservation's signed callback."""
    parameters = {
        "AccountSid": ENVIRON["TWILIO_ACCOUNT_SID"],
        "WorkspaceSid": ENVIRON["TWILIO_WORKSPACE_SID"],
        "WorkflowSid": ENVIRON["TWILIO_WORKFLOW_SID"],
        "TaskQueueSid": sid("WQ"),
        "WorkerSid": sid("WK"),
        "WorkerAttributes": "{}",
        "TaskSid": sid("WT"),
        "TaskAttributes": '{"selected_language": "es"}',
        "ReservationSid": sid("WR"),
    }
    validator = RequestValidator(ENVIRON["TWILIO_AUTH_TOKEN"])
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": validator.compute_signature(BASE_URL + PATH, parameters),
    }
    return parameters["ReservationSid"], {
        "body": urlencode(parameters),
        "isBase64Encoded": False,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"resourcePath": PATH, "httpMethod": "POST", "path": f"/api{PATH}"},
    }


def test_first_callback_on_lambda_imports_no_heavy_module() -> None:
    secrets = {
        "auth_tokens": [ENVIRON["TWILIO_AUTH_TOKEN"]],
        "api_keys": {ENVIRON["TWILIO_API_KEY_SID"]: ENVIRON["TWILIO_API_KEY_SECRET"]},
    }
    parameter = {"Parameter": {"Value": json.dumps(secrets)}}
    reservation_sid, event = callback_event()
    recorded = {"reservation_sid": {"S": reservation_sid}, "answer": {"M": {}}}
    with (
        scripted_server(respond(http_response(200, parameter))) as ssm,
        scripted_server(respond(http_response(200, {"Attributes": recorded}))) as db,
    ):
        environ = {
            **ENVIRON,
            "RESERVATIONS_TABLE": "reservations",
            "STATE_TABLE": "state",
            "SECRETS_PARAMETER": "/secrets",
            "CLAIM_LEASE_SECONDS": "30",
            "AWS_LAMBDA_FUNCTION_NAME": "api",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL_DYNAMODB": db.url,
            "AWS_ENDPOINT_URL_SSM": ssm.url,
        }
        program = f"import app; print(app.app({event!r}, None))"
        lines = run(program, environ).splitlines()

    assert "'statusCode': 200" in lines[-2]
    assert lines[-1] == "[]"
    assert (len(ssm.requests), len(db.requests)) == (1, 1)
