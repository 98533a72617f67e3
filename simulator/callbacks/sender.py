"""Posts what the engine asks for, and hands the answers back to it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urldefrag, urlencode

import aiohttp

from simulator.callbacks import answers
from simulator.callbacks.answers import Reply
from simulator.callbacks.signature import sign
from simulator.engine import instructions
from simulator.engine.core import Alert, AssignmentCallback, Effect, Engine, EventCallback

_MAX_ANSWER = 1_000_000
_FORM = "application/x-www-form-urlencoded; charset=utf-8"


class Sender:
    """Carries out effects beside the engine, each in a task of its own.

    Args:
        auth_token: signs.
        record: notes each callback, event and alert in the log.
        idempotency_token: makes a new I-Twilio-Idempotency-Token.
    """

    def __init__(
        self, auth_token: str, record: Callable[..., None], idempotency_token: Callable[[], str]
    ) -> None:
        self._auth_token = auth_token
        self._record = record
        self._idempotency_token = idempotency_token
        self._session: aiohttp.ClientSession | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make ready to post; needs a running loop."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._running:
            await asyncio.wait(set(self._running))
            # what an answer led to is routed, and asks for its own callbacks, in the next turn
            await asyncio.sleep(0)

    def take(self, engine: Engine, effect: Effect) -> None:
        """Carry out an effect of that engine, soon."""
        match effect:
            case Alert():
                self._record(
                    "alert", code=effect.code, level=effect.level, message=effect.message,
                    **effect.about,
                )  # fmt: skip
            case AssignmentCallback():
                self._start(self._assignment(engine, effect))
            case EventCallback():
                self._start(self._event(engine, effect))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _assignment(self, engine: Engine, effect: AssignmentCallback) -> None:
        settings = engine.settings
        attempts = [("assignment", effect.url, settings.assignment_callback_seconds)]
        if effect.fallback_url:
            attempts.append(("fallback", effect.fallback_url, settings.fallback_callback_seconds))
        for name, url, seconds in attempts:
            about = {"url": url, "reservation_sid": effect.reservation_sid}
            reply = await self._post(engine, name, url, effect.parameters, seconds)
            if failed := answers.failure(reply):
                engine.alert(*failed, about)
                continue
            answer = answers.instruction(reply)
            if answer is None:
                message = "The answer is not a JSON object"
                engine.alert(answers.NOT_JSON, message, about, "warning")
                return
            instructions.carry_out(engine, effect.workspace_sid, effect.reservation_sid, answer)
            return

    async def _event(self, engine: Engine, effect: EventCallback) -> None:
        seconds = engine.settings.event_callback_seconds
        reply = await self._post(engine, "event", effect.url, effect.event.parameters, seconds)
        if reply.error or not 200 <= (reply.status or 0) < 300:  # noqa: PLR2004 - HTTP's own numbers
            message = reply.error or f"got HTTP {reply.status}"
            message = f"HTTP retrieval failure: {message}"
            about = {"url": effect.url, "event_sid": effect.event.sid}
            engine.alert(answers.HTTP_FAILURE, message, about)

    async def _post(
        self, engine: Engine, name: str, url: str, parameters: dict[str, str], seconds: float
    ) -> Reply:
        bare = urldefrag(url).url
        headers = {
            "Content-Type": _FORM,
            "User-Agent": engine.settings.user_agent,
            "Accept": "*/*",
            "I-Twilio-Idempotency-Token": self._idempotency_token(),
            "X-Twilio-Signature": sign(self._auth_token, bare, parameters),
        }
        began = time.monotonic()
        reply = await self._request(bare, urlencode(parameters), headers, seconds)
        self._record(
            name, url=url, headers=headers, parameters=parameters, status=reply.status,
            content_type=reply.content_type, answer=reply.body.decode("utf-8", errors="replace"),
            error=reply.error, seconds=round(time.monotonic() - began, 4),
        )  # fmt: skip
        return reply

    async def _request(self, url: str, body: str, headers: dict[str, str], seconds: float) -> Reply:
        if self._session is None:
            return Reply(error="the simulator is not serving")
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.post(
                    url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                content = await response.content.read(_MAX_ANSWER)
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return Reply(response.status, kind, content)
        except TimeoutError:
            return Reply(error=f"no answer within {seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Reply(error=f"{type(error).__name__}: {error}"[:300])
