"""Twilio's request signature: https://www.twilio.com/docs/usage/webhooks/webhooks-security."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from taskrouter_simulator.settings import Settings


@dataclass(frozen=True, repr=False)
class Keys:
    """What callbacks are signed with.

    Args:
        auth_token: the account's primary Auth Token.
        shared_key_id: names a SharedKey:
            https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys.
        shared_key: its secret.
    """

    auth_token: str
    shared_key_id: str
    shared_key: str

    def headers(
        self, settings: Settings, url: str, parameters: Mapping[str, str]
    ) -> dict[str, str]:
        """The headers that prove who posts, with the key and the URL that the settings choose.

        Args:
            settings: whether a SharedKey signs, and whether a port in the URL is signed.
            url: as requested, without the fragment.
            parameters: the form's.
        """
        signed = url if settings.signed_port else _without_port(url)
        if not settings.shared_key_signatures:
            return {"X-Twilio-Signature": sign(self.auth_token, signed, parameters)}
        return {
            "X-Twilio-Signature": sign(self.shared_key, signed, parameters, "sha256"),
            "X-Twilio-Webhooks-Signature-Settings": (
                f"key={self.shared_key_id},algorithm=HMAC_SHA256"
            ),
        }


def sign(key: str, url: str, parameters: Mapping[str, str], algorithm: str = "sha1") -> str:
    """What goes into X-Twilio-Signature.

    Args:
        key: an Auth Token, or a SharedKey's secret.
        url: as requested, without the fragment; user and password in it are not signed.
        parameters: the form's.
        algorithm: "sha1", or "sha256" for SharedKeys.
    """
    authority = urlsplit(url).netloc
    bare = url.replace(authority, authority.rpartition("@")[2], 1)
    text = bare + "".join(name + parameters[name] for name in sorted(parameters))
    digest = hmac.digest(key.encode(), text.encode(), algorithm)
    return base64.b64encode(digest).decode()


def _without_port(url: str) -> str:
    authority = urlsplit(url).netloc
    port = urlsplit(url).port
    return url.replace(authority, authority.removesuffix(f":{port}"), 1)
