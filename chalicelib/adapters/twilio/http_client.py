"""HTTP exchanges with TaskRouter that end in time and know whether a request was sent.

The timeouts of requests limit the connection to one address and a single wait for data. Nothing
limits the lookup of a host name, or a response that arrives byte by byte. Therefore, an exchange
runs in a daemon thread, and its caller waits no longer than a total time limit. Afterward, the
socket is shut down, which ends the thread.

TaskRouter can't process a request that was not sent completely. The outcome of any other request
without a response is unknown. docs/adr/0026 explains how the callers use the difference.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from requests import Response, Timeout
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL
from twilio.http.http_client import TwilioHttpClient
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

_Result = TypeVar("_Result")

_CONNECT_SECONDS = 2.0
"""Time limit for the connection to one address of a host, and for a wait while sending."""

_MAX_CONNECTIONS = 32
_CHUNK_BYTES = 65_536
_OK = range(200, 300)

_local = threading.local()
"""``_local.exchange`` is the exchange that runs in the current thread."""


@dataclass(eq=False)
class Exchange(Generic[_Result]):
    """Requests and responses of one operation, for a caller that waits for a limited time.

    Attributes:
        work: sends the requests with a client made by `make_http_client` and returns the result.
        seconds: maximum time for all requests and responses together.
        max_bytes: maximum size of a response.
        was_sent: whether a request was sent completely, or may have been. False means that no
            request can have had an effect.
    """

    work: Callable[[], _Result]
    seconds: float
    max_bytes: int
    was_sent: bool = False
    _outcome: Future[_Result] = field(default_factory=Future)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_abandoned: bool = False
    _connection: HTTPConnection | None = None
    _socket: socket.socket | None = None

    def run(self) -> _Result:
        """Return the result of the work, or raise its error.

        Raises:
            Timeout: the time limit has passed. The work can't send another request.
        """
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        thread.join(self.seconds)
        with self._lock:
            self._is_abandoned = True
        if not self._outcome.done():
            self._shut_down()
            raise Timeout("The time limit has passed.")
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


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(HTTPAdapter):
    """Sends requests over tracked connections, without retries."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if type(manager) is not ProxyManager:
            raise InvalidProxyURL("Only HTTP proxies are supported.")
        manager.pool_classes_by_scheme = _POOLS
        return manager


def make_http_client(
    to_error: Callable[[Response], Exception], *, seconds: float
) -> TwilioHttpClient:
    """Return an HTTP client for Twilio's SDK whose requests may only be sent by an `Exchange`.

    Args:
        to_error: builds the error for a response other than a 2xx. The errors of Twilio's SDK do
            not contain the headers.
        seconds: maximum wait for data of a response.
    """

    def read(response: Response, **_options: Any) -> None:
        limit, body = _local.exchange.max_bytes, bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > limit:
                response.close()
                raise ValueError("The response is too large.")
        response._content = bytes(body)  # noqa: SLF001  requests can't limit the size of a body
        if response.status_code not in _OK:
            raise to_error(response)

    client = TwilioHttpClient(request_hooks={"response": read})
    # The constructor requires a single number, but requests accepts (connect, read) timeouts.
    client.timeout = (_CONNECT_SECONDS, seconds)
    for scheme in _POOLS:
        client.session.mount(f"{scheme}://", _Adapter(pool_maxsize=_MAX_CONNECTIONS))
    return client
