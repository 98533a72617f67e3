"""Compact JSON, and parsing: strict for input, lenient for Twilio's attributes."""

import json
import math
import re
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

MAX_DEPTH = 32
"""Maximum nesting depth. Twilio documents no limit; attributes have at most 4,096 characters."""

BYTE_ORDER_MARK = "\ufeff"
"""Some editors and programs write this character at the beginning of a text."""

_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{\]}]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """The text is not acceptable JSON. The message gives the reason as a clause."""


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not JSON")


to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Returns a value as compact JSON, in which only characters that JSON can't contain are escaped."""

replace_lone_surrogates = partial(re.compile(r"[\ud800-\udfff]").sub, "\ufffd")
"""Returns a text with U+FFFD for each lone surrogate, which UTF-8 can't encode."""


def json_size(value: Any) -> int:
    """Return the number of bytes of a value as compact JSON in UTF-8."""
    return len(to_json(value).encode("utf-8", "surrogatepass"))


def parse_json(text: str) -> Any:
    """Parse a JSON text, which may begin with a byte order mark.

    Raises:
        JsonError: The text is not JSON, contains NaN, Infinity or a lone surrogate, or is nested
            deeper than MAX_DEPTH.
    """
    if next(_brackets_of_deep_values(text), None):
        raise JsonError(f"it is nested deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(text.removeprefix(BYTE_ORDER_MARK), parse_constant=_refuse_constant)
        # "\ud800" is valid JSON, but neither DynamoDB nor a form can represent it.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except JsonError:
        raise
    except ValueError as error:  # JSONDecodeError, UnicodeEncodeError, 1e999, huge integers
        raise JsonError("it is not well-formed JSON") from error
    return value


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object; raise JsonError like `parse_json`."""
    return _require_object(parse_json(text))


def read_json_object(text: str) -> dict[str, Any]:
    """Read a JSON object leniently, because another program has already accepted the text.

    A value that Python, DynamoDB or JSON can't represent is replaced, so that the rest of the
    object can be read: a lone surrogate with U+FFFD, NaN and values nested deeper than MAX_DEPTH
    with null, and a number out of range with the largest float. Control characters in strings are
    kept. If a name is repeated, the last value counts.

    Raises:
        JsonError: The text is not a JSON object.
    """
    try:
        value = json.loads(
            _without_deep_values(text.removeprefix(BYTE_ORDER_MARK)),
            parse_int=_read_integer,
            parse_float=_read_float,
            parse_constant=_read_float,
            strict=False,
        )
    except ValueError as error:
        raise JsonError("it is not well-formed JSON") from error
    if _SURROGATE_ESCAPE.search(text):
        value = json.loads(replace_lone_surrogates(to_json(value)))
    return _require_object(value)


def _require_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise JsonError("it is not a JSON object")
    return value


def _read_integer(digits: str) -> float | None:
    try:
        return int(digits)
    except ValueError:  # more digits than sys.get_int_max_str_digits()
        return _read_float(digits)


def _read_float(text: str) -> float | None:
    """Return a number, limited to the range of floats; None for NaN."""
    number = float(text)
    if math.isnan(number):
        return None
    return max(-sys.float_info.max, min(number, sys.float_info.max))


def _without_deep_values(text: str) -> str:
    """Replace each value nested deeper than MAX_DEPTH with null; the parser is recursive."""
    kept, end = [], 0
    for bracket in _brackets_of_deep_values(text):
        if bracket[0] in "[{":
            kept += [text[end : bracket.start()], "null"]
        end = bracket.end()
    return "".join([*kept, text[end:]])


def _brackets_of_deep_values(text: str) -> Iterator[re.Match[str]]:
    """Yield the brackets of the objects and arrays at the first level below MAX_DEPTH."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        depth += token[0] in "[{"
        if depth == MAX_DEPTH + 1 and token[0] in "[{]}":
            yield token
        depth -= token[0] in "]}"
