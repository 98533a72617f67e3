"""The local callback log stores the newest callbacks that the process has handled."""

import logging
from collections.abc import Iterator

import pytest

from chalicelib import observability
from chalicelib.domain.callback_log import CallbackQuery, LogPosition
from local import callback_log
from local.callback_log import MemoryCallbackLog

ALL = CallbackQuery(since=0, until=10**15, fields={})


@pytest.fixture
def log() -> Iterator[MemoryCallbackLog]:
    observability.configure("INFO")
    log = MemoryCallbackLog()
    observability.copy_lines(log)
    yield log
    logging.getLogger("taskrouter-callbacks").removeHandler(log)


def write(route: str, **fields: object) -> None:
    observability.log("request", {"route": route, **fields})


def read(log: MemoryCallbackLog) -> list[object]:
    (page,) = log.read_backward(ALL, limit=1, position=LogPosition(ALL.until))
    assert page.searched_until == ALL.since
    assert sorted((line.at for line in page.lines), reverse=True) == [
        line.at for line in page.lines
    ]
    return [line.fields["number"] for line in page.lines]


def test_only_log_lines_of_callbacks_are_stored(log: MemoryCallbackLog) -> None:
    write("/event_callback", number=1)
    write("/overview", number=2)
    observability.log("sweep", {"number": 3})
    assert read(log) == [1]
    (page,) = log.read_backward(ALL, limit=1, position=LogPosition(ALL.until))
    assert ALL.matches(page.lines[0])


def test_oldest_lines_are_removed_first(
    log: MemoryCallbackLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callback_log.MAX_LINES == 10_000
    for number in range(callback_log.MAX_LINES + 1):
        write("/assignment_callback", number=number)
    numbers = read(log)
    assert sorted(numbers, key=int) == [*range(1, callback_log.MAX_LINES + 1)]  # type: ignore[call-overload]


def test_stream_handler_is_kept_when_the_callback_log_is_added(
    log: MemoryCallbackLog, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.getLogger("taskrouter-callbacks").handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    assert log in logging.getLogger("taskrouter-callbacks").handlers
