"""Validation of instruction parameters.

Most functions take the error code for an invalid parameter. Parameters come from JSON or from a
form, so numbers and booleans may be strings. A JSON `null` is treated as absent. An empty string
is invalid.
"""

import re
from typing import Any

from taskrouter_simulator.engine.model import Workspace
from taskrouter_simulator.identifiers import is_url

Parameters = dict[str, Any]

_TRUE = {"true", "1", "yes"}
_FALSE = {"false", "0", "no"}
CALL_EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})
COMPLETED = frozenset({"completed"})
"""The call events that are reported by default."""


class InstructionError(Exception):
    """An instruction is invalid or cannot be executed.

    Args:
        code: Twilio's error code.
        message: Description of the error.
        parameter: Name of the invalid parameter; "" for none. The message begins with this name.
    """

    def __init__(self, code: int, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.parameter = parameter


def missing(code: int, name: str) -> InstructionError:
    """Return the error for a missing parameter."""
    return InstructionError(code, f"{name} is missing from the instruction", name)


def missing_attribute(code: int, name: str) -> InstructionError:
    """Return the error for a missing attribute of the Task."""
    return InstructionError(code, f"{name} is missing from the Task's attributes")


def read_activity(workspace: Workspace, parameters: Parameters, name: str, code: int) -> str | None:
    """Return a validated Activity SID, or None if it is absent."""
    sid = parameters.get(name)
    if sid is None:
        return None
    if not isinstance(sid, str) or sid not in workspace.activities:
        raise _invalid(code, name, sid)
    return sid


def read_contact(value: Any, name: str, code: int) -> str:
    """Return a phone number, a SIP or Client URI, or a Client's name."""
    if not isinstance(value, str) or not re.fullmatch(r"\S{1,500}", value):
        raise _invalid(code, name, value)
    return value


def get_or_default(parameters: Parameters, name: str, default: Any) -> Any:
    """Return a parameter, or the default if it is absent."""
    value = parameters.get(name)
    return default if value is None else value


def read_integer(
    parameters: Parameters, name: str, minimum: int, maximum: int, code: int
) -> int | None:
    """Return an integer within limits, or None if it is absent."""
    value = parameters.get(name)
    if value is None:
        return None
    # Match the string, because int() would accept True as 1.
    is_valid = re.fullmatch("[0-9]{1,9}", str(value)) and minimum <= int(value) <= maximum
    if not is_valid:
        raise _invalid(code, name, value)
    return int(value)


def read_flag(parameters: Parameters, name: str, code: int, *, default: bool = False) -> bool:
    """Return a boolean, or the default if it is absent."""
    value = parameters.get(name)
    if value is None:
        return default
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise _invalid(code, name, value)
    return word in _TRUE


def check_text(parameters: Parameters, name: str, code: int) -> None:
    """Check that a parameter is absent or a non-empty string."""
    value = parameters.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise _invalid(code, name, value)


def check_url(parameters: Parameters, name: str, code: int, *, required: bool = False) -> None:
    """Check that a parameter is an absolute http(s) URL, or is absent and optional."""
    value = parameters.get(name)
    if value is None and not required:
        return
    if not isinstance(value, str) or not is_url(value):
        raise _invalid(code, name, value)


def check_sid(parameters: Parameters, name: str, prefix: str, code: int) -> None:
    """Check that a required parameter is a SID with the given prefix."""
    value = parameters.get(name)
    if not isinstance(value, str) or not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
        raise _invalid(code, name, value)


def check_choice(parameters: Parameters, name: str, allowed: set[str], code: int) -> None:
    """Check that a parameter is absent or has an allowed value, which may be a boolean."""
    value = parameters.get(name)
    word = str(value).lower() if isinstance(value, bool) else value
    if value is not None and (not isinstance(word, str) or word not in allowed):
        raise _invalid(code, name, value)


def read_events(
    parameters: Parameters,
    name: str,
    code: int,
    *,
    allowed: frozenset[str] = CALL_EVENTS,
    default: frozenset[str] = COMPLETED,
) -> frozenset[str]:
    """Return the events of an array or comma-separated list, or the default if it is absent."""
    value = parameters.get(name)
    if value is None:
        return default
    names = value if isinstance(value, list) else str(value).split(",")
    if any(not isinstance(event, str) or event.strip() not in allowed for event in names):
        raise _invalid(code, name, value)
    return frozenset(event.strip() for event in names)


def _invalid(code: int, name: str, value: Any) -> InstructionError:
    if value is None or value == "":
        return missing(code, name)
    return InstructionError(code, f"{name} {str(value)[:100]} is invalid", name)
