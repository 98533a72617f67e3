"""Search the callback log."""

from dataclasses import dataclass, replace

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
        next_cursor: the cursor of the next page; None if no older line matches. The next page may
            be empty.
        searched_until: epoch ms; the pages so far contain all matching lines written after this
            time.
        is_complete: False if the search ended early, for lack of time or because of a failure.
    """

    callbacks: list[LogLine]
    next_cursor: str | None
    searched_until: int
    is_complete: bool


def search_callbacks(
    query: CallbackQuery, *, log: CallbackLog, limit: int, position: LogPosition
) -> CallbackPage:
    """Return a page of the matching callbacks, newest first.

    The search ends when the page is full, so the next page may be empty. If a read of the log
    fails, but a retry may help, the page contains the callbacks found before the failure. If the
    search ends before the page is full, the cursor continues after the searched part of the log.

    Args:
        query: the callbacks to return.
        log: the callback log.
        limit: maximum number of callbacks per page.
        position: the position at which the search starts; its time is ``query.until``.

    Raises:
        BadRequest: the position's token is unknown or has expired.
        CallbackLogUnavailable: the first read of the log failed, or a retry would not help.
    """
    if query.since > query.until:
        return CallbackPage([], None, query.until, is_complete=True)
    found: list[LogLine] = []
    searched_until, skipped, reached = query.until + 1, position.skipped, position
    try:
        for page in log.read_backward(query, limit=skipped + limit, position=position):
            found += filter(query.matches, page.lines)
            searched_until, reached = page.searched_until, page.position
            if len(found) >= skipped + limit:
                break
    except CallbackLogUnavailable as error:
        if reached is position or error.retry_after is None:
            raise
    begin = min(skipped, _count_at(query.until, found))
    end = begin + limit
    if len(found) <= end and searched_until <= query.since:
        return CallbackPage(found[begin:], None, query.since, is_complete=True)
    if len(found) >= end:
        oldest = found[end - 1].at
        cursor = LogPosition(oldest, _count_seen(position, oldest, found[:end])).to_cursor()
        return CallbackPage(found[begin:end], cursor, oldest, is_complete=True)
    if reached.at == query.until:
        reached = replace(reached, skipped=skipped - begin)
    if reached.token:
        seen_at = found[-1].at if found else position.seen_at
        seen = _count_seen(position, seen_at, found)
        reached = replace(reached, seen_at=seen_at, seen=seen)
    return CallbackPage(found[begin:], reached.to_cursor(), searched_until, is_complete=False)


def _count_seen(position: LogPosition, at: int, lines: list[LogLine]) -> int:
    """Count the matching lines written at time *at*, including those counted in *position*."""
    return _count_at(at, lines) + (position.seen if position.seen_at == at else 0)


def _count_at(at: int, lines: list[LogLine]) -> int:
    return sum(line.at == at for line in lines)
