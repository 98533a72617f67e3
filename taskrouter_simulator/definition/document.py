"""Reads a file as YAML 1.2 or JSON, and records the line and column of every value.

Surprising features of YAML are rejected: duplicate keys, anchors, aliases, tags, keys that are
not strings, tabs in the indentation, and several documents in one file.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

Path = tuple[str | int, ...]
"""The keys and indexes that lead to a value, such as ("task_queues", 0, "target_workers")."""
Position = tuple[int, int]
"""Line and column, counted from 1."""

MAX_BYTES = 64_000_000
"""Maximum file size, enough for 15,000 Workers with 4,096 characters of attributes each.

Both numbers are Twilio's limits.
"""
MAX_YAML_BYTES = 2_000_000
"""Maximum size of a YAML file, which takes much longer to read than JSON."""
_MAX_DEPTH = 100
FORMAT = "docs/workspace.md"
"""The page that documents the format."""


class Severity(StrEnum):
    """How serious a mistake is.

    An error means that TaskRouter rejects the definition, or that the definition cannot work. A
    warning means that TaskRouter accepts the definition, but that it may not work as intended.
    """

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """A mistake in a definition.

    Attributes:
        path: Path of the value that contains the mistake.
        message: One sentence.
        source: The page that documents the rule.
        severity: Error or warning.
        sid: The SID that must be replaced by a name; "" if the mistake is not a SID.
    """

    path: Path
    message: str
    source: str = FORMAT
    severity: Severity = Severity.ERROR
    sid: str = ""


Findings = list[Finding]


@dataclass(frozen=True)
class Document:
    """A value, and the positions of its parts.

    Attributes:
        name: Name of the file, or the prefix of messages about a value without a file.
        value: The content as JSON: dictionaries, lists, strings, numbers, booleans and None.
        locate: Returns the positions of all parts of the value, by path. A value in a mapping has
            its key's position.
    """

    name: str
    value: Any
    locate: Callable[[], Mapping[Path, Position]] = dict

    @cached_property
    def _positions(self) -> Mapping[Path, Position]:
        return self.locate()

    def position(self, path: Path) -> Position | None:
        """Return the line and column of a value or of the closest value that contains it."""
        while path and path not in self._positions:
            path = path[:-1]
        return self._positions.get(path)

    def location(self, path: Path) -> str:
        """Return `FILE:LINE:COLUMN`, or the name and the path if the value has no position."""
        if position := self.position(path):
            return f"{self.name}:{position[0]}:{position[1]}"
        is_key = bool(path) and isinstance(path[-1], str)  # messages contain the key
        return ": ".join(filter(None, [self.name, path_text(path[:-1] if is_key else path)]))

    def describe(self, finding: Finding) -> str:
        """Return a finding's location and message, without repeating the name of a list item."""
        location, name = self.location(finding.path), name_of(finding.path)
        if name.endswith("]") and finding.message.startswith(f"{name} "):
            location = location.removesuffix(name).rstrip(".: ")
        return f"{location}: {finding.message}"


class DefinitionError(ValueError):
    """The definition is invalid; the message describes the first mistake.

    Args:
        document: The document.
        findings: The mistakes.
    """

    def __init__(self, document: Document, findings: Findings) -> None:
        more = len(findings) - 1
        suffix = f" ({more} more mistake{'s' if more > 1 else ''})" if more else ""
        super().__init__(document.describe(findings[0]) + suffix)
        self.document = document
        self.findings = findings


def path_text(path: Path) -> str:
    """Return a path as text, such as `task_queues[0].target_workers`."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return "".join(parts).removeprefix(".")[:200]


def name_of(path: Path) -> str:
    """Return the name of a field for a message, such as `friendly_name` or `events_filter[2]`."""
    start = max((index for index, key in enumerate(path) if isinstance(key, str)), default=0)
    name = "".join(key if isinstance(key, str) else f"[{key}]" for key in path[start:])
    return name or "the Workspace"


def walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield a value and all its parts, each with its path. Parts follow their containers."""
    yield path, value
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from walk(item, (*path, key))


def read_bytes(file: FilePath) -> bytes:
    """Read a file of limited size.

    Raises:
        DefinitionError: The file cannot be read or is too large.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        problem = f"the file cannot be read: {error.strerror or error}"
        raise _error(str(file), None, problem) from error
    if len(content) > MAX_BYTES:
        raise _error(str(file), None, f"the file has more than {MAX_BYTES:,} bytes")
    return content


def parse(content: bytes, name: str) -> Document:
    """Parse a document.

    Args:
        content: UTF-8 text, with or without a byte order mark.
        name: Name of the file, for messages.

    Raises:
        DefinitionError: The content is not UTF-8, is neither YAML nor JSON, contains an
            unsupported feature, or is too large for YAML.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _error(name, (line, 1), "the file is not UTF-8; save it as UTF-8") from error
    if text.lstrip()[:1] == "{":
        try:
            value = json.loads(
                text, object_pairs_hook=_require_unique_keys, parse_constant=_reject_constant
            )
        except (ValueError, RecursionError):
            pass  # the text is parsed as YAML below, which finds the position of the mistake
        else:
            return Document(name, value, lambda: _locate_json(name, text))
    if len(content) > MAX_YAML_BYTES:
        raise _error(
            name,
            None,
            f"the file has more than {MAX_YAML_BYTES:,} bytes of YAML; write it as JSON, which is"
            " read faster",
        )
    return _Builder(name, text).build()


