"""The cookie that binds a sign-in to the browser that started it.

The cookie is a JWT with the fields of one `Attempt`, so the service stores nothing. It is signed
with a key that is derived from an API key, so a cookie is never accepted as a bearer token, and a
bearer token is never accepted as a cookie.
"""

import hashlib
import hmac
import time
from dataclasses import asdict

import jwt

from chalicelib.adapters.secrets import SecretsSource
from chalicelib.domain.sign_in import Attempt

MAX_SECONDS = 600
"""Maximum duration of a sign-in, in seconds."""

_ALGORITHM = "HS256"
_PURPOSE = b"taskrouter-callbacks: cookie of a sign-in to the console"
_FIELDS = tuple(Attempt.__annotations__)


def seal(attempt: Attempt, secrets: SecretsSource, *, seconds: int = MAX_SECONDS) -> str:
    """Return the value of the cookie for an attempt.

    Args:
        attempt: the attempt.
        secrets: the source of the API keys. The signing key is derived from the first API key.
        seconds: the lifetime of the cookie.
    """
    key_sid, secret = secrets.get().api_key
    claims = {**asdict(attempt), "exp": int(time.time()) + seconds}
    return jwt.encode(claims, _derive(secret), algorithm=_ALGORITHM, headers={"kid": key_sid})


def unseal(text: str, secrets: SecretsSource) -> Attempt | None:
    """Return the attempt in a cookie, or None if the cookie is forged, malformed or expired."""
    try:
        key_sid = jwt.get_unverified_header(text).get("kid", "")
        secret = secrets.get_recent().api_keys.get(key_sid)
        if secret is None:
            return None
        claims = jwt.decode(
            text,
            _derive(secret),
            algorithms=[_ALGORITHM],
            options={"require": ["exp", *_FIELDS]},
        )
    except jwt.InvalidTokenError:
        return None
    return Attempt(**{name: str(claims[name]) for name in _FIELDS})


def _derive(secret: str) -> bytes:
    return hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)
