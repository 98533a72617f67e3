"""Verification of the X-Twilio-Signature header.

https://www.twilio.com/docs/usage/security#validating-requests

The signed text is the URL followed by the form. Several URLs are tried, so the form's text is built
only once. RequestValidator in Twilio's SDK would build the text for each URL.
"""

import base64
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice, permutations, product
from urllib.parse import quote, urlparse

from twilio.request_validator import HMAC_SHA1, HMAC_SHA256, add_port, remove_port

from chalicelib.adapters.secrets import Secrets, SecretsSource
from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import InvalidSignature

HEADER = "x-twilio-signature"
SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"

_DIGESTS = {HMAC_SHA1: "sha1", HMAC_SHA256: "sha256"}
_LENGTHS = {HMAC_SHA1: 28, HMAC_SHA256: 44}
"""Lengths of the Base64-encoded signatures."""

_MAX_QUERY_STRINGS = 48
"""Maximum number of rebuilt query strings: all orders of four parameters in two encodings."""

_MAX_PERMUTED_PARAMETERS = 4
"""Maximum number of parameters that are tried in all orders."""

_MAX_PARAMETERS = 200
"""Maximum number of parameters in a query string that is rebuilt."""

_UNENCODED_CHARACTERS = (
    "~",  # RFC 3986
    "~!'()*",  # JavaScript's encodeURIComponent
    "~!$'()*,/:;=?@[]",  # lenient encoders
    "~!$%'()*+,/:;=?@[]",  # lenient encoders, if a gateway did not decode the text
    "",  # encoders older than RFC 3986
    "*",  # Java's URLEncoder
)
"""Characters that encoders leave unencoded, in addition to letters, digits, "_", "." and "-"."""

_UNAMBIGUOUS_TEXT = re.compile("[A-Za-z0-9_.~-]+")
"""Text that no encoder changes, except "~". Both forms of "~" are tried."""

_NOT_SIGNED_MESSAGE = (
    "The request is not signed by Twilio with a key of this account, or Twilio requested a "
    "different URL. The service's log shows the URL that was checked, and the likely cause."
)


class LikelyCause(StrEnum):
    """The likely cause of an invalid signature.

    AUTH_TOKEN is always a guess, and QUERY may be a guess. The actual cause may be an unusual
    encoding of the query string that the verifier does not try.
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
            (at most once per minute), and the signature is checked with the new keys.
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
    ) -> str:
        """Verify that *signature* is the signature of *form* as posted to *url*.

        Args:
            url: the URL as requested by Twilio. Like Twilio's SDKs, this method accepts signatures
                of the URL with and without an explicit port.
            form: all parameters of the form.
            signature: the X-Twilio-Signature header, if present.
            settings: the X-Twilio-Webhooks-Signature-Settings header, if present. It specifies a
                SharedKey and the algorithm HMAC_SHA256. The header can't select a weaker
                algorithm: without the header, only signatures made with an auth token and
                HMAC-SHA1 are valid; with the header, only signatures made with a SharedKey and
                HMAC-SHA256.
            query: the decoded parameters of the query string, which *url* does not contain.
            other_urls: returns other URLs (without query strings) that Twilio may have requested.
                They are only used to find the cause of an invalid signature.

        Returns:
            The signed URL, with its query string.

        Raises:
            InvalidSignature: the signature is wrong or missing.
            SecretsUnavailable: the keys can't be read.
        """
        signature, algorithm = check_header(signature, settings)
        pairs = sorted({(name, value) for name in form for value in form.getall(name)})
        text = "".join(chain.from_iterable(pairs)).encode()
        checked = None
        for read in (self._secrets.get_recent, self._secrets.refresh):
            secrets = read()
            if secrets is checked:
                break
            checked = secrets
            keys = _shared_keys(secrets, settings) if settings else secrets.auth_tokens
            signed = _SignedForm(text, signature, _DIGESTS[algorithm], keys)
            if signed_url := signed.find_url(url, query_strings(query) if query else [""]):
                return signed_url
        cause = LikelyCause.UNKNOWN_SHARED_KEY
        if keys:
            cause = _likely_cause(signed.find_url, url, query, other_urls())
        raise InvalidSignature(_NOT_SIGNED_MESSAGE, likely_cause=cause)


@dataclass(frozen=True)
class _SignedForm:
    """A form and its signature.

    Attributes:
        text: the part of the signed text that follows the URL.
        signature: the signature that the request contains.
        hash_name: the name of the hash function.
        keys: the keys with which Twilio may have signed the form.
    """

    text: bytes
    signature: str
    hash_name: str
    keys: tuple[str, ...]

    def find_url(self, url: str, query_strings: Iterable[str]) -> str | None:
        """Return the URL with the query string for which the signature is valid, or None."""
        expected = self.signature.encode(errors="replace")
        with suppress(ValueError):  # a Host header may make a URL invalid
            parsed = urlparse(url)
            addresses = dict.fromkeys((remove_port(parsed), add_port(parsed)))
            for query_string in query_strings:
                for address, key in product(addresses, self.keys):
                    signed_url = f"{address}{query_string}"
                    signed_text = signed_url.encode() + self.text
                    digest = hmac.digest(key.encode(), signed_text, self.hash_name)
                    if hmac.compare_digest(base64.b64encode(digest), expected):
                        return signed_url
        return None


def check_header(signature: str | None, settings: str | None) -> tuple[str, str]:
    """Check the signature's length; return the signature and its algorithm.

    Raises:
        InvalidSignature: the header is missing, or its length is wrong for the algorithm.
    """
    algorithm = HMAC_SHA256 if settings else HMAC_SHA1
    if not signature:
        raise InvalidSignature(
            "The X-Twilio-Signature header is missing. Only Twilio may call this route.",
            likely_cause=LikelyCause.NO_HEADER,
        )
    if len(signature) != _LENGTHS[algorithm]:
        raise InvalidSignature(
            f"The X-Twilio-Signature header must have {_LENGTHS[algorithm]} characters.",
            likely_cause=LikelyCause.MALFORMED_HEADER,
        )
    return signature, algorithm


def query_strings(query: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the query strings, with a "?", that Twilio may have signed.

    API Gateway forwards only decoded parameters, and groups the values of a repeated name.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    Therefore, the query strings differ in the order and the encoding of the parameters.

    Args:
        query: the decoded parameters, at least one.
    """
    if len(query) <= _MAX_PARAMETERS:
        for pairs in islice(_arrange(query), _MAX_QUERY_STRINGS):
            yield f"?{'&'.join(pairs)}"


