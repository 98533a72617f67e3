"""Field types for definitions. Each type reads and checks values, and has a JSON Schema."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from taskrouter_simulator.definition.document import (
    FORMAT,
    Finding,
    Findings,
    Path,
    describe,
    name_of,
    walk,
)
from taskrouter_simulator.definition.model import UNMANAGED, Unmanaged
from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.model import MAX_ATTRIBUTES_LENGTH
from taskrouter_simulator.identifiers import is_url
from taskrouter_simulator.spelling import describe_unknown

API = "${api}"
"""The variable for the URL of the deployed API, at the beginning of a callback URL."""

Schema = dict[str, Any]
_SID = re.compile(r"\b(?:AC|WS|WA|WK|WQ|WW|WC|TC|WT|WR)[0-9a-fA-F]{32}\b")
_MAX_DEPTH = 50
LIMITS = "https://www.twilio.com/docs/taskrouter/limits"
EXPRESSIONS = "https://www.twilio.com/docs/taskrouter/expression-syntax"
EVENTS = "https://www.twilio.com/docs/taskrouter/api/event/reference"


class FieldType(Protocol):
    """The type of a field."""

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return a value as it is stored in the definition, or UNMANAGED if it cannot be used.

        Args:
            value: The value in the document.
            path: Path of the value.
            findings: Receives the mistakes.
        """

    def schema(self) -> Schema:
        """Return the JSON Schema of the value."""


def _report(findings: Findings, path: Path, message: str, source: str = FORMAT) -> Unmanaged:
    findings.append(Finding(path, message, source))
    return UNMANAGED


def _reject(findings: Findings, path: Path, requirement: str, value: Any) -> Unmanaged:
    message = f"{name_of(path)} must be {requirement}, not {describe(value)}"
    return _report(findings, path, message)


def _read_text(value: Any, path: Path, findings: Findings) -> str | Unmanaged:
    """Return a string; reject incomplete characters, and report a SID in the string."""
    if not isinstance(value, str):
        is_scalar = isinstance(value, int | float)
        return _reject(findings, path, "a string in quotes" if is_scalar else "a string", value)
    if any("\ud800" <= character <= "\udfff" for character in value):
        return _report(findings, path, f"{name_of(path)} contains an incomplete Unicode character")
    _report_sid(value, path, findings)
    return value


def _report_sid(text: str, path: Path, findings: Findings) -> None:
    if found := _SID.search(text):
        message = f"{name_of(path)} contains {found.group()}; use the name instead"
        findings.append(Finding(path, message, sid=found.group()))


