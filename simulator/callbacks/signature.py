"""Twilio's request signature: https://www.twilio.com/docs/usage/webhooks/webhooks-security."""

import base64
import hmac
from collections.abc import Mapping


def sign(auth_token: str, url: str, parameters: Mapping[str, str]) -> str:
    """What goes into X-Twilio-Signature.

    Args:
        auth_token: the account's primary Auth Token.
        url: as requested, without the fragment.
        parameters: the form's.
    """
    text = url + "".join(name + parameters[name] for name in sorted(parameters))
    digest = hmac.digest(auth_token.encode(), text.encode(), "sha1")
    return base64.b64encode(digest).decode()
