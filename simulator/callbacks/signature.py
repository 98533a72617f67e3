"""Twilio's request signature: https://www.twilio.com/docs/usage/webhooks/webhooks-security."""

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit


def sign(auth_token: str, url: str, parameters: Mapping[str, str]) -> str:
    """What goes into X-Twilio-Signature.

    Args:
        auth_token: the account's primary Auth Token.
        url: as requested, without the fragment; user and password in it are not signed.
        parameters: the form's.
    """
    authority = urlsplit(url).netloc
    bare = url.replace(authority, authority.rpartition("@")[2], 1)
    text = bare + "".join(name + parameters[name] for name in sorted(parameters))
    digest = hmac.digest(auth_token.encode(), text.encode(), "sha1")
    return base64.b64encode(digest).decode()