def _locate_json(name: str, text: str) -> Mapping[Path, Position]:
    """Return the positions of values in JSON, or no positions if the JSON is not valid YAML.

    For example, a key can be too long for YAML.
    """
    try:
        # JSON allows tabs between any two tokens, but YAML does not.
        return _Builder(name, text.replace("\t", " ")).build().locate()
    except DefinitionError:
        return {}


def _error(name: str, position: Position | None, message: str) -> DefinitionError:
    document = Document(name, None, lambda: {(): position} if position else {})
    return DefinitionError(document, [Finding((), message)])


def _require_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("duplicate key")
    return values


def _reject_constant(text: str) -> None:
    raise ValueError(text)


class _Builder:
    """Builds a document from the events of a YAML parser.

    Args:
        name: Name of the file.
        text: The YAML.
    """

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self._events = YAML(typ="safe", pure=True).parse(text)
        self._positions: dict[Path, Position] = {}

    def build(self) -> Document:
        """Build the document.

        Raises:
            DefinitionError: The text is not YAML, or contains an unsupported feature.
        """
        try:
            value = self._build_documents()
        except MarkedYAMLError as error:
            mark = error.problem_mark
            position = (mark.line + 1, mark.column + 1)
            raise self._error(position, self._describe(error, position[0])) from error
        except DefinitionError:
            raise
        # For invalid escape sequences and directives, ruamel.yaml raises errors without a position.
        except (YAMLError, AssertionError, ValueError, OverflowError) as error:
            raise self._error(None, f"the file is not YAML: {_first_line(error)}") from error
        return Document(self._name, value, lambda: self._positions)

    def _build_documents(self) -> Any:
        value = None
        count = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                count += 1
                if count > 1 or (event.version and tuple(event.version) != (1, 2)):
                    problem = "the file must contain one YAML 1.2 document"
                    raise self._error(_start(event), problem)
                value = self._value(next(self._events), (), 0)
        return value

    def _value(self, event: Any, path: Path, depth: int) -> Any:
        self._positions.setdefault(path, _start(event))
        is_scalar = isinstance(event, ScalarEvent)
        if event.anchor:  # an alias also has an anchor
            problem = "anchors and aliases are not supported; repeat the value"
        elif event.tag and not (is_scalar and event.tag == "!"):
            problem = f"tags such as {event.tag[:50]} are not supported"
        elif depth > _MAX_DEPTH:
            problem = f"values are nested more than {_MAX_DEPTH} levels deep"
        elif is_scalar:
            return self._scalar(event)
        elif isinstance(event, SequenceStartEvent):
            return self._sequence(path, depth)
        else:
            return self._mapping(path, depth)
        raise self._error(_start(event), problem)

    def _sequence(self, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._value(event, path, depth + 1)
            if not isinstance(key, str):
                problem = f"a key must be a string in quotes, not {describe(key)}"
                raise self._error(_start(event), problem)
            if key in items:
                raise self._error(_start(event), f"the key {key[:100]!r} occurs twice")
            self._positions[*path, key] = _start(event)
            items[key] = self._value(next(self._events), (*path, key), depth + 1)
        return items

    def _scalar(self, event: ScalarEvent) -> Any:
        is_plain = event.implicit[0] and not event.tag
        try:
            return plain_value(event.value) if is_plain else _join_surrogates(event.value)
        except ValueError as error:
            raise self._error(_start(event), str(error)) from error

    def _error(self, position: Position | None, message: str) -> DefinitionError:
        return _error(self._name, position, message)

    def _describe(self, error: MarkedYAMLError, line: int) -> str:
        lines = self._text.splitlines()
        text = lines[line - 1] if line <= len(lines) else ""
        if "\t" in text[: len(text) - len(text.lstrip())]:
            return "the line is indented with a tab; indent with spaces"
        return f"the file is not YAML: {_first_line(error.problem or error.context or error)}"


def _start(event: Event) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _first_line(error: object) -> str:
    return str(error).partition("\n")[0][:200]


def plain_value(text: str) -> Any:
    """Return the value of an unquoted scalar, as in the core schema of YAML 1.2.

    Unlike in the core schema, hexadecimal and octal numbers, infinity and NaN are strings.
    """
    words = {"": None, "~": None, "null": None, "true": True, "false": False}
    folded = text.lower() if text in {text.lower(), text.upper(), text.capitalize()} else text
    if folded in words:
        return words[folded]
    if re.fullmatch(r"[-+]?[0-9]{1,300}", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"the number {text[:50]} is too large")
        return number
    return text


def _join_surrogates(text: str) -> str:
    """Return the text with each escaped surrogate pair replaced by one character, as in JSON."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def describe(value: Any) -> str:
    """Describe a value for a message, in YAML's terms."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value)[:100]
