"""The user's claims determine the Worker, the role and the token. Unusable claims are rejected."""

import time
from typing import Any

import pytest

from chalicelib.domain.errors import TaskRouterUnavailable
from tests.fake_provider import FakeProvider
from tests.routes.conftest import Api
from tests.routes.sign_in.browser import (
    ALICE,
    Browser,
    Directory,
    claims_of,
    failure,
    refusal,
)


def test_worker_gets_a_token_that_the_api_accepts(
    browser: Browser, api: Api, directory: Directory
) -> None:
    response = browser.sign_in()
    claims = claims_of(response)
    grant = claims["grants"]["task_router"]
    assert (grant["role"], grant["worker_sid"]) == ("worker", ALICE)
    assert claims["grants"]["identity"] == "alice@example.com"
    assert 3235 <= claims["exp"] - time.time() <= 3600
    assert directory.searches == [("friendly_name", "alice@example.com")]
    listed = api.call("GET", "/reservations", token=browser.redeem().json_body["token"])
    assert listed.status_code == 200
    assert api.lines()[-2]["principal"] == f"worker:{ALICE}"


def test_unverified_email_is_rejected(browser: Browser, provider: FakeProvider) -> None:
    for verified in (False, None, "true", 1):
        provider.claims["email_verified"] = verified
        code, message = refusal(browser.sign_in())
        assert code == "no_identity"
        assert "verified" in message
    assert browser.cookies == {}


@pytest.mark.parametrize("email", [None, "", 5, ["alice@example.com"], "a\nb", "a" * 257])
def test_missing_or_malformed_email_is_rejected(
    browser: Browser, provider: FakeProvider, email: Any
) -> None:
    provider.claims["email"] = email
    assert refusal(browser.sign_in())[0] == "no_identity"


def test_user_without_worker_is_rejected(browser: Browser, directory: Directory) -> None:
    directory.workers.clear()
    response = browser.sign_in()
    code, message = refusal(response)
    assert code == "no_worker"
    assert message.startswith("TaskRouter has no Worker whose friendly_name equals your email.")
    line = browser.api.lines()[-1]
    assert (line["status"], line["sign_in"]) == (403, "no_worker")


def test_user_with_two_workers_is_rejected(browser: Browser, directory: Directory) -> None:
    directory.workers["friendly_name", "alice@example.com"] *= 2
    code, message = refusal(browser.sign_in())
    assert code == "several_workers"
    assert message.startswith(
        "TaskRouter has several Workers whose friendly_name equals your email."
    )


def test_failure_of_taskrouter_is_reported_to_the_page(
    browser: Browser, directory: Directory
) -> None:
    def fail(*_arguments: str) -> list[str]:
        raise TaskRouterUnavailable("TaskRouter failed (HTTP 500).")

    directory.find_workers = fail  # type: ignore[method-assign]
    assert failure(browser.sign_in()) == "taskrouter_unavailable"
    assert browser.api.lines()[-1]["reason"] == "TaskRouter failed (HTTP 500)."


def test_configured_claim_and_attribute_identify_the_worker(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    environ |= {"OIDC_WORKER_CLAIM": "employee", "OIDC_WORKER_ATTRIBUTE": "hr.number"}
    browser = request.getfixturevalue("browser")
    browser.provider.claims |= {"email_verified": False, "employee": "42"}
    directory = request.getfixturevalue("directory")
    directory.workers["hr.number", "42"] = [ALICE]
    claims = claims_of(browser.sign_in())
    assert claims["grants"]["identity"] == "42"
    assert directory.searches == [("hr.number", "42")]


ROLES = '{"contact-center-supervisors": "supervisor", "agents": "worker"}'


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        ("contact-center-supervisors", "supervisor"),
        (["agents", "contact-center-supervisors"], "supervisor"),
        (["agents"], "worker"),
        (["other", 5, None, "agents"], "worker"),
    ],
)
def test_groups_determine_the_role(
    environ: dict[str, str],
    oidc: None,
    request: pytest.FixtureRequest,
    groups: Any,
    role: str,
) -> None:
    environ["OIDC_ROLES"] = ROLES
    browser, directory = (request.getfixturevalue(name) for name in ("browser", "directory"))
    browser.provider.claims["groups"] = groups
    grant = claims_of(browser.sign_in())["grants"]["task_router"]
    assert grant["role"] == role
    assert grant.get("worker_sid") == (ALICE if role == "worker" else None)
    assert len(directory.searches) == (1 if role == "worker" else 0)


@pytest.mark.parametrize(
    "groups", [None, [], "agent", "*", ["service"], {"agents": 1}, [["agents"]], 5]
)
def test_user_without_role_is_rejected(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest, groups: Any
) -> None:
    environ["OIDC_ROLES"] = ROLES
    browser, directory = (request.getfixturevalue(name) for name in ("browser", "directory"))
    browser.provider.claims["groups"] = groups
    code, message = refusal(browser.sign_in())
    assert code == "no_role"
    assert "OIDC_ROLES" in message
    assert directory.searches == []


def test_supervisor_without_verified_email_is_identified_by_subject(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    environ |= {"OIDC_ROLES": '{"admin": "supervisor"}', "OIDC_ROLE_CLAIM": "roles"}
    browser = request.getfixturevalue("browser")
    browser.provider.claims |= {"email_verified": False, "roles": ["admin"]}
    claims = claims_of(browser.sign_in())
    assert claims["grants"]["identity"] == browser.provider.claims["sub"]


@pytest.mark.parametrize(
    ("limits", "lifetime"),
    [(("1800", "86400"), 1800), (("86400", "7200"), 7200)],
)
def test_lifetime_of_the_token_does_not_exceed_either_limit(
    environ: dict[str, str],
    oidc: None,
    request: pytest.FixtureRequest,
    limits: tuple[str, str],
    lifetime: int,
) -> None:
    environ |= dict(zip(("OIDC_TOKEN_SECONDS", "MAX_TOKEN_SECONDS"), limits, strict=True))
    claims = claims_of(request.getfixturevalue("browser").sign_in())
    assert 0.9 * lifetime - 5 <= claims["exp"] - time.time() <= lifetime


def test_sessions_that_start_together_end_at_different_times(browser: Browser) -> None:
    lifetimes = set()
    for _ in range(10):
        claims = claims_of(browser.sign_in())
        lifetimes.add(claims["exp"] - claims["nbf"])
    assert len(lifetimes) > 1
