"""Signatures are checked against PUBLIC_BASE_URL or the URL in API Gateway's event."""

import base64
from typing import Any
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from app import app
from tests.routes.conftest import ENVIRON, FORM, Api

EXECUTE_API = "abc123.execute-api.eu-central-1.amazonaws.com"
PARAMETERS = {"CallSid": "CA" + "1" * 32, "AccountSid": ENVIRON["TWILIO_ACCOUNT_SID"]}


def status_of(signed_url: str, route: str, *, domain: str, path: str) -> int:
    """Post a form signed for `signed_url` to a domain and path, and return the status."""
    validator = RequestValidator(ENVIRON["TWILIO_AUTH_TOKEN"])
    event: dict[str, Any] = {
        "resource": route,
        "path": route,
        "httpMethod": "POST",
        "headers": {
            "Content-Type": f"{FORM}; charset=UTF-8",
            "X-Twilio-Signature": validator.compute_signature(signed_url, PARAMETERS),
        },
        "multiValueHeaders": {},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": route,
            "httpMethod": "POST",
            "stage": "api",
            "path": path,
            "domainName": domain,
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": base64.b64encode(urlencode(PARAMETERS).encode()).decode(),
        "isBase64Encoded": True,
    }
    response: dict[str, int] = app(event, None)
    return response["statusCode"]


@pytest.mark.parametrize("route", ["/incoming_call", "/enqueue_call", "/left_queue"])
@pytest.mark.parametrize(
    "case",
    [
        ("https://example.test/api", EXECUTE_API, "/api", "https://example.test/api"),
        ("https://example.test", EXECUTE_API, "/api", "https://example.test"),
        ("", EXECUTE_API, "/api", f"https://{EXECUTE_API}/api"),
        ("", "calls.example.com", "/v1", "https://calls.example.com/v1"),
        ("", "calls.example.com", "", "https://calls.example.com"),
    ],
)
def test_signature_is_verified_against_the_public_or_the_requested_url(
    environ: dict[str, str],
    request: pytest.FixtureRequest,
    route: str,
    case: tuple[str, str, str, str],
) -> None:
    base_url, domain, prefix, signed_base = case
    environ["PUBLIC_BASE_URL"] = base_url
    _: Api = request.getfixturevalue("api")
    destination = {"domain": domain, "path": prefix + route}
    assert status_of(signed_base + route, route, **destination) == 200
    assert status_of(f"{signed_base}/api{route}", route, **destination) == 403
    assert status_of(f"https://evil.example{route}", route, **destination) == 403
