"""Posts what the engine asks for, and hands the answers back to it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from taskrouter_simulator.callbacks import answers
from taskrouter_simulator.callbacks.answers import Reply
from taskrouter_simulator.callbacks.courier import Courier, Delivery
from taskrouter_simulator.callbacks.turns import Turns
from taskrouter_simulator.engine import instructions, reservations
from taskrouter_simulator.engine.calls import execution
from taskrouter_simulator.engine.core import (
    Alert,
    AssignmentCallback,
    CallStep,
    Effect,
    Engine,
    EventCallback,
    FetchTwiml,
)
from taskrouter_simulator.faults import Faults
from taskrouter_simulator.identifiers import new_sid

_SUCCESS = range(200, 300)
_NO_CONTENT = range(204, 205)
_AT_ONCE = 50
_WITH_CALLBACK = "reservation.created"
"""The event that tells of the same thing as the assignment callback."""

Then = Callable[[Reply], None]


class Sender:
    """Carries out effects beside the engine, each in a task of its own.

    Args:
        courier: delivers.
        record: notes each alert in the log.
        faults: what is to go wrong.
        one_event_at_a_time: whether an event waits for the answer to the one before.
    """

    def __init__(
        self,
        courier: Courier,
        record: Callable[..., None],
        faults: Faults,
        *,
        one_event_at_a_time: bool,
    ) -> None:
        self._courier = courier
        self._record = record
        self._faults = faults
        self._turns = Turns()
        self._running: set[asyncio.Task[None]] = set()
        # events have a room of their own: an app slow on them must not delay an assignment
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._events_room = asyncio.Semaphore(1 if one_event_at_a_time else _AT_ONCE)

    async def close(self) -> None:
        """Give up what is under way."""
        self.abandon()
        await asyncio.gather(*self._running, return_exceptions=True)

    def abandon(self) -> None:
        """Hear nothing more of what is under way."""
        self._turns.forget()
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
                self._record("alert", **about, **effect.details)
            case CallStep():
                self._record("call", call_sid=effect.call_sid, step=effect.step, **effect.details)
            case FetchTwiml():
                self._twiml(engine, effect)
            case AssignmentCallback():
                sid = effect.reservation_sid
                self._in_order(engine, sid, lambda: self._assignment(engine, effect))
            case EventCallback() if effect.event.event_type == _WITH_CALLBACK:
                sid = effect.event.resource_sid
                self._in_order(engine, sid, lambda: self._first_event(engine, effect))
            case EventCallback():
                self._first_event(engine, effect)

    def _in_order(self, engine: Engine, sid: str, start: Callable[[], None]) -> None:
        """Start, or wait for what tells of the same Reservation if the two have an order."""
        if engine.settings.callback_order == "unordered":
            start()
        else:
            self._turns.begin(sid, start)

    def _assignment(self, engine: Engine, effect: AssignmentCallback) -> None:
        def answered(reply: Reply) -> None:
            if code := self._failed(engine, effect, effect.url, reply):
                self._fallback(engine, effect, code)
            self._turns.end(effect.reservation_sid)

        delivery = Delivery(
            "assignment",
            effect.url,
            effect.parameters,
            engine.settings.assignment_callback_seconds,
            new_sid(""),
        )
        self._call(engine, delivery, answered)

    def _fallback(self, engine: Engine, effect: AssignmentCallback, code: int) -> None:
        def answered(reply: Reply) -> None:
            if self._failed(engine, effect, effect.fallback_url, reply):
                _give_up(engine, effect)

        if not effect.fallback_url:
            _give_up(engine, effect)
            return
        parameters = dict(effect.parameters)
        if engine.settings.fallback_error_parameters:
            parameters |= {"ErrorCode": str(code), "ErrorUrl": effect.url}
        delivery = Delivery(
            "fallback",
            effect.fallback_url,
            parameters,
            engine.settings.fallback_callback_seconds,
            new_sid(""),
            plain=not engine.settings.fallback_connection_overrides,
        )
        self._call(engine, delivery, answered)

    def _failed(
        self, engine: Engine, effect: AssignmentCallback, url: str, reply: Reply
    ) -> int | None:
        """Act on a reply; the alert's code if it sends TaskRouter to the next URL, else None."""
        about = {"url": url, "reservation_sid": effect.reservation_sid}
        if failed := answers.failure(reply):
            engine.alert(*failed, about)
            return failed[0]
        bad_json_fails = engine.settings.bad_json_uses_fallback
        answer = answers.instruction(reply)
        if answer is None:
            engine.alert(answers.NOT_JSON, "The answer is not a JSON object", about, "warning")
            return answers.NOT_JSON if bad_json_fails else None
        instructions.handle_response(engine, effect.workspace_sid, effect.reservation_sid, answer)
        says_nothing = bool(answer) and "instruction" not in answer
        return instructions.NO_INSTRUCTION if says_nothing and bad_json_fails else None

    def _first_event(self, engine: Engine, effect: EventCallback) -> None:
        self._event(engine, effect, engine.settings.event_callback_retries, new_sid(""))

    def _event(self, engine: Engine, effect: EventCallback, retries: int, token: str) -> None:
        def answered(reply: Reply) -> None:
            if effect.event.event_type == _WITH_CALLBACK:
                self._turns.end(effect.event.resource_sid)
            wanted = _NO_CONTENT if engine.settings.event_callback_wants_204 else _SUCCESS
            if not reply.error and reply.status in wanted:
                return
            about = {"url": effect.url, "event_sid": effect.event.sid}
            engine.alert(answers.HTTP_FAILURE, reply.problem, about)
            if retries:
                self._event(engine, effect, retries - 1, token)

        delivery = Delivery(
            "event",
            effect.url,
            effect.event.parameters,
            engine.settings.event_callback_seconds,
            token,
        )
        self._call(engine, delivery, answered)

    def _twiml(self, engine: Engine, effect: FetchTwiml) -> None:
        def answered(reply: Reply) -> None:
            if failed := answers.no_twiml(reply):
                execution.receive_failure(engine, effect.call_sid, effect.request, *failed)
            else:
                execution.receive_document(engine, effect.call_sid, effect.request, reply.body)

        seconds = engine.settings.twiml_seconds
        delivery = Delivery("twiml", effect.url, effect.parameters, seconds, new_sid(""))
        self._call(engine, delivery, answered)

    def _call(self, engine: Engine, delivery: Delivery, then: Then) -> None:
        fault = self._faults.take(delivery.kind, "POST", urlsplit(delivery.url).path)
        spoiled = replace(delivery, fault=fault)

        def start() -> None:
            self._start(self._in_turn(engine, spoiled, then))
            if fault and fault.kind == "duplicate":
                self._start(self._in_turn(engine, delivery, then))

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

    async def _in_turn(self, engine: Engine, delivery: Delivery, then: Then) -> None:
        """Deliver when there is room: a thousand events at once would run out of sockets."""
        async with self._events_room if delivery.kind == "event" else self._room:
            reply = await self._courier.deliver(engine.settings, delivery)
        then(reply)


def _give_up(engine: Engine, effect: AssignmentCallback) -> None:
    """No URL answered: the Reservation waits for its time-out, unless the setting cancels it."""
    workspace = engine.workspaces.get(effect.workspace_sid)
    reservation = workspace.reservations.get(effect.reservation_sid) if workspace else None
    cancels = engine.settings.failed_callbacks_cancel
    if cancels and workspace and reservation and reservation.status == "pending":
        reservations.cancel_and_reoffer(engine, workspace, reservation)
