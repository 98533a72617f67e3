"""What went in and out, and what went wrong, for tests and the portal to read."""

from collections import deque
from collections.abc import Callable
from typing import Any

MAX_ANSWER = 20_000
"""How many characters of an answer in text are kept: an app may answer with a megabyte."""


class Log:
    """The newest entries, numbered from 1.

    Args:
        size: how many to keep.
        answers: how many of the newest keep the answer of a request; lists of many add up.
        now: the simulator's time, in seconds since the epoch.
    """

    def __init__(self, size: int, answers: int, now: Callable[[], float]) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=size)
        self._answers = answers
        self._count = 0
        self._now = now

    def record(self, kind: str, **what: Any) -> None:
        """Add an entry.

        Args:
            kind: "request", "assignment", "fallback", "event", "twiml", "call" or "alert".
            **what: its fields; of a longer `answer` in text the beginning is kept, and
                `answer_length` in characters.
        """
        self._count += 1
        answer = what.get("answer")
        if isinstance(answer, str) and len(answer) > MAX_ANSWER:
            what |= {"answer": answer[:MAX_ANSWER], "answer_length": len(answer)}
        self._entries.append({"id": self._count, "at": self._now(), "kind": kind, **what})
        if len(self._entries) > self._answers:
            aged = self._entries[-self._answers - 1]
            if aged["kind"] == "request":
                aged["answer"] = None

    def clear(self) -> None:
        """Forget the entries; the numbers go on."""
        self._entries.clear()

    def entries(self, kind: str | None = None, after: int = 0) -> list[dict[str, Any]]:
        """The entries, oldest first, of one kind or of all, with a number above `after`."""
        return [
            entry
            for entry in self._entries
            if entry["id"] > after and kind in {None, entry["kind"]}
        ]
