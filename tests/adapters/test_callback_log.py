"""The callback log in CloudWatch Logs, read from a fake with the documented behavior."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chalicelib.adapters import callback_log
from chalicelib.adapters.callback_log import CloudWatchCallbackLog, filter_pattern
from chalicelib.domain.callback_log import CALLBACK_ROUTES, CallbackQuery, LogPosition
from chalicelib.domain.errors import BadRequest, CallbackLogUnavailable
from chalicelib.usecases.search_callbacks import CallbackPage, search_callbacks
from tests.fake_logs import GROUP, FakeLogs
from tests.support import NOW, sid

MINUTE = 60_000
DAY = 24 * 60 * MINUTE


def search(
    since: int = NOW - 30 * DAY,
    *,
    position: LogPosition = LogPosition(NOW),  # noqa: B008  immutable
    limit: int = 10,
    fields: dict[str, str | int] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    seconds: float = 4.0,
) -> CallbackPage:
    log = CloudWatchCallbackLog(GROUP, seconds=seconds, monotonic=monotonic)
    query = CallbackQuery(since=since, until=position.at, fields=fields or {})
    return search_callbacks(query, log=log, limit=limit, position=position)


def search_all(**options: Any) -> list[CallbackPage]:
    """Return all pages of a search."""
    pages = [search(**options)]
    cursors = set()
    while (cursor := pages[-1].next_cursor) is not None:
        assert cursor not in cursors, "The search makes no progress."
        cursors.add(cursor)
        pages.append(search(position=LogPosition.from_cursor(cursor), **options))
    return pages


def clock_that_allows(requests: int, fake_logs: FakeLogs) -> Callable[[], float]:
    """Return a clock that ends each search after the given number of requests."""
    seconds = callback_log.SEARCH_SECONDS / requests
    return lambda: len(fake_logs.calls) * seconds


def failing(*responses: tuple[int, bytes] | None) -> Callable[[int], tuple[int, bytes] | None]:
    """Return a function for `FakeLogs.before_response` that returns the given responses in turn.

    The function repeats the last response. None means the usual response of the fake.
    """
    return lambda number: responses[min(number, len(responses)) - 1]


def aws_failure(status: int, code: str) -> tuple[int, bytes]:
    return status, json.dumps({"__type": code, "message": "secret"}).encode()


def test_newest_callbacks_need_one_request(fake_logs: FakeLogs) -> None:
    for at in range(NOW - 20, NOW):
        fake_logs.add(at)

    page = search(limit=5)

    assert [line.at for line in page.callbacks] == [NOW - 1, NOW - 2, NOW - 3, NOW - 4, NOW - 5]
    assert (page.searched_until, page.is_complete) == (NOW - 5, True)
    assert page.next_cursor == f"{NOW - 5}-1"
    (request,) = fake_logs.requests
    assert request == {
        "logGroupName": GROUP,
        "filterPattern": (
            '{ $.event = "request" && ($.route = "/assignment_callback" || '
            '$.route = "/assignment_callback/fallback" || $.route = "/event_callback") }'
        ),
        "limit": 5,
        "startFromHead": False,
        "startTime": NOW - 5 * MINUTE + 1,
        "endTime": NOW,
    }


@pytest.mark.parametrize("number", [1_000, 100_000])
def test_newest_page_needs_one_request_regardless_of_the_size_of_the_log(
    fake_logs: FakeLogs, number: int
) -> None:
    text = json.dumps({"event": "request", "route": "/event_callback", "status": 204})
    fake_logs.lines = [(NOW - number + index, text) for index in range(number)]

    page = search(limit=50)

    assert [line.at for line in page.callbacks] == [NOW - index for index in range(1, 51)]
    assert [request["limit"] for request in fake_logs.requests] == [50]


def test_search_of_30_days_in_an_empty_log_needs_five_requests(fake_logs: FakeLogs) -> None:
    page = search()

    assert page == CallbackPage([], None, NOW - 30 * DAY, is_complete=True)
    windows = [(request["startTime"], request["endTime"]) for request in fake_logs.requests]
    assert len(windows) == 5
    assert windows[0][1] == NOW
    assert windows[-1][0] == NOW - 30 * DAY
    assert [start - 1 for start, _ in windows[:-1]] == [end for _, end in windows[1:]]


def test_search_of_one_millisecond_needs_one_request(fake_logs: FakeLogs) -> None:
    fake_logs.add(NOW)
    page = search(since=NOW)
    assert [line.at for line in page.callbacks] == [NOW]
    assert page.next_cursor is None
    assert [(each["startTime"], each["endTime"]) for each in fake_logs.requests] == [(NOW, NOW)]


def test_search_that_starts_after_its_end_needs_no_request(fake_logs: FakeLogs) -> None:
    assert search(since=NOW + 1) == CallbackPage([], None, NOW, is_complete=True)
    assert fake_logs.calls == []


LINES = st.lists(
    st.tuples(
        st.one_of(st.integers(NOW - 3, NOW), st.integers(NOW - 31 * DAY, NOW)),
        st.sampled_from([*CALLBACK_ROUTES, "/reservations"]),
        st.sampled_from([200, 403]),
        st.sampled_from(["request", "crash"]),
    ),
    max_size=40,
)


@given(
    lines=LINES,
    limit=st.integers(1, 7),
    lines_per_request=st.integers(1, 9),
    fields=st.sampled_from([{}, {"status": 403}, {"route": "/event_callback"}]),
    ignores_patterns=st.booleans(),
    requests_per_search=st.integers(1, 6),
)
@example(  # Both callbacks have the same time, so the second search continues at that time.
    lines=[(NOW - 3, "/event_callback", 200, "request")] * 2,
    limit=1,
    lines_per_request=1,
    fields={},
    ignores_patterns=False,
    requests_per_search=1,
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_pages_contain_each_matching_line_once(
    fake_logs: FakeLogs,
    *,
    lines: list[tuple[int, str, int, str]],
    limit: int,
    lines_per_request: int,
    fields: dict[str, str | int],
    ignores_patterns: bool,
    requests_per_search: int,
) -> None:
    """Filtering and sorting all lines independently gives the same callbacks.

    The time limit ends each search after a few requests, each of which searches a few lines.
    """
    fake_logs.lines.clear()
    for index, (at, route, status, event) in enumerate(lines):
        fake_logs.add(at, route=route, status=status, event=event, index=index)
    fake_logs.lines_per_request = lines_per_request
    fake_logs.ignores_patterns = ignores_patterns
    expected = [
        (at, text)
        for at, text in reversed(fake_logs.lines)
        if (line := json.loads(text))["event"] == "request"
        and line["route"] != "/reservations"
        and all(line[name] == value for name, value in fields.items())
        and at >= NOW - 30 * DAY
    ]

    pages = search_all(
        limit=limit, fields=fields, monotonic=clock_that_allows(requests_per_search, fake_logs)
    )

    for page in pages[:-1]:
        assert page.is_complete == (len(page.callbacks) == limit)
        assert all(line.at >= page.searched_until - 1 for line in page.callbacks)
    found = [(line.at, line.text) for page in pages for line in page.callbacks]
    assert sorted(found) == sorted(expected)
    assert [at for at, _ in found] == [at for at, _ in expected]


@pytest.mark.parametrize("number", [1_000, 100_000])
def test_search_for_one_sid_needs_at_most_ten_requests_more_than_the_minimum(
    fake_logs: FakeLogs, number: int
) -> None:
    """Only the oldest line matches, so all lines are searched.

    The minimum is the number of requests that are needed if each request searches the maximum
    number of lines.
    """
    wanted = sid("WR")
    other = json.dumps({"event": "request", "route": "/event_callback", "reservation_sid": "WR0"})
    step = 29 * DAY // number
    fake_logs.lines = [(NOW - 29 * DAY + index * step, other) for index in range(1, number)]
    fake_logs.add(NOW - 29 * DAY, reservation_sid=wanted)

    pages = search_all(
        fields={"reservation_sid": wanted}, monotonic=clock_that_allows(4, fake_logs)
    )

    assert [line.at for page in pages for line in page.callbacks] == [NOW - 29 * DAY]
    assert len(fake_logs.calls) <= number // fake_logs.lines_per_request + 10
    assert len(pages) == -(-len(fake_logs.calls) // 4)


def test_incomplete_window_is_continued_by_the_next_search(fake_logs: FakeLogs) -> None:
    wanted = sid("WR")
    for index in range(8):
        fake_logs.add(NOW - index)
    fake_logs.add(NOW - 5 * MINUTE + 1, reservation_sid=wanted)
    fake_logs.lines_per_request = 3

    pages = search_all(
        since=NOW - 10 * MINUTE + 1,
        fields={"reservation_sid": wanted},
        monotonic=clock_that_allows(1, fake_logs),
    )

    assert [len(page.callbacks) for page in pages] == [0, 0, 1, 0]
    window = f"{NOW}-0-{NOW - 5 * MINUTE + 1}"
    assert [page.next_cursor and page.next_cursor.partition("+")[0] for page in pages] == [
        f"{window}-0-0-{NOW - 5 * MINUTE + 1}-{NOW}",
        f"{window}-0-0-{NOW - 5 * MINUTE + 1}-{NOW}",
        f"{NOW - 5 * MINUTE}-0-{NOW - 10 * MINUTE + 1}",
        None,
    ]
    assert [page.is_complete for page in pages] == [False, False, False, True]


@pytest.mark.parametrize("token", ["forged", "100", "\u0661"])
def test_cursor_with_an_unknown_token_is_rejected(fake_logs: FakeLogs, token: str) -> None:
    fake_logs.add(NOW)
    position = LogPosition(NOW, since=NOW - MINUTE, token=token)
    with pytest.raises(BadRequest, match=r"^cursor must be .* received within the last day\.$"):
        search(position=position)


@pytest.mark.parametrize(
    "position",
    [
        LogPosition(NOW),
        LogPosition(NOW, 3),
        LogPosition(NOW, 3, NOW),
        LogPosition(NOW, 0, 1, "a-b+/=_.~"),
    ],
)
def test_cursor_is_converted_back_to_its_position(position: LogPosition) -> None:
    assert LogPosition.from_cursor(position.to_cursor()) == position


def test_lines_with_the_same_time_are_returned_once_across_several_pages(
    fake_logs: FakeLogs,
) -> None:
    for index in range(25):
        fake_logs.add(NOW - 5, index=index)
    lines = [line for page in search_all(limit=10) for line in page.callbacks]
    indexes = [line.fields["index"] for line in lines]
    assert sorted(indexes) == [*range(25)]


def test_search_stops_at_its_time_limit_and_reports_how_far_it_got(fake_logs: FakeLogs) -> None:
    fake_logs.add(NOW - MINUTE)
    times = iter([0.0, 1.9, 2.0])

    page = search(monotonic=lambda: next(times))

    assert len(fake_logs.calls) == 2
    assert [line.at for line in page.callbacks] == [NOW - MINUTE]
    second_window = NOW - 13 * 5 * MINUTE + 1
    assert (page.is_complete, page.searched_until) == (False, second_window)
    third_window = second_window - 144 * 5 * MINUTE
    assert page.next_cursor == f"{second_window - 1}-0-{third_window}"


def test_lines_that_do_not_match_are_omitted_even_if_an_emulator_returns_them(
    fake_logs: FakeLogs,
) -> None:
    fake_logs.ignores_patterns = True
    wanted = sid("WR")
    fake_logs.add(NOW - 3, reservation_sid=wanted)
    fake_logs.add(NOW - 2, reservation_sid=sid("WR"))
    fake_logs.add(NOW - 1, route="/reservations", reservation_sid=wanted)
    fake_logs.add(NOW - 1, event="crash", reservation_sid=wanted)
    for text in ("START RequestId: 1", "[" * 100_000, "[1]", "null", "", "{", '{"event": []}'):
        fake_logs.lines.append((NOW, text))

    page = search(limit=50, fields={"reservation_sid": wanted})

    assert [line.at for line in page.callbacks] == [NOW - 3]
    assert page.is_complete


def test_filter_pattern_selects_sids_routes_and_statuses() -> None:
    fields: dict[str, str | int] = {
        "reservation_sid": sid("WR"),
        "task_sid": sid("WT"),
        "worker_sid": sid("WK"),
        "route": "/assignment_callback/fallback",
        "status": 503,
    }
    pattern = filter_pattern(CallbackQuery(since=0, until=NOW, fields=fields))

    for name, value in fields.items():
        expected = f"$.{name} = {value}" if name == "status" else f'$.{name} = "{value}"'
        assert f" && {expected}" in pattern
    assert len(pattern) <= 1_024  # the limit of CloudWatch Logs


FAILURES = {
    "throttled": (aws_failure(400, "ThrottlingException"), "returned ThrottlingException."),
    "too many requests": (aws_failure(429, "429"), "returned 429."),
    "unavailable": (
        aws_failure(503, "ServiceUnavailableException"),
        "returned ServiceUnavailableException.",
    ),
    "failed": ((500, b"<html>"), "returned 500."),
    "not JSON": ((200, b"<html>"), "the request to CloudWatch Logs failed (InvalidResponse)."),
    "not an object": ((200, b"[]"), "the request to CloudWatch Logs failed (InvalidResponse)."),
    "lost": ((0, b""), "closed the connection without a response."),
    "no timestamp": ((200, b'{"events": [{"message": "{}"}]}'), "a malformed response."),
    "events of the wrong type": ((200, b'{"events": 5}'), "a malformed response."),
    "too large": (
        (200, b'{"events": [], "x": "' + b"x" * callback_log._MAX_BYTES + b'"}'),
        "the request to CloudWatch Logs failed (InvalidResponse).",
    ),
}


@pytest.mark.parametrize(("response", "cause"), FAILURES.values(), ids=FAILURES)
def test_transient_failure_of_the_first_request_is_reported_with_advice_to_retry(
    fake_logs: FakeLogs, response: tuple[int, bytes], cause: str
) -> None:
    fake_logs.before_response = failing(response)

    with pytest.raises(CallbackLogUnavailable) as caught:
        search()

    message = caught.value.message
    assert message.startswith("The callback log can't be read: ")
    assert "CloudWatch Logs " in message
    assert message.endswith(f"{cause} Retry.")
    assert "secret" not in message
    assert caught.value.retry_after == 2
    assert caught.value.reason == message.removesuffix(" Retry.")
    assert len(fake_logs.calls) == 1


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
@pytest.mark.parametrize("number", [1, 2])
def test_permanent_failure_is_reported_without_advice_to_retry(
    fake_logs: FakeLogs, code: str, number: int
) -> None:
    fake_logs.before_response = failing(*[None] * (number - 1), aws_failure(400, code))

    with pytest.raises(CallbackLogUnavailable) as caught:
        search()

    assert caught.value.message == (
        f"The callback log can't be read: CloudWatch Logs returned {code}."
    )
    assert caught.value.retry_after is None


@pytest.mark.parametrize(("response", "_cause"), FAILURES.values(), ids=FAILURES)
def test_transient_failure_of_a_later_request_leaves_an_incomplete_page(
    fake_logs: FakeLogs, response: tuple[int, bytes], _cause: str
) -> None:
    fake_logs.add(NOW - MINUTE)
    fake_logs.before_response = failing(None, response)

    page = search()

    assert [line.at for line in page.callbacks] == [NOW - MINUTE]
    assert page.searched_until == NOW - 5 * MINUTE + 1
    second_window = NOW - 13 * 5 * MINUTE + 1
    assert page.next_cursor == f"{NOW - 5 * MINUTE}-0-{second_window}"
    assert not page.is_complete


def test_search_with_a_slow_response_ends_at_the_request_time_limit(fake_logs: FakeLogs) -> None:
    def wait(_number: int) -> None:
        time.sleep(1)

    fake_logs.before_response = wait
    started = time.monotonic()

    with pytest.raises(CallbackLogUnavailable, match=r"did not respond in time\. Retry\.$"):
        search(seconds=0.2)

    assert time.monotonic() - started < 0.9


def test_missing_credentials_are_reported(
    fake_logs: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")

    with pytest.raises(CallbackLogUnavailable, match="NoCredentialsError"):
        search()

    assert fake_logs.calls == []
