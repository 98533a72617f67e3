"""A proxy that injects faults into the requests from one process to another."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

from local import network
from tests.chaos.runner.plan import RequestFault

_HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding", "date", "server"}
_BYTE_SECONDS = 0.3
_TIMEOUT = aiohttp.ClientTimeout(total=60)


class DisconnectError(Exception):
    """Raised to close the connection without a response."""


@dataclass(frozen=True)
class Request:
    """A request to forward."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The parts of the request that can contain a marker; see `Proxy.inject`."""
        return f"{self.path} {self.body.decode('utf-8', errors='replace')}"

    @property
    def form(self) -> dict[str, str]:
        """The body parsed as a form; contains the first value of each name."""
        fields = parse_qs(self.body.decode("utf-8", errors="replace"))
        return {name: values[0] for name, values in fields.items()}


@dataclass(frozen=True)
class Response:
    """A response to forward."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float = 0.0
    """Maximum time during which the body is sent byte by byte; 0 sends it at once."""


def subject_of(request: Request) -> str:
    """Return the subject of a request.

    The subject of a callback is "assignment", "fallback", or "event" followed by the event type.
    The subject of a write to DynamoDB that records a callback is "answer". The subjects of
    reconciliation's requests to TaskRouter are "list of Events" and "list of Tasks". The subject of
    any other request is empty.
    """
    if b":set_answer" in request.body:
        return "answer"
    for name in ("Events", "Tasks"):
        if f"/{name}?" in request.path:
            return f"list of {name}"
    if request.path.endswith("/event_callback"):
        return f"event {request.form.get('EventType', '')}"
    if request.path.endswith("/fallback"):
        return "fallback"
    return "assignment" if request.path.endswith("/assignment_callback") else ""


@dataclass
class _InjectedFault:
    fault: RequestFault
    marker: str
    has_taken_effect: bool = False


class Proxy:
    """Forwards requests and applies injected faults to matching requests.

    Args:
        on_request: Called with each request before any fault is applied.
        on_response: Called with each response from the upstream server, even if a fault prevents
            the client from receiving the response.

    Attributes:
        url: The proxy's base URL.
        upstream: Base URL of the upstream server.
        is_down: Whether the proxy closes every connection without a response.
        fault_counts: Number of injections of each fault that have taken effect.
    """

    def __init__(
        self,
        *,
        on_request: Callable[[Request], None] = lambda _request: None,
        on_response: Callable[[Request, Response], None] = lambda _request, _response: None,
    ) -> None:
        self.url = ""
        self.upstream = ""
        self.is_down = False
        self.fault_counts: Counter[RequestFault] = Counter()
        self._on_request = on_request
        self._on_response = on_response
        self._injected: list[_InjectedFault] = []
        self._late_requests: set[asyncio.Task[Response]] = set()
        self._session: aiohttp.ClientSession
        self._runner: web.ServerRunner
        self._site: web.TCPSite
        self._port = 0

    def inject(self, fault: RequestFault, marker: str) -> None:
        """Inject a fault into the next matching request that contains a marker, such as a SID.

        The fault "lost" affects every such request until `clear_faults` is called.
        """
        self._injected.append(_InjectedFault(fault, marker))

    def clear_faults(self) -> None:
        """Remove all injected faults."""
        self._injected.clear()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Serve requests inside an `async with` block."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, auto_decompress=False
        ) as self._session:
            self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
            await self._runner.setup()
            # This socket never listens, but reserves the port while the proxy refuses connections.
            with socket.socket() as reserved:
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                reserved.bind((network.LOOPBACK, 0))
                self._port = reserved.getsockname()[1]
                self.url = network.url(self._port)
                try:
                    await self._listen()
                    yield
                finally:
                    await self._runner.cleanup()
                    await self.wait_for_late_requests()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, network.LOOPBACK, self._port, reuse_port=True)
        await self._site.start()

    @asynccontextmanager
    async def refusing_connections(self) -> AsyncIterator[None]:
        """Close all connections, and refuse new connections inside an `async with` block."""
        self.is_down = True
        await self._site.stop()
        server = self._runner.server
        for connection in server.connections if isinstance(server, web.Server) else ():
            if connection.transport:
                connection.transport.abort()
        try:
            yield
        finally:
            self.is_down = False
            await self._listen()

    @asynccontextmanager
    async def resetting_connections(self) -> AsyncIterator[None]:
        """Reset each connection before a request arrives, inside an `async with` block."""

        def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        async with (
            self.refusing_connections(),
            await asyncio.start_server(reset, network.LOOPBACK, self._port, reuse_port=True),
        ):
            yield

    async def wait_for_late_requests(self) -> None:
        """Wait until all late requests have been delivered."""
        while self._late_requests:
            await asyncio.wait(self._late_requests)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP
        }
        try:
            incoming = Request(request.method, request.path_qs, headers, await request.read())
            self._on_request(incoming)
            response = await self._respond(incoming)
        except (DisconnectError, aiohttp.ClientError, OSError):
            if request.transport:
                request.transport.abort()
            return web.Response(status=502)
        response_headers = {
            name: value
            for name, value in response.headers.items()
            if name.lower() not in _HOP_BY_HOP
        }
        if not response.seconds:
            return web.Response(
                status=response.status, headers=response_headers, body=response.body
            )
        slow = web.StreamResponse(status=response.status, headers=response_headers)
        slow.content_length = len(response.body)
        with suppress(OSError):
            await slow.prepare(request)
            for index in range(min(len(response.body), int(response.seconds / _BYTE_SECONDS))):
                await slow.write(response.body[index : index + 1])
                await asyncio.sleep(_BYTE_SECONDS)
        if request.transport:
            request.transport.abort()
        return slow

    async def _respond(self, request: Request) -> Response:
        """Forward a request, or apply the injected fault that matches it."""
        if self.is_down:
            raise DisconnectError
        fault = self._matching_fault(request)
        if fault is None:
            return await self._forward(request)
        return await _EFFECTS[fault.effect](self, request, fault)

    def _matching_fault(self, request: Request) -> RequestFault | None:
        text, subject = request.text, subject_of(request)
        for injected in self._injected:
            fault = injected.fault
            if injected.marker in text and subject.startswith(fault.subjects):
                if not injected.has_taken_effect:
                    self.fault_counts[fault] += 1
                injected.has_taken_effect = True
                if fault.effect != "lost":
                    self._injected.remove(injected)
                return fault
        return None

    async def _forward(self, request: Request) -> Response:
        async with self._session.request(
            request.method,
            self.upstream + request.path,
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
        ) as upstream:
            response = Response(upstream.status, dict(upstream.headers), await upstream.read())
        self._on_response(request, response)
        return response

    async def _disconnect(self, request: Request, fault: RequestFault) -> Response:
        if fault.after:
            with suppress(aiohttp.ClientError):
                await self._forward(request)
        raise DisconnectError

    async def _respond_with_error(self, request: Request, fault: RequestFault) -> Response:
        if fault.after:
            await self._forward(request)
        status, body = fault.response
        return Response(status, {"Content-Type": "application/json"}, body.encode())

    async def _delay(self, request: Request, fault: RequestFault) -> Response:
        if fault.after:
            response = await self._forward(request)
            await asyncio.sleep(fault.seconds)
            return response
        await asyncio.sleep(fault.seconds)
        return await self._forward(request)

    async def _deliver_late(self, request: Request, fault: RequestFault) -> Response:
        task = asyncio.create_task(self._delay(request, fault))
        self._late_requests.add(task)
        task.add_done_callback(self._discard_late_request)
        raise DisconnectError

    def _discard_late_request(self, task: "asyncio.Task[Response]") -> None:
        self._late_requests.discard(task)
        # Retrieve any exception, such as a failed connection, so that asyncio does not log it.
        task.exception()

    async def _drip(self, request: Request, fault: RequestFault) -> Response:
        return replace(await self._forward(request), seconds=fault.seconds)

    async def _leave_unanswered(self, request: Request, fault: RequestFault) -> Response:
        if fault.after:
            await self._forward(request)
        await asyncio.sleep(fault.seconds)
        raise DisconnectError

    async def _duplicate(self, request: Request, _fault: RequestFault) -> Response:
        await self._forward(request)
        return await self._forward(request)


_EFFECTS: dict[str, Callable[[Proxy, Request, RequestFault], Awaitable[Response]]] = {
    "disconnected": Proxy._disconnect,
    "lost": Proxy._disconnect,
    "error response": Proxy._respond_with_error,
    "delayed": Proxy._delay,
    "delivered late": Proxy._deliver_late,
    "duplicated": Proxy._duplicate,
    "dripping": Proxy._drip,
    "unanswered": Proxy._leave_unanswered,
}
