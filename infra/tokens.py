"""Bearer tokens for our API: Twilio AccessTokens with a TaskRouter grant."""

from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import TaskRouterGrant

from chalicelib.config import Settings
from infra.keys import ApiKey

MAX_HOURS = 24
"""Twilio's limit for the life of an AccessToken (docs, "Access Tokens": at most 24 hours)."""


def mint(
    settings: Settings, key: ApiKey, *, role: str, hours: float, worker_sid: str | None = None
) -> str:
    """A signed token.

    Args:
        settings: Whose account and Workspace.
        key: Signs the token.
        role: "worker", "supervisor" or "service".
        hours: How long the token holds, at most `MAX_HOURS`.
        worker_sid: The Worker (WK...) that the bearer is; needed for "worker".
    """
    grant = TaskRouterGrant(
        workspace_sid=settings.twilio_workspace_sid, worker_sid=worker_sid, role=role
    )
    token = AccessToken(
        settings.twilio_account_sid,
        key.sid,
        key.secret,
        grants=[grant],
        ttl=round(hours * 3600),
    )
    encoded: str = token.to_jwt()
    return encoded
