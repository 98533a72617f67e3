"""The callback log: request lines of callbacks, as `chalicelib.observability` writes them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chalicelib.domain.errors import BadRequest

CALLBACK_ROUTES = ("/assignment_callback", "/assignment_callback/fallback", "/event_callback")
"""The routes whose requests the callback log contains."""

RETENTION_DAYS = 30
"""Number of days that can be searched: the default of ``LogRetentionDays`` in infra/stage.yaml."""

_CURSOR = re.compile(
    "([0-9]{1,15})-([0-9]{1,4})(?:-([0-9]{1,15})(?:-([0-9]{1,15})-([0-9]{1,4})-([!-~]+))?)?"
)

INVALID_CURSOR = (
    "cursor must be the next_cursor of a page of the same search, received within the last day."
)
"""Message about an invalid cursor. The tokens of CloudWatch Logs expire after 24 hours."""

_MAX_COUNT = 9_999
"""Maximum value of `LogPosition.skipped` and of `LogPosition.seen` in a cursor."""


@dataclass(frozen=True)
class LogLine:
    """A line of the log.

    Attributes:
        at: the time at which the line was written, in epoch ms.
        text: the line, which is not necessarily JSON.
    """

    at: int
    text: str

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """The fields of the line; empty if the line is not a JSON object."""
        try:
            fields = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return fields if isinstance(fields, dict) else {}


@dataclass(frozen=True)
class LogPosition:
    """The position at which a search continues.

    Attributes:
        at: epoch ms; lines that were written later have already been returned.
        skipped: number of matching lines written at that time that have already been returned.
        since: epoch ms; the start of the time window to search next. If 0, the log adapter
            chooses the window.
        token: the log service's token for the rest of this window, if part of it has been searched.
        seen_at: epoch ms; the time of the oldest matching line in the searched part.
        seen: number of matching lines written at that time in the searched part.
    """

    at: int
    skipped: int = 0
    since: int = 0
    token: str = ""
    seen_at: int = 0
    seen: int = 0

    def to_cursor(self) -> str:
        """Return the position as text."""
        cursor = f"{self.at}-{min(self.skipped, _MAX_COUNT)}"
        if self.since:
            cursor += f"-{self.since}"
        if self.token:
            cursor += f"-{self.seen_at}-{min(self.seen, _MAX_COUNT)}-{self.token}"
        return cursor

    @classmethod
    def from_cursor(cls, cursor: str) -> "LogPosition":
        """Parse a cursor made by `to_cursor`; raise BadRequest for any other text."""
        parsed = _CURSOR.fullmatch(cursor)
        if parsed is None or int(parsed[3] or 0) > int(parsed[1]):
            raise BadRequest(INVALID_CURSOR)
        at, skipped, since, seen_at, seen = (int(number or 0) for number in parsed.groups()[:5])
        return cls(at, skipped, since, parsed[6] or "", seen_at, seen)


@dataclass(frozen=True)
class LogPage:
    """Consecutive lines of the log.

    Attributes:
        lines: the lines, newest first. Lines that do not match the query may be among them.
        searched_until: epoch ms; this page and the pages before it contain all matching lines that
            were written at this time or later.
        position: the position after this page. On the last page, `position.at` is before the
            earliest time of the query.
    """

    lines: Sequence[LogLine]
    searched_until: int
    position: LogPosition


@dataclass(frozen=True)
class CallbackQuery:
    """A query for the lines of callbacks.

    Attributes:
        since: epoch ms; the earliest time to search.
        until: epoch ms; the latest time to search.
        fields: the values that fields must have, by name. Log adapters copy names and values into
            filter patterns, so each value must be a SID, a route of CALLBACK_ROUTES or a number.
    """

    since: int
    until: int
    fields: Mapping[str, str | int]

    def matches(self, line: LogLine) -> bool:
        """Return whether a line is the request line of a callback that the query selects."""
        return (
            self.since <= line.at <= self.until
            and line.fields.get("event") == "request"
            and line.fields.get("route") in CALLBACK_ROUTES
            and all(line.fields.get(name) == value for name, value in self.fields.items())
        )
