"""SIDs, fixed test credentials and URLs."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit


def new_sid(prefix: str) -> str:
    """Return a new random SID: the prefix and 32 hexadecimal digits.

    Args:
        prefix: Twilio's two letters for the type of resource, such as "WT".
    """
    return prefix + secrets.token_hex(16)


def made_up(name: str) -> str:
    """Return 32 hexadecimal digits that are the same in every run.

    They are derived from the name instead of being written down, so that no scanner reports the
    simulator's test credentials as leaked secrets.

    Args:
        name: Name of the resource or secret, such as "account" or "worker/Alice".
    """
    return hashlib.sha256(f"taskrouter-simulator/{name}".encode()).hexdigest()[:32]


@dataclass(frozen=True, repr=False)
class Credentials:
    """The fixed test credentials of the simulator's only account.

    Attributes:
        account_sid: The account, an AC… SID.
        auth_token: The account's primary Auth Token. It signs callbacks and opens the REST API.
        api_key_sid: An API key, an SK… SID. It opens the REST API.
        api_key_secret: Secret of the API key.
        shared_key_id: A SharedKey, which signs callbacks if the settings ask for one:
            https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys.
        shared_key: Secret of the SharedKey.
    """

    account_sid: str = "AC" + made_up("account")
    auth_token: str = made_up("auth-token")
    api_key_sid: str = "SK" + made_up("api-key")
    api_key_secret: str = made_up("api-key-secret")
    shared_key_id: str = made_up("shared-key-id")
    shared_key: str = made_up("shared-key")


def is_url(text: str) -> bool:
    """Return whether the text is an absolute http(s) URL, percent-encoded."""
    if not re.fullmatch(r"[!-~]+", text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def resolve_url(base: str, url: str) -> str | None:
    """Return the absolute URL of a URL that may be relative to `base`, or None if invalid."""
    try:
        target = urljoin(base, url)
    except ValueError:
        return None
    return target if is_url(target) else None
