"""Logs: one JSON line per request or sweep, with the fields bound while it ran.

A line never contains a token, a signature, a key or attributes. Errors are therefore logged by
type and location, not by message, because a message may repeat request data.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack

UNRECORDED_RESERVATION = "UnrecordedReservation"


class LogFields(TypedDict, total=False):
    """Fields that a request or a sweep can bind to its log line; None values are omitted.

    The members of a request's line that alarms read (infra/stage.yaml) are ``error``,
    ``UnrecordedReservation`` and ``FailedRules``.
    """

    answer: str | None
    """Assignment instruction of a callback, or status after a decision."""

    asked: str | None
    """Status that the caller requested."""

    call_sid: str | None
    checked_url: str | None
    """URL against which an invalid signature was checked; shows a wrong PUBLIC_BASE_URL."""

    error: str | None
    """``Code`` of the error in the response."""

    event_type: str | None
    """``EventType`` of an event callback."""

    failed_rules: Sequence[str] | None
    """``rule: parameters`` of the rules that should have answered a callback but could not."""

    found: int | None
    """Number of Reservations in a page."""

    news: bool | None
    """Whether an event changed the record."""

    principal: str | None
    """Name of the authenticated caller."""

    queue_result: str | None
    reservation_sid: str | None
    rule: str | None
    """Name of the rule that answered a callback."""

    secrets: str | None
    """Reason why the secrets can't be read."""

    selected_language: str | None
    task_sid: str | None
    worker_sid: str | None

    UnrecordedReservation: int | None
    """1 if the fallback answered a callback whose Reservation could not be recorded."""

    FailedRules: int | None
    """Number of rules in ``failed_rules``."""


_logger = logging.getLogger("taskrouter-callbacks")
_bound: ContextVar[dict[str, Any] | None] = ContextVar("bound", default=None)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Write lines of at least *level* (such as ``INFO``) to stdout as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter())
    _logger.handlers = [handler]
    _logger.setLevel(level)
    _logger.propagate = False
    for verbose in ("botocore", "twilio.http_client"):
        # At INFO, they log where credentials were found, and requests including attributes.
        logging.getLogger(verbose).setLevel(logging.WARNING)


def start() -> None:
    """Start a request: clear the bound fields."""
    _bound.set({})


def bind(**fields: Unpack[LogFields]) -> None:
    """Add fields to the log line of the current request; None values are omitted."""
    bound = _bound.get()
    if bound is not None:
        bound.update({name: value for name, value in fields.items() if value is not None})


def log(event: str, fields: Mapping[str, Any], *, level: int = logging.INFO) -> None:
    """Write one line with the event, the bound fields and *fields*.

    A line about an unrecorded Reservation is written at any LOG_LEVEL, because an alarm counts it.
    """
    line = {**(_bound.get() or {}), **fields}
    if UNRECORDED_RESERVATION in line:
        level = logging.ERROR
    _logger.log(level, event, extra={"fields": line})


def log_crash(event: str, error: BaseException) -> None:
    """Write one line with the types and stack frames of an unexpected error."""
    chain = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log(event, {"error": chain, "where": where}, level=logging.ERROR)
