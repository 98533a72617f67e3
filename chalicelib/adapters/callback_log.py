"""The callback log in CloudWatch Logs.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.adapters.aws import JsonApi, describe_error, is_transient
from chalicelib.adapters.exchange import PARSE_ERRORS
from chalicelib.domain.callback_log import (
    CALLBACK_ROUTES,
    INVALID_CURSOR,
    CallbackQuery,
    LogLine,
    LogPage,
    LogPosition,
)
from chalicelib.domain.errors import BadRequest, CallbackLogUnavailable
from chalicelib.domain.messages import describe_connection_failure

REQUEST_SECONDS = 4.0
"""Time limit for a request."""

SEARCH_SECONDS = 2.0
"""Duration of a search after which the search sends no further request."""

_FIRST_WINDOW_MS = 5 * 60_000
_WINDOW_GROWTH = 12
"""After a window that needed one request, the next window is this many times as long, so that five
requests cover 30 quiet days. CloudWatch Logs allows only a few requests per second per account and
region."""

_MAX_LIMIT = 10_000
"""Maximum value of FilterLogEvents' ``limit``."""

_MAX_BYTES = 4 * 2**20
"""Maximum size of a response. FilterLogEvents returns up to 1 MB of lines; escaped quotation marks
and the events' IDs enlarge the response."""

_RETRY_AFTER_SECONDS = 2


class CloudWatchCallbackLog:
    """Implements `chalicelib.usecases.ports.CallbackLog` with CloudWatch Logs.

    The log is searched backward in time windows. A window that has been searched completely needs
    no further request, even if it contained no matching line. If a search ends within a window, the
    next search continues with CloudWatch Logs' token.

    Args:
        log_group: the name of the log group.
        seconds: time limit for a request.
        monotonic: returns the time in seconds; used to limit the duration of a search.
    """

    def __init__(
        self,
        log_group: str,
        *,
        seconds: float = REQUEST_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log_group = log_group
        self._monotonic = monotonic
        self._api = JsonApi(
            "logs",
            target="Logs_20140328",
            version="1.1",
            seconds=seconds,
            attempts=1,
            max_bytes=_MAX_BYTES,
        )

    def read_backward(
        self, query: CallbackQuery, *, limit: int, position: LogPosition
    ) -> Iterator[LogPage]:
        """Yield pages of the log; see `chalicelib.usecases.ports.CallbackLog`."""
        ends_at = self._monotonic() + SEARCH_SECONDS
        parameters = {
            "logGroupName": self._log_group,
            "filterPattern": filter_pattern(query),
            "limit": min(limit, _MAX_LIMIT),
            "startFromHead": False,  # newest first
        }
        if not position.token:
            since = position.since or position.at - _FIRST_WINDOW_MS + 1
            position = replace(position, since=max(query.since, since))
        searched_until = query.until + 1
        while position.at >= query.since:
            window = {"startTime": position.since, "endTime": position.at}
            continuation = {"nextToken": position.token} if position.token else {}
            lines, token = self._read({**parameters, **window, **continuation})
            if not token:
                searched_until = position.since
            elif lines:
                # The next page may contain more lines from the same millisecond.
                searched_until = min(searched_until, lines[-1].at + 1)
            position = _next_position(query, position, token)
            yield LogPage(lines, searched_until, position)
            if self._monotonic() >= ends_at:
                return

    def _read(self, parameters: dict[str, Any]) -> tuple[list[LogLine], str]:
        """Return a page of lines, newest first, and the token for the next page, if any."""
        try:
            response = self._api.call("FilterLogEvents", parameters)
            lines = [_to_line(event) for event in response.get("events", [])]
            token = response.get("nextToken") or ""
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if "nextToken" in parameters and code == "InvalidParameterException":
                raise BadRequest(INVALID_CURSOR) from error
            raise _failure(
                describe_error("CloudWatch Logs", error), may_retry=is_transient(error)
            ) from error
        except BotoCoreError as error:
            url = error.kwargs.get("endpoint_url")
            cause = (
                f"CloudWatch Logs {describe_connection_failure(url, error)}"
                if url
                else f"the request to CloudWatch Logs failed ({type(error).__name__})"
            )
            raise _failure(f"{cause}. Retry.") from error
        except PARSE_ERRORS as error:
            raise _failure("CloudWatch Logs returned a malformed response. Retry.") from error
        lines.sort(key=lambda line: line.at, reverse=True)
        return lines, token


def _to_line(event: Any) -> LogLine:
    return LogLine(int(event["timestamp"]), str(event["message"]))


def _failure(cause: str, *, may_retry: bool = True) -> CallbackLogUnavailable:
    return CallbackLogUnavailable(
        f"The callback log can't be read: {cause}",
        retry_after=_RETRY_AFTER_SECONDS if may_retry else None,
    )


def _next_position(query: CallbackQuery, searched: LogPosition, token: str) -> LogPosition:
    """Return the rest of the searched window if there is a token, otherwise the next window."""
    if token:
        return replace(searched, token=token)
    length_ms = searched.at - searched.since + 1
    if not searched.token:
        length_ms *= _WINDOW_GROWTH
    end = searched.since - 1
    return LogPosition(end, since=max(query.since, end - length_ms + 1))


def filter_pattern(query: CallbackQuery) -> str:
    """Return the filter pattern that selects the lines of a query.

    The values contain neither quotation marks nor backslashes; see `CallbackQuery`.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    routes = " || ".join(f'$.route = "{route}"' for route in CALLBACK_ROUTES)
    conditions = ['$.event = "request"', f"({routes})"]
    for name, value in query.fields.items():
        conditions.append(f"$.{name} = {value}" if name == "status" else f'$.{name} = "{value}"')
    return f"{{ {' && '.join(conditions)} }}"
