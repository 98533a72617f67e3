"""Valid ID tokens are accepted, and invalid ID tokens and unsuitable keys are rejected."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from tests.fake_provider import CLIENT_ID, FakeProvider, private_key, public_jwk, sign
from tests.routes.sign_in.browser import Browser, claims_of, failure


def hs256_with_public_key(claims: dict[str, Any]) -> str:
    pem = (
        private_key("RSA 1")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )

    def encode(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    header = encode(json.dumps({"alg": "HS256", "kid": "RSA 1"}).encode())
    body = f"{header}.{encode(json.dumps(claims).encode())}"
    return f"{body}.{encode(hmac.digest(pem, body.encode(), hashlib.sha256))}"


def with_changed_claims(claims: dict[str, Any]) -> str:
    header, _, signature = sign(claims).split(".")
    _, payload, _ = sign({**claims, "email": "bob@example.com"}).split(".")
    return f"{header}.{payload}.{signature}"


BAD_TOKENS: dict[str, Any] = {
    "different issuer": lambda claims: sign({**claims, "iss": "https://evil.example"}),
    "issuer with a slash": lambda claims: sign({**claims, "iss": claims["iss"] + "/"}),
    "different audience": lambda claims: sign({**claims, "aud": "other"}),
    "list without this audience": lambda claims: sign({**claims, "aud": ["other"]}),
    "several audiences without azp": lambda claims: sign({**claims, "aud": [CLIENT_ID, "other"]}),
    "different authorized party": lambda claims: sign({**claims, "azp": "other"}),
    "several audiences, different azp": lambda claims: sign(
        {**claims, "aud": [CLIENT_ID, "other"], "azp": "other"}
    ),
    "different nonce": lambda claims: sign({**claims, "nonce": "other"}),
    "numeric nonce": lambda claims: sign({**claims, "nonce": 1}),
    "nonce with a lone surrogate": lambda claims: sign({**claims, "nonce": "\ud800"}),
    "expired": lambda claims: sign({**claims, "exp": time.time() - 61}),
    "issued in the future": lambda claims: sign({**claims, "iat": time.time() + 120}),
    "empty subject": lambda claims: sign({**claims, "sub": ""}),
    "numeric subject": lambda claims: sign({**claims, "sub": 1}),
    "signed with a key that is not published": lambda claims: sign(claims, "RSA 2"),
    "signed with a different key under a published key ID": lambda claims: sign(
        claims, "RSA 2", kid="RSA 1"
    ),
    "changed claims": with_changed_claims,
    "not signed": lambda claims: jwt.encode(
        claims, None, algorithm="none", headers={"kid": "RSA 1"}
    ),
    "signed with the client secret": lambda claims: jwt.encode(
        claims, "client secret that is long enough", headers={"kid": "RSA 1"}
    ),
    "HS256 with the public key": hs256_with_public_key,
    "embedded key": lambda claims: sign(
        claims, "RSA 2", jwk=public_jwk("RSA 2"), jku="https://evil.example"
    ),
    "not a token": lambda _claims: "token",
    "empty": lambda _claims: "",
    "number": lambda _claims: 5,
    "different algorithm family": lambda claims: sign(claims, "EC 256", "ES256", kid="RSA 1"),
    **{
        f"without {name}": lambda claims, name=name: sign(
            {other: value for other, value in claims.items() if other != name}
        )
        for name in ("iss", "aud", "exp", "iat", "nonce", "sub")
    },
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_invalid_id_token_is_rejected(browser: Browser, provider: FakeProvider, name: str) -> None:
    provider.make_token = BAD_TOKENS[name]
    assert failure(browser.sign_in()) == "provider_invalid"
    assert browser.api.lines()[-1]["sign_in"] == "provider_invalid"


GOOD_TOKENS: dict[str, Any] = {
    "expired within the leeway": lambda claims: sign({**claims, "exp": int(time.time()) - 50}),
    "issued within the leeway": lambda claims: sign({**claims, "iat": int(time.time()) + 50}),
    "audience in a list": lambda claims: sign({**claims, "aud": [CLIENT_ID]}),
    "several audiences with azp": lambda claims: sign(
        {**claims, "aud": ["other", CLIENT_ID], "azp": CLIENT_ID}
    ),
    "with azp": lambda claims: sign({**claims, "azp": CLIENT_ID}),
    "without a key ID": lambda claims: jwt.encode(claims, private_key("RSA 1"), algorithm="RS256"),
}


@pytest.mark.parametrize("name", GOOD_TOKENS)
def test_unusual_but_valid_id_token_is_accepted(
    browser: Browser, provider: FakeProvider, name: str
) -> None:
    provider.make_token = GOOD_TOKENS[name]
    assert claims_of(browser.sign_in())


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *[("RSA 1", name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")],
        *[("EC 256", "ES256"), ("EC 384", "ES384"), ("EC 521", "ES512"), ("OKP 1", "EdDSA")],
    ],
)
def test_asymmetric_algorithms_are_supported(
    browser: Browser, provider: FakeProvider, key: str, algorithm: str
) -> None:
    provider.jwks = [public_jwk(key, alg=algorithm)]
    provider.make_token = lambda claims: sign(claims, key, algorithm)
    assert claims_of(browser.sign_in())


UNSUITABLE_KEYS: dict[str, Any] = {
    "no keys": list,
    "empty key": lambda: [{}],
    "string": lambda: ["RSA 1"],
    "for encryption": lambda: [public_jwk("RSA 1", use="enc")],
    "for a different algorithm": lambda: [public_jwk("RSA 1", alg="RS512")],
    "different key ID": lambda: [public_jwk("RSA 1", kid="other")],
    "symmetric": lambda: [public_jwk("RSA 1", kty="oct", k="AAAA")],
    "no modulus": lambda: [public_jwk("RSA 1", n="")],
    "numeric modulus": lambda: [public_jwk("RSA 1", n=5)],
    "no exponent": lambda: [public_jwk("RSA 1", e=None)],
    "different type": lambda: [public_jwk("EC 256", kid="RSA 1")],
    "string instead of a list": lambda: "keys",
    "null": lambda: None,
}


@pytest.mark.parametrize("name", UNSUITABLE_KEYS)
def test_unsuitable_keys_are_rejected(browser: Browser, provider: FakeProvider, name: str) -> None:
    provider.jwks = UNSUITABLE_KEYS[name]()
    assert failure(browser.sign_in()) == "provider_invalid"


def test_short_rsa_key_is_rejected(browser: Browser, provider: FakeProvider) -> None:
    provider.jwks = [public_jwk("RSA 1024")]
    provider.make_token = lambda claims: sign(claims, "RSA 1024")
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        response = browser.sign_in()
    assert failure(response) == "provider_invalid"


def test_token_without_a_key_id_is_accepted_only_if_exactly_one_key_is_suitable(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.jwks = [public_jwk("RSA 1"), public_jwk("RSA 2")]
    provider.make_token = GOOD_TOKENS["without a key ID"]
    assert failure(browser.sign_in()) == "provider_invalid"
    provider.jwks = [public_jwk("RSA 1"), public_jwk("RSA 2", use="enc"), public_jwk("EC 256")]
    browser.api.clock.now += 60_000
    assert claims_of(browser.sign_in())
