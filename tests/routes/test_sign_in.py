"""People sign in to the console with an OpenID Connect provider."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from chalicelib.adapters import sign_in_cookie
from chalicelib.domain.errors import TaskRouterUnavailable
from chalicelib.domain.sign_in import Attempt
from tests.fake_provider import (
    CLIENT_ID,
    METADATA_PATH,
    FakeProvider,
    private_key,
    public_jwk,
    send,
    send_json,
    serve_provider,
    sign,
)
from tests.routes.conftest import BASE_URL, Api
from tests.support import sid

COOKIE = "__Secure-console-sign-in"
ALICE = sid("WK")


class Directory:
    """A fake directory of Workers, by attribute and value."""

    def __init__(self) -> None:
        self.workers: dict[tuple[str, str], list[str]] = {
            ("friendly_name", "alice@example.com"): [ALICE]
        }
        self.searches: list[tuple[str, str]] = []

    def find_workers(self, attribute: str, value: str) -> list[str]:
        self.searches.append((attribute, value))
        return self.workers.get((attribute, value), [])


@dataclass
class Browser:
    """A browser: it keeps the cookie and follows redirections."""

    api: Api
    provider: FakeProvider
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Any:
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = self.api.call(
            "GET", path, token=None, headers={"Cookie": header} if header else {}
        )
        for name, morsel in SimpleCookie(response.headers.get("Set-Cookie", "")).items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return response

    def begin(self, query: str = "") -> str:
        """Begin a sign-in; return the query with which the provider returns the browser."""
        response = self.get(f"/console/sign-in{query}")
        assert response.status_code == 302, response.body
        return self.provider.authorize(response.headers["Location"])

    def finish(self, query: str) -> Any:
        return self.get(f"/console/callback?{query}")

    def sign_in(self, query: str = "") -> Any:
        return self.finish(self.begin(query))


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with serve_provider() as provider:
        yield provider


@pytest.fixture
def oidc(environ: dict[str, str], provider: FakeProvider) -> None:
    environ |= {"OIDC_ISSUER": provider.url, "OIDC_CLIENT_ID": CLIENT_ID}


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def browser(oidc: None, api: Api, provider: FakeProvider, directory: Directory) -> Browser:
    vars(api.service)["taskrouter"] = directory
    return Browser(api, provider)


def fragment(response: Any) -> dict[str, str]:
    """Return the parameters in the fragment of the page on which a sign-in ends."""
    page, _, text = response.headers["Location"].partition("#")
    assert page.startswith(f"{BASE_URL}/console/")
    return {name: values[0] for name, values in parse_qs(text).items()}


def failure(response: Any) -> str:
    assert response.status_code == 303, response.body
    assert response.body == b""
    values = fragment(response)
    assert values.keys() == {"sign-in-error"}
    return values["sign-in-error"]


def refusal(response: Any) -> tuple[str, str]:
    """Return the code for the page and the message of a refused sign-in."""
    assert response.status_code == 403
    assert response.json_body["Code"] == "ForbiddenError"
    assert "Location" not in response.headers
    start = f"0; url={BASE_URL}/console/#sign-in-error="
    assert response.headers["Refresh"].startswith(start)
    return response.headers["Refresh"].removeprefix(start), response.json_body["Message"]


def claims_of(response: Any) -> dict[str, Any]:
    assert response.status_code == 303, response.body
    values = fragment(response)
    assert values.keys() == {"token"}, values
    return jwt.decode(values["token"], options={"verify_signature": False})


def test_worker_gets_a_token_that_all_routes_accept(
    browser: Browser, api: Api, directory: Directory
) -> None:
    response = browser.sign_in()
    claims = claims_of(response)
    grant = claims["grants"]["task_router"]
    assert (grant["role"], grant["worker_sid"]) == ("worker", ALICE)
    assert claims["grants"]["identity"] == "alice@example.com"
    assert 3595 <= claims["exp"] - time.time() <= 3600
    assert directory.searches == [("friendly_name", "alice@example.com")]
    listed = api.call("GET", "/reservations", token=fragment(response)["token"])
    assert listed.status_code == 200
    assert api.lines()[-2]["principal"] == f"worker:{ALICE}"


def test_session_tells_whether_there_is_a_provider(browser: Browser) -> None:
    response = browser.get("/console/session")
    assert (response.status_code, response.json_body) == (200, {"oidc": True})


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/callback?code=a&state=b"])
def test_without_a_provider_the_routes_do_not_exist(api: Api, path: str) -> None:
    response = api.call("GET", path, token=None)
    assert response.status_code == 404
    assert "OIDC_ISSUER" in response.json_body["Message"]
    assert "Set-Cookie" not in response.headers
    session = api.call("GET", "/console/session", token=None)
    assert session.json_body == {"oidc": False}


def test_authorization_request_contains_the_registered_values(browser: Browser) -> None:
    response = browser.get("/console/sign-in")
    url, _, query = response.headers["Location"].partition("?")
    parameters = {name: values[0] for name, values in parse_qs(query).items()}
    assert url == f"{browser.provider.url}/authorize"
    secrets = [parameters.pop(name) for name in ("state", "nonce", "code_challenge")]
    assert all(len(secret) == 43 for secret in secrets)
    assert len(set(secrets)) == 3
    assert parameters == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{BASE_URL}/console/callback",
        "scope": "openid email",
        "code_challenge_method": "S256",
    }


def test_endpoint_with_a_query_keeps_the_query(browser: Browser, provider: FakeProvider) -> None:
    provider.metadata["authorization_endpoint"] = f"{provider.url}/authorize?tenant=1"
    location = browser.get("/console/sign-in").headers["Location"]
    assert parse_qs(urlsplit(location).query)["tenant"] == ["1"]
    assert location.count("?") == 1


def test_silent_sign_in_asks_the_provider_to_show_no_page(browser: Browser) -> None:
    location = browser.get("/console/sign-in?silent=1").headers["Location"]
    assert parse_qs(urlsplit(location).query)["prompt"] == ["none"]


@pytest.mark.parametrize("query", ["?silent=0", "?silent=", "?silent=1&silent=1", "?silnt=1"])
def test_malformed_parameters_are_refused(browser: Browser, query: str) -> None:
    assert browser.get(f"/console/sign-in{query}").status_code == (400)


def test_every_sign_in_has_its_own_secrets(browser: Browser) -> None:
    locations = [browser.get("/console/sign-in").headers["Location"] for _ in range(3)]
    for name in ("state", "nonce", "code_challenge"):
        assert len({parse_qs(urlsplit(location).query)[name][0] for location in locations}) == 3


def test_cookie_is_bound_to_the_console_and_hidden_from_scripts(browser: Browser) -> None:
    header = browser.get("/console/sign-in").headers["Set-Cookie"]
    name, *attributes = header.split("; ")
    assert name.startswith(f"{COOKIE}=ey")
    assert attributes == [
        "Path=/api/console",
        "Max-Age=600",
        "HttpOnly",
        "SameSite=Lax",
        "Secure",
    ]


def test_cookie_on_loopback_http_is_not_secure(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    environ["PUBLIC_BASE_URL"] = "http://127.0.0.1:8000"
    header = request.getfixturevalue("browser").get("/console/sign-in").headers["Set-Cookie"]
    name, *attributes = header.split("; ")
    assert name.startswith("console-sign-in=ey")
    assert attributes == ["Path=/console", "Max-Age=600", "HttpOnly", "SameSite=Lax"]


def test_without_a_base_url_the_redirect_uri_contains_the_stage(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest
) -> None:
    del environ["PUBLIC_BASE_URL"]
    browser = request.getfixturevalue("browser")
    context = {
        "path": "/prod/console/sign-in",
        "resourcePath": "/console/sign-in",
        "domainName": "abc.execute-api.us-east-1.amazonaws.com",
    }
    generate = browser.api.http._local_gateway._generate_lambda_event

    def with_context(*arguments: Any, **options: Any) -> Any:
        event = generate(*arguments, **options)
        event["requestContext"] |= context
        return event

    browser.api.http._local_gateway._generate_lambda_event = with_context
    response = browser.get("/console/sign-in")
    redirect_uri = parse_qs(urlsplit(response.headers["Location"]).query)["redirect_uri"]
    base = "https://abc.execute-api.us-east-1.amazonaws.com/prod"
    assert redirect_uri == [f"{base}/console/callback"]
    assert "; Path=/prod/console; " in response.headers["Set-Cookie"]

    query = browser.provider.authorize(response.headers["Location"])
    context |= {"path": "/prod/console/callback", "resourcePath": "/console/callback"}
    assert browser.finish(query).headers["Location"].startswith(f"{base}/console/#token=")


def test_responses_are_not_cached_and_send_no_referrer(browser: Browser) -> None:
    query = browser.begin()
    for response in (browser.get("/console/sign-in"), browser.finish(query)):
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


# ---- open redirections


def test_sign_in_returns_to_the_page_that_began_it(browser: Browser) -> None:
    response = browser.sign_in("?return_to=console/%3Freservation%3DWR1%26view%3Dall")
    page = response.headers["Location"].partition("#")[0]
    assert page == f"{BASE_URL}/console/?reservation=WR1&view=all"


@pytest.mark.parametrize(
    "page",
    [
        "",
        "console",
        "/console/",
        "//evil.example/console/",
        "https://evil.example/",
        "console/sign-in",
        "console/callback",
        "console/../health",
        "console/#x",
        "console/?a=https://evil.example",
        "console/?",
        "console/?a=\r\nSet-Cookie: a=b",
        "console/?a\n",
        "javascript:alert(1)",
        "console/\\evil.example",
        "console/?" + "a" * 201,
    ],
)
def test_other_pages_are_refused(browser: Browser, page: str) -> None:
    response = browser.get(f"/console/sign-in?{urlencode({'return_to': page})}")
    assert response.status_code == 400
    assert "return_to" in response.json_body["Message"]
    assert "Set-Cookie" not in response.headers


# ---- the browser


def test_callback_without_cookie_fails_before_the_provider_is_asked(
    browser: Browser, provider: FakeProvider
) -> None:
    query = browser.begin()
    browser.cookies.clear()
    assert failure(browser.finish(query)) == "expired"
    assert provider.forms == []


def test_cookie_of_another_browser_does_not_fit(browser: Browser, provider: FakeProvider) -> None:
    other = Browser(browser.api, provider)
    other.begin()
    assert failure(other.finish(browser.begin())) == "expired"
    assert provider.forms == []


@pytest.mark.parametrize("state", ["", "&state=", "&state=wrong", "&state=\u00e9"])
def test_wrong_or_missing_state_fails(browser: Browser, provider: FakeProvider, state: str) -> None:
    query = browser.begin().partition("&state=")[0]
    assert failure(browser.finish(query + state)) == "expired"
    assert provider.forms == []


def test_cookie_is_deleted_after_success_and_after_failure(browser: Browser) -> None:
    query = browser.begin()
    assert claims_of(browser.finish(query))
    assert browser.cookies == {}
    assert failure(browser.finish(query)) == "expired"
    browser.begin()
    browser.finish("error=access_denied")
    assert browser.cookies == {}


def test_code_works_once_even_with_a_copied_cookie(browser: Browser) -> None:
    query = browser.begin()
    copied = dict(browser.cookies)
    assert claims_of(browser.finish(query))
    browser.cookies = copied
    assert failure(browser.finish(query)) == "provider_refused"


def test_two_cookies_with_the_name_are_refused(browser: Browser) -> None:
    query = browser.begin()
    value = browser.cookies[COOKIE]
    response = browser.api.call(
        "GET",
        f"/console/callback?{query}",
        token=None,
        headers={"Cookie": f"{COOKIE}={value}; {COOKIE}={value}"},
    )
    assert failure(response) == "expired"


def test_other_cookies_do_not_disturb(browser: Browser) -> None:
    query = browser.begin()
    value = browser.cookies[COOKIE]
    header = {"Cookie": f'a="x;y; b; console-sign-in=1;{COOKIE}={value} ; c=1'}
    response = browser.api.call("GET", f"/console/callback?{query}", token=None, headers=header)
    assert claims_of(response)


def make_attempt() -> Attempt:
    return Attempt("s" * 43, "n" * 43, "v" * 43, f"{BASE_URL}/console/callback", "console/")


def test_cookie_returns_the_attempt_and_expires(browser: Browser) -> None:
    secrets, attempt = browser.api.service.secrets, make_attempt()
    assert sign_in_cookie.unseal(sign_in_cookie.seal(attempt, secrets), secrets) == attempt
    expired = sign_in_cookie.seal(attempt, secrets, seconds=-1)
    assert sign_in_cookie.unseal(expired, secrets) is None


@pytest.mark.parametrize("text", ["", "a", "a.b.c", "e30.e30.", "é"])
def test_malformed_cookie_is_refused(browser: Browser, text: str) -> None:
    assert sign_in_cookie.unseal(text, browser.api.service.secrets) is None


def test_cookie_and_bearer_token_are_not_interchangeable(browser: Browser, api: Api) -> None:
    cookie = sign_in_cookie.seal(make_attempt(), api.service.secrets)
    assert api.call("GET", "/reservations", token=cookie).status_code == 401
    key = api.environ["TWILIO_API_KEY_SECRET"]
    forged = jwt.encode(
        {**vars(make_attempt()), "exp": time.time() + 60},
        key,
        headers={"kid": api.environ["TWILIO_API_KEY_SID"]},
    )
    assert sign_in_cookie.unseal(forged, api.service.secrets) is None
    unsigned = jwt.encode(
        {**vars(make_attempt()), "exp": time.time() + 60},
        None,
        algorithm="none",
        headers={"kid": api.environ["TWILIO_API_KEY_SID"]},
    )
    assert sign_in_cookie.unseal(unsigned, api.service.secrets) is None
    other_key = cookie.split(".")
    other_key[0] = jwt.encode({}, key, headers={"kid": sid("SK")}).split(".")[0]
    assert sign_in_cookie.unseal(".".join(other_key), api.service.secrets) is None


# ---- the ID token


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
    "other issuer": lambda claims: sign({**claims, "iss": "https://evil.example"}),
    "issuer with a slash": lambda claims: sign({**claims, "iss": claims["iss"] + "/"}),
    "other audience": lambda claims: sign({**claims, "aud": "other"}),
    "list without this audience": lambda claims: sign({**claims, "aud": ["other"]}),
    "several audiences without azp": lambda claims: sign({**claims, "aud": [CLIENT_ID, "other"]}),
    "other authorized party": lambda claims: sign({**claims, "azp": "other"}),
    "several audiences, other azp": lambda claims: sign(
        {**claims, "aud": [CLIENT_ID, "other"], "azp": "other"}
    ),
    "other nonce": lambda claims: sign({**claims, "nonce": "other"}),
    "nonce as number": lambda claims: sign({**claims, "nonce": 1}),
    "nonce with lone surrogate": lambda claims: sign({**claims, "nonce": "\ud800"}),
    "expired": lambda claims: sign({**claims, "exp": time.time() - 61}),
    "from the future": lambda claims: sign({**claims, "iat": time.time() + 120}),
    "empty subject": lambda claims: sign({**claims, "sub": ""}),
    "subject as number": lambda claims: sign({**claims, "sub": 1}),
    "signed with a key that is not published": lambda claims: sign(claims, "RSA 2"),
    "signed with another key, published kid": lambda claims: sign(claims, "RSA 2", kid="RSA 1"),
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
    "other algorithm family": lambda claims: sign(claims, "EC 256", "ES256", kid="RSA 1"),
    **{
        f"without {name}": lambda claims, name=name: sign(
            {other: value for other, value in claims.items() if other != name}
        )
        for name in ("iss", "aud", "exp", "iat", "nonce", "sub")
    },
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_invalid_id_token_is_refused(browser: Browser, provider: FakeProvider, name: str) -> None:
    provider.make_token = BAD_TOKENS[name]
    assert failure(browser.sign_in()) == "provider_invalid"
    assert browser.api.lines()[-1]["sign_in"] == "provider_invalid"


GOOD_TOKENS: dict[str, Any] = {
    "expired within the leeway": lambda claims: sign({**claims, "exp": int(time.time()) - 50}),
    "issued within the leeway": lambda claims: sign({**claims, "iat": int(time.time()) + 50}),
    "audience as list": lambda claims: sign({**claims, "aud": [CLIENT_ID]}),
    "several audiences with azp": lambda claims: sign(
        {**claims, "aud": ["other", CLIENT_ID], "azp": CLIENT_ID}
    ),
    "with azp": lambda claims: sign({**claims, "azp": CLIENT_ID}),
    "without kid": lambda claims: jwt.encode(claims, private_key("RSA 1"), algorithm="RS256"),
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
    "text": lambda: ["RSA 1"],
    "for encryption": lambda: [public_jwk("RSA 1", use="enc")],
    "for another algorithm": lambda: [public_jwk("RSA 1", alg="RS512")],
    "another key ID": lambda: [public_jwk("RSA 1", kid="other")],
    "symmetric": lambda: [public_jwk("RSA 1", kty="oct", k="AAAA")],
    "no modulus": lambda: [public_jwk("RSA 1", n="")],
    "modulus as number": lambda: [public_jwk("RSA 1", n=5)],
    "no exponent": lambda: [public_jwk("RSA 1", e=None)],
    "another type": lambda: [public_jwk("EC 256", kid="RSA 1")],
    "keys as text": lambda: "keys",
    "null": lambda: None,
}


@pytest.mark.parametrize("name", UNSUITABLE_KEYS)
def test_unsuitable_keys_are_refused(browser: Browser, provider: FakeProvider, name: str) -> None:
    provider.jwks = UNSUITABLE_KEYS[name]()
    assert failure(browser.sign_in()) == "provider_invalid"


def test_short_rsa_key_is_refused(browser: Browser, provider: FakeProvider) -> None:
    provider.jwks = [public_jwk("RSA 1024")]
    provider.make_token = lambda claims: sign(claims, "RSA 1024")
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        response = browser.sign_in()
    assert failure(response) == "provider_invalid"


def test_token_without_kid_needs_a_single_key(browser: Browser, provider: FakeProvider) -> None:
    provider.jwks = [public_jwk("RSA 1"), public_jwk("RSA 2")]
    provider.make_token = GOOD_TOKENS["without kid"]
    assert failure(browser.sign_in()) == "provider_invalid"
    provider.jwks = [public_jwk("RSA 1"), public_jwk("RSA 2", use="enc"), public_jwk("EC 256")]
    browser.api.clock.now += 60_000
    assert claims_of(browser.sign_in())


# ---- caching and key rotation


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


def test_new_key_is_fetched_at_most_once_a_minute(browser: Browser, provider: FakeProvider) -> None:
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


def test_removed_key_is_refused_once_the_keys_are_renewed(
    browser: Browser, provider: FakeProvider
) -> None:
    assert claims_of(browser.sign_in())
    provider.jwks = [public_jwk("RSA 2")]
    browser.api.clock.now += 3_600_000
    assert failure(browser.sign_in()) == "provider_invalid"


# ---- the provider's failures


def stay_silent(_request: Any) -> None:
    time.sleep(20)


def drip(request: Any) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(200):
        request.wfile.write(b" ")
        time.sleep(0.1)


def redirect(request: Any) -> None:
    send(request, 302, b"", Location="http://127.0.0.1:1/evil")


FAILURES: dict[str, tuple[Any, str]] = {
    "400": (lambda request: send_json(request, 400, {"error": "x"}), "provider_refused"),
    "401": (lambda request: send_json(request, 401, {}), "provider_refused"),
    "408": (lambda request: send_json(request, 408, {}), "provider_unavailable"),
    "429": (lambda request: send_json(request, 429, {}), "provider_unavailable"),
    "500": (lambda request: send_json(request, 500, {}), "provider_unavailable"),
    "503": (lambda request: send(request, 503, b"<script>"), "provider_unavailable"),
    "redirection": (redirect, "provider_unavailable"),
    "huge": (lambda request: send(request, 200, b" " * 300_000 + b"{}"), "provider_invalid"),
    "not JSON": (lambda request: send(request, 200, b"<html>"), "provider_invalid"),
    "not UTF-8": (lambda request: send(request, 200, b"\xff"), "provider_invalid"),
    "a list": (lambda request: send(request, 200, b"[]"), "provider_invalid"),
    "empty object": (lambda request: send(request, 200, b"{}"), "provider_invalid"),
    "deeply nested": (lambda request: send(request, 200, b'{"a":' * 30_000), "provider_invalid"),
    "not HTTP": (lambda request: request.wfile.write(b"hello\r\n\r\n"), "provider_unavailable"),
}


@pytest.mark.parametrize("path", [METADATA_PATH, "/jwks", "/token", "/userinfo"])
@pytest.mark.parametrize("name", FAILURES)
def test_failure_of_the_provider_ends_on_the_page(
    browser: Browser, provider: FakeProvider, path: str, name: str
) -> None:
    respond, code = FAILURES[name]
    provider.claims |= {"email": None}
    provider.user_info = {"sub": provider.claims["sub"], "email": "alice@example.com"}
    if path == METADATA_PATH:
        provider.responses[path] = respond
        response = browser.get("/console/sign-in")
    else:
        query = browser.begin()
        provider.responses[path] = respond
        response = browser.finish(query)
    assert failure(response) == code
    assert browser.cookies == {}


@pytest.mark.parametrize("respond", [stay_silent, drip])
@pytest.mark.parametrize("path", [METADATA_PATH, "/token"])
def test_slow_provider_is_abandoned_after_three_seconds(
    browser: Browser, provider: FakeProvider, path: str, respond: Any
) -> None:
    query = browser.begin() if path == "/token" else ""
    provider.responses[path] = respond
    started = time.monotonic()
    response = browser.finish(query) if query else browser.get("/console/sign-in")
    assert failure(response) == "provider_unavailable"
    assert 2.8 < time.monotonic() - started < 10


def test_stopped_provider_is_reported(environ: dict[str, str], api: Api) -> None:
    with serve_provider() as stopped:
        pass
    api.service.identity_provider.issuer = stopped.url
    vars(api.service.settings)["oidc_issuer"] = stopped.url
    response = api.call("GET", "/console/sign-in", token=None)
    assert failure(response) == "provider_unavailable"
    assert "The identity provider" in api.lines()[-1]["reason"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://evil.example/authorize"},
        {"token_endpoint": "http://evil.example/token"},
        {"token_endpoint": ["https://evil.example/token"]},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"userinfo_endpoint": "http://evil.example/userinfo"},
        {"userinfo_endpoint": 5},
    ],
    ids=str,
)
def test_unusable_metadata_is_refused(
    browser: Browser, provider: FakeProvider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata
    assert failure(browser.get("/console/sign-in")) == "provider_invalid"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("access_denied", "access_denied"),
        ("login_required", "login_required"),
        ("interaction_required", "interaction_required"),
        ("consent_required", "consent_required"),
        ("account_selection_required", "account_selection_required"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("server_error", "server_error"),
        ("<script>alert(1)</script>", "provider_refused"),
        ("", "provider_refused"),
        ("expired", "provider_refused"),
    ],
)
def test_error_of_the_provider_is_shown_by_code_only(
    browser: Browser, provider: FakeProvider, sent: str, shown: str
) -> None:
    state = browser.begin().partition("&")[2]
    response = browser.finish(f"error={sent}&error_description=<b>secret</b>&{state}")
    assert failure(response) == shown
    assert provider.forms == []
    assert "secret" not in browser.api.log.getvalue()


def test_error_takes_precedence_over_a_code(browser: Browser, provider: FakeProvider) -> None:
    assert failure(browser.finish(browser.begin() + "&error=access_denied")) == "access_denied"
    assert provider.forms == []


def test_response_without_code_fails(browser: Browser) -> None:
    state = browser.begin().partition("&")[2]
    assert failure(browser.finish(state)) == "provider_refused"


def test_response_of_another_issuer_is_refused(browser: Browser, provider: FakeProvider) -> None:
    assert failure(browser.finish(browser.begin() + "&iss=https://evil.example")) == (
        "provider_invalid"
    )
    assert provider.forms == []
    assert claims_of(browser.finish(browser.begin() + f"&iss={provider.url}&session_state=1"))


def test_no_secret_reaches_the_log(browser: Browser, provider: FakeProvider) -> None:
    query = browser.begin()
    cookie = browser.cookies[COOKIE]
    response = browser.finish(query)
    secrets = [cookie, fragment(response)["token"], *parse_qs(query).values()]
    secrets += [provider.forms[0]["code_verifier"], "access"]
    for secret in secrets:
        assert (secret if isinstance(secret, str) else secret[0]) not in browser.api.log.getvalue()


# ---- the client's secret


@pytest.mark.parametrize(
    ("methods", "is_basic"),
    [
        (None, True),
        (["client_secret_post", "client_secret_basic"], True),
        (["client_secret_post"], False),
    ],
)
def test_client_secret_authenticates_the_client(
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


def test_wrong_client_secret_is_reported(browser: Browser, provider: FakeProvider) -> None:
    provider.client_secret = "other"
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    provider.responses["/token"] = lambda request: send_json(
        request, 401, {"error": "invalid_client", "error_description": "s3cret"}
    )
    assert failure(browser.sign_in()) == "provider_refused"
    assert "HTTP 401" in browser.api.lines()[-1]["reason"]
    assert "s3cret" not in browser.api.log.getvalue()


# ---- the person


def test_unverified_email_is_refused(browser: Browser, provider: FakeProvider) -> None:
    for verified in (False, None, "true", 1):
        provider.claims["email_verified"] = verified
        code, message = refusal(browser.sign_in())
        assert code == "no_identity"
        assert "verified" in message
    assert browser.cookies == {}


@pytest.mark.parametrize("email", [None, "", 5, ["alice@example.com"], "a\nb", "a" * 257])
def test_malformed_email_is_refused(browser: Browser, provider: FakeProvider, email: Any) -> None:
    provider.claims["email"] = email
    assert refusal(browser.sign_in())[0] == "no_identity"


def test_person_without_worker_is_refused(browser: Browser, directory: Directory) -> None:
    directory.workers.clear()
    response = browser.sign_in()
    code, message = refusal(response)
    assert code == "no_worker"
    assert message.startswith("No Worker has your email as friendly_name.")
    line = browser.api.lines()[-1]
    assert (line["status"], line["sign_in"]) == (403, "no_worker")


def test_person_with_two_workers_is_refused(browser: Browser, directory: Directory) -> None:
    directory.workers["friendly_name", "alice@example.com"] *= 2
    code, message = refusal(browser.sign_in())
    assert code == "several_workers"
    assert message.startswith("Several Workers have your email")


def test_failure_of_taskrouter_ends_on_the_page(browser: Browser, directory: Directory) -> None:
    def fail(*_arguments: str) -> list[str]:
        raise TaskRouterUnavailable("TaskRouter failed (HTTP 500).")

    directory.find_workers = fail  # type: ignore[method-assign]
    assert failure(browser.sign_in()) == "taskrouter_unavailable"
    assert browser.api.lines()[-1]["reason"] == "TaskRouter failed (HTTP 500)."


def test_other_claim_and_attribute_identify_the_worker(
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
def test_person_without_role_is_refused(
    environ: dict[str, str], oidc: None, request: pytest.FixtureRequest, groups: Any
) -> None:
    environ["OIDC_ROLES"] = ROLES
    browser, directory = (request.getfixturevalue(name) for name in ("browser", "directory"))
    browser.provider.claims["groups"] = groups
    code, message = refusal(browser.sign_in())
    assert code == "no_role"
    assert "OIDC_ROLES" in message
    assert directory.searches == []


def test_supervisor_without_verified_email_is_named_by_subject(
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
def test_lifetime_of_the_token_is_limited(
    environ: dict[str, str],
    oidc: None,
    request: pytest.FixtureRequest,
    limits: tuple[str, str],
    lifetime: int,
) -> None:
    environ |= dict(zip(("OIDC_TOKEN_SECONDS", "MAX_TOKEN_SECONDS"), limits, strict=True))
    claims = claims_of(request.getfixturevalue("browser").sign_in())
    assert lifetime - 5 <= claims["exp"] - time.time() <= lifetime


# ---- claims from the UserInfo endpoint


def test_missing_claims_are_read_from_userinfo(browser: Browser, provider: FakeProvider) -> None:
    provider.user_info = dict(provider.claims)
    provider.claims = {"sub": provider.claims["sub"]}
    assert claims_of(browser.sign_in())["grants"]["identity"] == "alice@example.com"


def test_userinfo_about_another_user_is_refused(browser: Browser, provider: FakeProvider) -> None:
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
def test_userinfo_verifies_only_its_own_address(
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


def test_userinfo_is_not_needed_if_the_id_token_has_all_claims(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.user_info = {}
    assert claims_of(browser.sign_in())
    assert provider.requests["/userinfo"] == 0


def test_unusable_metadata_and_keys_are_not_cached_for_an_hour(
    browser: Browser, provider: FakeProvider
) -> None:
    provider.metadata = {"issuer": "maintenance"}
    assert failure(browser.get("/console/sign-in")) == "provider_invalid"
    provider.metadata, provider.jwks = {}, []
    assert failure(browser.sign_in()) == "provider_invalid"
    provider.jwks = [public_jwk("RSA 1")]
    browser.api.clock.now += 60_000
    assert claims_of(browser.sign_in())
