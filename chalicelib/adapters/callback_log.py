"""The callback log in CloudWatch Logs.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.adapters.aws import JsonApi, describe_error, is_transient
from chalicelib.adapters.exchange import PARSE_ERRORS
from chalicelib.domain.callback_log import CALLBACK_ROUTES, CallbackQuery, LogLine, LogPage
from chalicelib.domain.errors import CallbackLogUnavailable
from chalicelib.domain.messages import describe_connection_failure

REQUEST_SECONDS = 4.0
"""Time limit of a request."""

LATEST_REQUEST_SECONDS = 2.0
"""Time after which no further request of a search starts."""

_FIRST_WINDOW_MS = 5 * 60_000
_WINDOW_GROWTH = 12
"""Each window is this many times as long as the window before it, so that five windows cover
30 days. CloudWatch Logs allows only a few requests per second per account and region."""

_MAX_LIMIT = 10_000
"""Maximum value of FilterLogEvents' ``limit``."""

_MAX_BYTES = 4 * 2**20
"""Maximum size of a response: 1 MB of lines whose quotation marks are escaped, and their IDs."""

_RETRY_AFTER_SECONDS = 2


class CloudWatchCallbackLog:
    """Implements `chalicelib.usecases.ports.CallbackLog` with CloudWatch Logs.

    The log is searched backward in time windows. Once a window has been searched completely, all of
    its matching lines are known, even if CloudWatch Logs returned none.

    Args:
        log_group: the name of the log group.
        seconds: time limit of a request.
        monotonic: returns the time in seconds, for the time limit of a search.
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

    def read_backward(self, query: CallbackQuery, *, limit: int) -> Iterator[LogPage]:
        """Yield pages of the log; see `chalicelib.usecases.ports.CallbackLog`."""
        ends_at = self._monotonic() + LATEST_REQUEST_SECONDS
        parameters = {
            "logGroupName": self._log_group,
            "filterPattern": filter_pattern(query),
            "limit": min(limit, _MAX_LIMIT),
            "startFromHead": False,  # newest first
        }
        searched_until = query.until + 1
        for start, end in _windows(query):
            token: dict[str, str] = {}
            while True:
                lines, token = self._read(
                    {**parameters, "startTime": start, "endTime": end, **token}
                )
                if not token:
                    searched_until = start
                elif lines:
                    # CloudWatch Logs may return other lines of the same millisecond later.
                    searched_until = min(searched_until, lines[-1].at + 1)
                yield LogPage(lines, searched_until)
                if self._monotonic() >= ends_at:
                    return
                if not token:
                    break

    def _read(self, parameters: dict[str, Any]) -> tuple[list[LogLine], dict[str, str]]:
        """Return a page of lines, newest first, and the parameter for the next page, if any."""
        try:
            response = self._api.call("FilterLogEvents", parameters)
            lines = [_to_line(event) for event in response.get("events", [])]
            token = response.get("nextToken")
        except ClientError as error:
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
        return lines, {"nextToken": token} if token else {}


def _to_line(event: Any) -> LogLine:
    return LogLine(int(event["timestamp"]), str(event["message"]))


def _failure(cause: str, *, may_retry: bool = True) -> CallbackLogUnavailable:
    return CallbackLogUnavailable(
        f"The callback log can't be read: {cause}",
        retry_after=_RETRY_AFTER_SECONDS if may_retry else None,
    )


def _windows(query: CallbackQuery) -> Iterator[tuple[int, int]]:
    """Yield the first and the last time of each window in epoch ms, newest window first."""
    end, length = query.until, _FIRST_WINDOW_MS
    while end >= query.since:
        start = max(query.since, end - length + 1)
        yield start, end
        end, length = start - 1, length * _WINDOW_GROWTH


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
