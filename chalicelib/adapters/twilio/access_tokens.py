"""Bearer tokens: Twilio AccessTokens with a TaskRouter grant.

Contact-center front ends already use such tokens. Each token is a JWT (HS256). ``iss`` is the
SID of the API key, ``sub`` is the SID of the account, and ``grants.task_router`` is an object with
workspace_sid, worker_sid and role. https://www.twilio.com/docs/iam/access-tokens
"""

import math
import time
from collections.abc import Mapping
from typing import Any

import jwt

from chalicelib.adapters.secrets import SecretsSource
from chalicelib.config import MAX_TOKEN_SECONDS
from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import InvalidToken, Unauthorized
from chalicelib.domain.sids import is_sid

_MAX_LENGTH = 8_192
_MAX_IDENTITY_LENGTH = 256
_ALGORITHM = "HS256"

_MESSAGES: Mapping[type[jwt.InvalidTokenError], str] = {
    # One message for an unknown key and a wrong signature. Two messages would let anyone find out
    # which API keys the service accepts.
    jwt.InvalidSignatureError: "The token is not signed with the secret of an API key of this "
    "service. iss must be the SID of that API key.",
    jwt.InvalidAlgorithmError: f"The token must be signed with {_ALGORITHM}.",
    jwt.ExpiredSignatureError: "The token has expired. Create a new token.",
    jwt.ImmatureSignatureError: "The token is not valid yet (nbf or iat). Check the clock of the "
    "computer that creates the tokens.",
    jwt.exceptions.InvalidSubjectError: "The token belongs to a different account. sub must be "
    "the SID of this service's account.",
}
"""Messages by PyJWT error. `_describe` builds the messages for all other errors."""

_MALFORMED: Mapping[type[jwt.InvalidTokenError], str] = {
    jwt.InvalidAudienceError: "It must not have an audience (aud).",
    jwt.exceptions.InvalidJTIError: "jti must be a string.",
}
"""Reasons why a token is malformed, by PyJWT error."""


def create_token(
    api_key: tuple[str, str],
    principal: Principal,
    *,
    account_sid: str,
    workspace_sid: str,
    seconds: int,
) -> str:
    """Return a signed token.

    Args:
        api_key: the SID and the secret of the API key that signs the token.
        principal: the bearer.
        account_sid: AC….
        workspace_sid: WS….
        seconds: lifetime of the token.
    """
    # The SDK is imported here, because most requests only verify tokens.
    from twilio.jwt.access_token import AccessToken  # noqa: PLC0415
    from twilio.jwt.access_token.grants import TaskRouterGrant  # noqa: PLC0415

    grant = TaskRouterGrant(
        workspace_sid=workspace_sid, worker_sid=principal.worker_sid, role=str(principal.role)
    )
    token = AccessToken(
        account_sid, *api_key, grants=[grant], identity=principal.identity, ttl=seconds
    )
    encoded: str = token.to_jwt()
    return encoded


