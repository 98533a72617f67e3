"""The company's identity provider: an OpenID Connect provider.

The client uses the authorization code flow with PKCE. It verifies each ID token with the provider's
published keys. https://openid.net/specs/openid-connect-core-1_0.html

This module is imported only when somebody signs in, because PyJWT and requests are slow to import.
"""

import hmac
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import jwt
from requests import RequestException, Response, Session

from chalicelib.adapters.exchange import PARSE_ERRORS
from chalicelib.adapters.secrets import SecretsSource
from chalicelib.adapters.twilio.http_client import (
    SizeLimitedExchange,
    TrackedAdapter,
    response_reader,
)
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.messages import describe_connection_failure
from chalicelib.domain.sign_in import Attempt, Failure, SignInError
from chalicelib.setting_types import is_secure_or_loopback

_Result = TypeVar("_Result")

SECONDS = 3.0
"""Time limit for all requests to the provider during one request from a browser."""

_WAIT_SECONDS = (2.0, SECONDS)
"""Time limits for connecting, and for each wait for data."""

_MAX_BYTES = 2**18
"""Maximum size of a response. Twenty keys with certificates take about 50 KB."""

_MAX_AGE_MS = 3_600_000
"""Maximum age of the provider's metadata and keys."""

_MIN_AGE_MS = 60_000
"""If no cached key verifies a token, the keys are fetched again only if they are at least this
old."""

_LEEWAY_SECONDS = 60
"""Allowed difference between the provider's clock and this computer's clock."""

_KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""The allowed algorithms, with their key types. All of them are asymmetric, so neither
the published keys nor the client's secret can be used to sign a token."""

_GOOGLE = "https://accounts.google.com"
"""Google's issuer identifier."""

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_CLIENT_ERRORS = range(400, 500)
_TIMED_OUT_OR_THROTTLED = (408, 429)


