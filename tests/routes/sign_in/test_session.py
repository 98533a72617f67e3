"""After a sign-in, the page exchanges a cookie for the token, so no URL contains the token."""

import jwt
import pytest

from app import app
from tests.fake_provider import FakeProvider
from tests.routes.conftest import Api
from tests.routes.sign_in.browser import (
    ALICE,
    TOKEN_COOKIE,
    Browser,
    Directory,
    claims_of,
    failure,
    fragment,
    set_cookies,
)
from tests.support import sid


def complete_sign_in(browser: Browser) -> str:
    """Complete a sign-in; return the token in the cookie."""
    assert claims_of(browser.sign_in())
    return browser.cookies[TOKEN_COOKIE]


def test_completed_sign_in_puts_the_token_into_a_cookie_for_one_route_only(
    browser: Browser,
) -> None:
    response = browser.sign_in()
    token = browser.cookies[TOKEN_COOKIE]
    assert fragment(response) == {"sign-in": "complete"}
    assert token not in str({**response.headers, "Set-Cookie": ""})
    assert set_cookies(response)[1].split("; ") == [
        f"{TOKEN_COOKIE}={token}",
        "Path=/api/console/session",
        "Max-Age=60",
        "HttpOnly",
        "SameSite=Strict",
        "Secure",
    ]


def test_token_cookie_on_loopback_http_has_no_secure_attribute(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    environ["PUBLIC_BASE_URL"] = "http://127.0.0.1:8000"
    browser = request.getfixturevalue("browser")
    name, *attributes = set_cookies(browser.sign_in())[1].split("; ")
    assert name.startswith("console-token=ey")
    assert attributes == ["Path=/console/session", "Max-Age=60", "HttpOnly", "SameSite=Strict"]
    assert browser.redeem().status_code == 200


def test_exchange_returns_the_token_and_deletes_the_cookie(browser: Browser, api: Api) -> None:
    token = complete_sign_in(browser)
    response = browser.redeem()
    assert (response.status_code, response.json_body) == (200, {"token": token})
    assert response.headers["Cache-Control"] == "no-store"
    assert set_cookies(response) == [
        f"{TOKEN_COOKIE}=; Path=/api/console/session; Max-Age=0; HttpOnly; SameSite=Strict; Secure"
    ]
    assert api.lines()[-1]["principal"] == f"worker:{ALICE}"
    assert token not in api.log.getvalue()
    assert api.call("GET", "/reservations", token=token).status_code == 200
    again = browser.redeem()
    assert again.status_code == 401
    assert "Sign in again" in again.json_body["Message"]


def test_page_gets_the_token_again_if_the_response_was_lost(browser: Browser) -> None:
    token, cookies = complete_sign_in(browser), dict(browser.cookies)
    browser.redeem()
    browser.cookies = cookies
    assert browser.redeem().json_body == {"token": token}


def test_second_sign_in_in_a_browser_replaces_the_first(
    browser: Browser, provider: FakeProvider, directory: Directory
) -> None:
    first = complete_sign_in(browser)
    provider.claims["email"] = "bob@example.com"
    directory.workers["friendly_name", "bob@example.com"] = [sid("WK")]
    second = complete_sign_in(browser)
    assert first != second
    assert browser.redeem().json_body == {"token": second}
    assert browser.redeem().status_code == 401


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_request_without_a_json_content_type_keeps_the_cookie(
    browser: Browser, content_type: str | None
) -> None:
    """Without a preflight, a page from another origin can't send JSON."""
    token = complete_sign_in(browser)
    response = browser.redeem(content_type=content_type)
    assert response.status_code in (400, 415)
    assert set_cookies(response) == []
    assert browser.redeem(content_type="Application/JSON; charset=utf-8").json_body == {
        "token": token
    }


def test_response_with_the_token_has_no_cors_headers(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    environ["CORS_ALLOW_ORIGIN"] = "https://other.example"
    browser = request.getfixturevalue("browser")
    assert app.routes["/console/session"].keys() == {"GET", "POST"}
    complete_sign_in(browser)
    allowed = [name for name in browser.redeem().headers if name.startswith("Access-Control")]
    assert allowed == []


def test_get_request_does_not_return_the_token(browser: Browser) -> None:
    complete_sign_in(browser)
    response = browser.get("/console/session")
    assert response.json_body == {"oidc": True}
    assert set_cookies(response) == []
    assert TOKEN_COOKIE in browser.cookies


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", "expired", "forged", "two"])
def test_malformed_forged_expired_or_repeated_cookie_is_rejected(
    browser: Browser, api: Api, cookie: str
) -> None:
    values = {
        "expired": api.token("worker", worker_sid=sid("WK"), ttl=-1),
        "forged": api.token("supervisor", secret="another key, which is long enough"),
        "two": f"{api.token()}; {TOKEN_COOKIE}={api.token()}",
    }
    headers = {"Cookie": f"{TOKEN_COOKIE}={values.get(cookie, cookie)}"}
    response = api.post_json("/console/session", {}, token=None, headers=headers)
    assert response.status_code == 401
    assert set_cookies(response) == []


def test_unexpected_body_is_rejected(browser: Browser) -> None:
    complete_sign_in(browser)
    assert browser.redeem(b'{"token": "x"}').status_code == 400
    assert browser.redeem(b"[]").status_code == 400
    assert TOKEN_COOKIE in browser.cookies


def test_no_token_is_returned_if_no_provider_is_configured(api: Api) -> None:
    headers = {"Cookie": f"{TOKEN_COOKIE}={api.token()}"}
    response = api.post_json("/console/session", {}, token=None, headers=headers)
    assert response.status_code == 404
    assert "OIDC_ISSUER" in response.json_body["Message"]


@pytest.mark.parametrize(("name", "fits"), [("\u4e00" * 256, True), ("\U0001f600" * 256, False)])
def test_sign_in_succeeds_only_if_the_token_fits_into_a_cookie(
    browser: Browser, provider: FakeProvider, directory: Directory, name: str, *, fits: bool
) -> None:
    provider.claims["email"] = name
    directory.workers["friendly_name", name] = [ALICE]
    response = browser.sign_in()
    if fits:
        assert claims_of(response)["grants"]["identity"] == name
        header = set_cookies(response)[1]
        assert len(header.partition(";")[0]) <= 4_096
        token = browser.redeem().json_body["token"]
        assert jwt.decode(token, options={"verify_signature": False})
    else:
        assert failure(response) == "provider_invalid"
