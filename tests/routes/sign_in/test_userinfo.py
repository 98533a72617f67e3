"""Claims missing from the ID token are read from the UserInfo endpoint."""

from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.routes.sign_in.browser import ALICE, Browser, claims_of, failure, refusal


def test_missing_claims_are_read_from_userinfo(browser: Browser, provider: FakeProvider) -> None:
    provider.user_info = dict(provider.claims)
    provider.claims = {"sub": provider.claims["sub"]}
    assert claims_of(browser.sign_in())["grants"]["identity"] == "alice@example.com"


@pytest.mark.parametrize(
    ("verified", "user_info"),
    [
        (None, {"email": "alice@example.com", "email_verified": True}),
        (None, {"email": "alice@example.com", "email_verified": False}),
        (None, {"email": "bob@example.com", "email_verified": True}),
        (None, {"email_verified": True}),
        (None, {"email": "alice@example.com"}),
        (False, {"email": "alice@example.com", "email_verified": True}),
    ],
)
def test_userinfo_is_requested_if_email_verified_is_missing_but_not_if_it_is_false(
    browser: Browser, provider: FakeProvider, *, verified: bool | None, user_info: dict[str, Any]
) -> None:
    provider.claims["email_verified"] = verified
    provider.user_info = {"sub": provider.claims["sub"], **user_info}
    response = browser.sign_in()
    assert provider.requests["/userinfo"] == int(verified is None)
    expected = {"email": "alice@example.com", "email_verified": True}
    if verified is None and user_info == expected:
        assert claims_of(response)["grants"]["identity"] == "alice@example.com"
    else:
        assert refusal(response)[0] == "no_identity"


def test_userinfo_is_not_requested_to_verify_an_unused_email(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    environ["OIDC_WORKER_CLAIM"] = "sub"
    browser = request.getfixturevalue("browser")
    browser.provider.claims["email_verified"] = None
    browser.provider.user_info = {}
    name = browser.provider.claims["sub"]
    vars(browser.api.service)["taskrouter"].workers["friendly_name", name] = [ALICE]
    assert claims_of(browser.sign_in())
    assert browser.provider.requests["/userinfo"] == 0


def test_userinfo_about_another_user_is_rejected(browser: Browser, provider: FakeProvider) -> None:
    provider.user_info = {**provider.claims, "sub": "other"}
    provider.claims = {"sub": provider.claims["sub"]}
    assert failure(browser.sign_in()) == "provider_invalid"


def test_id_token_takes_precedence_over_userinfo(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    environ["OIDC_ROLES"] = '{"agents": "worker"}'
    browser = request.getfixturevalue("browser")
    provider = browser.provider
    provider.user_info = {**provider.claims, "email": "bob@example.com", "groups": ["agents"]}
    assert claims_of(browser.sign_in())["grants"]["identity"] == "alice@example.com"
    assert provider.requests["/userinfo"] == 1
    provider.claims["groups"] = ["agents"]
    assert claims_of(browser.sign_in())
    assert provider.requests["/userinfo"] == 1


@pytest.mark.parametrize(("address", "is_verified"), [("bob", False), ("alice", True)])
def test_userinfo_verifies_only_the_email_that_it_contains(
    environ: dict[str, str],
    oidc: None,
    request: pytest.FixtureRequest,
    address: str,
    is_verified: Any,
) -> None:
    environ["OIDC_ROLES"] = '{"agents": "worker"}'
    browser = request.getfixturevalue("browser")
    provider = browser.provider
    provider.user_info = {
        **provider.claims,
        "email": f"{address}@example.com",
        "groups": "agents",
    }
    provider.claims["email_verified"] = None
    response = browser.sign_in()
    if is_verified:
        assert claims_of(response)
    else:
        assert refusal(response)[0] == "no_identity"


def test_userinfo_is_not_requested_if_the_id_token_has_all_required_claims(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.user_info = {}
    assert claims_of(browser.sign_in())
    assert provider.requests["/userinfo"] == 0
