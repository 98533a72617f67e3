"""Encodes compact JSON. Parses input strictly and Twilio's attributes leniently."""

import json
import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from chalicelib.domain.messages import display_name

MAX_DEPTH = 32
"""Maximum nesting depth of input, and of attributes in responses. Twilio documents no limit."""

BYTE_ORDER_MARK = "\ufeff"
"""A character that some editors and programs write at the beginning of a file."""

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{\]}]|NaN|-?Infinity', re.DOTALL)
"""A string, a bracket, or one of the constants NaN and Infinity, which JSON does not allow."""

_BACKSLASHES_OR_SURROGATES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""An escaped backslash, an escaped surrogate pair, or an escaped lone surrogate."""


_TYPE_NAMES = {
    bool: "true or false",
    float: "a number",
    int: "a number",
    list: "an array",
    str: "a string",
    type(None): "null",
}
"""Descriptions of JSON values that are not objects, by Python type."""


class JsonError(ValueError):
    """The text is not acceptable JSON. The message gives the reason as a clause."""


def _reject_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not JSON")


to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Returns a value as compact JSON. Only characters that must be escaped are escaped."""

replace_lone_surrogates = partial(re.compile(r"[\ud800-\udfff]").sub, "\ufffd")
"""Replaces each lone surrogate, which UTF-8 can't encode, with U+FFFD."""


def json_size(value: Any) -> int:
    """Return the size of a value in bytes, as compact JSON in UTF-8."""
    return len(to_json(value).encode("utf-8", "surrogatepass"))


def parse_json(text: str) -> Any:
    """Parse a JSON text, which may begin with a byte order mark.

    Raises:
        JsonError: The text is not JSON, contains NaN, Infinity or a lone surrogate, repeats a name
            in an object, or is nested deeper than MAX_DEPTH.
    """
    if next(_deep_values(text), None):
        raise JsonError(f"it is nested deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(
            text.removeprefix(BYTE_ORDER_MARK),
            parse_constant=_reject_constant,
            object_pairs_hook=require_unique_keys,
        )
        # "\ud800" is valid JSON, but neither DynamoDB nor a form can represent it.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except JsonError:
        raise
    except json.JSONDecodeError as error:
        raise JsonError("it has a syntax error") from error
    except UnicodeEncodeError as error:
        raise JsonError("it contains half of a surrogate pair") from error
    except ValueError as error:  # 1e999, or an integer with thousands of digits
        raise JsonError("it contains a number that is out of range") from error
    return value


def require_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object with these pairs; raise JsonError if a key is repeated."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise JsonError(f'it repeats the name "{display_name(repeated)}"')
    return value


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object; raise JsonError like `parse_json`."""
    return _require_object(parse_json(text))


def read_json_object(text: str) -> dict[str, Any]:
    """Read a JSON object leniently, for use in a response.

    Another program has already accepted the text. Values that a response can't contain are
    replaced: a lone surrogate with U+FFFD; NaN, Infinity and a number out of range with null. A
    value nested deeper than MAX_DEPTH becomes a string that contains its JSON text. Control
    characters in strings are kept. If a name is repeated, the last value is used.

    Raises:
        JsonError: The text is not a JSON object.
    """
    text = _without_lone_surrogates(text)
    pieces, end = [], 0
    for start, stop in _deep_values(text):
        pieces += [text[end:start], to_json(text[start:stop])]
        end = stop
    return _decode_object(_LENIENT, "".join([*pieces, text[end:]]))


def parse_attributes(text: str | None) -> dict[str, Any] | None:
    """Return Task or Worker attributes as an object; None if they can't be read as an object."""
    if text is None:
        return None
    try:
        return read_json_object(text)
    except JsonError:
        return None