@dataclass
class Provider:
    """An identity provider and this service's registration as its client.

    Attributes:
        issuer: the issuer identifier, exactly as in the provider's metadata and tokens.
        client_id: the client's identifier.
        scopes: the scopes to request, separated by spaces.
        secrets: the source of the client's secret, which is optional.
        now_ms: returns the current time in epoch ms; used for caching only.
    """

    issuer: str
    client_id: str
    scopes: str
    secrets: SecretsSource
    now_ms: Callable[[], int]
    _documents: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)

    def authorization_url(self, attempt: Attempt, *, silent: bool, choose_account: bool) -> str:
        """Return the provider's URL where the sign-in continues.

        Args:
            attempt: the attempt.
            silent: whether the provider must not show a page. The provider then reports an error
                if the user must sign in.
            choose_account: whether the provider must let the user choose a different account, even
                if the user is signed in to the provider. Ignored if `silent` is true.

        Raises:
            SignInError: The provider's metadata can't be read, or is invalid.
        """
        metadata = self._run(self._metadata)
        endpoint = str(metadata["authorization_endpoint"])
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": attempt.redirect_uri,
            "scope": self.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        if silent:
            query["prompt"] = "none"
        elif choose_account:
            query["prompt"] = self._choice_prompt(metadata)
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def _choice_prompt(self, metadata: Mapping[str, Any]) -> str:
        """Return the prompt that makes the provider let the user choose a different account.

        ``select_account`` saves the user from entering the password again, but support for this
        prompt is optional, and many providers reject a request with an unsupported prompt. All
        providers must support ``login``
        (https://openid.net/specs/openid-connect-core-1_0.html#ServerMTI). Metadata may list the
        supported prompts (https://openid.net/specs/openid-connect-prompt-create-1_0.html).
        Google's metadata does not list them. Google's documentation lists ``select_account``, but
        not ``login`` (https://developers.google.com/identity/openid-connect/openid-connect).
        """
        supported = metadata.get("prompt_values_supported")
        is_listed = isinstance(supported, list) and "select_account" in supported
        return "select_account" if is_listed or self.issuer == _GOOGLE else "login"

    def redeem(self, code: str, attempt: Attempt, claims: Collection[str]) -> dict[str, Any]:
        """Exchange an authorization code for verified claims about the user.

        Args:
            code: the code that the provider sent through the browser.
            attempt: the attempt.
            claims: names of the required claims. If the ID token lacks any of these claims, the
                claims from the provider's UserInfo endpoint, if there is one, are added.

        Raises:
            SignInError: The provider is unavailable or rejected the code, or a response or token is
                not valid.
            SecretsUnavailable: The client secret can't be read.
        """
        secret = self.secrets.get_recent().oidc_client_secret
        redeem = partial(self._redeem, code=code, attempt=attempt, required=claims, secret=secret)
        return self._run(redeem)

    def _run(self, work: Callable[[Session], _Result]) -> _Result:
        """Call *work* with a session, within the time limit; translate errors."""

        def run() -> _Result:
            # Sessions are not reused: sign-ins are so rare that the provider would close idle
            # connections between them.
            with Session() as session:
                for scheme in ("http", "https"):
                    session.mount(f"{scheme}://", TrackedAdapter())
                session.hooks["response"].append(response_reader(_to_error))
                return work(session)

        try:
            return SizeLimitedExchange(run, SECONDS, max_bytes=_MAX_BYTES).run()
        except (RequestException, TimeoutError) as error:
            failure = describe_connection_failure(self.issuer, error)
            raise SignInError(
                Failure.PROVIDER_UNAVAILABLE, f"The identity provider {failure}."
            ) from error
        except jwt.PyJWTError as error:
            raise _invalid(f"The ID token can't be verified ({type(error).__name__}).") from error
        except PARSE_ERRORS as error:
            raise _invalid("A response from the identity provider can't be read.") from error

    def _redeem(
        self,
        session: Session,
        *,
        code: str,
        attempt: Attempt,
        required: Collection[str],
        secret: str,
    ) -> dict[str, Any]:
        metadata = self._metadata(session)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        tokens = _fetch(
            session,
            metadata["token_endpoint"],
            data={**form, **self._credentials(metadata, secret)},
            auth=self._basic_auth(metadata, secret),
        )
        claims = self._verify(session, metadata, tokens["id_token"], attempt)
        endpoint = metadata.get("userinfo_endpoint")
        if endpoint and not all(name in claims for name in required):
            headers = {"Authorization": f"Bearer {tokens['access_token']}"}
            user_info = _fetch(session, endpoint, headers=headers)
            if user_info.get("sub") != claims["sub"]:
                raise _invalid("The UserInfo response does not have the ID token's subject (sub).")
            if claims.get("email", user_info.get("email")) != user_info.get("email"):
                # `email_verified` in this response does not refer to the address in the ID token.
                user_info.pop("email_verified", None)
            claims = {**user_info, **claims}
        return claims

    def _credentials(self, metadata: Mapping[str, Any], secret: str) -> dict[str, str]:
        """Return the form parameters that identify and, if needed, authenticate the client."""
        if not secret:
            return {"client_id": self.client_id}
        if self._basic_auth(metadata, secret):
            return {}
        return {"client_id": self.client_id, "client_secret": secret}

    def _basic_auth(self, metadata: Mapping[str, Any], secret: str) -> tuple[str, str] | None:
        """Return the credentials for HTTP Basic authentication, or None if it must not be used.

        HTTP Basic authentication is OpenID Connect's default.
        """
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret and "client_secret_basic" in methods:
            # https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1 requires this encoding.
            return quote_plus(self.client_id), quote_plus(secret)
        return None

    def _metadata(self, session: Session) -> dict[str, Any]:
        """Return the metadata (https://openid.net/specs/openid-connect-discovery-1_0.html)."""
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        return self._document(session, url, _MAX_AGE_MS, check=self._check_metadata)

    def _check_metadata(self, metadata: Mapping[str, Any]) -> None:
        if metadata.get("issuer") != self.issuer:
            raise _invalid(
                "The issuer in the identity provider's metadata differs from OIDC_ISSUER."
            )
        names = [*_ENDPOINTS]
        if "userinfo_endpoint" in metadata:
            names.append("userinfo_endpoint")
        is_local = urlsplit(self.issuer).scheme == "http"
        for name in names:
            url = metadata.get(name)
            is_allowed = isinstance(url, str) and is_secure_or_loopback(url)
            if not is_allowed or not (is_local or str(url).startswith("https:")):
                raise _invalid(f"`{name}` in the identity provider's metadata is not an HTTPS URL.")

    def _document(
        self,
        session: Session,
        url: str,
        max_age_ms: int,
        *,
        check: Callable[[Mapping[str, Any]], None] = lambda _document: None,
    ) -> dict[str, Any]:
        """Return one of the provider's public documents; fetch it unless a recent copy is cached.

        Only documents that pass the check are cached.
        """
        now = self.now_ms()
        fetched_at, document = self._documents.get(url, (0, {}))
        if not document or now - fetched_at >= max_age_ms:
            document = _fetch(session, url)
            check(document)
            self._documents[url] = now, document
        return document

    def _verify(
        self, session: Session, metadata: Mapping[str, Any], token: Any, attempt: Attempt
    ) -> dict[str, Any]:
        """Return the claims of an ID token.

        https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
        """
        claims = self._decode(session, metadata["jwks_uri"], token)
        has_several_audiences = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        default_party = None if has_several_audiences else self.client_id
        if claims.get("azp", default_party) != self.client_id:
            raise _invalid("The ID token does not name this client as the authorized party (azp).")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode(), attempt.nonce.encode()
        ):
            raise _invalid("The ID token does not contain the nonce of this sign-in.")
        if not claims["sub"]:
            raise _invalid("The ID token has no subject (sub).")
        return claims

    def _decode(self, session: Session, url: str, token: Any) -> dict[str, Any]:
        """Return the claims of a signed ID token; fetch the keys again if no key fits.

        The keys are also fetched again if the signature is invalid. A provider may omit the key ID
        if there is only one key, so a key may be replaced without a change of ID.
        """
        header = jwt.get_unverified_header(token)
        for max_age_ms in (_MAX_AGE_MS, _MIN_AGE_MS):
            key = _find_key(self._document(session, url, max_age_ms)["keys"], header)
            if key is None:
                continue
            with suppress(jwt.InvalidSignatureError):
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=[*_KEY_TYPES],
                    audience=self.client_id,
                    issuer=self.issuer,
                    leeway=_LEEWAY_SECONDS,
                    options={
                        "require": ["iss", "sub", "aud", "exp", "iat"],
                        "enforce_minimum_key_length": True,
                    },
                )
                return claims
        raise _invalid("The ID token can't be verified with the keys that the provider publishes.")


