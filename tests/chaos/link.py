"""A way between two programs, as a proxy that breaks single calls when told to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

from local import network
from tests.chaos.plan import Fault

_HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding", "date", "server"}
_PATIENCE = aiohttp.ClientTimeout(total=60)


class CutError(Exception):
    """The connection breaks without an answer."""


@dataclass(frozen=True)
class Call:
    """A request on its way."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Everything in which a SID may stand."""
        return f"{self.path} {self.body.decode('utf-8', errors='replace')}"

    @property
    def form(self) -> dict[str, str]:
        """The body as a form; the first value of each name."""
        fields = parse_qs(self.body.decode("utf-8", errors="replace"))
        return {name: values[0] for name, values in fields.items()}


@dataclass(frozen=True)
class Answer:
    """A response on its way."""

    status: int
    headers: dict[str, str]
    body: bytes


def subject(call: Call) -> str:
    """Say what a callback is about: assignment, fallback, or event and its type."""
    if call.path.endswith("/event_callback"):
        return f"event {call.form.get('EventType', '')}"
    if call.path.endswith("/fallback"):
        return "fallback"
    return "assignment" if call.path.endswith("/assignment_callback") else ""


@dataclass
class _Armed:
    fault: Fault
    marker: str
    has_struck: bool = False


class Proxy:
    """Passes every call on, but for those that an armed fault fits.

    Args:
        heard: told of each call, before anything goes wrong with it.
        answered: told of each answer that the program behind gave, whoever got to see it.

    Attributes:
        url: where it listens.
        upstream: where calls go on to, such as "http://127.0.0.1:8000".
        away: whether every call is cut.
        struck: how often each fault has struck.
    """

    def __init__(
        self,
        *,
        heard: Callable[[Call], None] = lambda _call: None,
        answered: Callable[[Call, Answer], None] = lambda _call, _answer: None,
    ) -> None:
        self.url = ""
        self.upstream = ""
        self.away = False
        self.struck: Counter[Fault] = Counter()
        self._heard = heard
        self._answered = answered
        self._armed: list[_Armed] = []
        self._late: set[asyncio.Task[Answer]] = set()
        self._session: aiohttp.ClientSession

    def arm(self, fault: Fault, marker: str) -> None:
        """Have *fault* strike the next call in which *marker* (a SID, say) stands."""
        self._armed.append(_Armed(fault, marker))

    def disarm(self, marker: str = "") -> None:
        """Take back the faults of that marker, or all of them."""
        self._armed = [one for one in self._armed if marker and one.marker != marker]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, timeout=_PATIENCE, auto_decompress=False
        ) as self._session:
            runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
            await runner.setup()
            try:
                site = web.TCPSite(runner, network.LOOPBACK, 0)
                await site.start()
                host, port = runner.addresses[0][:2]
                self.url = f"http://{host}:{port}"
                yield
            finally:
                await runner.cleanup()
                await self.settled()

    async def settled(self) -> None:
        """Wait until the late calls have arrived."""
        while self._late:
            await asyncio.wait(self._late)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP
        }
        try:
            call = Call(request.method, request.path_qs, headers, await request.read())
            self._heard(call)
            answer = await self._broken(call)
        except (CutError, aiohttp.ClientError, OSError):
            if request.transport:
                request.transport.abort()
            return web.Response(status=502)
        kept = {
            name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP
        }
        return web.Response(status=answer.status, headers=kept, body=answer.body)

    async def _broken(self, call: Call) -> Answer:
        """Pass *call* on, and break it where a fault fits."""
        if self.away:
            raise CutError
        fault = self._fault_for(call)
        if fault is None:
            return await self._pass_on(call)
        effect = _EFFECTS[fault.effect]
        return await effect(self, call, fault)

    def _fault_for(self, call: Call) -> Fault | None:
        text, about = call.text, subject(call)
        for one in self._armed:
            if one.marker in text and about.startswith(one.fault.only):
                if not one.has_struck:
                    self.struck[one.fault] += 1
                one.has_struck = True
                if one.fault.effect != "lost":
                    self._armed.remove(one)
                return one.fault
        return None

    async def _pass_on(self, call: Call) -> Answer:
        async with self._session.request(
            call.method,
            self.upstream + call.path,
            headers=call.headers,
            data=call.body or None,
            allow_redirects=False,
        ) as response:
            answer = Answer(response.status, dict(response.headers), await response.read())
        self._answered(call, answer)
        return answer

    async def _cut(self, call: Call, fault: Fault) -> Answer:
        if fault.after:
            with suppress(aiohttp.ClientError):
                await self._pass_on(call)
        raise CutError

    async def _answer(self, call: Call, fault: Fault) -> Answer:
        if fault.after:
            await self._pass_on(call)
        status, body = fault.answer
        return Answer(status, {"Content-Type": "application/json"}, body.encode())

    async def _slow(self, call: Call, fault: Fault) -> Answer:
        if fault.after:
            answer = await self._pass_on(call)
            await asyncio.sleep(fault.seconds)
            return answer
        await asyncio.sleep(fault.seconds)
        return await self._pass_on(call)

    async def _arrive_late(self, call: Call, fault: Fault) -> Answer:
        task = asyncio.create_task(self._slow(call, fault))
        self._late.add(task)
        task.add_done_callback(self._forget)
        raise CutError

    def _forget(self, task: "asyncio.Task[Answer]") -> None:
        self._late.discard(task)
        # The program behind may be dead by then; somebody has to hear of it.
        task.exception()

    async def _twice(self, call: Call, _fault: Fault) -> Answer:
        await self._pass_on(call)
        return await self._pass_on(call)


_EFFECTS: dict[str, Callable[[Proxy, Call, Fault], Awaitable[Answer]]] = {
    "cut": Proxy._cut,
    "lost": Proxy._cut,
    "answer": Proxy._answer,
    "slow": Proxy._slow,
    "late": Proxy._arrive_late,
    "twice": Proxy._twice,
}
