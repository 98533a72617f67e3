"""Types of the parameters of assignment instructions."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chalicelib.domain.sids import is_sid


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class ParameterType:
    """The values that a parameter accepts, and their format in the REST API.

    Attributes:
        description: noun phrase that completes "must be"; it never contains a received value.
        is_valid: returns whether a JSON value has this type.
        to_form: converts a valid value to a form value, or to a list of form values.
    """

    description: str
    is_valid: Callable[[Any], bool]
    to_form: Callable[[Any], Any] = _unchanged


MAX_STRING_LENGTH = 256
"""Maximum length of a string or contact. Twilio documents no limit.

A SIP address has at most 255 characters.
"""

MAX_URL_LENGTH = 4_000
"""Twilio's limit for status callbacks: https://www.twilio.com/docs/api/errors/21609"""


def _is_string(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= MAX_STRING_LENGTH
        and bool(value.strip())
        and value.isprintable()
    )


STRING = ParameterType(f"a non-empty string of at most {MAX_STRING_LENGTH} characters", _is_string)

_CONTACT = re.compile(r"\+[1-9][0-9]{1,14}|(?i:client|sips?):[^\s:]\S*|[^\s:+]+")

CONTACT = ParameterType(
    "a phone number (such as +15556667777), client:NAME, or sip:USER@HOST; at most "
    f"{MAX_STRING_LENGTH} characters",
    lambda value: _is_string(value) and _CONTACT.fullmatch(value) is not None,
)
"""A callee or a caller ID. TaskRouter treats a name without a prefix as the name of a Client."""


def is_sip(contact: object) -> bool:
    """Return whether a contact is a SIP address."""
    return isinstance(contact, str) and contact.lower().startswith(("sip:", "sips:"))


def _is_url(value: object) -> bool:
    if not isinstance(value, str) or not re.fullmatch(f"[!-~]{{1,{MAX_URL_LENGTH}}}", value):
        return False
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  raises ValueError if the port is invalid
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


URL = ParameterType(
    f"a URL that begins with https:// or http:// and has at most {MAX_URL_LENGTH} characters",
    _is_url,
)

FLAG = ParameterType(
    "true or false, without quotes",
    lambda value: isinstance(value, bool),
    to_form=lambda value: "true" if value else "false",
)


def whole_number(minimum: int, maximum: int) -> ParameterType:
    """Return the type of whole numbers from *minimum* to *maximum*."""
    return ParameterType(
        f"a whole number from {minimum} to {maximum}, without quotes",
        lambda value: type(value) is int and minimum <= value <= maximum,
    )


def _sid(prefix: str, resource: str) -> ParameterType:
    return ParameterType(
        f"the SID of {resource}: {prefix} followed by 32 hexadecimal digits",
        lambda value: is_sid(value, prefix),
    )


ACTIVITY = _sid("WA", "an Activity")
CALL = _sid("CA", "a call")


def one_of(*values: str) -> ParameterType:
    """Return the type of strings from a fixed set."""
    return ParameterType(
        "one of " + ", ".join(f'"{value}"' for value in values),
        lambda value: value in values,
    )


RECORD = one_of("do-not-record", "record-from-answer")
METHOD = one_of("GET", "POST")


def comma_list(*events: str) -> ParameterType:
    """Return the type of comma-separated events; REST uses one form field per event."""
    return ParameterType(
        f'a comma-separated list of events without spaces, such as "{",".join(events[-2:])}"; '
        f"allowed events, each at most once: {', '.join(events)}",
        lambda value: isinstance(value, str) and _are_valid_events(value.split(","), events),
        to_form=lambda value: value.split(","),
    )


def _are_valid_events(names: list[str], events: tuple[str, ...]) -> bool:
    return len(names) == len(set(names)) and set(names) <= {*events}


CALL_EVENTS = ("initiated", "ringing", "answered", "completed")
CONFERENCE_EVENTS = ("start", "end", "join", "leave", "mute", "hold", "speaker")
