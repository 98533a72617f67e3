"""A sign-in starts with a redirect to the provider, and returns to the page that started it."""

from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from chalicelib.adapters.oidc import Provider
from chalicelib.adapters.secrets import SecretsSource
from chalicelib.domain.sign_in import Attempt
from tests.fake_provider import CLIENT_ID, FakeProvider
from tests.routes.conftest import BASE_URL, Api
from tests.routes.sign_in.browser import Browser, claims_of, set_cookies


def test_session_reports_that_a_provider_is_configured(browser: Browser) -> None:
    response = browser.get("/console/session")
    assert (response.status_code, response.json_body) == (200, {"oidc": True})


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/callback?code=a&state=b"])
def test_sign_in_routes_do_not_exist_without_a_provider(api: Api, path: str) -> None:
    response = api.call("GET", path, token=None)
    assert response.status_code == 404
    assert "OIDC_ISSUER" in response.json_body["Message"]
    assert "Set-Cookie" not in response.headers
    session = api.call("GET", "/console/session", token=None)
    assert session.json_body == {"oidc": False}


def test_authorization_request_contains_the_required_parameters(browser: Browser) -> None:
    response = browser.get("/console/sign-in")
    url, _, query = response.headers["Location"].partition("?")
    parameters = {name: values[0] for name, values in parse_qs(query).items()}
    assert url == f"{browser.provider.url}/authorize"
    secrets = [parameters.pop(name) for name in ("state", "nonce", "code_challenge")]
    assert all(len(secret) == 43 for secret in secrets)
    assert len(set(secrets)) == 3
    assert parameters == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{BASE_URL}/console/callback",
        "scope": "openid email",
        "code_challenge_method": "S256",
    }


