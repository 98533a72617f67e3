"""Bad requests, a missing provider and internal errors send the browser to the console's page."""

from typing import Any

import pytest

from chalicelib import runtime
from chalicelib.config import SettingsError
from tests.routes.conftest import Api
from tests.routes.sign_in.browser import Browser

STEPS = ["/console/sign-in", "/console/callback"]


def expect_page(response: Any, status: int) -> None:
    """Check that the response has a JSON body and sends a browser to the console's page."""
    assert response.status_code == status
    assert response.json_body["Code"]
    # Relative to the URLs of the sign-in routes, "./" is the console's page.
    assert response.headers["Refresh"] == "0; url=./#sign-in-error=request_failed"


@pytest.mark.parametrize(
    "path", ["/console/callback?code=a&code=b", "/console/sign-in?a=1", "/console/sign-in?silent=0"]
)
def test_malformed_request_sends_the_browser_to_the_page(browser: Browser, path: str) -> None:
    expect_page(browser.get(path), 400)


@pytest.mark.parametrize("path", STEPS)
def test_sign_in_without_a_provider_sends_the_browser_to_the_page(api: Api, path: str) -> None:
    expect_page(api.call("GET", path, token=None), 404)


@pytest.mark.parametrize("error", [SettingsError("OIDC_ISSUER is wrong."), ZeroDivisionError()])
@pytest.mark.parametrize("path", STEPS)
def test_internal_error_sends_the_browser_to_the_page(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, error: Exception
) -> None:
    def fail() -> runtime.Runtime:
        raise error

    monkeypatch.setattr(runtime, "current", fail)
    expect_page(api.call("GET", path, token=None), 500)


def test_error_in_another_route_does_not_send_the_browser_to_the_page(browser: Browser) -> None:
    response = browser.redeem()
    assert response.status_code == 401
    assert "Refresh" not in response.headers
