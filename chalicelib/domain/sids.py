"""Twilio's SIDs: two letters that say the kind, then 32 hexadecimal digits."""

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
_PATTERNS = {prefix: re.compile(prefix + "[0-9a-fA-F]{32}") for prefix in _KINDS}


def is_sid(value: object, prefix: str) -> bool:
    """Tell whether *value* is a SID of the kind that *prefix* (two letters) names."""
    return isinstance(value, str) and _PATTERNS[prefix].fullmatch(value) is not None


def checked_sid(value: object, prefix: str, name: str) -> str:
    """Return *value* where it is a SID of that kind.

    Args:
        value: what came in.
        prefix: the two letters of the kind, such as ``WR``.
        name: the parameter's name, for the message.

    Raises:
        BadRequest: it is not; the message says what one looks like, never what came.
    """
    if isinstance(value, str) and is_sid(value, prefix):
        return value
    raise BadRequest(
        f"{name} must be a {_KINDS[prefix]} SID: {prefix} followed by 32 hexadecimal digits."
    )
