"""Requests, records and responses that the benchmarks share, and this app's environment."""

import json
from typing import Any
from urllib.parse import urlencode

from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import TaskRouterGrant
from twilio.request_validator import RequestValidator

PATH = "/assignment_callback"
EVENT_PATH = "/event_callback"
OVERVIEW_PATH = "/overview"
ENVIRON = {
    "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
    "TWILIO_AUTH_TOKEN": "for the benchmark only",
    "TWILIO_API_KEY_SID": "SK" + "b" * 32,
    "TWILIO_API_KEY_SECRET": "e" * 32,
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
"""The value of the SSM parameter with the app's secrets on Lambda."""

_HOST = "abcdefghij.execute-api.us-east-1.amazonaws.com"


_RECORDED_AT = 1_790_000_000_000
RECORD: dict[str, Any] = {
    "reservation_sid": {"S": CALLBACK["ReservationSid"]},
    "task_sid": {"S": CALLBACK["TaskSid"]},
    "worker_sid": {"S": CALLBACK["WorkerSid"]},
    "status": {"S": "pending"},
    "open_as": {"S": "pending"},
    "reserved_at": {"N": str(_RECORDED_AT)},
    "expires_at": {"N": str(_RECORDED_AT + 120_000)},
    "due_at": {"N": str(_RECORDED_AT + 130_000)},
    "hour": {"S": "2026-09-21T14"},
    "ttl": {"N": str(_RECORDED_AT // 1000 + 30 * 86_400)},
    "workflow_sid": {"S": CALLBACK["WorkflowSid"]},
    "task_queue_sid": {"S": CALLBACK["TaskQueueSid"]},
    "task_attributes": {"S": CALLBACK["TaskAttributes"]},
    "worker_attributes": {"S": CALLBACK["WorkerAttributes"]},
    "parameters": {"M": {"TaskAge": {"S": "12"}, "TaskPriority": {"S": "3"}}},
    "answer": {"M": {}},
    "history": {
        "L": [
            {
                "M": {
                    "at": {"N": str(_RECORDED_AT)},
                    "to": {"S": "pending"},
                    "by": {"S": "callback"},
                }
            }
        ]
    },
}
"""The record of a callback that was answered with ``{}``, in DynamoDB's format."""


class InstantDynamoDb:
    """A DynamoDB client without latency, so that only the app's own time is measured."""

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Return DynamoDB's response to an UpdateItem request."""
        return respond(request)


STATISTICS_PATH = "/RealTimeStatistics"
WORKSPACE_STATISTICS = {"workspace_sid": ENVIRON["TWILIO_WORKSPACE_SID"]}
"""TaskRouter's real-time statistics for a Workspace without Workers or Tasks."""


def respond_to_decision(request: dict[str, Any]) -> dict[str, Any]:
    """Return DynamoDB's response to an update that claims or changes RECORD."""
    return {"Attributes": {**RECORD, **respond(request)["Attributes"]}}


def remote_reservation(status: str) -> dict[str, Any]:
    """Return TaskRouter's representation of the Reservation in RECORD."""
    return {
        "sid": CALLBACK["ReservationSid"],
        "account_sid": ENVIRON["TWILIO_ACCOUNT_SID"],
        "workspace_sid": ENVIRON["TWILIO_WORKSPACE_SID"],
        "task_sid": CALLBACK["TaskSid"],
        "worker_sid": CALLBACK["WorkerSid"],
        "worker_name": "Alice",
        "reservation_status": status,
        "date_created": "2026-09-21T14:13:20Z",
        "date_updated": "2026-09-21T14:13:20Z",
        "links": {},
        "url": f"https://taskrouter.twilio.com/v1/Reservations/{CALLBACK['ReservationSid']}",
    }


def respond(request: dict[str, Any]) -> dict[str, Any]:
    """Return DynamoDB's response to a write: the key and the attributes that UpdateItem sets.

    The response is empty if the request sets no attributes.
    """
    prefix = ":set_"
    values = request.get("ExpressionAttributeValues", {})
    attributes = {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }
    return {"Attributes": {**request["Key"], **attributes}} if attributes else {}


def lambda_environ() -> dict[str, str]:
    """Return the environment variables of the deployed app, without secrets."""
    secrets = ("TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET")
    settings = {name: value for name, value in ENVIRON.items() if name not in secrets}
    return {**settings, "SECRETS_PARAMETER": "/secrets"}


def supervisor_token() -> str:
    """Return a supervisor's bearer token, which is valid for an hour."""
    return token("supervisor")


def token(role: str, worker_sid: str | None = None) -> str:
    """Return a bearer token, which is valid for an hour."""
    grant = TaskRouterGrant(
        workspace_sid=ENVIRON["TWILIO_WORKSPACE_SID"], worker_sid=worker_sid, role=role
    )
    access_token = AccessToken(
        ENVIRON["TWILIO_ACCOUNT_SID"],
        ENVIRON["TWILIO_API_KEY_SID"],
        ENVIRON["TWILIO_API_KEY_SECRET"],
        grants=[grant],
        ttl=3600,
    )
    return str(access_token.to_jwt())


ACCEPT_ROUTE = "/reservations/{sid}/accept"


_REQUEST_CONTEXT = {
    "stage": "api",
    "domainName": _HOST,
    "requestId": "0" * 36,
    "requestTimeEpoch": 1_790_000_000_000,
    "identity": {"sourceIp": "203.0.113.1", "userAgent": "TwilioProxy/1.1"},
}


def callback_event() -> bytes:
    """Return the API Gateway event for a signed assignment callback."""
    return _event(PATH, {}, {"I-Twilio-Idempotency-Token": "0" * 36, **HEADERS}, BODY)


def form_event(
    signature: dict[str, str], body: str, query: dict[str, list[str]] | None = None
) -> bytes:
    """Return the API Gateway event for a form posted to PATH.

    Args:
        signature: the signature header, or an empty mapping.
        body: the form.
        query: the decoded values of the query string, by name.
    """
    headers = {"Content-Type": HEADERS["Content-Type"], **signature}
    return _event(PATH, {}, headers, body, query)


def sign(path: str, form: dict[str, str]) -> tuple[dict[str, str], str]:
    """Return the headers, including the signature, and the body of a form posted by Twilio."""
    signature = _VALIDATOR.compute_signature(ENVIRON["PUBLIC_BASE_URL"] + path, form)
    return {**HEADERS, "X-Twilio-Signature": signature}, urlencode(form)


def event_form(name: str) -> dict[str, str]:
    """Return the form of TaskRouter's event callback ``reservation.<name>``."""
    omitted = ("TaskAge", "TaskPriority")
    form = {parameter: value for parameter, value in CALLBACK.items() if parameter not in omitted}
    times = {"Timestamp": "1790000000", "WorkerName": "Alice"}
    return {**form, **times, "EventType": f"reservation.{name}"}


def status_event(name: str) -> bytes:
    """Return the API Gateway event for TaskRouter's event callback ``reservation.<name>``."""
    headers, body = sign(EVENT_PATH, event_form(name))
    return _event(EVENT_PATH, {}, headers, body)


def accept_event() -> bytes:
    """Return the API Gateway event for a supervisor's request to accept RECORD's Reservation."""
    parameters = {"sid": CALLBACK["ReservationSid"]}
    headers = {"Authorization": f"Bearer {supervisor_token()}"}
    return _event(ACCEPT_ROUTE, parameters, headers, None)


def poll_event(headers: dict[str, str]) -> bytes:
    """Return the API Gateway event for a console's poll."""
    return _event(OVERVIEW_PATH, {}, headers, None, method="GET")


def _event(
    route: str,
    parameters: dict[str, str],
    request_headers: dict[str, str],
    body: str | None,
    query: dict[str, list[str]] | None = None,
    *,
    method: str = "POST",
) -> bytes:
    path = route.format(**parameters)
    context = {"httpMethod": method, "resourcePath": route, "path": f"/api{path}"}
    headers = {
        "Accept": "*/*",
        "Host": _HOST,
        "User-Agent": "TwilioProxy/1.1",
        "X-Amzn-Trace-Id": "Root=1-00000000-000000000000000000000000",
        "X-Forwarded-For": "203.0.113.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        **request_headers,
    }
    last_values = {name: values[-1] for name, values in query.items()} if query else None
    content = {
        "resource": route,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": last_values,
        "multiValueQueryStringParameters": query,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": _REQUEST_CONTEXT | context,
        "body": body,
        "isBase64Encoded": False,
    }
    return json.dumps(content).encode()
