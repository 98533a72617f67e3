"""Posts what the engine asks for, and hands the answers back to it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from simulator.callbacks import answers, overrides
from simulator.callbacks.answers import Reply
from simulator.callbacks.signature import sign
from simulator.callbacks.transport import Transport
from simulator.engine import instructions, offers
from simulator.engine.core import Alert, AssignmentCallback, Effect, Engine, EventCallback
from simulator.faults import Fault, Faults
from simulator.identifiers import new_sid

_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_SUCCESS = range(200, 300)
_NO_CONTENT = range(204, 205)
_AT_ONCE = 50

Then = Callable[[Reply], None]


@dataclass(frozen=True)
class _Delivery:
    """One callback to make: `kind` as the log names it, `seconds` its limit."""

    kind: str
    url: str
    parameters: dict[str, str]
    seconds: float
    token: str
    fault: Fault | None = None


class Sender:
    """Carries out effects beside the engine, each in a task of its own.

    Args:
        auth_token: signs.
        record: notes each callback, event and alert in the log.
        faults: what is to go wrong.
    """

    def __init__(self, auth_token: str, record: Callable[..., None], faults: Faults) -> None:
        self._auth_token = auth_token
        self._record = record
        self._faults = faults
        self._transport = Transport()
        self._running: set[asyncio.Task[None]] = set()
        # events have a room of their own: an app slow on them must not delay an assignment
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._events_room = asyncio.Semaphore(_AT_ONCE)

    async def open(self) -> None:
        """Make ready to post; needs a running loop."""
        await self._transport.open()

    async def close(self) -> None:
        """Give up what is under way."""
        self.abandon()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._transport.close()

    def abandon(self) -> None:
        """Hear nothing more of what is under way."""
        for task in self._running:
            task.cancel()

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
                about = {"code": effect.code, "level": effect.level, "message": effect.message}
                self._record("alert", **about, **effect.about)
            case AssignmentCallback():
                self._assignment(engine, effect)
            case EventCallback():
                self._event(engine, effect, engine.settings.event_callback_retries, new_sid(""))

    def _assignment(self, engine: Engine, effect: AssignmentCallback) -> None:
        def answered(reply: Reply) -> None:
            if not self._heard(engine, effect, effect.url, reply):
                self._fallback(engine, effect, reply)

        seconds = engine.settings.assignment_callback_seconds
        self._call(
            engine, "assignment", effect.url, effect.parameters, seconds=seconds, then=answered
        )

    def _fallback(self, engine: Engine, effect: AssignmentCallback, reply: Reply) -> None:
        def answered(reply: Reply) -> None:
            if not self._heard(engine, effect, effect.fallback_url, reply):
                _give_up(engine, effect)

        if not effect.fallback_url:
            _give_up(engine, effect)
            return
        parameters = dict(effect.parameters)
        if engine.settings.fallback_error_parameters:
            failed = answers.failure(reply) or (answers.NOT_JSON, "")
            parameters |= {"ErrorCode": str(failed[0]), "ErrorUrl": effect.url}
        seconds = engine.settings.fallback_callback_seconds
        self._call(
            engine, "fallback", effect.fallback_url, parameters, seconds=seconds, then=answered
        )

    def _heard(self, engine: Engine, effect: AssignmentCallback, url: str, reply: Reply) -> bool:
        """Act on a reply; False if it sends TaskRouter to the next URL."""
        about = {"url": url, "reservation_sid": effect.reservation_sid}
        if failed := answers.failure(reply):
            engine.alert(*failed, about)
            return False
        answer = answers.instruction(reply)
        if answer is None:
            engine.alert(answers.NOT_JSON, "The answer is not a JSON object", about, "warning")
            return not engine.settings.bad_json_uses_fallback
        instructions.answered(engine, effect.workspace_sid, effect.reservation_sid, answer)
        return True

    def _event(self, engine: Engine, effect: EventCallback, retries: int, token: str) -> None:
        def answered(reply: Reply) -> None:
            wanted = _NO_CONTENT if engine.settings.event_callback_wants_204 else _SUCCESS
            if not reply.error and reply.status in wanted:
                return
            about = {"url": effect.url, "event_sid": effect.event.sid}
            engine.alert(answers.HTTP_FAILURE, reply.problem, about)
            if retries:
                self._event(engine, effect, retries - 1, token)

        self._call(
            engine,
            "event",
            effect.url,
            effect.event.parameters,
            seconds=engine.settings.event_callback_seconds,
            then=answered,
            token=token,
        )

    def _call(
        self,
        engine: Engine,
        kind: str,
        url: str,
        parameters: dict[str, str],
        *,
        seconds: float,
        then: Then,
        token: str | None = None,
    ) -> None:
        fault = self._faults.take(kind, "POST", urlsplit(url).path)
        delivery = _Delivery(kind, url, parameters, seconds, token or new_sid(""), fault)

        def start() -> None:
            self._start(self._in_turn(engine, delivery, then))
            if fault and fault.kind == "duplicate":
                self._start(self._in_turn(engine, replace(delivery, fault=None), then))

        if fault and fault.kind == "latency":
            engine.clock.call_at(engine.now() + fault.seconds, start)
        else:
            start()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Let go of a task; a mistake of ours in it is reported, not swallowed."""
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            context = {"message": "a callback failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def _in_turn(self, engine: Engine, delivery: _Delivery, then: Then) -> None:
        """Deliver when there is room: a thousand events at once would run out of sockets."""
        async with self._events_room if delivery.kind == "event" else self._room:
            reply = await self._deliver(engine, delivery)
        then(reply)

    async def _deliver(self, engine: Engine, delivery: _Delivery) -> Reply:
        """Post, as often as the connection overrides say, within the limit on the whole."""
        url, connection = overrides.read(delivery.url)
        ends = time.monotonic() + min(delivery.seconds, connection.total)
        for attempt in range(1, connection.retries + 2):
            began = time.monotonic()
            headers = self._headers(engine, delivery, url)
            left = max(0.0, ends - began)
            reply = await self._post(delivery, url, headers, connection, left)
            self._note(delivery, headers, reply, attempt, time.monotonic() - began)
            if not connection.retries_on(reply) or time.monotonic() >= ends:
                break
        return reply

    def _headers(self, engine: Engine, delivery: _Delivery, url: str) -> dict[str, str]:
        return {
            "Content-Type": _FORM,
            "User-Agent": engine.settings.user_agent,
            "Accept": "*/*",
            "I-Twilio-Idempotency-Token": delivery.token,
            "X-Twilio-Signature": sign(self._auth_token, url, delivery.parameters),
        }

    async def _post(
        self,
        delivery: _Delivery,
        url: str,
        headers: dict[str, str],
        connection: overrides.Overrides,
        seconds: float,
    ) -> Reply:
        """Post once, or have the connection cut where a fault says so."""
        cut = delivery.fault.moment if delivery.fault and delivery.fault.kind == "cut" else ""
        if cut == "before":
            return Reply(error="cut before it was sent, as told", failure="ct")
        reply = await self._transport.post(url, delivery.parameters, headers, connection, seconds)
        if cut == "after" and not reply.error:
            return Reply(error="cut before the answer came, as told", failure="cut")
        return reply

    def _note(
        self,
        delivery: _Delivery,
        headers: dict[str, str],
        reply: Reply,
        attempt: int,
        seconds: float,
    ) -> None:
        self._record(
            delivery.kind,
            url=delivery.url,
            attempt=attempt,
            headers=headers,
            parameters=delivery.parameters,
            status=reply.status,
            content_type=reply.content_type,
            answer=reply.body.decode("utf-8", errors="replace"),
            error=reply.error,
            seconds=round(seconds, 4),
            fault=delivery.fault.kind if delivery.fault else None,
        )


def _give_up(engine: Engine, effect: AssignmentCallback) -> None:
    """No URL answered: the Reservation waits for its time-out, unless the setting cancels it."""
    workspace = engine.workspaces.get(effect.workspace_sid)
    reservation = workspace.reservations.get(effect.reservation_sid) if workspace else None
    cancels = engine.settings.failed_callbacks_cancel
    if cancels and workspace and reservation and reservation.status == "pending":
        offers.give_up(engine, workspace, reservation)
