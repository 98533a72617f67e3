"""X-Twilio-Signature, verified by Twilio's own RequestValidator, wrapped so that nothing raises.

https://www.twilio.com/docs/usage/security#validating-requests
"""

from collections.abc import Sequence

from twilio.request_validator import RequestValidator

from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import InvalidSignature

HEADER = "x-twilio-signature"
SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"

_LENGTH = 28
"""Of 20 bytes (HMAC-SHA1) in Base64."""


class SignatureVerifier:
    """Verifies that a form was signed by Twilio with one of our auth tokens.

    Args:
        auth_tokens: the account's; several while a new one is being promoted.
    """

    def __init__(self, auth_tokens: Sequence[str]) -> None:
        self._validators = [RequestValidator(token) for token in auth_tokens]

    def verify(
        self, url: str, form: Form, signature: str | None, settings: str | None = None
    ) -> None:
        """Return if *signature* is right for *form* as posted to *url*.

        Args:
            url: the URL as Twilio requested it. Signatures with and without an explicit port
                are both taken, as by Twilio's SDKs.
            form: all parameters that were posted.
            signature: the header X-Twilio-Signature, if there is one.
            settings: the header X-Twilio-Webhooks-Signature-Settings, which names another key
                than the auth token; we hold no other.

        Raises:
            InvalidSignature: it is not, or is missing.
        """
        if settings or not signature or len(signature) != _LENGTH:
            raise InvalidSignature(_REFUSAL)
        if not any(one.validate(url, form, signature) for one in self._validators):
            raise InvalidSignature(_REFUSAL)


_REFUSAL = "The request is not signed by Twilio with an auth token of this account."