def read_facts(text: str) -> tuple[dict[str, Any], frozenset[str]]:
    """Read a JSON object leniently, keeping unusual numbers and deeply nested values.

    Lone surrogates, control characters and repeated names are handled as in `read_json_object`.

    Returns:
        The object, and the keys whose values contain NaN, Infinity or a number out of range. In
        the object, such a number is a float that is not finite.

    Raises:
        JsonError: The text is not a JSON object.
    """
    text = _without_lone_surrogates(text)
    try:
        return _decode_object(_FINITE, text), frozenset()
    except JsonError:
        raise
    except (ValueError, OverflowError, RecursionError):  # an unusual number, or deep nesting
        value = _require_object(_parse_in_parts(text))
    return value, frozenset(key for key, each in value.items() if _has_non_finite(each))


def _require_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise JsonError(f"it is {_TYPE_NAMES[type(value)]}")
    return value


def _decode_object(decoder: json.JSONDecoder, text: str) -> dict[str, Any]:
    try:
        return _require_object(decoder.decode(text))
    except json.JSONDecodeError as error:
        raise JsonError("it has a syntax error") from error


def _without_lone_surrogates(text: str) -> str:
    """Remove a byte order mark, and replace escaped lone surrogates with U+FFFD."""
    return _BACKSLASHES_OR_SURROGATES.sub(
        lambda m: "\ufffd" if m["lone"] else m[0], text.removeprefix(BYTE_ORDER_MARK)
    )


def _read_number(text: str) -> float:
    """Return a number. NaN, Infinity and numbers out of range become floats that are not finite."""
    try:
        return int(text)
    except ValueError:  # not an integer, or more digits than sys.get_int_max_str_digits()
        return float(text)


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _read_number_or_null(text: str) -> float | None:
    number = _read_number(text)
    return None if _is_not_finite(number) else number


def _read_finite_number(text: str) -> float:
    number = float(text)
    if _is_not_finite(number):
        raise OverflowError
    return number


_FINITE = json.JSONDecoder(
    strict=False, parse_float=_read_finite_number, parse_constant=_read_finite_number
)
_LENIENT = json.JSONDecoder(
    strict=False,
    parse_int=_read_number_or_null,
    parse_float=_read_number_or_null,
    parse_constant=_read_number_or_null,
)


def _has_non_finite(value: Any) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict | list):
            pending += item.values() if isinstance(item, dict) else item
        elif _is_not_finite(item):
            return True
    return False


def _deep_values(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each array or object at depth MAX_DEPTH + 1."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = start = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                start = token.start()
        elif token[0] in "]}":
            if depth == MAX_DEPTH + 1:
                yield start, token.end()
            depth -= 1
    if depth > MAX_DEPTH:
        yield start, len(text)


@dataclass
class _Part:
    """A part of a JSON text, and the values of the constants in the part, in order."""

    pieces: list[str] = field(default_factory=list)
    constants: deque[Any] = field(default_factory=deque)

    def parse(self) -> Any:
        decoder = json.JSONDecoder(
            strict=False,
            parse_int=_read_number,
            parse_constant=lambda _: self.constants.popleft(),
        )
        try:
            return decoder.decode("".join(self.pieces))
        except json.JSONDecodeError as error:
            raise JsonError("it has a syntax error") from error


def _parse_in_parts(text: str) -> Any:
    """Parse JSON of any depth in parts, because the standard library's parser is recursive.

    Each value at every MAX_DEPTH-th level is a part, which is parsed when it ends. In the text
    around a part, the constant NaN stands for the part's value.
    """
    parts = [_Part()]
    depth = end = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth % MAX_DEPTH == 0:
                parts[-1].pieces.append(text[end : token.start()])
                parts.append(_Part())
                end = token.start()
        elif token[0] in "]}":
            if depth % MAX_DEPTH == 0 and len(parts) > 1:
                part = parts.pop()
                part.pieces.append(text[end : token.end()])
                parts[-1].pieces.append("NaN")
                parts[-1].constants.append(part.parse())
                end = token.end()
            depth -= 1
        elif not token[0].startswith('"'):
            parts[-1].constants.append(float(token[0]))
    parts[-1].pieces.append(text[end:])
    return parts[-1].parse()
