"""The parameters of an instruction, checked; each knows the code of its fault.

They come from JSON or from a form, so a number or a flag may be text.
"""

import re
from typing import Any

from taskrouter_simulator.engine.model import Workspace
from taskrouter_simulator.identifiers import is_url

Answer = dict[str, Any]

_CALL_EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})


class InstructionError(Exception):
    """An instruction that cannot be carried out.

    Args:
        code: Twilio's error code.
        message: what is wrong.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def missing(code: int, name: str, where: str = "the instruction") -> InstructionError:
    """The fault of a parameter that is not there."""
    return InstructionError(code, f"{name} is missing in {where}")


def activity(workspace: Workspace, answer: Answer, name: str, code: int) -> str | None:
    """The SID of an Activity of the Workspace, or None if absent or empty."""
    sid = answer.get(name)
    if sid is None or sid == "":
        return None
    if not isinstance(sid, str) or sid not in workspace.activities:
        raise _invalid(code, name, sid)
    return sid


def contact(value: Any, name: str, code: int) -> str:
    """A phone number, a SIP or Client URI, or a Client's name."""
    if not isinstance(value, str) or not re.fullmatch(r"\S{1,500}", value):
        raise _invalid(code, name, value)
    return value


def url(answer: Answer, name: str, code: int, *, required: bool = False) -> None:
    """An absolute http(s) URL."""
    value = answer.get(name)
    if not required and (value is None or value == ""):
        return
    if not isinstance(value, str) or not is_url(value):
        raise _invalid(code, name, value)


def number(answer: Answer, name: str, prefix: str, code: int) -> None:
    """A SID of that kind, which must be there."""
    value = answer.get(name)
    if not isinstance(value, str) or not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
        raise _invalid(code, name, value)


def choice(answer: Answer, name: str, allowed: set[str], code: int) -> None:
    """One of some words; `true` and `false` may be JSON's own."""
    value = answer.get(name)
    word = str(value).lower() if isinstance(value, bool) else value
    if value is not None and (not isinstance(word, str) or word not in allowed):
        raise _invalid(code, name, value)


def events(answer: Answer, name: str, code: int, allowed: frozenset[str] = _CALL_EVENTS) -> None:
    """A comma list, or an array, of events; of a call's progress unless told otherwise."""
    value = answer.get(name)
    if value is None or value == "":
        return
    names = value if isinstance(value, list) else str(value).split(",")
    if any(not isinstance(one, str) or one.strip() not in allowed for one in names):
        raise _invalid(code, name, value)


def whole(answer: Answer, name: str, least: int, most: int, code: int) -> int | None:
    """A whole number within bounds, or None if absent or empty."""
    value = answer.get(name)
    if value is None or value == "":
        return None
    fits = re.fullmatch("[0-9]{1,9}", str(value)) and least <= int(value) <= most
    if isinstance(value, bool) or not fits:
        raise _invalid(code, name, value)
    return int(value)


def flag(answer: Answer, name: str) -> bool:
    """Whether the parameter is true; absent is false."""
    return str(answer.get(name)).lower() in {"true", "1", "yes"}


def _invalid(code: int, name: str, value: Any) -> InstructionError:
    if value is None or value == "":
        return missing(code, name)
    return InstructionError(code, f"{name} {str(value)[:100]} is invalid")
