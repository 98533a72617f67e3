"""JSON from outside: bounded in size and depth, NaN refused, one kind of error."""

import json
from typing import Any, NoReturn

MAX_DEPTH = 32
"""Levels of nesting; Twilio names no limit, and attributes of 4,096 characters need few."""


class JsonError(ValueError):
    """The text is not JSON that we take; the message says why in a clause."""


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not JSON")


def parse_json(text: str) -> Any:
    """Parse *text*.

    Raises:
        JsonError: it is not JSON, holds NaN or Infinity or half a surrogate pair, or nests
            deeper than MAX_DEPTH.
    """
    if _depth(text) > MAX_DEPTH:
        raise JsonError(f"it nests deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        # "\ud800" is legal JSON but no text: neither DynamoDB nor a form can carry it.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except JsonError:
        raise
    except ValueError as error:  # JSONDecodeError, UnicodeEncodeError, 1e999, huge integers
        raise JsonError("it is not well-formed JSON") from error
    return value


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse *text*, which must be a JSON object; raises JsonError as `parse_json` does."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise JsonError("it is not a JSON object")
    return value


def _depth(text: str) -> int:
    """Return the deepest nesting, counted before parsing because the parser recurses."""
    deepest = depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
