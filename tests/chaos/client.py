"""Calls over HTTP, many at once, as people and programs make them: until there is an answer."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

_PAUSE_SECONDS = 0.4
_ONE_CALL = aiohttp.ClientTimeout(total=20)
_UNSETTLED = 503


@dataclass(frozen=True)
class Reply:
    """What came back; no status where nothing did."""

    status: int | None
    body: Any = None


class Client:
    """Calls one server with one identity.

    Args:
        session: open.
        url: what paths are relative to.
        headers: sent with every call.
        auth: user and password of Basic auth.
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

    async def call(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call once."""
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=form,
                headers={**self._headers, **(headers or {})},
                auth=self._auth,
                timeout=_ONE_CALL,
                # Without a body it would say application/octet-stream.
                skip_auto_headers=() if form else ("Content-Type",),
            ) as response:
                return Reply(response.status, await response.json(content_type=None))
        except (aiohttp.ClientError, OSError, TimeoutError):
            return Reply(None)

    async def insist(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = 25,
    ) -> Reply:
        """Call again and again while there is no answer, or one that says to try again."""
        ends = time.monotonic() + seconds
        while True:
            reply = await self.call(method, path, form, headers)
            if reply.status not in (None, _UNSETTLED) or time.monotonic() > ends:
                return reply
            await asyncio.sleep(_PAUSE_SECONDS)
