"""Twilio's request signature.

See https://www.twilio.com/docs/usage/webhooks/webhooks-security.
"""

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.settings import Settings


def signature_headers(
    credentials: Credentials, settings: Settings, url: str, parameters: Mapping[str, str]
) -> dict[str, str]:
    """Return the headers that authenticate a callback.

    Args:
        credentials: Credentials with the signing keys.
        settings: Settings that determine the key, and whether a port in the URL is signed.
        url: URL as requested, without the fragment.
        parameters: Form parameters of the request.
    """
    signed_url = url if settings.signed_port else _without_port(url)
    if not settings.shared_key_signatures:
        return {"X-Twilio-Signature": sign(credentials.auth_token, signed_url, parameters)}
    return {
        "X-Twilio-Signature": sign(credentials.shared_key, signed_url, parameters, "sha256"),
        "X-Twilio-Webhooks-Signature-Settings": (
            f"key={credentials.shared_key_id},algorithm=HMAC_SHA256"
        ),
    }


def sign(key: str, url: str, parameters: Mapping[str, str], algorithm: str = "sha1") -> str:
    """Return the value of X-Twilio-Signature.

    Args:
        key: An Auth Token, or the secret of a SharedKey.
        url: URL as requested, without the fragment. A user name and password in the URL
            are not signed.
        parameters: Form parameters of the request.
        algorithm: "sha1", or "sha256" for SharedKeys.
    """
    authority = urlsplit(url).netloc
    without_userinfo = url.replace(authority, authority.rpartition("@")[2], 1)
    text = without_userinfo + "".join(name + parameters[name] for name in sorted(parameters))
    digest = hmac.digest(key.encode(), text.encode(), algorithm)
    return base64.b64encode(digest).decode()


def _without_port(url: str) -> str:
    authority = urlsplit(url).netloc
    port = urlsplit(url).port
    return url.replace(authority, authority.removesuffix(f":{port}"), 1)
