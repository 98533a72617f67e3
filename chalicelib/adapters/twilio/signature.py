"""Verification of the X-Twilio-Signature header with Twilio's RequestValidator.

https://www.twilio.com/docs/usage/security#validating-requests
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from itertools import chain, islice, permutations, product
from urllib.parse import quote

from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, RequestValidator, compare

from chalicelib.adapters.secrets import Secrets, SecretsSource
from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import InvalidSignature

HEADER = "x-twilio-signature"
SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"

_LENGTHS = {HMAC_SHA1: 28, HMAC_SHA256: 44}
"""Lengths of the Base64-encoded signatures."""

_MAX_URLS = 48
"""Maximum number of rebuilt URLs: all orders of four parameters, with two encodings of spaces."""

_MAX_ORDERED_PARAMETERS = 4
_MAX_PARAMETERS = 200

_UNENCODED = (
    *("~", "~!'()*", "~!$'()*,/:;=?@[]", "~!$%'()*+,/:;=?@[]"),
    *("", "*"),
)
"""Sets of characters that may be unencoded in a URL: those of RFC 3986, those that JavaScript's
encodeURIComponent does not encode, those that are often left unencoded, and the same with "%" and
"+", which occur in text that a gateway did not decode. Older encoders and Java's URLEncoder encode
"~"."""

_UNAMBIGUOUS = re.compile("[A-Za-z0-9_.~-]+")
"""Text that no encoder changes, except for "~", of which both forms are tried."""

_NOT_SIGNED = (
    "The request is not signed by Twilio with a key of this account, or Twilio requested another "
    "URL. The service's log shows the URL that was checked, and the likely cause."
)


class LikelyCause(StrEnum):
    """The likely cause of an invalid signature. AUTH_TOKEN is a guess, and QUERY may be a guess.

    If a query string is encoded in an unusual way that is not tried, AUTH_TOKEN is wrong.
    """

    NO_HEADER = "no_header"
    MALFORMED_HEADER = "malformed_header"
    UNKNOWN_SHARED_KEY = "unknown_shared_key"
    BASE_URL = "base_url"
    PATH = "path"
    QUERY = "query"
    AUTH_TOKEN = "auth_token"  # noqa: S105  a cause, not a token


class SignatureVerifier:
    """Verifies that Twilio signed a form with a key of this account.

    Args:
        secrets: the source of the keys. If no key verifies a signature, the keys are read again
            (at most once per minute) and tried once more.
    """

    def __init__(self, secrets: SecretsSource) -> None:
        self._secrets = secrets

    def verify(
        self,
        url: str,
        form: Form,
        signature: str | None,
        settings: str | None = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        other_urls: Callable[[], Iterable[str]] = tuple,
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
            query: the decoded parameters of the query string, which *url* does not contain.
            other_urls: returns other URLs (without query strings) that Twilio may have requested.
                They are only used to find the cause of an invalid signature.

        Raises:
            InvalidSignature: the signature is wrong or missing.
            SecretsUnavailable: the keys can't be read.
        """
        signature, algorithm = check_header(signature, settings)
        checked = None
        for read in (self._secrets.recent, self._secrets.renewed):
            secrets = read()
            if secrets is checked:
                break
            checked = secrets
            validators = [RequestValidator(key) for key in _select_keys(secrets, settings)]
            for candidate in signed_urls(url, query) if query else (url,):
                for validator in validators:
                    if validator.validate(candidate, form, signature, algorithm):
                        return

        def is_signed(url: str) -> bool:
            with suppress(ValueError):  # a Host header may make a URL invalid
                return any(
                    validator.validate(url, form, signature, algorithm)
                    # `validate` removes an empty query string.
                    or compare(validator.compute_signature(url, form, algorithm), signature)
                    for validator in validators
                )
            return False

        cause = LikelyCause.UNKNOWN_SHARED_KEY
        if validators:
            cause = _likely_cause(is_signed, url, query, other_urls())
        raise InvalidSignature(_NOT_SIGNED, likely_cause=cause)


