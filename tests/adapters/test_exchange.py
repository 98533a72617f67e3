"""An exchange records whether a request was sent, and shuts down its socket after a timeout."""

import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.adapters.exchange import Exchange, TrackedMixin, current_exchange
from tests.support import busy_exchanges


def connection(sock: socket.socket | None = None) -> Any:
    return SimpleNamespace(sock=sock)


@pytest.mark.parametrize(
    ("sends", "was_sent"),
    [([], False), ([False], False), ([True], True), ([False, True], True), ([True, False], True)],
)
def test_exchange_is_marked_as_sent_if_any_request_starts(
    sends: list[bool], *, was_sent: bool
) -> None:
    exchange: Exchange[object]

    def work() -> object:
        assert current_exchange() is exchange
        for is_request in sends:
            exchange.begin(connection(), sends=is_request)
        return "result"

    exchange = Exchange(work, 5)
    assert exchange.run() == "result"
    assert exchange.was_sent == was_sent


def test_work_runs_in_a_daemon_thread_named_exchange() -> None:
    thread = Exchange(threading.current_thread, 5).run()
    assert (thread.name, thread.daemon) == ("exchange", True)
    assert thread is not threading.current_thread()


def test_thread_is_reused_unless_its_exchange_was_abandoned() -> None:
    threads = [Exchange(threading.current_thread, 5).run() for _ in range(3)]
    assert set(threads) == {threads[0]}

    ended = threading.Event()
    with pytest.raises(TimeoutError):
        Exchange(ended.wait, 0.05).run()
    assert threads[0] is not Exchange(threading.current_thread, 5).run()
    ended.set()
    threads[0].join(5)
    assert not threads[0].is_alive()


def test_simultaneous_exchanges_run_in_separate_threads() -> None:
    barrier = threading.Barrier(3, timeout=5)
    callers = [threading.Thread(target=Exchange(barrier.wait, 5).run) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(5)
    assert not barrier.broken


@pytest.mark.parametrize("state", ["no connection", "unconnected", "closed"])
def test_exchange_without_an_open_socket_still_times_out(state: str) -> None:
    ended, began = threading.Event(), threading.Event()
    failures: list[type[BaseException]] = []
    exchange: Exchange[object]
    sock = socket.socket()
    sock.close()

    def work() -> None:
        if state != "no connection":
            exchange.begin(connection(sock if state == "closed" else None), sends=True)
        began.set()
        ended.wait(5)
        try:
            exchange.begin(connection(), sends=True)
        except TimeoutError as error:
            failures.append(type(error))

    exchange = Exchange(work, 0.05)
    with pytest.raises(TimeoutError):
        exchange.run()
    assert began.wait(5)
    ended.set()
    for thread in busy_exchanges():
        thread.join(5)
    assert failures == [TimeoutError]
    assert exchange.was_sent == (state != "no connection")


@pytest.mark.parametrize("source", ["at the beginning", "opened later", "dropped later"])
def test_socket_is_shut_down_after_the_time_limit(source: str) -> None:
    local, remote = socket.socketpair()
    opened = connection(None if source == "opened later" else local)
    exchange: Exchange[object]

    def work() -> bytes:
        exchange.begin(opened, sends=True)
        opened.sock = None if source == "dropped later" else local
        return local.recv(1)

    exchange = Exchange(work, 0.05)
    with local, remote:
        with pytest.raises(TimeoutError):
            exchange.run()
        remote.settimeout(5)
        assert remote.recv(1) == b""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError(), TimeoutError()])
def test_run_raises_the_error_that_the_work_raised(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        Exchange(work, 5).run()
    assert raised.value is error


class FailingConnection:
    """A connection that fails while it sends a request."""

    sock = object()

    def request(self) -> None:
        raise BrokenPipeError("closed by the server")


class TrackedConnection(TrackedMixin, FailingConnection):
    pass


def test_earlier_request_is_still_reported_as_sent_if_a_later_request_fails() -> None:
    def work() -> None:
        exchange.begin(connection(), sends=True)
        TrackedConnection().request()

    exchange: Exchange[None] = Exchange(work, 5)
    with pytest.raises(BrokenPipeError, match="closed by the server"):
        exchange.run()
    assert exchange.was_sent is True


def test_request_that_fails_while_being_sent_is_not_reported_as_sent() -> None:
    exchange: Exchange[None] = Exchange(lambda: TrackedConnection().request(), 5)
    with pytest.raises(BrokenPipeError, match="closed by the server"):
        exchange.run()
    assert exchange.was_sent is False
