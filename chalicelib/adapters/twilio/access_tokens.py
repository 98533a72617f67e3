"""Bearer tokens: Twilio AccessTokens with a TaskRouter grant, verified with PyJWT.

They are what contact-centre front ends mint already: a JWT (HS256) whose ``iss`` is the API key's
SID, ``sub`` the account's, and ``grants.task_router`` = {workspace_sid, worker_sid, role}.
https://www.twilio.com/docs/iam/access-tokens
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
    """Turns an Authorization header into a Principal.

    Args:
        secrets: the API keys, by their SIDs.
        account_sid: AC….
        workspace_sid: WS….
    """

    def __init__(self, secrets: SecretsSource, *, account_sid: str, workspace_sid: str) -> None:
        self._secrets = secrets
        self._account_sid = account_sid
        self._workspace_sid = workspace_sid

    def principal(self, authorization: str | None) -> Principal:
        """Return who calls.

        Raises:
            Unauthorized: there is no bearer token, or it does not hold here and now. Which of its
                parts is wrong is not told: a forger would learn from it.
            SecretsUnavailable: there are no keys to verify it with.
        """
        if authorization is None:
            raise Unauthorized(
                "The token is missing. Send Authorization: Bearer <Twilio AccessToken>."
            )
        try:
            return self._principal(authorization)
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Unauthorized(
                "The token is not valid: it is malformed or expired, belongs to another API key or "
                "Workspace, or has no TaskRouter role."
            ) from error

    def _principal(self, authorization: str) -> Principal:
        token = authorization[len(_SCHEME) :].strip()
        if not authorization.lower().startswith(_SCHEME) or len(token) > _MAX_LENGTH:
            raise ValueError("not a bearer token")
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        claims = jwt.decode(
            token,
            self._key_of(issuer),
            algorithms=["HS256"],
            subject=self._account_sid,
            issuer=issuer,
            options={"require": ["exp", "iss", "sub"]},
        )
        return self._granted(claims.get("grants"))

    def _key_of(self, issuer: object) -> str:
        for secrets in (self._secrets.recent, self._secrets.renewed):
            if isinstance(issuer, str) and issuer in secrets().api_keys:
                return secrets().api_keys[issuer]
        raise ValueError("not a key of ours")

    def _granted(self, grants: Any) -> Principal:
        grant = grants.get("task_router") if isinstance(grants, dict) else None
        if not isinstance(grant, dict) or grant.get("workspace_sid") != self._workspace_sid:
            raise ValueError("no grant for this Workspace")
        role = Role(str(grant.get("role")))
        worker_sid = grant.get("worker_sid")
        if role.has_worker and not is_sid(worker_sid, "WK"):
            raise ValueError("a worker's token without its Worker")
        identity = grants.get("identity")
        return Principal(
            role=role,
            worker_sid=worker_sid if role.has_worker else None,
            identity=identity if isinstance(identity, str) else None,
        )
