"""Requests that Twilio did not sign cause little work: at most one call, to read the secrets."""

import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from chalicelib.adapters.secrets import ParameterSecrets
from chalicelib.adapters.twilio import signature
from chalicelib.domain.callbacks import Form
from tests.routes.conftest import ENVIRON, FORM, Api

SECRETS = json.dumps(
    {
        "auth_tokens": [ENVIRON["TWILIO_AUTH_TOKEN"]],
        "api_keys": {ENVIRON["TWILIO_API_KEY_SID"]: ENVIRON["TWILIO_API_KEY_SECRET"]},
        "shared_keys": {"k": "secret"},
    }
)
ROUTES = ["/assignment_callback", "/assignment_callback/fallback", "/event_callback"]
ROUTES += ["/incoming_call", "/enqueue_call", "/left_queue"]
QUERY = "?a%20b=1+2&b=%C3%A9&c&d=/"
FORGED = {"X-Twilio-Signature": "A" * 28}
SHARED_KEY = {"X-Twilio-Webhooks-Signature-Settings": "key=k,algorithm=HMAC_SHA256"}


class ForbiddenDependency:
    """A dependency that must not be called."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was called")


class Ssm:
    """A fake SSM client that counts the reads of the secrets."""

    reads = 0

    def get_parameter(self, **_request: Any) -> dict[str, Any]:
        self.reads += 1
        return {"Parameter": {"Value": SECRETS}}


@pytest.fixture
def ssm(api: Api) -> Ssm:
    """The SSM client of a service whose other dependencies must not be called."""
    forbidden, ssm = ForbiddenDependency(), Ssm()
    for name in ("store", "listing", "taskrouter"):
        vars(api.service)[name] = forbidden
    object.__setattr__(api.service, "dynamodb", forbidden)
    vars(api.service)["secrets"] = ParameterSecrets("/secrets", ssm, api.clock.now_ms)
    return ssm


def post(api: Api, path: str, headers: dict[str, str], body: bytes) -> int:
    return int(
        api.http.post(path, headers={"Content-Type": FORM, **headers}, body=body).status_code
    )


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (403, {}, b"a=1"),
        (403, {"X-Twilio-Signature": "short"}, b"a=1"),
        (403, SHARED_KEY, b"a=1"),
        (403, {**FORGED, **SHARED_KEY}, b"a=1"),
        (413, {}, b"a" * 200_000),
        (413, FORGED, b"a" * 200_000),
        (400, FORGED, b"a=%FF"),
        (400, FORGED, b"&".join([b"a=1"] * 300)),
    ],
)
@pytest.mark.usefixtures("ssm")
def test_request_rejected_before_signature_verification_calls_no_dependency(
    api: Api, route: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    vars(api.service)["secrets"] = ForbiddenDependency()
    assert post(api, route, headers, body) == status


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [FORGED, {"X-Twilio-Signature": "A" * 44, **SHARED_KEY}],
)
@pytest.mark.parametrize("query", ["", QUERY])
def test_forged_requests_cause_only_one_call_per_minute_to_read_the_secrets(
    api: Api, ssm: Ssm, route: str, headers: dict[str, str], query: str
) -> None:
    body = urlencode(api.callback_parameters()).encode()
    for minute in range(3):
        for _ in range(5):
            assert post(api, route + query, headers, body) == 403
        assert ssm.reads == 1 + minute
        api.clock.now += 60_000


@pytest.mark.usefixtures("ssm")
def test_signed_request_calls_dynamodb(api: Api) -> None:
    assert api.post_callback(api.callback_parameters()).status_code == 500
    assert "AssertionError" in api.log.getvalue()


@pytest.mark.parametrize(
    ("query", "digests"),
    [("", 20), ("?tenant=acme", 40), (QUERY, 48 * 2 + 40), ("?" + "&".join("abcd"), 140)],
)
def test_forged_request_costs_a_limited_number_of_digests_and_one_read_of_the_form(
    api: Api, monkeypatch: pytest.MonkeyPatch, query: str, digests: int
) -> None:
    texts: list[bytes] = []
    form = urlencode(api.callback_parameters(Notes="x" * 50_000)).encode()
    calls, original = 0, hmac.digest

    def digest(key: bytes, message: bytes, name: str) -> bytes:
        texts.append(message)
        return original(key, message, name)

    def getall(self: Form, name: str) -> list[str]:
        nonlocal calls
        calls += 1
        return [self[name]]

    monkeypatch.setattr(signature.hmac, "digest", digest)
    monkeypatch.setattr(Form, "getall", getall)
    assert post(api, ROUTES[0] + query, FORGED, form) == 403
    assert 0 < len(texts) <= digests
    assert calls == len(api.callback_parameters(Notes=""))
