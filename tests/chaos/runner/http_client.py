"""Asynchronous HTTP client that can retry requests."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

_RETRY_SECONDS = 0.4
_TIMEOUT = aiohttp.ClientTimeout(total=20)
_SERVICE_UNAVAILABLE = 503


@dataclass(frozen=True)
class Response:
    """The status and the JSON body; both are None if there was no response."""

    status: int | None
    body: Any = None


class HttpClient:
    """Sends requests to one server with the same credentials.

    Args:
        session: An open session.
        url: Base URL for all paths.
        headers: Headers sent with every request.
        auth: User name and password for Basic authentication.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> None:
        self._session = session
        self._url = url
        self._headers = dict(headers or {})
        self._auth = aiohttp.BasicAuth(*auth) if auth else None

    async def request(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request once."""
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=form,
                headers={**self._headers, **(headers or {})},
                auth=self._auth,
                timeout=_TIMEOUT,
                # Without a body, aiohttp would send the Content-Type application/octet-stream.
                skip_auto_headers=() if form else ("Content-Type",),
            ) as response:
                return Response(response.status, await response.json(content_type=None))
        except (aiohttp.ClientError, OSError, TimeoutError):
            return Response(None)

    async def request_with_retries(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = 25,
    ) -> Response:
        """Repeat a request until a response other than 503 arrives or `seconds` have passed."""
        deadline = time.monotonic() + seconds
        while True:
            response = await self.request(method, path, form, headers)
            if response.status not in (None, _SERVICE_UNAVAILABLE) or time.monotonic() > deadline:
                return response
            await asyncio.sleep(_RETRY_SECONDS)
