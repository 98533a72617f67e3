"""Verification of bearer tokens: Twilio AccessTokens with a TaskRouter grant.

Contact-center front ends already use such tokens. Each token is a JWT (HS256). ``iss`` is the
SID of the API key, ``sub`` is the SID of the account, and ``grants.task_router`` is an object with
workspace_sid, worker_sid and role. https://www.twilio.com/docs/iam/access-tokens
"""

from typing import Any

import jwt

from chalicelib.adapters.secrets import SecretsSource
from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.errors import Unauthorized
from chalicelib.domain.sids import is_sid

_MAX_LENGTH = 8_192
_SCHEME = "bearer "


class TokenVerifier:
    """Verifies Authorization headers and converts their tokens into Principals.

    Args:
        secrets: the source of the API keys.
        account_sid: AC….
        workspace_sid: WS….
    """

    def __init__(self, secrets: SecretsSource, *, account_sid: str, workspace_sid: str) -> None:
        self._secrets = secrets
        self._account_sid = account_sid
        self._workspace_sid = workspace_sid

    def principal(self, authorization: str | None) -> Principal:
        """Return the authenticated caller.

        Args:
            authorization: the Authorization header, if present.

        Raises:
            Unauthorized: there is no valid bearer token. The message does not say what is wrong
                with the token, because that would help attackers forge tokens.
            SecretsUnavailable: the keys can't be read.
        """
        if authorization is None:
            raise Unauthorized(
                "The token is missing. Send Authorization: Bearer <Twilio AccessToken>."
            )
        try:
            return self._to_principal(self._verify(authorization).get("grants"))
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Unauthorized(
                "The token is not valid: it is malformed or expired, belongs to another API key or "
                "Workspace, or has no TaskRouter role."
            ) from error

    def _verify(self, authorization: str) -> dict[str, Any]:
        """Return the token's claims; raise ValueError or InvalidTokenError on failure."""
        token = authorization[len(_SCHEME) :].strip()
        if not authorization.lower().startswith(_SCHEME) or len(token) > _MAX_LENGTH:
            raise ValueError("not a bearer token")
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        if not isinstance(issuer, str):
            raise jwt.InvalidIssuerError
        secret = self._secrets.recent().api_keys.get(issuer)
        if secret is None:
            secret = self._secrets.renewed().api_keys.get(issuer)
        if secret is None:
            raise ValueError("an unknown API key")
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            subject=self._account_sid,
            issuer=issuer,
            options={"require": ["exp", "iss", "sub"]},
        )
        return claims

    def _to_principal(self, grants: Any) -> Principal:
        grant = grants.get("task_router") if isinstance(grants, dict) else None
        if not isinstance(grant, dict) or grant.get("workspace_sid") != self._workspace_sid:
            raise ValueError("no grant for this Workspace")
        role = Role(str(grant.get("role")))
        worker_sid = grant.get("worker_sid")
        if role.has_worker and not is_sid(worker_sid, "WK"):
            raise ValueError("a worker token without a Worker SID")
        identity = grants.get("identity")
        return Principal(
            role=role,
            worker_sid=worker_sid if role.has_worker else None,
            identity=identity if isinstance(identity, str) else None,
        )
