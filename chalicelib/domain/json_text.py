"""Parsing of untrusted JSON: limited depth, no NaN, one error type."""

import json
from typing import Any, NoReturn

MAX_DEPTH = 32
"""Maximum nesting depth. Twilio documents no limit; attributes have at most 4,096 characters."""


class JsonError(ValueError):
    """The text is not acceptable JSON. The message gives the reason as a clause."""


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not JSON")


def parse_json(text: str) -> Any:
    """Parse a JSON text.

    Raises:
        JsonError: The text is not JSON, contains NaN, Infinity or a lone surrogate, or is nested
            deeper than MAX_DEPTH.
    """
    if _depth(text) > MAX_DEPTH:
        raise JsonError(f"it is nested deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        # "\ud800" is valid JSON, but neither DynamoDB nor a form can represent it.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except JsonError:
        raise
    except ValueError as error:  # JSONDecodeError, UnicodeEncodeError, 1e999, huge integers
        raise JsonError("it is not well-formed JSON") from error
    return value


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object; raise JsonError like `parse_json`."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise JsonError("it is not a JSON object")
    return value


def _depth(text: str) -> int:
    """Return the maximum nesting depth without using the recursive parser."""
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
