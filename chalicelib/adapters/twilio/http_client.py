"""An HTTP client for Twilio's SDK that sends requests within a `SizeLimitedExchange`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from requests import Response
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL
from twilio.http.http_client import TwilioHttpClient
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from chalicelib.adapters.exchange import Exchange, TrackedMixin, current_exchange

_Result = TypeVar("_Result")

_CONNECT_SECONDS = 2.0
"""Time limit for connecting to one address of a host, and for each wait while sending."""

_MAX_CONNECTIONS = 32
_CHUNK_BYTES = 65_536
_MAX_RETRY_AFTER_SECONDS = 86_400
_OK = range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES)


@dataclass(eq=False)
class SizeLimitedExchange(Exchange[_Result]):
    """An exchange whose responses have a maximum size in bytes."""

    max_bytes: int = field(kw_only=True)


class _TrackedHTTPConnection(TrackedMixin, HTTPConnection):
    pass


class _TrackedHTTPSConnection(TrackedMixin, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _TrackedHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TrackedHTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class TrackedAdapter(HTTPAdapter):
    """Sends requests over tracked connections, without retries."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        if type(manager) is not ProxyManager:
            raise InvalidProxyURL("Only HTTP proxies are supported.")
        manager.pool_classes_by_scheme = _POOLS
        return manager


def make_http_client(
    to_error: Callable[[Response], Exception], *, seconds: float
) -> TwilioHttpClient:
    """Return an HTTP client for Twilio's SDK that works only within a `SizeLimitedExchange`.

    Args:
        to_error: builds the error for a response whose status is not 2xx. This error replaces the
            error of Twilio's SDK, which would not contain the response headers.
        seconds: maximum length of each wait for response data.
    """
    client = TwilioHttpClient(request_hooks={"response": response_reader(to_error)})
    # The constructor requires a single number, but the requests library accepts a tuple of connect
    # and read timeouts.
    client.timeout = (_CONNECT_SECONDS, seconds)
    for scheme in _POOLS:
        client.session.mount(f"{scheme}://", TrackedAdapter(pool_maxsize=_MAX_CONNECTIONS))
    return client


def response_reader(to_error: Callable[[Response], Exception]) -> Callable[..., None]:
    """Return a hook for the requests library that reads a response in a `SizeLimitedExchange`.

    Args:
        to_error: builds the error for a response whose status is not 2xx.
    """

    def read(response: Response, **_options: Any) -> None:
        limit, body = current_exchange().max_bytes, bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > limit:
                response.close()
                raise ValueError("The response is too large.")
        # Set the body directly, because the requests library can't limit its size.
        response._content = bytes(body)  # noqa: SLF001
        if response.status_code not in _OK:
            raise to_error(response)

    return read


def parse_retry_after(header: str) -> int | None:
    """Return the seconds in a Retry-After header, at most a day, or None if it is not a number."""
    is_number = header.isascii() and header.isdigit()
    return min(int(header.lstrip("0")[:6] or 0), _MAX_RETRY_AFTER_SECONDS) if is_number else None
