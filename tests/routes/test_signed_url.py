"""The URL signed by Twilio, derived from requests to API Gateway and `chalice local`."""

import base64
import http.client
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from chalice.config import Config
from chalice.local import LocalDevServer
from twilio.request_validator import RequestValidator

from app import app
from tests.routes.conftest import BASE_URL, ENVIRON, FORM, Api

EXECUTE_API = "abc123.execute-api.eu-central-1.amazonaws.com"
PARAMETERS = {"CallSid": "CA" + "1" * 32, "AccountSid": ENVIRON["TWILIO_ACCOUNT_SID"]}
FALLBACK = "/assignment_callback/fallback"
ENDS = ["", "/", "?tenant=acme", "/?tenant=acme&x=1", "?name=acme%20corp", "?a=1&b=2&a=3", "?flag"]


def sign(url: str, parameters: dict[str, str] = PARAMETERS) -> str:
    return str(RequestValidator(ENVIRON["TWILIO_AUTH_TOKEN"]).compute_signature(url, parameters))


def status_of(
    signed_url: str,
    route: str,
    *,
    domain: str,
    path: str,
    query: dict[str, list[str]] | None = None,
) -> int:
    """Post a form signed for `signed_url` to a domain and path, and return the status."""
    event: dict[str, Any] = {
        "resource": route,
        "path": route,
        "httpMethod": "POST",
        "headers": {
            "Content-Type": f"{FORM}; charset=UTF-8",
            "X-Twilio-Signature": sign(signed_url),
        },
        "multiValueHeaders": {},
        "multiValueQueryStringParameters": query,
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
    assert status_of(f"{signed_base}{route}/", route, **destination) == 403
    assert status_of(f"{signed_base}{route}?a=1", route, **destination) == 403

    slash = {"domain": domain, "path": f"{prefix}{route}/"}
    assert status_of(f"{signed_base}{route}/", route, **slash) == 200
    assert status_of(signed_base + route, route, **slash) == 403

    query = {"b": ["2"], "a": ["1", "3"], "name": ["acme corp"]}
    signed_url = f"{signed_base}{route}?name=acme+corp&a=1&b=2&a=3"
    assert status_of(signed_url, route, **destination, query=query) == 200
    assert status_of(signed_url, route, **destination, query={**query, "b": ["3"]}) == 403
    assert status_of(signed_base + route, route, **destination, query=query) == 403


def post_fallback(api: Api, end: str, signed_url: str, **headers: str) -> int:
    parameters = api.callback_parameters()
    headers = {
        "Content-Type": FORM,
        "X-Twilio-Signature": sign(signed_url, parameters),
        **headers,
    }
    body = urlencode(parameters).encode()
    return int(api.http.post(FALLBACK + end, headers=headers, body=body).status_code)


@pytest.mark.parametrize("end", ENDS)
def test_requested_path_and_query_string_are_part_of_the_signed_url(api: Api, end: str) -> None:
    assert post_fallback(api, end, BASE_URL + FALLBACK + end) == 200
    for different_end in set(ENDS) - {end}:
        assert post_fallback(api, end, BASE_URL + FALLBACK + different_end) == 403


@pytest.fixture
def address(api: Api) -> Iterator[tuple[str, int]]:
    """The address of Chalice's local server, which serves the app of the `api` fixture."""
    server = LocalDevServer(app, Config.create(chalice_app=app), "127.0.0.1", 0).server
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_address
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("end", ENDS)
def test_chalice_local_verifies_signatures_against_the_requested_url(
    api: Api, address: tuple[str, int], end: str
) -> None:
    for signed_end in ENDS:
        parameters = api.callback_parameters()
        signature = sign(BASE_URL + FALLBACK + signed_end, parameters)
        connection = http.client.HTTPConnection(*address, timeout=10)
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signature}
        connection.request("POST", FALLBACK + end, urlencode(parameters), headers)
        assert connection.getresponse().status == (200 if signed_end == end else 403)
        connection.close()


