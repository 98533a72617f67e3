"""Sign-in: allowed return pages, roles, names and error codes."""

import base64
import hashlib
import json
import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.auth import Role
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.sign_in import (
    EVERYONE_IS_A_WORKER,
    REFUSALS,
    Attempt,
    Failure,
    SignInPolicy,
    checked_return_to,
    parse_roles,
    provider_error,
    spread_lifetime,
)

ROOT = "https://calls.example.com/prod/"
URL_PARTS = st.sampled_from(
    [
        *("console/", "console", "?", "#", "/", "//", "\\", "..", ".", ":", "@", "%2f", "a", "="),
        *("&", "https://evil.example", "sign-in", "callback", "\n", "\t", " ", "é", "javascript:"),
    ]
)


def policy(**overrides: object) -> SignInPolicy:
    return SignInPolicy(
        **{  # type: ignore[arg-type]
            "worker_claim": "email",
            "worker_attribute": "friendly_name",
            "role_claim": "groups",
            "roles": {"supers": Role.SUPERVISOR, "agents": Role.WORKER},
            **overrides,
        }
    )


@given(st.lists(URL_PARTS, max_size=6).map("".join) | st.text(max_size=30))
def test_only_the_console_page_without_a_fragment_is_accepted_as_the_return_page(text: str) -> None:
    try:
        page = checked_return_to(text)
    except BadRequest:
        return
    url = urlsplit(urljoin(ROOT, page))
    assert (url.scheme, url.netloc, url.path) == ("https", "calls.example.com", "/prod/console/")
    assert url.fragment == ""
    assert url.geturl() == ROOT + page


@pytest.mark.parametrize(
    "page", ["console/", "console/?a", "console/?a=B1-_.~&c=", "console/?" + "a" * 200]
)
def test_console_page_with_a_query_is_accepted_as_the_return_page(page: str) -> None:
    assert checked_return_to(page) == page


def test_challenge_is_the_encoded_hash_of_the_verifier() -> None:
    # The example in RFC 7636, appendix B.
    attempt = Attempt(
        "s", "n", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "https://x", "console/"
    )
    assert attempt.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@given(st.text("abc-_", min_size=43, max_size=128))
def test_challenge_has_no_padding(verifier: str) -> None:
    attempt = Attempt("s", "n", verifier, "https://x", "console/")
    padded = attempt.challenge + "="
    assert base64.urlsafe_b64decode(padded) == hashlib.sha256(verifier.encode()).digest()


def test_attempt_uses_a_new_secret_for_each_purpose() -> None:
    secrets = iter("123")
    attempt = Attempt.new(
        redirect_uri="https://x", return_to="console/", new_secret=lambda: next(secrets)
    )
    assert attempt == Attempt("1", "2", "3", "https://x", "console/")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["supers", "agents", "*", "x"]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=2),
    max_leaves=5,
)


@given(JSON, st.booleans())
def test_highest_role_that_the_claim_values_map_to_is_found(groups: object, everyone: bool) -> None:  # noqa: FBT001
    roles = {"supers": Role.SUPERVISOR, "agents": Role.WORKER}
    if everyone:
        roles["*"] = Role.WORKER
    found = policy(roles=roles).find_role({"groups": groups})
    values = groups if isinstance(groups, list) else [groups]
    if "supers" in values:
        assert found is Role.SUPERVISOR
    elif "agents" in values or everyone:
        assert found is Role.WORKER
    else:
        assert found is None


@given(st.integers(60, 86_400), st.data())
def test_lifetime_is_shortened_by_at_most_a_tenth(seconds: int, data: st.DataObject) -> None:
    lifetime = spread_lifetime(seconds, lambda end: data.draw(st.integers(0, end - 1)))
    assert 0.9 * seconds <= lifetime <= seconds


def test_shortest_lifetime_is_nine_tenths_of_the_longest() -> None:
    assert spread_lifetime(3600, lambda end: end - 1) == 3240
    assert spread_lifetime(3600, lambda _: 0) == 3600


def test_everyone_is_a_worker_by_default() -> None:
    roles = parse_roles(EVERYONE_IS_A_WORKER)
    assert roles == {"*": Role.WORKER}
    assert policy(roles=roles).find_role({}) is Role.WORKER
    assert policy(roles={}).find_role({"groups": ["supers"]}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is not a valid JSON object"),
        ("{", "is not a valid JSON object"),
        ('{"a": "service"}', 'must map "a" to worker or supervisor'),
        ('{"a": "admin"}', 'must map "a" to worker or supervisor'),
        ('{"a": null}', 'must map "a" to worker or supervisor'),
        ('{"a": ["worker"]}', 'must map "a" to worker or supervisor'),
        ('{"*": "supervisor"}', 'must map "*" to worker'),
        ('{"*": "service"}', 'must map "*" to worker'),
    ],
)
def test_invalid_roles_are_rejected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse_roles(text)


def test_each_claim_value_is_mapped_to_its_role() -> None:
    text = json.dumps({"a b": "worker", "c": "supervisor", "": "worker"})
    assert parse_roles(text) == {"a b": Role.WORKER, "c": Role.SUPERVISOR, "": Role.WORKER}


@pytest.mark.parametrize("verified", [None, False, "true", 1, [], {}])
def test_unverified_email_is_ignored(verified: object) -> None:
    claims = {"email": "a@b.example", "email_verified": verified}
    assert policy().find_name(claims) is None
    assert policy(worker_claim="mail").find_name({**claims, "mail": "x"}) == "x"


@pytest.mark.parametrize("name", ["a", "a" * 256, "José", "a b"])
def test_printable_string_is_accepted_as_a_name(name: str) -> None:
    assert policy().find_name({"email": name, "email_verified": True}) == name


@pytest.mark.parametrize("name", [None, "", "a" * 257, "a\n", "\x7f", "\ud800", 5, True, ["a"]])
def test_invalid_name_is_ignored(name: object) -> None:
    assert policy().find_name({"email": name, "email_verified": True}) is None


def test_role_claim_is_needed_only_if_a_role_depends_on_it() -> None:
    assert policy(worker_claim="oid", role_claim="roles").claims == ["oid", "roles"]
    assert policy(roles={"*": Role.WORKER}).claims == ["email", "email_verified"]
    assert policy(roles={}).claims == ["email", "email_verified"]


@given(st.text())
def test_unknown_error_code_is_never_echoed(code: str) -> None:
    error = provider_error(code)
    assert error.code in {Failure.PROVIDER_REFUSED, code}
    if error.code is Failure.PROVIDER_REFUSED:
        assert code in ("", "provider_refused") or f"({code})" not in error.message


def test_provider_cannot_report_a_failure_of_this_service() -> None:
    for failure in Failure:
        assert provider_error(failure).code == Failure.PROVIDER_REFUSED
    assert provider_error("login_required").code == "login_required"


def test_refusals_are_the_failures_of_authenticated_users() -> None:
    assert {"no_identity", "no_role", "no_worker", "several_workers"} == REFUSALS
