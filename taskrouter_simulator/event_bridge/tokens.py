"""Verifies Access Tokens with a TaskRouter grant.

See https://www.twilio.com/docs/iam/access-tokens. The error codes are those of Twilio's error
dictionary: https://www.twilio.com/docs/api/errors.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

import jwt

from taskrouter_simulator.engine.errors import ApiError
from taskrouter_simulator.identifiers import Credentials

MAX_LIFETIME = 86_400
"""Maximum lifetime of an Access Token in seconds."""
ROLES = ("worker", "supervisor", "admin")
"""The roles that occur in the SDK's documentation and in its tests."""

_CONTENT_TYPE = "twilio-fpa;v=1"
_OPTIONS: Any = {
    f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
}
"""Disables PyJWT's claim checks; `verify` checks the claims and reports Twilio's error codes."""


class InvalidToken(ApiError):
    """The Access Token is not accepted."""

    status = 401


@dataclass(frozen=True)
class Grant:
    """The rights that an Access Token grants.

    Attributes:
        workspace_sid: SID of the Workspace (WS…).
        worker_sid: SID of the Worker (WK…); "" if the token specifies no Worker.
        role: One of ROLES.
        expires: Time at which the token expires, in seconds since the epoch.
    """

    workspace_sid: str
    worker_sid: str
    role: str
    expires: float


def verify(token: Any, credentials: Credentials, now: float) -> Grant:
    """Verify an Access Token, and return its grant.

    Args:
        token: The token as received.
        credentials: The account, and the API key that must have signed the token.
        now: Real time in seconds since the epoch. Apps issue tokens in real time, and the SDK
            measures their lifetime in real time, so the simulator's clock does not apply.

    Raises:
        InvalidToken: The token is malformed, forged, expired, not yet valid, valid for too long or
            issued for a different account, or it does not contain a TaskRouter grant.
    """
    claims = _verify_signature(token, credentials)
    if (claims.get("iss"), claims.get("sub")) != (credentials.api_key_sid, credentials.account_sid):
        raise InvalidToken(
            "The Access Token's iss claim must be the SID of the API key, and its sub claim must be"
            " the SID of the account",
            20103,
        )
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    if not _is_number(expires):
        raise InvalidToken("The Access Token must contain a numeric exp claim", 20104)
    if expires <= now:
        raise InvalidToken("The Access Token has expired", 20104)
    if expires > now + MAX_LIFETIME:  # a subtraction can overflow
        raise InvalidToken("The Access Token must expire within 24 hours", 20157)
    if not _is_number(begins):
        raise InvalidToken("The Access Token's nbf claim must be a number", 20105)
    if begins > now:
        raise InvalidToken("The Access Token is not valid yet", 20105)
    return _parse_grant(claims, expires)


def _verify_signature(token: Any, credentials: Credentials) -> dict[str, Any]:
    """Return the claims of a token that the account's API key has signed."""
    try:
        decoded = jwt.decode_complete(
            token, credentials.api_key_secret, algorithms=["HS256"], options=_OPTIONS
        )
    except jwt.InvalidSignatureError as error:
        raise InvalidToken(
            "The Access Token is not signed with the API key's secret", 20107
        ) from error
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise InvalidToken("The Access Token is not a JWT signed with HS256", 20101) from error
    if decoded["header"].get("cty") != _CONTENT_TYPE:
        raise InvalidToken(f"The Access Token's cty header must be {_CONTENT_TYPE}", 20102)
    claims: dict[str, Any] = decoded["payload"]
    return claims


def _parse_grant(claims: dict[str, Any], expires: float) -> Grant:
    grants = claims.get("grants")
    grant = grants.get("task_router") if isinstance(grants, dict) else None
    if not isinstance(grant, dict) or not isinstance(grant.get("workspace_sid"), str):
        raise InvalidToken("The Access Token has no TaskRouter grant with a workspace_sid", 20106)
    role, worker_sid = grant.get("role") or "worker", grant.get("worker_sid") or ""
    if role not in ROLES or not isinstance(worker_sid, str):
        raise InvalidToken(
            f"The TaskRouter grant's role must be one of {', '.join(ROLES)}, and its worker_sid"
            " must be a string",
            20106,
        )
    return Grant(grant["workspace_sid"], worker_sid, role, expires)


def _is_number(value: Any) -> TypeGuard[float]:
    if isinstance(value, float):
        return not math.isnan(value)
    return isinstance(value, int) and not isinstance(value, bool)