def _find_key(keys: Collection[Any], header: Mapping[str, Any]) -> jwt.PyJWK | None:
    """Return the key that an ID token's header selects, or None if it is unknown or ambiguous."""
    algorithm = header.get("alg")
    if algorithm not in _KEY_TYPES:
        raise _invalid("The ID token is not signed with an allowed algorithm (alg).")
    matching = [key for key in keys if _matches(key, algorithm, header.get("kid"))]
    # Without a key ID, there must be only one suitable key.
    if len(matching) == 1 or (matching and "kid" in header):
        return jwt.PyJWK(matching[0], algorithm)
    return None


def _matches(key: Any, algorithm: str, key_id: object) -> bool:
    """Return whether a JSON Web Key may verify a signature (https://www.rfc-editor.org/rfc/rfc7517)."""
    return (
        isinstance(key, dict)
        and key.get("kty") == _KEY_TYPES[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and key_id in (None, key.get("kid"))
    )


def _invalid(message: str) -> SignInError:
    return SignInError(Failure.PROVIDER_INVALID, message)


def _fetch(session: Session, url: str, **options: Any) -> dict[str, Any]:
    """Send a request, and return the JSON object in the response.

    With the option ``data``, the request posts a form; otherwise, it is a GET request. Redirects
    are not followed, because they could lead to another host.
    """
    method = "POST" if "data" in options else "GET"
    headers = {"Accept": "application/json", **options.pop("headers", {})}
    response = session.request(
        method, url, headers=headers, timeout=_WAIT_SECONDS, allow_redirects=False, **options
    )
    try:
        return parse_json_object(response.content.decode())
    except JsonError as error:
        raise _invalid("A response from the identity provider is not a JSON object.") from error


def _to_error(response: Response) -> SignInError:
    """Return the error for a response whose status is not 2xx."""
    status = response.status_code
    if status in _CLIENT_ERRORS and status not in _TIMED_OUT_OR_THROTTLED:
        return SignInError(
            Failure.PROVIDER_REFUSED, f"The identity provider refused a request (HTTP {status})."
        )
    return SignInError(
        Failure.PROVIDER_UNAVAILABLE, f"The identity provider failed (HTTP {status})."
    )
