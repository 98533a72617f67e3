"""Agents use the console of a deployed stage, below the stage's path, in Chromium.

The emulated account allows 10 concurrent executions, like some new AWS accounts. The stage's limits
are therefore low, and this test also checks that the limits admit the requests of a page load.
"""

import json

import jwt
import pytest
from playwright.sync_api import expect

from local import network
from tests.console.conftest import watch
from tests.deploy.conftest import STAGE
from tests.deploy.contact_center import ContactCenter, make_worker_available
from tests.deploy.test_deploy import api_url, deploy, put_secrets, token
from tests.e2e.test_oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    log_in,
    needs_provider,
    running_provider,
)
from tests.portal.conftest import browser

__all__ = ["browser"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def account_concurrency():
    return 10


def test_agent_signs_in_and_accepts_below_the_stages_path(aws, checkout, twilio, secrets, browser):
    put_secrets(checkout, secrets)
    deploy(checkout, "--no-check")
    url = api_url(aws)
    checkout.set(PUBLIC_BASE_URL=url)
    deploy(checkout)
    center = ContactCenter.connect(url, token(checkout), twilio)
    alice = ["--role", "worker", "--worker", twilio.workers["Alice"]]
    worker_token = checkout.infra("token", "--stage", STAGE, *alice).strip()
    make_worker_available(twilio)
    page, problems = browser.new_page(locale="en-US"), []
    watch(page, aws.url, problems)

    page.goto(f"{url}/console#token={worker_token}")

    expect(page.locator(".live")).to_contain_text("Live", timeout=30_000)
    assert page.url == f"{url}/console"
    attributes = json.dumps({"selected_language": "es", "customer": "Marta"})
    assert center.app.post("/create-task", {"attributes": attributes}).status == 201
    offer = page.locator(".offers > .offer:not(.blank)")
    expect(offer).to_contain_text("Marta", timeout=30_000)
    offer.get_by_role("button", name="Accept: ").click()
    expect(offer.first).to_have_attribute("data-end", "accepted", timeout=30_000)
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    assert int(api["minimumCompressionSize"]) == 10_240
    page.reload()
    expect(page.locator(".list > li")).to_contain_text("Marta", timeout=30_000)
    assert problems == []


@needs_provider
def test_agent_signs_in_with_the_provider_below_the_stages_path(
    aws, checkout, twilio, secrets, browser
):
    put_secrets(checkout, json.dumps({**json.loads(secrets), "oidc_client_secret": CLIENT_SECRET}))
    deploy(checkout, "--no-check")
    url, (port,) = api_url(aws), network.find_free_ports(1)
    checkout.set(
        PUBLIC_BASE_URL=url,
        OIDC_ISSUER=f"http://localhost:{port}",
        OIDC_CLIENT_ID=CLIENT_ID,
        OIDC_SCOPES="openid email groups",
        OIDC_WORKER_ATTRIBUTE="email",
        OIDC_ROLES='{"*": "worker"}',
    )
    alice = twilio.workers["Alice"]
    workspace = twilio.client().taskrouter.v1.workspaces(twilio.workspace_sid)
    workspace.workers(alice).update(attributes='{"email": "alice@example.com"}')
    page = browser.new_page(locale="en-US")

    with running_provider(port, f"{url}/console/callback"):
        deploy(checkout)
        page.goto(f"{url}/console")
        page.get_by_role("link", name="Continue with company account").click(timeout=30_000)
        log_in(page, "alice")
        page.click("[type=submit]")  # consent
        expect(page.locator(".live")).to_contain_text("Live", timeout=30_000)

    assert page.url == f"{url}/console/"
    issued = page.evaluate("sessionStorage.getItem('console.token')")
    grant = jwt.decode(issued, options={"verify_signature": False})["grants"]["task_router"]
    assert (grant["role"], grant["worker_sid"]) == ("worker", alice)
    expect(page.locator(".me")).to_contain_text("Alice")
    assert page.context.cookies(f"{url}/console/callback") == []