def check_header(signature: str | None, settings: str | None) -> tuple[str, str]:
    """Check the signature's length; return the signature and its algorithm.

    Raises:
        InvalidSignature: the header is missing, or its length is wrong for the algorithm.
    """
    algorithm = HMAC_SHA256 if settings else HMAC_SHA1
    if not signature:
        raise InvalidSignature(
            "The header X-Twilio-Signature is missing. Only Twilio may call this route.",
            likely_cause=LikelyCause.NO_HEADER,
        )
    if len(signature) != _LENGTHS[algorithm]:
        raise InvalidSignature(
            f"The header X-Twilio-Signature must have {_LENGTHS[algorithm]} characters.",
            likely_cause=LikelyCause.MALFORMED_HEADER,
        )
    return signature, algorithm


def signed_urls(url: str, query: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the URLs with query strings that Twilio may have signed.

    API Gateway passes on only decoded parameters, and groups the values of a repeated name.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    Therefore, the URLs differ in the order and the encoding of the parameters.

    Args:
        url: the URL without its query string.
        query: the decoded parameters.
    """
    if len(query) > _MAX_PARAMETERS:
        return
    encoded = dict.fromkeys(
        tuple(_encode(*pair, *style) for pair in query)
        for style in product(_UNENCODED, ("%20", "+"), ("=", ""))
    )
    is_short = len(query) <= _MAX_ORDERED_PARAMETERS
    orders = zip(*(permutations(pairs) if is_short else [pairs] for pairs in encoded), strict=True)
    for pairs in islice(chain.from_iterable(orders), _MAX_URLS):
        yield f"{url}?{'&'.join(pairs)}"


def _encode(name: str, value: str, unencoded: str, space: str, blank_value: str) -> str:
    """Encode a parameter; *blank_value* follows the name of a parameter without a value."""
    tilde = "~" if "~" in unencoded else "%7E"  # quote() never encodes it
    encoded_name, encoded_value = (
        quote(text, safe=unencoded, errors="replace").replace("%20", space).replace("~", tilde)
        for text in (name, value)
    )
    return f"{encoded_name}={encoded_value}" if value else f"{encoded_name}{blank_value}"


def _likely_cause(
    is_signed: Callable[[str], bool],
    url: str,
    query: Sequence[tuple[str, str]],
    other_urls: Iterable[str],
) -> LikelyCause:
    """Return the likely cause of an invalid signature.

    Args:
        is_signed: returns whether the signature is valid for a URL.
        url: the checked URL without its query string.
        query: the decoded parameters of the query string.
        other_urls: URLs without query strings that Twilio may have requested instead.
    """

    def is_signed_with_query(url: str) -> bool:
        return is_signed(next(signed_urls(url, query), url) if query else url)

    other_path = url.removesuffix("/") if url.endswith("/") else f"{url}/"
    if is_signed(url) or any(map(is_signed, _unusual_urls(url, query))):
        return LikelyCause.QUERY
    if is_signed_with_query(other_path):
        return LikelyCause.PATH
    if any(map(is_signed_with_query, other_urls)):
        return LikelyCause.BASE_URL
    is_exact = all(_UNAMBIGUOUS.fullmatch(text) for pair in query for text in pair)
    if len(query) > _MAX_ORDERED_PARAMETERS or not is_exact:
        return LikelyCause.QUERY
    return LikelyCause.AUTH_TOKEN


def _unusual_urls(url: str, query: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield URLs whose query strings are too unusual to be tried for each request.

    API Gateway does not show an empty query string, an additional "&", or which characters were
    encoded.
    """
    if not query:
        yield f"{url}?"
        return
    usual = next(signed_urls(url, query), f"{url}?").removeprefix(f"{url}?")
    yield from (f"{url}?&{usual}", f"{url}?{usual}&", f"{url}?&{usual}&")
    yield f"{url}?{re.sub('%..', lambda encoded: encoded[0].lower(), usual)}"
    for encode_name, encode_value in ((str, _encode_all), (_encode_all, str), (_encode_all,) * 2):
        pairs = (f"{encode_name(name)}={encode_value(value)}" for name, value in query)
        yield f"{url}?{'&'.join(pairs)}"


def _encode_all(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="replace"))


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
