"""The callback log of the local stack, in memory."""

import logging
from collections import deque
from collections.abc import Iterator

from chalicelib.domain.callback_log import (
    CALLBACK_ROUTES,
    CallbackQuery,
    LogLine,
    LogPage,
    LogPosition,
)

MAX_LINES = 10_000
"""Maximum number of callbacks in the log. The oldest are removed first."""


class MemoryCallbackLog(logging.Handler):
    """Implements `chalicelib.usecases.ports.CallbackLog` with the log lines of this process.

    `chalicelib.observability.copy_lines` passes the log lines to this handler.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Store the line if it describes a callback."""
        if getattr(record, "fields", {}).get("route") in CALLBACK_ROUTES:
            self._lines.append(LogLine(int(record.created * 1000), self.format(record)))

    def read_backward(
        self,
        query: CallbackQuery,
        *,
        limit: int,  # noqa: ARG002
        position: LogPosition,  # noqa: ARG002
    ) -> Iterator[LogPage]:
        """Yield the whole log as one page; see `chalicelib.usecases.ports.CallbackLog`."""
        self.acquire()
        try:
            lines = [*self._lines]
        finally:
            self.release()
        lines.sort(key=lambda line: line.at, reverse=True)
        yield LogPage(lines, query.since, LogPosition(query.since - 1))
