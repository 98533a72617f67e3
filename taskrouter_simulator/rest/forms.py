"""Parameters, checked one by one; what is wrong is refused as Twilio does, with code 20001."""

import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.urls import is_url

ATTRIBUTES_LENGTH = 4096
_TRUE = {"true", "1", "yes"}

Choice = TypeVar("Choice", bound=StrEnum)


class Form:
    """The parameters of one request, in a body or a query string.

    Args:
        text: the encoded form; names may be repeated.

    Raises:
        BadRequest: there are far too many of them.
    """

    def __init__(self, text: str) -> None:
        try:
            self.pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
        except ValueError as error:
            raise BadRequest("The form has too many parameters") from error
        self._values = dict(self.pairs)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def every(self, name: str) -> list[str]:
        """All values of a repeated parameter, comma lists taken apart."""
        found = [part for key, value in self.pairs if key == name for part in value.split(",")]
        return [part.strip() for part in found if part.strip()]

    def text(self, name: str, *, longest: int | None = None) -> str | None:
        """The value as it is, or None."""
        value = self._values.get(name)
        if value is not None and longest is not None and len(value) > longest:
            raise BadRequest(f"{name} must not be longer than {longest} characters")
        return value

    def required(self, name: str, *, longest: int | None = None) -> str:
        """The value, which must be there and not empty."""
        value = self.text(name, longest=longest)
        if not value:
            raise BadRequest(f"Missing required parameter {name} in the post body")
        return value

    def boolean(self, name: str) -> bool | None:
        """True for `true`, `1` and `yes`, False for anything else, None if absent."""
        value = self._values.get(name)
        return None if value is None else value.lower() in _TRUE

    def integer(self, name: str, least: int, most: int) -> int | None:
        """A whole number within bounds, or None if absent or empty."""
        value = self._values.get(name)
        if not value:
            return None
        number = int(value) if re.fullmatch(r"-?[0-9]{1,12}", value) else math.inf
        if not least <= number <= most:
            raise BadRequest(f"{name} must be a whole number from {least} to {most}")
        return int(number)

    def sid(self, name: str, prefix: str) -> str | None:
        """A SID of that kind, or None if absent or empty."""
        value = self._values.get(name)
        if value and not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
            raise BadRequest(f"{name} {value[:100]} is not a valid SID")
        return value or None

    def choice(self, name: str, allowed: type[Choice]) -> Choice | None:
        """One of the enumeration's values, in any case, or None if absent or empty."""
        value = self._values.get(name)
        if not value:
            return None
        if value.lower() not in {one.value.lower() for one in allowed}:
            raise BadRequest(f"{name} must be one of {_listed(allowed)}")
        return next(one for one in allowed if one.value.lower() == value.lower())

    def url(self, name: str) -> str | None:
        """An absolute http(s) URL; empty clears it, None is absent."""
        value = self._values.get(name)
        if value and not is_url(value):
            raise BadRequest(f"{name} is not a valid URL")
        return value

    def attributes(self, name: str = "Attributes") -> str | None:
        """A JSON object as text, or None if absent; empty is `{}`."""
        value = self.text(name, longest=ATTRIBUTES_LENGTH)
        if value is None:
            return None
        if not isinstance(_json(value or "{}"), dict):
            raise BadRequest(f"{name} must be a valid JSON object")
        return value or "{}"

    def moment(self, name: str) -> float | None:
        """An ISO 8601 date and time as seconds since the epoch, or None; UTC unless it says."""
        value = self._values.get(name)
        if not value:
            return None
        try:
            read = datetime.fromisoformat(value)
            return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError) as error:
            raise BadRequest(f"{name} must be an ISO 8601 date and time") from error


def iso(moment: float | None) -> str | None:
    """A moment as Twilio writes it, to the second."""
    if moment is None:
        return None
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _listed(allowed: Iterable[StrEnum]) -> str:
    return ", ".join(one.value for one in allowed)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
