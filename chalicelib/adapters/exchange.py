"""HTTP exchanges that end in time and know whether a request was sent.

The timeouts of urllib3 and requests limit the connection to one address and a single wait for data.
Nothing limits the lookup of a host name, or a response that arrives byte by byte. Therefore, an
exchange runs in a daemon thread, and its caller waits no longer than a total time limit.
Afterward, the socket is shut down, which ends the thread.

A server can't process a request that was not sent completely. The outcome of any other request
without a response is unknown. docs/adr/0026 explains how the callers use the difference.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_Result = TypeVar("_Result")

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Errors of code that reads a response of an unexpected form."""

_local = threading.local()


def current() -> Any:
    """Return the `Exchange` that runs in the current thread."""
    return _local.exchange


@dataclass(eq=False)
class Exchange(Generic[_Result]):
    """Requests and responses of one operation, for a caller that waits for a limited time.

    Attributes:
        work: sends the requests over connections of `POOLS` and returns the result.
        seconds: maximum time for all requests and responses together.
        was_sent: whether a request was sent completely, or may have been. False means that no
            request can have had an effect.
    """

    work: Callable[[], _Result]
    seconds: float
    was_sent: bool = False
    _outcome: Future[_Result] = field(default_factory=Future)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_abandoned: bool = False
    _connection: HTTPConnection | None = None
    _socket: socket.socket | None = None

    def run(self) -> _Result:
        """Return the result of the work, or raise its error.

        Raises:
            TimeoutError: the time limit has passed. The work can't send another request.
        """
        thread = threading.Thread(target=self._work, name="exchange", daemon=True)
        thread.start()
        thread.join(self.seconds)
        with self._lock:
            self._is_abandoned = True
        if not self._outcome.done():
            self._shut_down()
            raise TimeoutError
        return self._outcome.result()

    def _work(self) -> None:
        _local.exchange = self
        try:
            self._outcome.set_result(self.work())
        except BaseException as error:  # noqa: BLE001  `run` raises it in the caller's thread
            self._outcome.set_exception(error)

    def begin(self, connection: HTTPConnection, *, sends: bool) -> None:
        """Register the connection that is about to be opened, or to send a request.

        Raises:
            TimeoutError: the caller has stopped waiting, so nothing may be sent.
        """
        with self._lock:
            if self._is_abandoned:
                raise TimeoutError
            self._connection = connection
            # http.client forgets the socket of a connection that is not kept alive.
            self._socket = connection.sock
            self.was_sent = sends or self.was_sent

    def _shut_down(self) -> None:
        """End the thread's current or next access to the network."""
        connection, connected = self._connection, self._socket
        connected = (connection and connection.sock) or connected
        # The thread may close the socket in the meantime. `SSLSocket.shutdown` would also change
        # the state of the TLS connection, which the thread uses.
        with suppress(OSError, TypeError):
            socket.socket.shutdown(connected, socket.SHUT_RDWR)  # type: ignore[arg-type]


class _Tracked:
    """A connection that reports to the exchange of its thread what it is about to do."""

    def connect(self: Any) -> None:
        """Connect, unless the caller has stopped waiting."""
        _local.exchange.begin(self, sends=False)
        super().connect()  # type: ignore[misc]

    def request(self: Any, *args: Any, **options: Any) -> None:
        """Send a request. The request counts as sent, unless an error interrupts the sending."""
        if self.sock is None:
            self.connect()
        exchange = _local.exchange
        exchange.begin(self, sends=True)
        try:
            super().request(*args, **options)  # type: ignore[misc]
        except BaseException:
            exchange.was_sent = False
            raise


class _TrackedHTTPConnection(_Tracked, HTTPConnection):
    pass


class _TrackedHTTPSConnection(_Tracked, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _TrackedHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TrackedHTTPSConnection


POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
"""The classes of connection pools whose requests may only be sent by an `Exchange`."""
