"""X-Twilio-Signature, verified by Twilio's own RequestValidator, wrapped so that nothing raises.

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
"""Of the digests, in Base64."""


class SignatureVerifier:
    """Verifies that a form was signed by Twilio with a key of ours.

    Args:
        secrets: the keys. What none of them verifies is tried once more with renewed ones.
    """

    def __init__(self, secrets: SecretsSource) -> None:
        self._secrets = secrets

    def verify(
        self, url: str, form: Form, signature: str | None, settings: str | None = None
    ) -> None:
        """Return if *signature* is right for *form* as posted to *url*.

        Args:
            url: the URL as Twilio requested it. Signatures with and without an explicit port
                are both taken, as by Twilio's SDKs.
            form: all parameters that were posted.
            signature: the header X-Twilio-Signature, if there is one.
            settings: the header X-Twilio-Webhooks-Signature-Settings, if there is one: it names
                a SharedKey and HMAC_SHA256. It chooses among our keys and never weakens one: the
                auth tokens verify SHA-1 without that header, the SharedKeys SHA-256 with it.

        Raises:
            InvalidSignature: it is not, or is missing.
            SecretsUnavailable: there are no keys to verify it with.
        """
        algorithm = HMAC_SHA256 if settings else HMAC_SHA1
        if not signature or len(signature) != _LENGTHS[algorithm]:
            raise InvalidSignature(_REFUSAL)
        held = self._secrets.recent()
        if _holds(_keys(held, settings), algorithm, url, form, signature):
            return
        renewed = self._secrets.renewed()
        if renewed is held or not _holds(_keys(renewed, settings), algorithm, url, form, signature):
            raise InvalidSignature(_REFUSAL)


_REFUSAL = "The request is not signed by Twilio with a key of this account."


def _keys(secrets: Secrets, settings: str | None) -> Iterable[str]:
    """Return the keys that may have signed; none where *settings* names none of ours."""
    if not settings:
        return secrets.auth_tokens
    given = [part.strip().partition("=")[::2] for part in settings.split(",")]
    named = dict(given)
    if len(named) != len(given) or named.get("algorithm") != HMAC_SHA256:
        return ()
    key = secrets.shared_keys.get(named.get("key", ""))
    return () if key is None else (key,)


def _holds(keys: Iterable[str], algorithm: str, url: str, form: Form, signature: str) -> bool:
    return any(RequestValidator(key).validate(url, form, signature, algorithm) for key in keys)
