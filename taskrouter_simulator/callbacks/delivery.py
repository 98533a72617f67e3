"""Delivers a callback: sends the signed request, retries, and logs each attempt.

The fragment of a callback's URL is neither sent nor signed. It contains connection overrides:
https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides. `ct`, `rt` and `tt` are
timeouts in milliseconds, `rc` is the number of retries, and `rp` lists the failures to retry.
Out-of-range values are ignored, and so are `sni` and `e` (edge).
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urldefrag, urlencode, urlsplit

import aiohttp
from yarl import URL

from taskrouter_simulator.callbacks.answers import Response
from taskrouter_simulator.callbacks.signature import signature_headers
from taskrouter_simulator.faults import Fault
from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.settings import Settings

_MAX_RESPONSE_BYTES = 1_000_000
_FAILURES = frozenset({"4xx", "5xx", "ct", "rt", "cut"})
_HTTP_ERRORS = range(400, 600)


@dataclass(frozen=True)
class ConnectionOverrides:
    """Timeouts and retries for a callback.

    Attributes:
        connect: Connect timeout in seconds.
        read: Read timeout in seconds.
        total: Timeout for all attempts together, in seconds.
        retries: Maximum number of retries.
        retry_on: Failures to retry, as named in `Response.failure`.
    """

    connect: float = 5.0
    read: float = 15.0
    total: float = 15.0
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})


_DEFAULTS = ConnectionOverrides()


@dataclass(frozen=True)
class Delivery:
    """A callback to deliver.

    Attributes:
        kind: Kind of the callback's log entries.
        url: URL of the callback, with its fragment.
        parameters: Parameters of the request: a form, or the query string of a GET request.
        seconds: Timeout for all attempts together, in seconds.
        token: Value of I-Twilio-Idempotency-Token, the same for every attempt.
        fault: Fault to inject; None for no fault.
        single_attempt: Whether to ignore the URL's connection overrides and never retry.
        method: "POST" or "GET".
    """

    kind: str
    url: str
    parameters: dict[str, str]
    seconds: float
    token: str
    method: str = "POST"
    fault: Fault | None = None
    single_attempt: bool = False


class DeliveryClient:
    """Sends callbacks and logs each attempt.

    Args:
        credentials: Credentials that sign the callbacks.
        settings: Settings that determine the headers.
        record: Adds an entry to the log.
        stopwatch: Returns a time in seconds, to measure the logged duration of each attempt.
    """

    def __init__(
        self,
        credentials: Credentials,
        settings: Settings,
        record: Callable[..., None],
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._settings = settings
        self._record = record
        self._stopwatch = stopwatch

    async def deliver(self, delivery: Delivery) -> Response:
        """Send a request, and retry as the connection overrides allow.

        Returns:
            The result of the last attempt.
        """
        url, overrides = parse_overrides(delivery.url)
        form = delivery.parameters
        if delivery.method == "GET":
            url, form = _with_query(url, form), {}
        if delivery.single_attempt:
            overrides = ConnectionOverrides(retries=0)
        overrides = replace(overrides, total=min(delivery.seconds, overrides.total))
        headers = {
            "User-Agent": self._settings.user_agent,
            "Accept": "*/*",
            **signature_headers(self._credentials, self._settings, url, form),
        }
        if delivery.method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        if self._settings.idempotency_token:
            headers["I-Twilio-Idempotency-Token"] = delivery.token
        deadline = time.monotonic() + overrides.total
        for attempt in range(1, overrides.retries + 2):
            started, remaining_seconds = self._stopwatch(), max(0.0, deadline - time.monotonic())
            response = await _send(delivery, url, headers, overrides, remaining_seconds)
            self._record(
                delivery.kind,
                method=delivery.method,
                url=delivery.url,
                attempt=attempt,
                headers=headers,
                parameters=delivery.parameters,
                status=response.status,
                content_type=response.content_type,
                answer=response.body.decode("utf-8", errors="replace"),
                error=response.error,
                seconds=round(self._stopwatch() - started, 4),
                fault=delivery.fault.kind if delivery.fault else None,
            )
            if response.failure not in overrides.retry_on or time.monotonic() >= deadline:
                break
        return response


async def _send(
    delivery: Delivery,
    url: str,
    headers: Mapping[str, str],
    overrides: ConnectionOverrides,
    remaining_seconds: float,
) -> Response:
    """Send the request once; a "cut" fault skips the request or discards the response."""
    cut = delivery.fault.moment if delivery.fault and delivery.fault.kind == "cut" else ""
    if cut == "before":
        return Response(
            error="connection cut before the request was sent (injected fault)", failure="ct"
        )
    try:
        async with asyncio.timeout(remaining_seconds):
            response = await _request(delivery, url, headers, overrides)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        return Response(error=f"no connection: {error}"[:300], failure="ct")
    except TimeoutError as error:
        is_read_timeout = isinstance(error, aiohttp.SocketTimeoutError)
        # Report the configured limit, because the remaining time differs between attempts.
        limit = overrides.read if is_read_timeout else overrides.total
        return Response(error=f"no response within {limit:g} s", failure="rt")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Response(error=f"{type(error).__name__}: {error}"[:300], failure="cut")
    if cut == "after":
        return Response(
            error="connection cut before the response arrived (injected fault)", failure="cut"
        )
    return response


async def _request(
    delivery: Delivery, url: str, headers: Mapping[str, str], overrides: ConnectionOverrides
) -> Response:
    """Send the request over a new connection and read the response.

    Connections are not kept alive, because the app might close a connection just as the client
    reuses it.
    """
    limits = aiohttp.ClientTimeout(sock_connect=overrides.connect, sock_read=overrides.read)
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=limits,
        ) as session,
        session.request(
            delivery.method,
            URL(url, encoded=True),  # encoding the URL again could invalidate the signature
            data=urlencode(delivery.parameters) if delivery.method == "POST" else None,
            headers=headers,
            allow_redirects=False,
        ) as response,
    ):
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) >= _MAX_RESPONSE_BYTES:
                break
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        failure = f"{response.status // 100}xx" if response.status in _HTTP_ERRORS else ""
        return Response(
            response.status, content_type, bytes(body[:_MAX_RESPONSE_BYTES]), "", failure
        )


def _with_query(url: str, parameters: Mapping[str, str]) -> str:
    """Return a URL with parameters appended to its query string."""
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(parameters)}"


def parse_overrides(url: str) -> tuple[str, ConnectionOverrides]:
    """Return a URL without its fragment, and the connection overrides in the fragment."""
    bare, fragment = urldefrag(url)
    if not fragment:
        return bare, _DEFAULTS
    values = {name: texts[-1] for name, texts in parse_qs(fragment).items()}
    policy = frozenset(values.get("rp", "").split(",")) & {"4xx", "5xx", "ct", "rt", "all"}
    return bare, ConnectionOverrides(
        connect=_parse_in_range(values.get("ct"), 100, 10_000, _DEFAULTS.connect * 1000) / 1000,
        read=_parse_in_range(values.get("rt"), 100, 15_000, _DEFAULTS.read * 1000) / 1000,
        total=_parse_in_range(values.get("tt"), 100, 15_000, _DEFAULTS.total * 1000) / 1000,
        retries=int(_parse_in_range(values.get("rc"), 0, 5, _DEFAULTS.retries)),
        retry_on=_FAILURES if "all" in policy else policy or _DEFAULTS.retry_on,
    )


def _parse_in_range(text: str | None, minimum: int, maximum: int, default: float) -> float:
    if text is None or not text.isdecimal() or not text.isascii():
        return default
    if len(text) > len(str(maximum)):
        return default
    return int(text) if minimum <= int(text) <= maximum else default
