"""The provider's metadata and keys are cached, and changed keys are fetched again."""

import jwt
import pytest

from tests.fake_provider import METADATA_PATH, FakeProvider, private_key, public_jwk, sign
from tests.routes.sign_in.browser import Browser, claims_of, failure


def test_metadata_and_keys_are_cached_for_an_hour(browser: Browser, provider: FakeProvider) -> None:
    for _ in range(3):
        assert claims_of(browser.sign_in())
    assert (provider.requests[METADATA_PATH], provider.requests["/jwks"]) == (1, 1)
    browser.api.clock.now += 3_599_999
    assert claims_of(browser.sign_in())
    assert (provider.requests[METADATA_PATH], provider.requests["/jwks"]) == (1, 1)
    browser.api.clock.now += 1
    assert claims_of(browser.sign_in())
    assert (provider.requests[METADATA_PATH], provider.requests["/jwks"]) == (2, 2)


def test_unknown_key_causes_the_keys_to_be_fetched_at_most_once_a_minute(
    browser: Browser, provider: FakeProvider
) -> None:
    assert claims_of(browser.sign_in())
    provider.make_token = lambda claims: sign(claims, "RSA 2")
    browser.api.clock.now += 59_999
    assert failure(browser.sign_in()) == "provider_invalid"
    assert provider.requests["/jwks"] == 1
    browser.api.clock.now += 1
    for _ in range(3):
        assert failure(browser.sign_in()) == "provider_invalid"
    assert provider.requests["/jwks"] == 2
    provider.jwks = [public_jwk("RSA 2"), public_jwk("RSA 1")]
    browser.api.clock.now += 60_000
    assert claims_of(browser.sign_in())
    assert provider.requests["/jwks"] == 3


@pytest.mark.parametrize("key_id", [None, "the same"])
def test_new_key_without_a_new_key_id_is_fetched_when_the_cached_keys_are_a_minute_old(
    browser: Browser, provider: FakeProvider, key_id: str | None
) -> None:
    header = {} if key_id is None else {"kid": key_id}

    def use(name: str) -> None:
        published = {key: value for key, value in public_jwk(name).items() if key != "kid"}
        provider.jwks = [{**published, **header}]
        provider.make_token = lambda claims: jwt.encode(
            claims, private_key(name), algorithm="RS256", headers=header
        )

    use("RSA 1")
    assert claims_of(browser.sign_in())
    use("RSA 2")
    browser.api.clock.now += 59_999
    assert failure(browser.sign_in()) == "provider_invalid"
    assert provider.requests["/jwks"] == 1
    browser.api.clock.now += 1
    assert claims_of(browser.sign_in())
    assert provider.requests["/jwks"] == 2


def test_forged_signatures_cause_the_keys_to_be_fetched_at_most_once_a_minute(
    browser: Browser, provider: FakeProvider
) -> None:
    assert claims_of(browser.sign_in())
    forge = {"key": private_key("RSA 2"), "headers": {"kid": "RSA 1"}}
    provider.make_token = lambda claims: jwt.encode(claims, algorithm="RS256", **forge)
    browser.api.clock.now += 60_000
    for _ in range(3):
        assert failure(browser.sign_in()) == "provider_invalid"
        assert provider.requests["/jwks"] == 2


def test_removed_key_is_rejected_after_the_keys_are_fetched_again(
    browser: Browser, provider: FakeProvider
) -> None:
    assert claims_of(browser.sign_in())
    provider.jwks = [public_jwk("RSA 2")]
    browser.api.clock.now += 3_600_000
    assert failure(browser.sign_in()) == "provider_invalid"


def test_unusable_metadata_and_keys_are_fetched_again_after_at_most_a_minute(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.metadata = {"issuer": "maintenance"}
    assert failure(browser.get("/console/sign-in")) == "provider_invalid"
    provider.metadata, provider.jwks = {}, []
    assert failure(browser.sign_in()) == "provider_invalid"
    provider.jwks = [public_jwk("RSA 1")]
    browser.api.clock.now += 60_000
    assert claims_of(browser.sign_in())
