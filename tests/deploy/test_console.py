"""Agents and supervisors use the console under the path of a deployed stage, in Chromium.

The emulated account allows 10 concurrent executions, like some new AWS accounts. The stage's limits
are therefore low, and these tests also check that all requests of a page load are allowed.
"""

import json
import re

import jwt
import pytest
import requests
from playwright.sync_api import expect

from local import functions, network
from local.demo.http_client import HttpClient
from tests.console.conftest import watch
from tests.deploy.conftest import STAGE
from tests.deploy.contact_center import ContactCenter, eventually, make_worker_available
from tests.deploy.test_deploy import api_url, callback_parameters, deploy, put_secrets, token
from tests.e2e.test_inspect import inspect, steps
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


def test_agent_and_supervisor_use_the_console_under_the_stages_path(
    aws, checkout, twilio, secrets, browser
):
    put_secrets(checkout, secrets)
    deploy(checkout, "--no-check")
    url = api_url(aws)
    post_forged(f"{url}/assignment_callback", twilio)
    checkout.set(PUBLIC_BASE_URL=url)
    deploy(checkout)
    post_forged(f"{url}/assignment_callback?key=very-secret", twilio)
    supervisor_token = token(checkout)
    center = ContactCenter.connect(url, supervisor_token, twilio)
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
    (record,) = center.app.list_reservations("accepted")

    page = browser.new_page(locale="en-US")
    watch(page, aws.url, problems)
    page.goto(f"{url}/console#token={supervisor_token}")
    expect(page.locator(".live")).to_contain_text("Live", timeout=30_000)
    check_inspect(page, record)
    check_callbacks(page, url)
    check_overview(page, aws)
    assert problems == []

    worker = HttpClient("app", url, token=worker_token)
    path = f"/reservations/{record['reservation_sid']}/signature"
    for forbidden in ("/callbacks", "/statistics", path):
        assert (forbidden, get_status(worker, forbidden)) == (forbidden, 403)


def post_forged(url, twilio):
    """Post a callback with a well-formed signature that Twilio did not create."""
    headers = {"X-Twilio-Signature": "x" * 28}
    response = requests.post(url, data=callback_parameters(twilio), headers=headers, timeout=30)
    assert response.status_code == 403


def get_status(client, path):
    """Return the status of the first response that is not throttled."""
    read = lambda: client.get(path).status  # noqa: E731
    return eventually(lambda: (status := read()) != 429 and status, 30)


def check_inspect(page, record):
    """Check that the timeline shows all steps of an acceptance, and that the signature is valid."""
    inspect(page, record["reservation_sid"])
    names = ["Reserved", "Callback received", "Answering", "Claimed", "Accepted"]
    expect(steps(page)).to_have_text(names)
    page.get_by_role("button", name="Verify again").click()
    expect(page.locator(".facts .pill", has_text="Valid")).to_be_visible(timeout=30_000)


def check_callbacks(page, url):
    """Check that the oldest and the newest rejected callback are in the log, with masked URLs.

    The check at the end of the deployment sent the other rejected callbacks.
    """
    page.evaluate("location.hash = '#/callbacks?status=403'")
    rows = page.locator(".log tbody tr:not(.why)")
    expect(rows.first).to_contain_text(re.compile("Assignment.*Invalid.*403"), timeout=30_000)
    host = url.removeprefix("http://").partition("/")[0]
    for row, checked in (
        (rows.first, f"http://{host}/restapis/***/***/***/assignment_callback?key=***"),
        (rows.last, f"https://{host}/{STAGE}/assignment_callback"),
    ):
        row.get_by_role("button", name="Details").click()
        expect(page.get_by_text(checked, exact=True)).to_be_visible()
    expect(page.get_by_text("The auth token differs")).to_have_count(2)
    assert "very-secret" not in page.content()


def check_overview(page, aws):
    """Check that the overview shows the accepted Reservation, the Workers and the sweep."""
    response = aws.client("lambda").invoke(
        FunctionName=f"taskrouter-callbacks-{STAGE}-sweep",
        Payload=json.dumps(functions.scheduled_event()),
    )
    result = response["Payload"].read()
    assert "FunctionError" not in response, result
    page.get_by_role("link", name="Overview").click()
    accepted = page.locator(".tile", has_text="Accepted")
    expect(accepted.locator(".big")).to_have_text("1", timeout=60_000)
    expect(page.locator(".panel", has=page.locator("#sweeps"))).to_contain_text("On time")
    expect(page.locator(".panel", has=page.locator("#workers"))).to_contain_text("Busy1")


@needs_provider
def test_agent_signs_in_with_the_provider_under_the_stages_path(
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
    assert page.context.cookies(f"{url}/console/session") == []