def test_query_of_the_authorization_endpoint_is_kept(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.metadata["authorization_endpoint"] = f"{provider.url}/authorize?tenant=1"
    location = browser.get("/console/sign-in").headers["Location"]
    assert parse_qs(urlsplit(location).query)["tenant"] == ["1"]
    assert location.count("?") == 1


def test_silent_sign_in_sets_the_prompt_parameter_to_none(browser: Browser) -> None:
    location = browser.get("/console/sign-in?silent=1").headers["Location"]
    assert parse_qs(urlsplit(location).query)["prompt"] == ["none"]


@pytest.mark.parametrize(
    ("metadata", "prompt"),
    [
        ({}, "login"),
        ({"prompt_values_supported": ["none", "login", "consent"]}, "login"),
        ({"prompt_values_supported": ["none", "login", "select_account"]}, "select_account"),
        ({"prompt_values_supported": "select_account"}, "login"),
    ],
)
def test_account_choice_requests_the_select_account_prompt_only_if_supported(
    browser: Browser, provider: FakeProvider, metadata: dict[str, Any], prompt: str
) -> None:
    provider.metadata |= metadata
    location = browser.get("/console/sign-in?choose_account=1").headers["Location"]
    assert parse_qs(urlsplit(location).query)["prompt"] == [prompt]
    assert claims_of(browser.finish(browser.provider.authorize(location)))


def test_account_choice_at_google_requests_the_select_account_prompt() -> None:
    google, no_secrets = "https://accounts.google.com", cast("SecretsSource", None)
    provider = Provider(google, CLIENT_ID, "openid", no_secrets, now_ms=lambda: 1)
    metadata = {"issuer": google, "authorization_endpoint": f"{google}/o/oauth2/v2/auth"}
    provider._documents[f"{google}/.well-known/openid-configuration"] = 1, metadata
    attempt = Attempt("state", "nonce", "verifier", f"{BASE_URL}/console/callback", "console/")
    url = provider.authorization_url(attempt, silent=False, choose_account=True)
    assert parse_qs(urlsplit(url).query)["prompt"] == ["select_account"]


@pytest.mark.parametrize(
    "query",
    [
        *("?silent=0", "?silent=", "?silent=1&silent=1", "?silnt=1"),
        *("?choose_account=0", "?choose_account=", "?silent=1&choose_account=1"),
    ],
)
def test_invalid_parameters_are_rejected(browser: Browser, query: str) -> None:
    assert browser.get(f"/console/sign-in{query}").status_code == (400)


def test_every_sign_in_has_its_own_secrets(browser: Browser) -> None:
    locations = [browser.get("/console/sign-in").headers["Location"] for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({parse_qs(urlsplit(location).query)[name][0] for location in locations}) == 3


def test_redirect_uri_contains_the_stage_if_no_base_url_is_set(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    del environ["PUBLIC_BASE_URL"]
    browser = request.getfixturevalue("browser")
    context = {
        "path": "/prod/console/sign-in",
        "resourcePath": "/console/sign-in",
        "domainName": "abc.execute-api.us-east-1.amazonaws.com",
    }
    generate = browser.api.http._local_gateway._generate_lambda_event

    def with_context(*arguments: Any, **options: Any) -> Any:
        event = generate(*arguments, **options)
        event["requestContext"] |= context
        return event

    browser.api.http._local_gateway._generate_lambda_event = with_context
    response = browser.get("/console/sign-in")
    redirect_uri = parse_qs(urlsplit(response.headers["Location"]).query)["redirect_uri"]
    base = "https://abc.execute-api.us-east-1.amazonaws.com/prod"
    assert redirect_uri == [f"{base}/console/callback"]
    assert "; Path=/prod/console; " in response.headers["Set-Cookie"]

    query = browser.provider.authorize(response.headers["Location"])
    context |= {"path": "/prod/console/callback", "resourcePath": "/console/callback"}
    response = browser.finish(query)
    assert response.headers["Location"] == f"{base}/console/#sign-in=complete"
    assert "; Path=/prod/console/session; " in set_cookies(response)[1]


def test_responses_forbid_caching_and_sending_a_referrer(browser: Browser) -> None:
    query = browser.begin()
    for response in (browser.get("/console/sign-in"), browser.finish(query)):
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("accept", ["application/json", "text/html, application/json;q=0.9"])
def test_script_gets_the_provider_url_and_the_cookie_without_a_redirect(
    browser: Browser, accept: str
) -> None:
    response = browser.get("/console/sign-in?silent=1", accept=accept)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert "Location" not in response.headers
    assert response.json_body.keys() == {"location"}
    location = response.json_body["location"]
    assert parse_qs(urlsplit(location).query)["prompt"] == ["none"]
    assert claims_of(browser.finish(browser.provider.authorize(location)))


@pytest.mark.parametrize("accept", ["", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8"])
def test_navigation_gets_a_redirect(browser: Browser, accept: str) -> None:
    assert browser.get("/console/sign-in", accept=accept).status_code == 302


def test_script_gets_the_url_of_the_page_with_the_failure_code(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.metadata["issuer"] = "https://other.example"
    response = browser.get("/console/sign-in", accept="application/json")
    assert response.status_code == 200
    page = f"{BASE_URL}/console/#sign-in-error=provider_invalid"
    assert response.json_body == {"location": page}


# Open redirects


def test_sign_in_returns_to_the_page_that_started_it(browser: Browser) -> None:
    response = browser.sign_in("?return_to=console/%3Freservation%3DWR1%26view%3Dall")
    page = response.headers["Location"].partition("#")[0]
    assert page == f"{BASE_URL}/console/?reservation=WR1&view=all"


@pytest.mark.parametrize(
    "page",
    [
        "",
        "console",
        "/console/",
        "//evil.example/console/",
        "https://evil.example/",
        "console/sign-in",
        "console/callback",
        "console/../health",
        "console/#x",
        "console/?a=https://evil.example",
        "console/?",
        "console/?a=\r\nSet-Cookie: a=b",
        "console/?a\n",
        "javascript:alert(1)",
        "console/\\evil.example",
        "console/?" + "a" * 201,
    ],
)
def test_invalid_return_to_parameter_is_rejected(browser: Browser, page: str) -> None:
    response = browser.get(f"/console/sign-in?{urlencode({'return_to': page})}")
    assert response.status_code == 400
    assert "return_to" in response.json_body["Message"]
    assert "Set-Cookie" not in response.headers
