"""Search the callback log."""

from dataclasses import dataclass

from chalicelib.domain.callback_log import CallbackQuery, LogLine, LogPosition
from chalicelib.domain.errors import CallbackLogUnavailable
from chalicelib.usecases.ports import CallbackLog

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
"""Default and maximum number of callbacks per page."""


@dataclass(frozen=True)
class CallbackPage:
    """A page of the callback log.

    Attributes:
        callbacks: the request lines of callbacks, newest first.
        next_cursor: the cursor of the next page, which may be empty; None if no older line matches.
        searched_until: epoch ms; the pages so far contain all matching lines since this time.
        is_complete: False if the search ended early, for lack of time or because of a failure.
    """

    callbacks: list[LogLine]
    next_cursor: str | None
    searched_until: int
    is_complete: bool


def search_callbacks(
    query: CallbackQuery, *, log: CallbackLog, limit: int, skipped: int = 0
) -> CallbackPage:
    """Return the newest matching callbacks.

    The search ends when the page is full, so the page after the last callback may be empty.
    If the log fails after a part of it has been searched, the page contains the callbacks found.

    Args:
        query: the callbacks to return.
        log: the callback log.
        limit: maximum number of callbacks per page.
        skipped: number of matching lines written at ``query.until`` that were already returned.

    Raises:
        CallbackLogUnavailable: the log can't be read.
    """
    if query.since > query.until:
        return CallbackPage([], None, query.until, is_complete=True)
    found: list[LogLine] = []
    searched_until = query.until + 1
    try:
        for page in log.read_backward(query, limit=skipped + limit):
            found += filter(query.matches, page.lines)
            searched_until = page.searched_until
            if len(found) >= skipped + limit:
                break
    except CallbackLogUnavailable as error:
        if searched_until > query.until or error.retry_after is None:
            raise
    begin = min(skipped, _count_at(query.until, found))
    end = begin + limit
    if len(found) <= end and searched_until <= query.since:
        return CallbackPage(found[begin:], None, query.since, is_complete=True)
    if len(found) >= end:
        oldest = found[end - 1].at
        cursor = LogPosition(oldest, _count_at(oldest, found[:end])).to_cursor()
        return CallbackPage(found[begin:end], cursor, oldest, is_complete=True)
    # Other lines of the millisecond before `searched_until` may not have been read.
    before = searched_until - 1
    cursor = LogPosition(before, _count_at(before, found)).to_cursor()
    return CallbackPage(found[begin:], cursor, searched_until, is_complete=False)


def _count_at(at: int, lines: list[LogLine]) -> int:
    return sum(line.at == at for line in lines)
