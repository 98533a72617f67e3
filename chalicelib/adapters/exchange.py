"""HTTP exchanges that have a total time limit and record whether a request was sent.

The timeouts of urllib3 and requests apply to each connection attempt and to each wait for data, not
to the exchange as a whole. They limit neither a DNS lookup nor a response that arrives byte by
byte. Therefore, an exchange runs in a daemon thread, and its caller waits no longer than a total
time limit. After a timeout, the socket is shut down, which ends the thread. If the thread has no
socket yet, because it is looking up the host name or connecting, the thread ends after that step,
before it sends a request. A thread whose exchange ended in time waits for the next exchange.

A server can't process a request that was not sent completely. The outcome of any other request
without a response is unknown. docs/adr/0026 explains how callers use this distinction.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

_Result = TypeVar("_Result")

PARSE_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Exceptions raised when code parses a response in an unexpected format."""

_local = threading.local()

_idle: "list[SimpleQueue[Exchange[Any]]]" = []
"""The queues of the threads that wait for an exchange."""


def current_exchange() -> Any:
    """Return the `Exchange` that runs in the current thread."""
    return _local.exchange


@dataclass(eq=False)
class Exchange(Generic[_Result]):
    """Requests and responses of one operation, for a caller that waits for a limited time.

    Attributes:
        work: sends the requests over `TrackedMixin` connections and returns the result.
        seconds: maximum time for all requests and responses together.
        was_sent: whether any request was sent completely, or may have been. False means that no
            request can have had an effect.
        is_abandoned: whether the caller has stopped waiting.
        outcome: the result of the work, or its error.
    """

    work: Callable[[], _Result]
    seconds: float
    was_sent: bool = False
    is_abandoned: bool = False
    outcome: Future[_Result] = field(default_factory=Future)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _connection: HTTPConnection | None = None
    _socket: socket.socket | None = None

    def run(self) -> _Result:
        """Return the result of the work, or raise its error.

        Raises:
            TimeoutError: the time limit has passed. `work` can't send another request.
        """
        try:
            queue = _idle.pop()
        except IndexError:
            queue = SimpleQueue()
            thread = threading.Thread(target=_serve, args=(queue,), name="exchange", daemon=True)
            thread.start()
        queue.put(self)
        with suppress(TimeoutError):
            self.outcome.exception(self.seconds)
        with self._lock:
            self.is_abandoned = True
        if not self.outcome.done():
            self._shut_down()
            raise TimeoutError
        return self.outcome.result()

    def begin(self, connection: HTTPConnection, *, sends: bool) -> None:
        """Register a connection before it connects or sends a request.

        Args:
            connection: the connection.
            sends: whether the connection is about to send a request.

        Raises:
            TimeoutError: the caller has stopped waiting, so nothing may be sent.
        """
        with self._lock:
            if self.is_abandoned:
                raise TimeoutError
            self._connection = connection
            # The socket is stored, because http.client clears `sock` if a connection is not kept
            # alive, even while the response is still being read.
            self._socket = connection.sock
            self.was_sent = sends or self.was_sent

    def _shut_down(self) -> None:
        """Shut down the socket, if any, so that the thread's current or next read or write ends."""
        connection, sock = self._connection, self._socket
        sock = (connection and connection.sock) or sock
        # The thread may close the socket in the meantime (OSError), or may not have a socket yet
        # (TypeError). `SSLSocket.shutdown` would also change the state of the TLS connection, which
        # the thread uses.
        with suppress(OSError, TypeError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # type: ignore[arg-type]


def _serve(queue: "SimpleQueue[Exchange[Any]]") -> None:
    """Run exchanges one after another, until one is abandoned.

    Starting a thread for each exchange would take more CPU time than sending a small request.
    """
    pass_outcome: Callable[[], None]
    while True:
        exchange = _local.exchange = queue.get()
        try:
            pass_outcome = partial(exchange.outcome.set_result, exchange.work())
        except BaseException as error:  # noqa: BLE001  `run` raises it in the caller's thread
            pass_outcome = partial(exchange.outcome.set_exception, error)
        if exchange.is_abandoned:
            return
        del exchange, _local.exchange
        # The queue is added before the caller gets the outcome, so that the caller's next exchange
        # can reuse this thread.
        _idle.append(queue)
        pass_outcome()
        del pass_outcome


class TrackedMixin:
    """A mixin for connections that register with the exchange of their thread.

    Works with http.client's connection classes and with urllib3's subclasses of those classes.
    """

    def connect(self: Any) -> None:
        """Connect, unless the caller has stopped waiting."""
        _local.exchange.begin(self, sends=False)
        super().connect()  # type: ignore[misc]

    def request(self: Any, *args: Any, **options: Any) -> None:
        """Send a request. It is considered sent unless an error occurs while sending."""
        if self.sock is None:
            self.connect()
        exchange = _local.exchange
        was_sent = exchange.was_sent
        exchange.begin(self, sends=True)
        try:
            super().request(*args, **options)  # type: ignore[misc]
        except BaseException:
            exchange.was_sent = was_sent
            raise
