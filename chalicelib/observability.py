"""Logs: one JSON line a request or sweep, made of what was bound on the way.

Never in a line: a token, a signature, a key, or attributes. So errors are told by type and place,
not by their message, which may repeat what came in.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_logger = logging.getLogger("taskrouter-callbacks")
_bound: ContextVar[dict[str, Any] | None] = ContextVar("bound", default=None)

UNRECORDED_RESERVATION = "UnrecordedReservation"
"""A callback was answered by the fallback although its Reservation could not be recorded: a member
of the request's line that an alarm counts (infra/stage.yaml)."""

FAILED_RULES = "FailedRules"
"""How many rules should have answered a callback and could not: another such member."""


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Write our lines, from *level* on (such as ``INFO``), to standard output as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    _logger.handlers = [handler]
    _logger.setLevel(level)
    _logger.propagate = False
    for talkative in ("botocore", "twilio.http_client"):
        # They tell of credentials found and of requests sent, attributes and all.
        logging.getLogger(talkative).setLevel(logging.WARNING)


def start() -> None:
    """Begin a request: nothing is bound yet."""
    _bound.set({})


def bind(**fields: Any) -> None:
    """Add *fields* to the line that this request will write; None says nothing."""
    bound = _bound.get()
    if bound is not None:
        bound.update({name: value for name, value in fields.items() if value is not None})


def log(event: str, fields: Mapping[str, Any], *, level: int = logging.INFO) -> None:
    """Write one line: what happened, what was bound, and *fields*.

    A Reservation that could not be recorded is told whatever LOG_LEVEL is: an alarm hangs on it.
    """
    line = {**(_bound.get() or {}), **fields}
    if UNRECORDED_RESERVATION in line:
        level = logging.ERROR
    _logger.log(level, event, extra={"fields": line})


def log_crash(event: str, error: BaseException) -> None:
    """Write one line about an error that nothing foresaw: its types and its frames."""
    chain = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log(event, {"error": chain, "where": where}, level=logging.ERROR)