def _arrange(query: Sequence[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    """Yield the parameters in all encodings and, if there are at most four, in all orders."""
    encodings = dict[tuple[str, ...], None]()
    for pairs in _encode(query):
        if pairs not in encodings:
            encodings[pairs] = None
            yield pairs
    if len(query) <= _MAX_PERMUTED_PARAMETERS:
        orders = zip(*map(permutations, encodings), strict=True)
        next(orders)  # skip the received order, which was yielded above
        yield from chain.from_iterable(orders)


def _encode(query: Sequence[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    """Yield the parameters in each encoding, with and without "=" before a blank value."""
    for unencoded in _UNENCODED_CHARACTERS:
        tilde = "~" if "~" in unencoded else "%7E"  # quote() never encodes "~"
        quoted = [
            [quote(text, safe=unencoded, errors="replace").replace("~", tilde) for text in pair]
            for pair in query
        ]
        for space, blank in product(("%20", "+"), ("=", "")):
            pairs = (f"{name}={value}" if value else f"{name}{blank}" for name, value in quoted)
            yield tuple(pair.replace("%20", space) for pair in pairs)


def _likely_cause(
    find_url: Callable[[str, Iterable[str]], str | None],
    url: str,
    query: Sequence[tuple[str, str]],
    other_urls: Iterable[str],
) -> LikelyCause:
    """Return the likely cause of an invalid signature.

    Args:
        find_url: tries a URL with several query strings; returns the signed URL, or None.
        url: the checked URL without its query string.
        query: the decoded parameters of the query string.
        other_urls: URLs without query strings that Twilio may have requested instead.
    """
    usual = next(query_strings(query), "") if query else ""
    other_path = url.removesuffix("/") if url.endswith("/") else f"{url}/"
    if find_url(url, _unusual_query_strings(query, usual)):
        return LikelyCause.QUERY
    if find_url(other_path, [usual]):
        return LikelyCause.PATH
    if any(find_url(other_url, [usual]) for other_url in other_urls):
        return LikelyCause.BASE_URL
    is_unambiguous = all(_UNAMBIGUOUS_TEXT.fullmatch(text) for pair in query for text in pair)
    if len(query) > _MAX_PERMUTED_PARAMETERS or not is_unambiguous:
        return LikelyCause.QUERY
    return LikelyCause.AUTH_TOKEN


def _unusual_query_strings(query: Sequence[tuple[str, str]], usual: str) -> Iterator[str]:
    """Yield query strings that are too unusual to be tried for each request.

    A proxy may have added the query string. API Gateway does not reveal an empty query string, an
    additional "&" or the original encoding.
    """
    if not query:
        yield "?"
        return
    yield ""
    for begin, end in (("?&", ""), ("?", "&"), ("?&", "&")):
        yield f"{begin}{usual.removeprefix('?')}{end}"
    yield re.sub("%..", lambda match: match[0].lower(), usual)
    for encode_name, encode_value in ((str, _encode_all), (_encode_all, str), (_encode_all,) * 2):
        pairs = (f"{encode_name(name)}={encode_value(value)}" for name, value in query)
        yield f"?{'&'.join(pairs)}"


def _encode_all(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="replace"))


def _shared_keys(secrets: Secrets, settings: str) -> tuple[str, ...]:
    """Return the SharedKey that *settings* selects, or an empty tuple if there is none."""
    pairs = [part.strip().partition("=")[::2] for part in settings.split(",")]
    selected = dict(pairs)
    if len(selected) != len(pairs) or selected.get("algorithm") != HMAC_SHA256:
        return ()
    key = secrets.shared_keys.get(selected.get("key", ""))
    return () if key is None else (key,)
