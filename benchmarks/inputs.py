"""The callback that all programs get, and the environment of this app."""

import json
from typing import Any
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

PATH = "/assignment_callback"
ENVIRON = {
    "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
    "TWILIO_AUTH_TOKEN": "for the benchmark only",
    "TWILIO_API_KEY_SID": "SK" + "b" * 32,
    "TWILIO_API_KEY_SECRET": "for the benchmark only",
    "TWILIO_WORKSPACE_SID": "WS" + "c" * 32,
    "TWILIO_WORKFLOW_SID": "WW" + "d" * 32,
    "RESERVATIONS_TABLE": "reservations",
    "STATE_TABLE": "state",
    "PUBLIC_BASE_URL": "https://example.com/api",
}
CALLBACK = {
    "AccountSid": ENVIRON["TWILIO_ACCOUNT_SID"],
    "WorkspaceSid": ENVIRON["TWILIO_WORKSPACE_SID"],
    "WorkflowSid": ENVIRON["TWILIO_WORKFLOW_SID"],
    "TaskQueueSid": "WQ" + "0" * 32,
    "WorkerSid": "WK" + "0" * 32,
    "TaskSid": "WT" + "0" * 32,
    "ReservationSid": "WR" + "0" * 32,
    "TaskAge": "12",
    "TaskPriority": "3",
    "WorkerAttributes": '{"contact_uri": "client:alice", "skills": ["es", "billing", "gold"]}',
    "TaskAttributes": '{"call_sid": "CA00", "from": "+15550001111", "to": "+15550002222", '
    '"language": "es", "product": "p7", "direction": "inbound", "notes": "' + "x" * 400 + '"}',
}
BODY = urlencode(CALLBACK)
_VALIDATOR = RequestValidator(ENVIRON["TWILIO_AUTH_TOKEN"])
_URL = ENVIRON["PUBLIC_BASE_URL"] + PATH
HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "X-Twilio-Signature": _VALIDATOR.compute_signature(_URL, CALLBACK),
}
SECRETS = json.dumps(
    {
        "auth_tokens": [ENVIRON["TWILIO_AUTH_TOKEN"]],
        "api_keys": {ENVIRON["TWILIO_API_KEY_SID"]: ENVIRON["TWILIO_API_KEY_SECRET"]},
    }
)
"""The SSM parameter from which the app reads its secrets on Lambda."""

_HOST = "abcdefghij.execute-api.us-east-1.amazonaws.com"


class InstantDynamoDb:
    """A DynamoDB client without latency, so that only the app's own time is measured."""

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Return the attributes that an UpdateItem request sets."""
        return respond(request)


def respond(request: dict[str, Any]) -> dict[str, Any]:
    """Return DynamoDB's response to a write: the attributes that UpdateItem sets, if any."""
    prefix = ":set_"
    values = request.get("ExpressionAttributeValues", {})
    attributes = {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }
    return {"Attributes": attributes} if attributes else {}


def lambda_environ() -> dict[str, str]:
    """Return the environment variables of the deployed app, without secrets."""
    secrets = ("TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET")
    settings = {name: value for name, value in ENVIRON.items() if name not in secrets}
    return {**settings, "SECRETS_PARAMETER": "/secrets"}


def event() -> bytes:
    """Return the event that API Gateway sends to a function for a signed callback."""
    headers = {
        "Accept": "*/*",
        "Host": _HOST,
        "User-Agent": "TwilioProxy/1.1",
        "X-Amzn-Trace-Id": "Root=1-00000000-000000000000000000000000",
        "X-Forwarded-For": "203.0.113.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "I-Twilio-Idempotency-Token": "0" * 36,
        **HEADERS,
    }
    content = {
        "resource": PATH,
        "path": PATH,
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": PATH,
            "httpMethod": "POST",
            "path": f"/api{PATH}",
            "stage": "api",
            "domainName": _HOST,
            "requestId": "0" * 36,
            "requestTimeEpoch": 1_790_000_000_000,
            "identity": {"sourceIp": "203.0.113.1", "userAgent": "TwilioProxy/1.1"},
        },
        "body": BODY,
        "isBase64Encoded": False,
    }
    return json.dumps(content).encode()
