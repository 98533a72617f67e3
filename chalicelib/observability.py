"""Structured logging: one JSON line per request, sweep or error.

Each line written during a request contains the fields that the request has bound so far.

A line never contains a token, a signature, a key or attributes. The message of an unexpected error
may repeat request data, so unexpected errors are logged by type and location only.
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

_MAX_TEXT_LENGTH = 500
_MAX_ITEMS = 20
"""Maximum lengths of a string and of a list.

A line must fit into one CloudWatch Logs event, whose maximum size was 256 KiB until 2025.
"""


class LogFields(TypedDict, total=False):
    """Fields that a request can bind to its log line; None values are omitted.

    Metric filters in infra/stage.yaml count the request lines whose ``error`` is
    ``InvalidSignature``, and those that contain ``UnrecordedReservation`` or
    ``UnreadableCallback``. Another filter adds up the values of ``FailedRules``.
    """

    answer: str | None
    """Instruction that answers a callback, or the Reservation's status after a REST request."""

    asked: str | None
    """Status that the API client requested for the Reservation, such as ``accepted``."""

    call_sid: str | None
    changed: bool | None
    """Whether an event created or changed the record of a Reservation or of a Worker's Activity."""

    checked_url: str | None
    """URL against which an invalid signature was checked, without parts that may be secrets."""

    error: str | None
    """``Code`` of the error that occurred, even if the fallback returned 200."""

    event_type: str | None
    """``EventType`` of an event callback."""

    failed_rules: Sequence[str] | None
    """Failures while choosing the answer to a callback.

    Each is ``rule: parameters``, ``RULES_FILE`` if the file could not be loaded, or
    ``rules: error type`` for any other error.
    """

    found: int | None
    """Number of Reservations or callbacks in the response."""

    likely_cause: str | None
    """Likely cause of an invalid signature; see `chalicelib.adapters.twilio.signature`."""

    principal: str | None
    """Name of the authenticated API client."""

    queue_result: str | None
    reason: str | None
    """Reason why a token or a request from Twilio was rejected, or why a sign-in or a request to
    TaskRouter or AWS failed.

    If the reason repeats a message from Twilio, `chalicelib.domain.messages.public_text` has
    removed private text from the message.
    """

    reservation_sid: str | None
    rule: str | None
    """Name of the rule that determined the answer to a callback."""

    secrets: str | None
    """Reason for a failure to read the secrets."""

    selected_language: str | None
    signed: bool | None
    """Whether the request's Twilio signature is valid; missing if it was not checked."""

    sign_in: str | None
    """Failure code of a sign-in to the console, as shown on the page."""

    task_sid: str | None
    unreadable: str | None
    """Callback parameter that a rule reads but that can't be parsed, such as ``TaskAttributes``."""

    worker_sid: str | None

    UnrecordedReservation: int | None
    """1 if the fallback answered a callback whose Reservation could not be recorded."""

    FailedRules: int | None
    """Number of failures in ``failed_rules``."""

    UnreadableCallback: int | None
    """1 if a rule read a parameter that can't be parsed, so `Rules.unreadable` was chosen."""


class RequestLine(TypedDict):
    """Fields of every request line, in addition to the bound fields."""

    method: str
    route: str
    """Path of the route, with placeholders for path parameters."""

    status: int
    duration_ms: float


class SweepResult(TypedDict):
    """Fields of a sweep line that may still change after the due Reservations are checked."""

    duration_ms: int
    errors: dict[str, int]
    """Number of failures by error ``Code``."""

    ok: bool


class SweepLine(SweepResult):
    """Fields of a sweep line; the latest line is also stored in the state table.

    The counts from ``mirrored`` to ``left`` are the outcomes of checking due Reservations.
    """

    at: int
    """Start of the sweep, in epoch ms."""

    due: int
    """Number of due Reservations that were read."""

    oldest_due_ms: int
    """Time since the oldest due Reservation became due, in ms."""

    mirrored: int
    unchanged: int
    gone: int
    rejected: int
    completed: int
    failed: int
    left: int
    """Number of Reservations that stay due because of throttling or a lack of time."""

    reconciled: int
    """Number of Reservations whose record the reconciliation created or updated."""

    unreconciled: int
    """Number of steps of the reconciliation that failed or were not started."""

    monitor_only: bool
    reasons: list[str]
    """Reasons why requests to TaskRouter or DynamoDB failed, as in `LogFields`."""


_logger = logging.getLogger("taskrouter-callbacks")
_bound: ContextVar[dict[str, Any] | None] = ContextVar("bound", default=None)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": record.getMessage(),
            **{name: _shorten(value) for name, value in getattr(record, "fields", {}).items()},
        }
        return json.dumps(line, default=str)


def _shorten(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_MAX_TEXT_LENGTH]
    if isinstance(value, list | tuple):
        return [_shorten(item) for item in value[:_MAX_ITEMS]]
    return value


def configure(level: str) -> None:
    """Write records at *level* (such as ``INFO``) or above to stdout as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter())
    _logger.handlers = [handler]
    _logger.setLevel(level)
    _logger.propagate = False
    for verbose in ("botocore", "twilio.http_client"):
        # At INFO, these loggers reveal the source of credentials and requests with attributes.
        logging.getLogger(verbose).setLevel(logging.WARNING)


def copy_lines(handler: logging.Handler) -> None:
    """Also send each line to *handler*, until the next call to `configure`."""
    handler.setFormatter(_JsonFormatter())
    _logger.addHandler(handler)


def start() -> None:
    """Clear the bound fields at the start of a request."""
    _bound.set({})


def bind(**fields: Unpack[LogFields]) -> None:
    """Add fields to the log line of the current request; None values are omitted."""
    bound = _bound.get()
    if bound is not None:
        bound.update({name: value for name, value in fields.items() if value is not None})


def log(event: str, fields: Mapping[str, Any], *, level: int = logging.INFO) -> None:
    """Write one line with the event, the bound fields and *fields*.

    A line with ``UnrecordedReservation`` is logged as an error, so that LOG_LEVEL does not hide it
    from the alarm.
    """
    line = {**(_bound.get() or {}), **fields}
    if UNRECORDED_RESERVATION in line:
        level = logging.ERROR
    _logger.log(level, event, extra={"fields": line})


def log_crash(event: str, error: BaseException) -> None:
    """Write one line with an unexpected error's type, causes and stack frames."""
    chain = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    frames = traceback.extract_tb(error.__traceback__, limit=-_MAX_ITEMS)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    log(event, {"error": chain, "where": where}, level=logging.ERROR)