@dataclass(frozen=True)
class Name:
    """The name of a resource.

    Attributes:
        max_length: Maximum number of characters; None if Twilio documents no limit.
    """

    max_length: int | None = None

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the name."""
        text = _read_text(value, path, findings)
        if isinstance(text, Unmanaged):
            return text
        if not text.strip():
            return _report(findings, path, f"{name_of(path)} must not be empty")
        if self.max_length and len(text) > self.max_length:
            problem = f"has {len(text)} characters; the maximum is {self.max_length}"
            findings.append(Finding(path, f"{name_of(path)} {problem}", LIMITS))
        return text

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        limit = {"maxLength": self.max_length} if self.max_length else {}
        return {"type": "string", "minLength": 1, **limit}


@dataclass(frozen=True)
class Expression:
    """An expression, a reference or an `order_by`, which `seed.build` parses."""

    may_be_empty: bool = False

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the expression."""
        text = _read_text(value, path, findings)
        if isinstance(text, str) and not text.strip() and not self.may_be_empty:
            return _report(findings, path, f"{name_of(path)} must not be empty; remove the key")
        return text

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return {"type": "string"} if self.may_be_empty else {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the boolean."""
        if not isinstance(value, bool):
            return _reject(findings, path, "true or false", value)
        return value

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Integer:
    """A whole number within limits."""

    minimum: int
    maximum: int

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the number."""
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if not is_integer or not self.minimum <= value <= self.maximum:
            requirement = f"a whole number from {self.minimum} to {self.maximum}"
            return _reject(findings, path, requirement, value)
        return value

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    words: tuple[str, ...]

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the word."""
        if value not in self.words:
            return _reject(findings, path, " or ".join(self.words), value)
        return value

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Url:
    """A callback URL. A path is shorthand for `${api}` followed by the path."""

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return an absolute URL, or a URL that begins with `${api}`; None for an empty string."""
        if value == "":
            return None
        url = API + value if isinstance(value, str) and value.startswith("/") else value
        absolute = url.replace(API, "https://api", 1) if _begins_with_api(url) else url
        if not isinstance(absolute, str) or "${" in absolute or not is_url(absolute):
            return _reject(findings, path, f"a URL, or {API} followed by a path", value)
        return url

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": r"^($|/|[Hh][Tt][Tt][Pp][Ss]?://|\$\{api\}($|/))"}


def _begins_with_api(url: Any) -> bool:
    return isinstance(url, str) and url.startswith(API) and url[len(API) :][:1] in {"", "/"}


@dataclass(frozen=True)
class EventTypes:
    """A list of event types, or a string of event types separated by commas."""

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the set of types; None (all types) for null or an empty string."""
        if isinstance(value, str):
            value = [name.strip() for name in value.split(",")] if value.strip() else None
        if value is None:
            return None
        if not isinstance(value, list):
            return _reject(findings, path, "a list of event types", value)
        if not value:
            message = (
                f"{name_of(path)} must not be an empty list, because TaskRouter selects all types"
                " if the filter is empty; to select all types, write null"
            )
            return _report(findings, path, message, EVENTS)
        for index, name in enumerate(value):
            item_path = (*path, index)
            if not isinstance(name, str):
                _reject(findings, item_path, "an event type", name)
            elif name not in events.TYPES:
                description = describe_unknown(name, sorted(events.TYPES))
                findings.append(Finding(item_path, f"unknown type {description}", EVENTS))
        return frozenset(name for name in value if isinstance(name, str))

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        types = {"type": "array", "minItems": 1, "items": {"enum": sorted(events.TYPES)}}
        return {"anyOf": [types, {"type": "string"}]}


@dataclass(frozen=True)
class Attributes:
    """The attributes of a Worker: a JSON object."""

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the attributes; null means no attributes."""
        value = {} if value is None else value
        if not isinstance(value, dict):
            return _reject(findings, path, "a mapping", value)
        for subpath, part in walk(value, path):
            if isinstance(part, dict | list) and len(subpath) - len(path) >= _MAX_DEPTH:
                problem = f"{name_of(path)} must not be nested more than {_MAX_DEPTH} levels deep"
                return _report(findings, path, problem)
            _report_sid(f"{subpath[-1]} {part if isinstance(part, str) else ''}", subpath, findings)
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except ValueError:
            return _report(findings, path, f"{name_of(path)} contains a number that is too large")
        if len(text) > MAX_ATTRIBUTES_LENGTH:
            limit = f"the maximum is {MAX_ATTRIBUTES_LENGTH:,}"
            problem = f"{name_of(path)} has {len(text):,} characters as JSON; {limit}"
            findings.append(Finding(path, problem, LIMITS))
        return value

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return {"type": ["object", "null"]}


@dataclass(frozen=True)
class Nullable:
    """A value or null."""

    type: FieldType

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the value; None for null."""
        return None if value is None else self.type.read(value, path, findings)

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return {"anyOf": [self.type.schema(), {"type": "null"}]}


@dataclass(frozen=True)
class MappingOf:
    """A mapping from names to values of one type."""

    type: FieldType

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the mapping."""
        if not isinstance(value, dict):
            return _reject(findings, path, "a mapping", value)
        items = {key: self.type.read(item, (*path, key), findings) for key, item in value.items()}
        return UNMANAGED if UNMANAGED in items.values() else items

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return {"type": "object", "additionalProperties": self.type.schema()}


@dataclass(frozen=True)
class ListOf:
    """A list of values of one type.

    Attributes:
        type: The type.
        key: Key of the values' unique names; "" if they have none.
        ignores_case: Whether names that differ only in case are duplicates.
    """

    type: FieldType
    key: str = ""
    ignores_case: bool = False

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the values as a tuple."""
        if not isinstance(value, list):
            return _reject(findings, path, "a list", value)
        findings_before = len(findings)
        if self.key:
            self._require_unique_names(value, path, findings)
        has_unique_names = len(findings) == findings_before
        items = [self.type.read(item, (*path, index), findings) for index, item in enumerate(value)]
        return tuple(items) if has_unique_names and UNMANAGED not in items else UNMANAGED

    def _require_unique_names(self, items: list[Any], path: Path, findings: Findings) -> None:
        """Report duplicate names, and previous names that are still in use."""
        owners: dict[str, tuple[int, str]] = {}
        for key in (self.key, "was"):
            for index, item in enumerate(items):
                name = item.get(key) if isinstance(item, dict) else None
                if not isinstance(name, str):
                    continue
                folded = name.casefold() if self.ignores_case else name
                owner, owner_key = owners.setdefault(folded, (index, key))
                title = "name" if owner_key == self.key else "previous name"
                problem = f"another item in {name_of(path)} has the {title} {name[:100]!r}"
                if owner == index:
                    if owner_key == key or name != item[self.key]:
                        continue
                    problem = "the previous name equals the name; remove this key"
                elif owner_key != key:
                    problem += "; apply this renaming before you give the name to another item"
                findings.append(Finding((*path, index, key), f"{key}: {problem}"))

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        return {"type": "array", "items": self.type.schema()}


@dataclass(frozen=True)
class Field:
    """A key of an object: the type of its value, its description, and whether it is required."""

    type: FieldType
    description: str
    required: bool = False


@dataclass(frozen=True)
class Object:
    """An object with known keys.

    Attributes:
        title: Name of the type for messages, such as "a TaskQueue".
        build: Returns the object; its keyword arguments are the values by key.
        fields: The fields by key.
        needs_all: Whether one unusable value makes the whole object unusable.
    """

    title: str
    build: Callable[..., Any]
    fields: Mapping[str, Field] = field(default_factory=dict)
    needs_all: bool = False

    def read(self, value: Any, path: Path, findings: Findings) -> Any:
        """Return the object, without unknown keys."""
        if not isinstance(value, dict):
            return _reject(findings, path, "a mapping", value)
        values = {}
        for key, item in value.items():
            if key not in self.fields:
                description = describe_unknown(key, self.fields)
                _report(findings, (*path, key), f"{self.title} has no key {description}")
            else:
                values[key] = self.fields[key].type.read(item, (*path, key), findings)
        for key, item in self.fields.items():
            if item.required and key not in value:
                values[key] = _report(findings, path, f"{self.title} lacks the required key {key}")
        unusable = [key for key, item in values.items() if item is UNMANAGED]
        # A Workspace without a name is returned, so that its other mistakes can be found.
        if path and any(self.needs_all or self.fields[key].required for key in unusable):
            return UNMANAGED
        return self.build(**values)

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        required = [key for key, item in self.fields.items() if item.required]
        return {
            "type": "object",
            "additionalProperties": False,
            **({"required": required} if required else {}),
            "properties": {
                key: {"description": item.description, **item.type.schema()}
                for key, item in self.fields.items()
            },
        }
