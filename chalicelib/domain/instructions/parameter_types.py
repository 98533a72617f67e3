"""What the value of an instruction's parameter may be."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chalicelib.domain.sids import is_sid


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class ParameterType:
    """What a value may be, and how REST wants it.

    Attributes:
        must_be: what it must be, to follow "must be" or a colon; never what it is.
        fits: tells whether a JSON value is such a one.
        form: turns it into a value, or a list of values, of a form.
    """

    must_be: str
    fits: Callable[[Any], bool]
    form: Callable[[Any], Any] = _as_it_is


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


TEXT = ParameterType("a text that is not empty", _is_text)

_CONTACT = re.compile(r"\+[1-9][0-9]{1,14}|(?i:client|sips?):[^\s:]\S*|[^\s:+]+")

CONTACT = ParameterType(
    "a phone number such as +15556667777, client:NAME, or sip:USER@HOST",
    lambda value: _is_text(value) and _CONTACT.fullmatch(value) is not None,
)
"""Whom to call, or the caller ID. TaskRouter takes a bare name for a Client's."""


def is_sip(contact: object) -> bool:
    """Tell whether a contact is a SIP address."""
    return isinstance(contact, str) and contact.lower().startswith(("sip:", "sips:"))


def _is_url(value: object) -> bool:
    if not isinstance(value, str) or re.search(r"[^!-~]", value):
        return False
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  raises ValueError where it is no port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


URL = ParameterType("a URL that begins with https:// or http://", _is_url)

FLAG = ParameterType(
    "true or false, without quotes",
    lambda value: isinstance(value, bool),
    form=lambda value: "true" if value else "false",
)


def whole(least: int, most: int) -> ParameterType:
    """Return the kind of a whole number within bounds."""
    return ParameterType(
        f"a whole number from {least} to {most}, without quotes",
        lambda value: type(value) is int and least <= value <= most,
    )


def sid(prefix: str, what: str) -> ParameterType:
    """Return the kind of a SID, such as ``WA`` of an Activity."""
    return ParameterType(
        f"the SID of {what}: {prefix} followed by 32 hexadecimal digits",
        lambda value: is_sid(value, prefix),
    )


ACTIVITY = sid("WA", "an Activity")
CALL = sid("CA", "a call")


def one_of(*words: str) -> ParameterType:
    """Return the kind of a text that is one of some words; ``true`` too is one in quotes."""
    return ParameterType(
        "one of " + ", ".join(f'"{word}"' for word in words),
        lambda value: isinstance(value, str) and value in words,
    )


RECORD = one_of("do-not-record", "record-from-answer")
METHOD = one_of("GET", "POST")


def comma_list(*known: str) -> ParameterType:
    """Return the kind of events in one text, between commas; REST wants them one by one."""
    return ParameterType(
        f'events between commas and without spaces, such as "{",".join(known[-2:])}", '
        f"of {', '.join(known)}",
        lambda value: isinstance(value, str) and set(value.split(",")) <= {*known},
        form=lambda value: value.split(","),
    )


CALL_EVENTS = ("initiated", "ringing", "answered", "completed")
CONFERENCE_EVENTS = ("start", "end", "join", "leave", "mute", "hold", "speaker")