@pytest.mark.parametrize(
    ("end", "signed_url", "checked_end", "cause"),
    [
        ("", "https://wrong.example/api" + FALLBACK, "", "auth_token"),
        ("", "http://example.test/api" + FALLBACK, "", "base_url"),
        ("", "https://example.test" + FALLBACK, "", "base_url"),
        ("", "https://front.example" + FALLBACK, "", "base_url"),
        ("", "http://inner.example:8000/api" + FALLBACK, "", "base_url"),
        ("/", BASE_URL + FALLBACK, "/", "path"),
        ("?token=s3cr3t", BASE_URL + FALLBACK, "?token=***", "query"),
        ("?s3cr3t", BASE_URL + FALLBACK, "?***", "query"),
        ("?token=s3cr3t&x=%20", BASE_URL + FALLBACK + "?", "?token=***&x=***", "query"),
        ("?" + "n" * 16 + "=1", BASE_URL + FALLBACK, "?***=***", "query"),
    ],
)
def test_invalid_signature_is_logged_with_the_checked_url_and_its_likely_cause(
    api: Api, end: str, signed_url: str, checked_end: str, cause: str
) -> None:
    hosts = {"Host": "inner.example:8000", "X-Forwarded-Host": "front.example"}
    assert post_fallback(api, end, signed_url, **hosts) == 403

    (line,) = api.lines()
    assert line["checked_url"] == BASE_URL + FALLBACK + checked_end
    assert (line["error"], line["likely_cause"]) == ("InvalidSignature", cause)
    assert "s3cr3t" not in api.log.getvalue()
    assert "front.example" not in api.log.getvalue()


@pytest.mark.parametrize("host", ["[", "evil.example:99999999", "x" * 9_000, "\u00e9\ud800", "a b"])
def test_invalid_signature_with_malformed_host_returns_403(api: Api, host: str) -> None:
    assert post_fallback(api, "", "https://other.example", Host=host) == 403
    assert api.lines()[0]["likely_cause"] == "auth_token"


@pytest.mark.parametrize(
    ("base_url", "shown"),
    [
        ("https://example.test", "https://example.test"),
        ("https://example.test:8443/prod", "https://example.test:8443/prod"),
        ("https://example.test/hooks/s3cr3t", "https://example.test/hooks/***"),
        ("https://example.test/hooks/s3cr3t/v1", "https://example.test/hooks/***/***"),
        ("https://example.test/s3cr3t0123456789", "https://example.test/***"),
    ],
)
def test_log_does_not_contain_secret_path_segments(
    environ: dict[str, str], request: pytest.FixtureRequest, base_url: str, shown: str
) -> None:
    environ["PUBLIC_BASE_URL"] = base_url
    api: Api = request.getfixturevalue("api")
    assert post_fallback(api, "", "https://other.example") == 403
    assert api.lines()[0]["checked_url"] == shown + FALLBACK
    assert "s3cr3t" not in api.log.getvalue()


@pytest.mark.parametrize(
    "path", ["/assignment_callback", FALLBACK, "/event_callback", "/incoming_call", "/left_queue"]
)
@pytest.mark.parametrize(
    ("signature", "body", "expected"),
    [
        ("", b"\xff&=&" * 30_000, (403, "no_header")),
        ("short", b"\xff&=&" * 30_000, (403, "malformed_header")),
        ("A" * 28, b"\xff&=&", (400, None)),
        ("", b"a" * (128 * 1024 + 1), (413, None)),
    ],
)
def test_body_size_and_signature_header_are_checked_before_the_form(
    api: Api, path: str, signature: str, body: bytes, expected: tuple[int, str | None]
) -> None:
    headers = {"Content-Type": FORM, **({"X-Twilio-Signature": signature} if signature else {})}
    response = api.http.post(path, headers=headers, body=body)
    assert (response.status_code, api.lines()[0].get("likely_cause")) == expected
    assert response.json_body["Message"].endswith(".")


def test_byte_order_mark_in_a_callback_is_ignored(api: Api) -> None:
    parameters = api.callback_parameters()
    headers = {"Content-Type": FORM, "X-Twilio-Signature": api.sign(parameters)}
    body = b"\xef\xbb\xbf" + urlencode(parameters).encode()
    assert api.http.post("/assignment_callback", headers=headers, body=body).status_code == 200


def test_query_parameters_are_not_parameters_of_the_callback(api: Api) -> None:
    parameters = api.callback_parameters()
    end = "?ReservationSid=WR" + "9" * 32 + "&tenant=acme"
    path = f"/assignment_callback{end}"
    assert api.post_callback(parameters, path=path).status_code == 200
    record = api.call("GET", f"/reservations/{parameters['ReservationSid']}").json_body
    assert record["callback"] == parameters