class TokenVerifier:
    """Verifies Authorization headers and converts their tokens into Principals.

    Args:
        secrets: the source of the API keys.
        account_sid: AC….
        workspace_sid: WS….
        max_seconds: maximum lifetime of a token.
    """

    def __init__(
        self,
        secrets: SecretsSource,
        *,
        account_sid: str,
        workspace_sid: str,
        max_seconds: int = MAX_TOKEN_SECONDS,
    ) -> None:
        self._secrets = secrets
        self._account_sid = account_sid
        self._workspace_sid = workspace_sid
        self._max_seconds = max_seconds

    def principal(self, authorization: str | None) -> Principal:
        """Return the authenticated caller.

        Each error message describes the problem with the token. Until the signature is verified,
        error messages depend neither on the settings nor on whether the service has the API key.

        Args:
            authorization: the Authorization header, if present.

        Raises:
            Unauthorized: there is no bearer token.
            InvalidToken: the bearer token is invalid.
            SecretsUnavailable: the keys can't be read.
        """
        scheme, token = [*(authorization or "").split(maxsplit=1), "", ""][:2]
        if scheme.lower() != "bearer":
            raise Unauthorized(
                "The token is missing. Send Authorization: Bearer <Twilio AccessToken>."
            )
        try:
            return self._to_principal(self._verify(token.strip()).get("grants"))
        except jwt.InvalidTokenError as error:
            raise InvalidToken(_describe(error)) from error

    def _verify(self, token: str) -> dict[str, Any]:
        """Return the token's claims; raise InvalidToken or a PyJWT error if it is invalid."""
        if len(token) > _MAX_LENGTH:
            raise InvalidToken(f"The token must have at most {_MAX_LENGTH} characters.")
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
        if unverified["header"].get("alg") != _ALGORITHM:
            raise jwt.InvalidAlgorithmError
        for name in ("exp", "nbf", "iat"):
            # RFC 7519 allows fractions. The type is checked, because PyJWT would also accept "5"
            # and true.
            value = unverified["payload"].get(name, 0)
            is_number = type(value) in (int, float) and -math.inf < value < math.inf
            if not is_number and (name, value) != ("exp", None):
                raise InvalidToken(_malformed(f"{name} must be a number of seconds."))
        issuer = unverified["payload"].get("iss")
        if not isinstance(issuer, str):
            raise jwt.MissingRequiredClaimError("iss")
        secret = self._secrets.get_recent().api_keys.get(issuer)
        if secret is None:
            secret = self._secrets.refresh().api_keys.get(issuer)
        if secret is None:
            raise jwt.InvalidSignatureError
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            subject=self._account_sid,
            options={"require": ["exp", "sub"]},
        )
        # A token may omit nbf and iat. In that case, the lifetime is counted from now.
        starts = [
            int(time.time()),
            *(int(claims[name]) for name in ("nbf", "iat") if name in claims),
        ]
        if int(claims["exp"]) - min(starts) > self._max_seconds:
            raise InvalidToken(
                f"The lifetime of the token must be at most {self._max_seconds} seconds "
                "(MAX_TOKEN_SECONDS)."
            )
        return claims

    def _to_principal(self, grants: Any) -> Principal:
        grant = grants.get("task_router") if isinstance(grants, dict) else None
        if not isinstance(grant, dict):
            raise InvalidToken("The token has no TaskRouter grant (grants.task_router).")
        if grant.get("workspace_sid") != self._workspace_sid:
            raise InvalidToken(
                "The token belongs to a different Workspace, or to none. workspace_sid in its "
                "TaskRouter grant must be the SID of this service's Workspace."
            )
        role_name, worker_sid = str(grant.get("role")), grant.get("worker_sid")
        if role_name not in [*Role]:
            raise InvalidToken(
                f"role in the token's TaskRouter grant must be one of {', '.join(Role)}."
            )
        role = Role(role_name)
        if role.has_worker and not is_sid(worker_sid, "WK"):
            raise InvalidToken(
                f"A token with the `{role}` role needs worker_sid in its TaskRouter grant: the SID "
                "of a Worker."
            )
        identity = grants.get("identity")
        if identity is not None and not _is_valid_identity(identity):
            raise InvalidToken(
                "identity in the token's grants must be a string of at most "
                f"{_MAX_IDENTITY_LENGTH} printable characters."
            )
        return Principal(
            role=role,
            worker_sid=worker_sid if role.has_worker else None,
            identity=identity,
        )


def _is_valid_identity(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_IDENTITY_LENGTH and value.isprintable()


def _describe(error: jwt.InvalidTokenError) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"The token has no valid {error.claim} claim."
    return _MESSAGES.get(type(error)) or _malformed(_MALFORMED.get(type(error)))


def _malformed(reason: str | None) -> str:
    advice = "Send a Twilio AccessToken with a TaskRouterGrant."
    return " ".join(filter(None, ("The token is malformed.", reason, advice)))
