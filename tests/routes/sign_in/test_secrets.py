"""The client secret is sent to the provider, and no secret is logged."""

from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.fake_provider import FakeProvider, send_json
from tests.routes.sign_in.browser import COOKIE, Browser, claims_of, failure


@pytest.mark.parametrize(
    ("methods", "is_basic"),
    [
        (None, True),
        (["client_secret_post", "client_secret_basic"], True),
        (["client_secret_post"], False),
    ],
)
def test_client_secret_is_sent_in_the_form_only_if_basic_authentication_is_unsupported(
    environ: dict[str, str],
    oidc: None,
    request: pytest.FixtureRequest,
    methods: list[str] | None,
    is_basic: Any,
) -> None:
    environ["OIDC_CLIENT_SECRET"] = "s3cr%t+:/&="
    browser = request.getfixturevalue("browser")
    browser.provider.client_secret = environ["OIDC_CLIENT_SECRET"]
    browser.provider.metadata["token_endpoint_auth_methods_supported"] = methods
    assert claims_of(browser.sign_in())
    (form,), (authorization,) = browser.provider.forms, browser.provider.authorizations
    assert ("client_secret" in form) is not is_basic
    assert (authorization is not None) is is_basic


def test_invalid_client_error_is_reported_without_its_description(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.client_secret = "other"
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    provider.responses["/token"] = lambda request: send_json(
        request, 401, {"error": "invalid_client", "error_description": "s3cret"}
    )
    assert failure(browser.sign_in()) == "provider_refused"
    assert "HTTP 401" in browser.api.lines()[-1]["reason"]
    assert "s3cret" not in browser.api.log.getvalue()


def test_no_secret_is_logged(browser: Browser, provider: FakeProvider) -> None:
    query = browser.begin()
    cookie = browser.cookies[COOKIE]
    browser.finish(query)
    secrets = [cookie, browser.redeem().json_body["token"], *parse_qs(query).values()]
    secrets += [provider.forms[0]["code_verifier"], "access"]
    for secret in secrets:
        assert (secret if isinstance(secret, str) else secret[0]) not in browser.api.log.getvalue()
