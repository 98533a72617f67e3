"""Verification of the X-Twilio-Signature header with Twilio's RequestValidator.

https://www.twilio.com/docs/usage/security#validating-requests
"""

from collections.abc import Iterable

from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator

from chalicelib.adapters.secrets import Secrets, SecretsSource
from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import InvalidSignature

HEADER = "x-twilio-signature"
SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"

_LENGTHS = {HMAC_SHA1: 28, HMAC_SHA256: 44}
"""Lengths of the Base64-encoded signatures."""


class SignatureVerifier:
    """Verifies that Twilio signed a form with a key of this account.

    Args:
        secrets: the source of the keys. If no key verifies a signature, the keys are read again
            (at most once per minute) and tried once more.
    """

    def __init__(self, secrets: SecretsSource) -> None:
        self._secrets = secrets

    def verify(
        self, url: str, form: Form, signature: str | None, settings: str | None = None
    ) -> None:
        """Verify that *signature* is the signature of *form* as posted to *url*.

        Args:
            url: the URL as requested by Twilio. Like Twilio's SDKs, this method accepts signatures
                of the URL with and without an explicit port.
            form: all parameters of the form.
            signature: the X-Twilio-Signature header, if present.
            settings: the X-Twilio-Webhooks-Signature-Settings header, if present. It names a
                SharedKey and the algorithm HMAC_SHA256. The header can't select a weaker
                algorithm: without the header, only signatures made with an auth token and
                HMAC-SHA1 are valid; with the header, only signatures made with a SharedKey and
                HMAC-SHA256.

        Raises:
            InvalidSignature: the signature is wrong or missing.
            SecretsUnavailable: the keys can't be read.
        """
        algorithm = HMAC_SHA256 if settings else HMAC_SHA1
        if signature and len(signature) == _LENGTHS[algorithm]:
            checked = None
            for read in (self._secrets.recent, self._secrets.renewed):
                secrets = read()
                if secrets is checked:
                    break
                checked = secrets
                for key in _select_keys(secrets, settings):
                    if RequestValidator(key).validate(url, form, signature, algorithm):
                        return
        raise InvalidSignature("The request is not signed by Twilio with a key of this account.")


def _select_keys(secrets: Secrets, settings: str | None) -> Iterable[str]:
    """Return the possible signing keys; none if *settings* selects no known key."""
    if not settings:
        return secrets.auth_tokens
    pairs = [part.strip().partition("=")[::2] for part in settings.split(",")]
    selected = dict(pairs)
    if len(selected) != len(pairs) or selected.get("algorithm") != HMAC_SHA256:
        return ()
    key = secrets.shared_keys.get(selected.get("key", ""))
    return () if key is None else (key,)
