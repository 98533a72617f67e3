"""The log of requests, callbacks, call steps and alerts."""

from collections import deque
from collections.abc import Callable
from typing import Any

KINDS = ("request", "assignment", "fallback", "event", "twiml", "status", "call", "alert")
"""Allowed values of an entry's `kind`."""
MAX_ANSWER_LENGTH = 20_000
"""Maximum length of a logged text response in characters.

An app can return a megabyte, so longer responses are truncated.
"""


class Log:
    """The newest log entries, numbered from 1.

    Args:
        max_entries: Maximum number of entries.
        max_answers: Number of most recent entries for which REST responses are kept. Older
            responses are dropped, because long lists use a lot of memory.
        now: Returns the simulator's time in seconds since the epoch.

    Attributes:
        position: Number of the latest entry.
    """

    def __init__(self, max_entries: int, max_answers: int, now: Callable[[], float]) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=max_entries)
        self._max_answers = max_answers
        self.position = 0
        self._now = now

    def record(self, kind: str, **fields: Any) -> None:
        """Add an entry.

        Args:
            kind: One of KINDS.
            **fields: Fields of the entry. A text `answer` longer than MAX_ANSWER_LENGTH is
                truncated, and `answer_length` is its original length in characters.
        """
        self.position += 1
        answer = fields.get("answer")
        if isinstance(answer, str) and len(answer) > MAX_ANSWER_LENGTH:
            fields |= {"answer": answer[:MAX_ANSWER_LENGTH], "answer_length": len(answer)}
        self._entries.append({"id": self.position, "at": self._now(), "kind": kind, **fields})
        if len(self._entries) > self._max_answers:
            old = self._entries[-self._max_answers - 1]
            if old["kind"] == "request":
                old["answer"] = None

    def clear(self) -> None:
        """Remove all entries; numbering continues."""
        self._entries.clear()

    def entries(self, kind: str | None = None, after: int = 0) -> list[dict[str, Any]]:
        """Return the entries, oldest first.

        Args:
            kind: One of KINDS; None returns all kinds.
            after: Return only entries with a higher number.
        """
        return [
            entry
            for entry in self._entries
            if entry["id"] > after and kind in {None, entry["kind"]}
        ]
