"""Failures of the provider are reported to the console's page."""

import time
from typing import Any

import pytest

from tests.fake_provider import METADATA_PATH, FakeProvider, send, send_json, serve_provider
from tests.routes.conftest import Api
from tests.routes.sign_in.browser import Browser, claims_of, failure


def stay_silent(_request: Any) -> None:
    time.sleep(20)


def drip(request: Any) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(200):
        request.wfile.write(b" ")
        time.sleep(0.1)


def redirect(request: Any) -> None:
    send(request, 302, b"", Location="http://127.0.0.1:1/evil")


FAILURES: dict[str, tuple[Any, str]] = {
    "400": (lambda request: send_json(request, 400, {"error": "x"}), "provider_refused"),
    "401": (lambda request: send_json(request, 401, {}), "provider_refused"),
    "408": (lambda request: send_json(request, 408, {}), "provider_unavailable"),
    "429": (lambda request: send_json(request, 429, {}), "provider_unavailable"),
    "500": (lambda request: send_json(request, 500, {}), "provider_unavailable"),
    "503": (lambda request: send(request, 503, b"<script>"), "provider_unavailable"),
    "redirect": (redirect, "provider_unavailable"),
    "huge": (lambda request: send(request, 200, b" " * 300_000 + b"{}"), "provider_invalid"),
    "not JSON": (lambda request: send(request, 200, b"<html>"), "provider_invalid"),
    "not UTF-8": (lambda request: send(request, 200, b"\xff"), "provider_invalid"),
    "a list": (lambda request: send(request, 200, b"[]"), "provider_invalid"),
    "empty object": (lambda request: send(request, 200, b"{}"), "provider_invalid"),
    "deeply nested": (lambda request: send(request, 200, b'{"a":' * 30_000), "provider_invalid"),
    "not HTTP": (lambda request: request.wfile.write(b"hello\r\n\r\n"), "provider_unavailable"),
}


@pytest.mark.parametrize("path", [METADATA_PATH, "/jwks", "/token", "/userinfo"])
@pytest.mark.parametrize("name", FAILURES)
def test_failure_of_the_provider_is_reported_to_the_page(
    browser: Browser, provider: FakeProvider, path: str, name: str
) -> None:
    respond, code = FAILURES[name]
    provider.claims |= {"email": None}
    provider.user_info = {"sub": provider.claims["sub"], "email": "alice@example.com"}
    if path == METADATA_PATH:
        provider.responses[path] = respond
        response = browser.get("/console/sign-in")
    else:
        query = browser.begin()
        provider.responses[path] = respond
        response = browser.finish(query)
    assert failure(response) == code
    assert browser.cookies == {}


@pytest.mark.parametrize("respond", [stay_silent, drip])
@pytest.mark.parametrize("path", [METADATA_PATH, "/token"])
def test_request_to_a_slow_provider_is_abandoned_after_three_seconds(
    browser: Browser, provider: FakeProvider, path: str, respond: Any
) -> None:
    query = browser.begin() if path == "/token" else ""
    provider.responses[path] = respond
    started = time.monotonic()
    response = browser.finish(query) if query else browser.get("/console/sign-in")
    assert failure(response) == "provider_unavailable"
    assert 2.8 < time.monotonic() - started < 10


def test_refused_connection_is_reported(environ: dict[str, str], api: Api) -> None:
    with serve_provider() as stopped:
        pass
    api.service.identity_provider.issuer = stopped.url
    vars(api.service.settings)["oidc_issuer"] = stopped.url
    response = api.call("GET", "/console/sign-in", token=None)
    assert failure(response) == "provider_unavailable"
    assert "The identity provider" in api.lines()[-1]["reason"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://evil.example/authorize"},
        {"token_endpoint": "http://evil.example/token"},
        {"token_endpoint": ["https://evil.example/token"]},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"userinfo_endpoint": "http://evil.example/userinfo"},
        {"userinfo_endpoint": 5},
    ],
    ids=str,
)
def test_unusable_metadata_is_rejected(
    browser: Browser, provider: FakeProvider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata
    assert failure(browser.get("/console/sign-in")) == "provider_invalid"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("access_denied", "access_denied"),
        ("login_required", "login_required"),
        ("interaction_required", "interaction_required"),
        ("consent_required", "consent_required"),
        ("account_selection_required", "account_selection_required"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("server_error", "server_error"),
        ("<script>alert(1)</script>", "provider_refused"),
        ("", "provider_refused"),
        ("expired", "provider_refused"),
    ],
)
def test_only_known_error_codes_from_the_provider_are_shown(
    browser: Browser, provider: FakeProvider, sent: str, shown: str
) -> None:
    state = browser.begin().partition("&")[2]
    response = browser.finish(f"error={sent}&error_description=<b>secret</b>&{state}")
    assert failure(response) == shown
    assert provider.forms == []
    assert "secret" not in browser.api.log.getvalue()


def test_error_takes_precedence_over_a_code(browser: Browser, provider: FakeProvider) -> None:
    assert failure(browser.finish(browser.begin() + "&error=access_denied")) == "access_denied"
    assert provider.forms == []


def test_sign_in_fails_if_the_provider_response_contains_no_code(browser: Browser) -> None:
    state = browser.begin().partition("&")[2]
    assert failure(browser.finish(state)) == "provider_refused"


def test_response_from_another_issuer_is_rejected(browser: Browser, provider: FakeProvider) -> None:
    assert failure(browser.finish(browser.begin() + "&iss=https://evil.example")) == (
        "provider_invalid"
    )
    assert provider.forms == []
    assert claims_of(browser.finish(browser.begin() + f"&iss={provider.url}&session_state=1"))
