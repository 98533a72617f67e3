"""Parsers of settings: functions that convert the text of a setting.

A parser raises ValueError if the text is malformed. The message is a predicate, such as
``must be a port from 1 to 65535``.
"""

import math
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.sids import is_sid

MAX_RESERVATION_TIMEOUT = 86_400
"""Maximum reservation timeout of a Workflow (https://www.twilio.com/docs/taskrouter/limits)."""

OPEN = "open"
"""The value of CALLBACK_PATH_SECRETS for paths without a secret."""

_PATH_SECRET = re.compile("[A-Za-z0-9_-]{20,64}")
_MAX_PATHS = 2
_BASE_URL = re.compile(
    r"(?ai)https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?(/[a-z0-9._~!$&'()*+,;=:@%/-]*)?"
)


def sid(prefix: str) -> Callable[[str], str]:
    """Return a parser for SIDs with the given prefix, such as ``AC``.

    Settings are compared with the SIDs that Twilio sends, which are in lowercase after the prefix.
    """

    def parse(text: str) -> str:
        if not _is_lowercase_sid(text, prefix):
            raise ValueError(f"must be {prefix} followed by 32 lowercase hexadecimal digits")
        return text

    return parse


def _is_lowercase_sid(text: str, prefix: str) -> bool:
    return is_sid(text, prefix) and text == prefix + text.removeprefix(prefix).lower()


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser for whole numbers within a range."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and minimum <= int(text) <= maximum):
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def seconds(minimum: float, maximum: float) -> Callable[[str], float]:
    """Return a parser for durations in seconds within a range."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not minimum <= number <= maximum:
            raise ValueError(f"must be a number of seconds from {minimum} to {maximum}")
        return number

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser for strings from a fixed set."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def boolean(text: str) -> bool:
    """Convert ``true`` or ``false``."""
    return one_of("true", "false")(text) == "true"


def off_or(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    """Return a parser that also accepts ``off``, which becomes None."""
    return lambda text: None if text == "off" else parse(text)


def empty_or(parse: Callable[[str], str]) -> Callable[[str], str]:
    """Return a parser that also accepts an empty string."""
    return lambda text: text and parse(text)


def url(text: str) -> str:
    """Return a base URL with its scheme and host in lower case, without a trailing slash."""
    if not re.fullmatch("[!-~]*", text):
        raise ValueError(
            "must contain only ASCII characters and no white space, as in https://xn--9ca.fr/a%20b"
        )
    if not is_base_url(text):
        raise ValueError("must be an http or https URL without a query, fragment or user name")
    return _lower_authority(text).rstrip("/")


def _lower_authority(url: str) -> str:
    """Return the URL with scheme and host in lower case, as Twilio and browsers write them."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.lower()).geturl()


def taskrouter_url(text: str) -> str:
    """Convert the base URL of TaskRouter."""
    converted = url(text)
    if converted.endswith("/v1"):
        raise ValueError("must not end with /v1, which the service adds")
    return converted


def is_base_url(text: str) -> bool:
    """Return whether the text is an HTTP URL without a query, fragment or user name."""
    try:
        urlsplit(text).port  # noqa: B018  raises ValueError if the port is invalid
    except ValueError:
        return False
    return bool(_BASE_URL.fullmatch(text))


def is_secure_or_loopback(text: str) -> bool:
    """Return whether requests to an HTTP URL use TLS or do not leave this computer."""
    parts = urlsplit(text)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")


def issuer(text: str) -> str:
    """Check an OpenID Connect issuer identifier, which is compared character by character."""
    if not (is_base_url(text) and is_secure_or_loopback(text)):
        raise ValueError(
            "must be the https URL of the identity provider, exactly as in its tokens, such as "
            "https://login.example.com"
        )
    return text


def matching(pattern: str, description: str) -> Callable[[str], str]:
    """Return a parser for strings that match a regular expression."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {description}")
        return text

    return parse


def checked_secret(text: str) -> str:
    """Return a secret that Twilio or an identity provider issued.

    Raises:
        ValueError: HTTP Basic authentication can't send the text. The message is a predicate.
    """
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must consist of printable ASCII characters: copy it again")
    return text


def port(text: str) -> int:
    """Convert a port number."""
    try:
        return whole_number(1, 65_535)(text)
    except ValueError:
        raise ValueError("must be a port from 1 to 65535") from None


def region(text: str) -> str:
    """Check the name of an AWS region."""
    if not re.fullmatch("[a-z0-9-]+", text):
        raise ValueError("must be an AWS region such as eu-west-1")
    return text


def origin(text: str) -> str:
    """Convert an origin for CORS, or ``*``."""
    if text != "*" and not (is_base_url(text) and not urlsplit(text).path):
        raise ValueError("must be an origin such as https://desk.example, or *")
    return _lower_authority(text)


def names(text: str) -> tuple[str, ...]:
    """Convert a list of names that are separated by commas."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def path_secrets(text: str) -> tuple[str, ...]:
    """Convert the secret segments in the paths of the routes that Twilio calls."""
    secrets = tuple(part.strip() for part in text.split(","))
    are_valid = all(secret == OPEN or _PATH_SECRET.fullmatch(secret) for secret in secrets)
    if not are_valid or len(secrets) > _MAX_PATHS or len(set(secrets)) < len(secrets):
        # The message does not repeat the secrets.
        raise ValueError(
            f'must be "{OPEN}", or a secret of 20 to 64 letters, digits, hyphens and underscores, '
            "or two different values of this kind, separated by a comma"
        )
    return secrets


def timeouts_by_workflow(text: str) -> dict[str, int]:
    """Convert a JSON object that maps Workflow SIDs to seconds."""
    try:
        timeouts = parse_json_object(text)
    except JsonError as error:
        raise ValueError(f"is not a valid JSON object: {error}") from error
    for workflow_sid, seconds in timeouts.items():
        is_timeout = type(seconds) is int and 1 <= seconds <= MAX_RESERVATION_TIMEOUT
        if not _is_lowercase_sid(workflow_sid, "WW") or not is_timeout:
            raise ValueError(
                "must map Workflow SIDs (WW and 32 lowercase hexadecimal digits) to whole numbers "
                f"of seconds from 1 to {MAX_RESERVATION_TIMEOUT}"
            )
    return timeouts
