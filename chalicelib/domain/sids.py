"""Twilio SIDs: two letters for the kind of resource, then 32 hexadecimal digits."""

import re

from chalicelib.domain.errors import BadRequest

_KINDS = {
    "AC": "Account",
    "SK": "API key",
    "WS": "Workspace",
    "WW": "Workflow",
    "WQ": "TaskQueue",
    "WT": "Task",
    "WR": "Reservation",
    "WK": "Worker",
    "WA": "Activity",
    "CA": "Call",
}
SID_PATTERNS = {prefix: re.compile(prefix + "[0-9a-fA-F]{32}") for prefix in _KINDS}
"""The format of SIDs, by prefix."""


def is_sid(value: object, prefix: str) -> bool:
    """Return whether *value* is a SID with the given prefix, such as ``WR``."""
    return isinstance(value, str) and SID_PATTERNS[prefix].fullmatch(value) is not None


def checked_sid(value: object, prefix: str, name: str) -> str:
    """Return *value* if it is a SID with the given prefix.

    Args:
        value: the received value.
        prefix: the two letters that identify the kind of resource, such as ``WR``.
        name: the name of the parameter, for the error message.

    Raises:
        BadRequest: *value* is not such a SID. The message describes the format and never contains
            the value.
    """
    if isinstance(value, str) and SID_PATTERNS[prefix].fullmatch(value):
        return value
    raise invalid_sid(prefix, name)


def invalid_sid(prefix: str, name: str) -> BadRequest:
    """Build the error for a parameter that is not a SID with the given prefix."""
    kind = _KINDS[prefix]
    article = "an" if kind[0] in "AEIOU" else "a"
    return BadRequest(
        f"{name} must be {article} {kind} SID: {prefix} followed by 32 hexadecimal digits."
    )
