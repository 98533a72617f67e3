"""Users sign in with oidc-provider, a certified OpenID Connect provider, in Chromium."""

import os
import re
import subprocess
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import jwt
import pytest
from playwright.sync_api import expect

from chalicelib.adapters.twilio.access_tokens import create_token
from chalicelib.domain.auth import Principal, Role
from infra.commands.token import read_api_key
from local import network
from local.supervisor import ROOT
from tests.e2e.live_stack import STARTUP_SECONDS, bare_environ, live_stack
from tests.portal.conftest import chromium

MODULE = ROOT / ".venv" / "oidc-provider" / "node_modules" / "oidc-provider" / "lib" / "index.js"
SERVER = ROOT / "tests" / "e2e" / "oidc_provider" / "server.mjs"
CLIENT_ID, CLIENT_SECRET = "contact-center-console", "s3cret:with-special/characters+%"

needs_provider = pytest.mark.skipif(
    not MODULE.exists(), reason="oidc-provider is missing. Run make oidc-provider."
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(STARTUP_SECONDS + 120),
    needs_provider,
]


@contextmanager
def running_provider(port, redirect_uri):
    arguments = [MODULE, str(port), CLIENT_ID, CLIENT_SECRET, redirect_uri]
    with subprocess.Popen(
        ["node", SERVER, *arguments],
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert "ready" in iter(process.stdout.readline, "ready\n") or process.poll() is None
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def center():
    """The local stack with the provider; Alice's Worker has her email address."""
    port = network.find_free_ports(4)[-1]
    environ = bare_environ(
        OIDC_ISSUER=f"http://localhost:{port}",
        OIDC_CLIENT_ID=CLIENT_ID,
        OIDC_CLIENT_SECRET=CLIENT_SECRET,
        OIDC_SCOPES="openid email groups",
        OIDC_WORKER_ATTRIBUTE="email",
        OIDC_ROLES='{"contact-center-supervisors": "supervisor", "*": "worker"}',
    )
    callback = f"http://127.0.0.1:{environ['API_PORT']}/console/callback"
    with running_provider(port, callback), live_stack(environ) as stack, chromium() as browser:
        attributes = '{"languages": ["en", "es"], "email": "alice@example.com"}'
        assert stack.taskrouter.post(stack.alice_path, {"Attributes": attributes}).status == 200
        url = stack.definition.api_url
        yield SimpleNamespace(stack=stack, browser=browser, url=url, callback=callback)


@pytest.fixture
def page(center):
    context = center.browser.new_context()
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def token_of(page, center):
    """Wait until the user is signed in; return the token."""
    expect(page.locator(".live")).to_contain_text("Live")
    assert page.url.partition("?")[0] == f"{center.url}/console/"
    return page.evaluate("sessionStorage.getItem('console.token')")


def expect_failure(page, center, words):
    """Wait until the page explains why the user is not signed in."""
    expect(page.get_by_role("alert")).to_contain_text(words)
    assert page.url == f"{center.url}/console/"
    assert page.evaluate("sessionStorage.getItem('console.token')") is None


def log_in(page, user):
    page.fill("[name=login]", user)
    page.fill("[name=password]", "any")
    page.click("[type=submit]")
    page.wait_for_selector("[name=login]", state="detached")


def start_sign_in(page, center, user):
    page.goto(f"{center.url}/console")
    page.get_by_role("link", name="Continue with company account").click()
    log_in(page, user)


def sign_in(page, center, user):
    start_sign_in(page, center, user)
    page.click("[type=submit]")  # consent


def grant_of(token):
    claims = jwt.decode(token, options={"verify_signature": False})
    return claims["grants"]["task_router"]


def open_with_expiring_token(page, center):
    """Open the console as Alice with a token that expires within seconds."""
    settings = center.stack.definition.settings
    alice = center.stack.identifiers["workers"]["Alice"]
    key = read_api_key(settings)
    token = create_token(
        (key.sid, key.secret),
        Principal(Role.WORKER, worker_sid=alice, identity="alice@example.com"),
        account_sid=settings.twilio_account_sid,
        workspace_sid=settings.twilio_workspace_sid,
        seconds=4,
    )
    page.goto(f"{center.url}/console/")
    page.evaluate("token => sessionStorage.setItem('console.token', token)", token)
    page.reload()
    expect(page.locator(".live")).to_contain_text("Live")
    return token


def test_worker_signs_in_and_renews_the_token_silently(page, center):
    urls = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("framenavigated", lambda frame: urls.append(frame.url))
    sign_in(page, center, "alice")
    token = token_of(page, center)
    assert f"{center.url}/console/#sign-in=complete" in urls
    assert [url for url in urls if token in url] == []
    assert grant_of(token)["worker_sid"] == center.stack.identifiers["workers"]["Alice"]
    headers = {"Authorization": f"Bearer {token}"}
    assert page.request.get(f"{center.url}/reservations", headers=headers).status == 200
    assert page.context.cookies(f"{center.url}/console/session") == []

    page.goto(f"{center.url}/console/sign-in?silent=1&return_to=console/%3Fview%3Dall")
    assert grant_of(token_of(page, center)) == grant_of(token)
    assert urlsplit(page.url).query == "view=all"


def test_expiring_session_is_renewed_without_asking_the_user(page, center):
    sign_in(page, center, "alice")
    token_of(page, center)
    expiring = open_with_expiring_token(page, center)
    page.wait_for_function(
        "token => ![token, null].includes(sessionStorage.getItem('console.token'))", arg=expiring
    )
    renewed = token_of(page, center)
    assert grant_of(renewed) == grant_of(expiring)


def test_expired_session_without_a_provider_login_asks_the_user_to_sign_in(page, center):
    with page.expect_navigation(url=re.compile("#sign-in-error=login_required")):
        open_with_expiring_token(page, center)
    expect(page.locator(".banner")).to_contain_text("Your session expired at")
    page.get_by_role("link", name="Continue with company account").click()
    log_in(page, "alice")
    page.click("[type=submit]")  # consent
    token_of(page, center)


def test_member_of_the_supervisor_group_signs_in_as_a_supervisor(page, center):
    sign_in(page, center, "sofia")
    assert grant_of(token_of(page, center))["role"] == "supervisor"


def test_silent_sign_in_fails_in_a_browser_that_is_not_logged_in_to_the_provider(page, center):
    page.goto(f"{center.url}/console/sign-in?silent=1")
    expect_failure(page, center, "login_required")


@pytest.mark.parametrize(
    ("user", "reason"), [("bob", "no Worker matches it"), ("mallory", "no verified address")]
)
def test_rejected_user_returns_to_the_page_and_sees_the_reason(page, center, user, reason):
    statuses = []
    page.on("response", lambda response: statuses.append((response.url, response.status)))
    sign_in(page, center, user)
    expect_failure(page, center, reason)
    assert 403 in [status for url, status in statuses if url.startswith(center.callback)]


def test_user_with_the_wrong_account_can_sign_in_with_another_account(page, center):
    sign_in(page, center, "bob")
    expect_failure(page, center, "you can choose another account")
    page.get_by_role("link", name="Continue with company account").click()
    log_in(page, "alice")
    page.click("[type=submit]")  # consent
    token = token_of(page, center)
    assert grant_of(token)["worker_sid"] == center.stack.identifiers["workers"]["Alice"]


def test_malformed_response_from_the_provider_is_reported_on_the_page(page, center):
    response = page.goto(f"{center.callback}?code=a&code=b")
    assert response.status == 400
    expect_failure(page, center, "request_failed")


def test_canceled_sign_in_is_reported_on_the_page(page, center):
    start_sign_in(page, center, "alice")
    page.click("text=Cancel")
    expect_failure(page, center, "access_denied")


def test_authorization_response_is_accepted_only_once_and_only_where_the_sign_in_began(
    page, center
):
    start_sign_in(page, center, "alice")
    with page.expect_request(f"{center.callback}**") as request:
        page.click("[type=submit]")
    token_of(page, center)
    for context in (page.context, center.browser.new_context()):
        other = context.new_page()
        other.goto(request.value.url)
        expect_failure(other, center, "began in another browser")
