"""One POST over aiohttp, and what can become of it."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from taskrouter_simulator.callbacks.answers import Reply
from taskrouter_simulator.callbacks.overrides import Overrides

_MAX_ANSWER = 1_000_000


class Transport:
    """A client session, open while the simulator serves."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make ready to post; needs a running loop."""
        # a connection each: one kept open may be closed by the app just as it is used again
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
            self._session = None

    async def post(
        self,
        url: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        overrides: Overrides,
        seconds: float,
    ) -> Reply:
        """Post a form; whatever goes wrong is in the reply.

        Args:
            url: without fragment.
            parameters: the form.
            headers: Content-Type included.
            overrides: its limits on connecting and reading.
            seconds: the limit on the whole.
        """
        if self._session is None:
            return Reply(error="the simulator is not serving")
        limits = aiohttp.ClientTimeout(sock_connect=overrides.connect, sock_read=overrides.read)
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.post(
                    URL(url, encoded=True),  # as it was signed, to the letter
                    data=urlencode(parameters),
                    headers=headers,
                    allow_redirects=False,
                    timeout=limits,
                ) as response,
            ):
                content = await _read(response.content)
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return Reply(response.status, kind, content)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Reply(error=f"no connection: {error}"[:300], failure="ct")
        except aiohttp.SocketTimeoutError:
            return Reply(error=f"no answer within {overrides.read:g} s", failure="rt")
        except TimeoutError:
            return Reply(error=f"no answer within {seconds:.3g} s", failure="rt")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Reply(error=f"{type(error).__name__}: {error}"[:300], failure="cut")


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """The whole body, in however many pieces it comes, up to the limit."""
    content = bytearray()
    async for piece in stream.iter_any():
        content += piece
        if len(content) >= _MAX_ANSWER:
            break
    return bytes(content[:_MAX_ANSWER])
