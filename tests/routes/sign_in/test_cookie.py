"""The cookie and the state bind a sign-in to the browser that started it."""

import time

import jwt
import pytest

from chalicelib.adapters import sign_in_cookie
from chalicelib.domain.sign_in import Attempt
from tests.fake_provider import FakeProvider
from tests.routes.conftest import BASE_URL, Api
from tests.routes.sign_in.browser import COOKIE, TOKEN_COOKIE, Browser, claims_of, failure
from tests.support import sid


def test_cookie_is_bound_to_the_console_and_hidden_from_scripts(browser: Browser) -> None:
    header = browser.get("/console/sign-in").headers["Set-Cookie"]
    name, *attributes = header.split("; ")
    assert name.startswith(f"{COOKIE}=ey")
    assert attributes == [
        "Path=/api/console",
        "Max-Age=600",
        "HttpOnly",
        "SameSite=Lax",
        "Secure",
    ]


def test_cookie_on_loopback_http_has_no_secure_attribute(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    environ["PUBLIC_BASE_URL"] = "http://127.0.0.1:8000"
    header = request.getfixturevalue("browser").get("/console/sign-in").headers["Set-Cookie"]
    name, *attributes = header.split("; ")
    assert name.startswith("console-sign-in=ey")
    assert attributes == ["Path=/console", "Max-Age=600", "HttpOnly", "SameSite=Lax"]


def test_callback_without_cookie_fails_without_a_request_to_the_provider(
    browser: Browser, provider: FakeProvider
) -> None:
    query = browser.begin()
    browser.cookies.clear()
    assert failure(browser.finish(query)) == "expired"
    assert provider.forms == []


def test_sign_in_with_the_cookie_of_another_browser_fails(
    browser: Browser, provider: FakeProvider
) -> None:
    other = Browser(browser.api, provider)
    other.begin()
    assert failure(other.finish(browser.begin())) == "expired"
    assert provider.forms == []


@pytest.mark.parametrize("state", ["", "&state=", "&state=wrong", "&state=\u00e9"])
def test_sign_in_with_a_wrong_or_missing_state_fails(
    browser: Browser, provider: FakeProvider, state: str
) -> None:
    query = browser.begin().partition("&state=")[0]
    assert failure(browser.finish(query + state)) == "expired"
    assert provider.forms == []


def test_cookie_is_deleted_after_success_and_after_failure(browser: Browser) -> None:
    query = browser.begin()
    assert claims_of(browser.finish(query))
    assert browser.cookies.keys() == {TOKEN_COOKIE}
    assert failure(browser.finish(query)) == "expired"
    browser.begin()
    browser.finish("error=access_denied")
    assert browser.cookies.keys() == {TOKEN_COOKIE}


def test_code_can_be_used_only_once_even_with_a_copied_cookie(browser: Browser) -> None:
    query = browser.begin()
    copied = dict(browser.cookies)
    assert claims_of(browser.finish(query))
    browser.cookies = copied
    assert failure(browser.finish(query)) == "provider_refused"


def test_two_cookies_with_the_same_name_are_rejected(browser: Browser) -> None:
    query = browser.begin()
    value = browser.cookies[COOKIE]
    response = browser.api.call(
        "GET",
        f"/console/callback?{query}",
        token=None,
        headers={"Cookie": f"{COOKIE}={value}; {COOKIE}={value}"},
    )
    assert failure(response) == "expired"


def test_other_cookies_are_ignored(browser: Browser) -> None:
    query = browser.begin()
    value = browser.cookies[COOKIE]
    header = {"Cookie": f'a="x;y; b; console-sign-in=1;{COOKIE}={value} ; c=1'}
    response = browser.api.call("GET", f"/console/callback?{query}", token=None, headers=header)
    assert claims_of(response)


def make_attempt() -> Attempt:
    return Attempt("s" * 43, "n" * 43, "v" * 43, f"{BASE_URL}/console/callback", "console/")


def test_sign_in_attempt_is_read_from_the_cookie_unless_the_cookie_has_expired(
    browser: Browser,
) -> None:
    secrets, attempt = browser.api.service.secrets, make_attempt()
    assert sign_in_cookie.unseal(sign_in_cookie.seal(attempt, secrets), secrets) == attempt
    expired = sign_in_cookie.seal(attempt, secrets, seconds=-1)
    assert sign_in_cookie.unseal(expired, secrets) is None


@pytest.mark.parametrize("text", ["", "a", "a.b.c", "e30.e30.", "é"])
def test_malformed_cookie_is_rejected(browser: Browser, text: str) -> None:
    assert sign_in_cookie.unseal(text, browser.api.service.secrets) is None


def test_cookie_and_bearer_token_are_not_interchangeable(browser: Browser, api: Api) -> None:
    cookie = sign_in_cookie.seal(make_attempt(), api.service.secrets)
    assert api.call("GET", "/reservations", token=cookie).status_code == 401
    key = api.environ["TWILIO_API_KEY_SECRET"]
    forged = jwt.encode(
        {**vars(make_attempt()), "exp": time.time() + 60},
        key,
        headers={"kid": api.environ["TWILIO_API_KEY_SID"]},
    )
    assert sign_in_cookie.unseal(forged, api.service.secrets) is None
    unsigned = jwt.encode(
        {**vars(make_attempt()), "exp": time.time() + 60},
        None,
        algorithm="none",
        headers={"kid": api.environ["TWILIO_API_KEY_SID"]},
    )
    assert sign_in_cookie.unseal(unsigned, api.service.secrets) is None
    other_key = cookie.split(".")
    other_key[0] = jwt.encode({}, key, headers={"kid": sid("SK")}).split(".")[0]
    assert sign_in_cookie.unseal(".".join(other_key), api.service.secrets) is None
