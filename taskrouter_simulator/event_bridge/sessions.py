"""The WebSocket connections of the browser SDK."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

HEARTBEAT_SECONDS = 15.0
"""Seconds without a message after which a heartbeat is sent; the SDK reconnects after 30."""
MAX_QUEUED_MESSAGES = 1_000
"""Maximum number of queued messages for a client that does not read its messages."""

POLICY_VIOLATION = 1008
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
REPLACED = 4001
"""A close code for private use; the other codes are from RFC 6455 and IANA's registry."""

_HEARTBEAT = " "
_MAX_REASON_BYTES = 123


class Session:
    """A Worker's connection.

    Args:
        remaining_seconds: Returns the seconds until the connection must close.
        sets_offline: Whether the Worker goes offline if the client disconnects.
    """

    def __init__(self, remaining_seconds: Callable[[], float], *, sets_offline: bool) -> None:
        self.sets_offline = sets_offline
        self.closed_by_server = False
        self._remaining_seconds = remaining_seconds
        self._messages: asyncio.Queue[str | None] = asyncio.Queue()
        self._close: tuple[int, str] = (SERVICE_RESTART, "")

    def send(self, event_type: str, payload: Any) -> None:
        """Queue a message; disconnect a client that does not read its messages."""
        if self._messages.qsize() >= MAX_QUEUED_MESSAGES:
            self.close(TRY_AGAIN_LATER, "The client does not read its messages")
        elif not self.closed_by_server:
            self._messages.put_nowait(json.dumps({"event_type": event_type, "payload": payload}))

    def close(self, code: int, reason: str) -> None:
        """Close the connection; discard the queued messages."""
        while not self._messages.empty():
            self._messages.get_nowait()
        self.closed_by_server = True
        self._close = code, reason
        self._messages.put_nowait(None)

    async def serve(self, socket: WebSocket) -> None:
        """Send messages until either side closes the connection."""
        parts = [asyncio.create_task(part) for part in (self._send(socket), _receive(socket))]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        with contextlib.suppress(WebSocketDisconnect):
            for part in done:
                part.result()

    async def _send(self, socket: WebSocket) -> None:
        while (remaining := self._remaining_seconds()) > 0:
            try:
                message = await asyncio.wait_for(
                    self._messages.get(), min(HEARTBEAT_SECONDS, remaining)
                )
            except TimeoutError:
                message = _HEARTBEAT
            if message is None:
                await close(socket, *self._close)
                return
            await socket.send_text(message)
        self.closed_by_server = True
        await close(socket, POLICY_VIOLATION, "The Access Token has expired")


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Close a connection; a reason that is too long for the protocol is truncated."""
    content = reason.encode(errors="replace")[:_MAX_REASON_BYTES]
    await socket.close(code, content.decode(errors="ignore"))


async def _receive(socket: WebSocket) -> None:
    """Wait until the client disconnects; discard any messages. The SDK sends none."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
