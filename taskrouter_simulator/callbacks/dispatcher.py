"""Executes the engine's effects, and passes the app's responses to the engine."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from taskrouter_simulator.callbacks import answers
from taskrouter_simulator.callbacks.answers import Response
from taskrouter_simulator.callbacks.delivery import Delivery, DeliveryClient
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
    StatusCallback,
)
from taskrouter_simulator.faults import Faults
from taskrouter_simulator.settings import Settings

MAX_CONCURRENT = 50
"""Maximum number of concurrent event callbacks, status callbacks and, together, all others.

A thousand concurrent callbacks would exhaust the available sockets.
"""

_NO_CONTENT = range(204, 205)
_RESERVATION_CREATED = "reservation.created"
"""Type of the event that is emitted together with the assignment callback."""

ResponseHandler = Callable[[Response], None]


class ReservationQueue:
    """Sequences a Reservation's assignment callback and `reservation.created` event.

    Args:
        ordered: Whether a callback waits for the response to the previous callback for the same
            Reservation.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def enqueue(self, sid: str, start: Callable[[], None]) -> None:
        """Start a callback now or, if ordered, after the Reservation's current callback."""
        if self._ordered and sid in self._waiting:
            self._waiting[sid].append(start)
        else:
            self._waiting[sid] = []
            start()

    def done(self, sid: str) -> None:
        """Mark the current callback of a WR… SID as done, and start the waiting ones."""
        for start in self._waiting.pop(sid, []):
            start()

    def clear(self) -> None:
        """Drop all waiting callbacks."""
        self._waiting.clear()


class Dispatcher:
    """Executes effects; each callback runs concurrently in its own asyncio task.

    Args:
        client: Delivers the callbacks.
        settings: Settings that determine time limits, order and retries.
        record: Adds an entry to the log.
        faults: Faults to inject.
    """

    def __init__(
        self,
        client: DeliveryClient,
        settings: Settings,
        record: Callable[..., None],
        faults: Faults,
    ) -> None:
        self._client = client
        self._settings = settings
        self._record = record
        self._faults = faults
        self._queue = ReservationQueue(ordered=settings.callback_order != "unordered")
        self._tasks: set[asyncio.Task[None]] = set()
        # Separate limits: an app that is slow to respond to reports must not delay assignments.
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._report_slots = {
            "event": asyncio.Semaphore(1 if settings.event_callbacks_in_order else MAX_CONCURRENT),
            "status": asyncio.Semaphore(MAX_CONCURRENT),
        }

    async def close(self) -> None:
        """Cancel all callbacks and wait until their tasks have ended."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cancel(self) -> None:
        """Cancel all callbacks, whether waiting or in progress."""
        self._queue.clear()
        for task in self._tasks:
            task.cancel()

    async def drain(self) -> None:
        """Wait until no callback is in progress."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
            # Routing runs in the loop's next iteration and may emit more callbacks.
            await asyncio.sleep(0)

    def dispatch(self, engine: Engine, effect: Effect) -> None:
        """Execute an effect of the engine; callbacks start after this method returns."""
        match effect:
            case Alert():
                alert = {"code": effect.code, "level": effect.level, "message": effect.message}
                self._record("alert", **alert, **effect.details)
            case CallStep():
                self._record("call", call_sid=effect.call_sid, step=effect.step, **effect.details)
            case FetchTwiml():
                self._fetch_twiml(engine, effect)
            case StatusCallback():
                self._send_status(engine, effect)
            case AssignmentCallback():
                sid = effect.reservation_sid
                self._queue.enqueue(sid, lambda: self._post_assignment(engine, effect))
            case EventCallback() if effect.event.event_type == _RESERVATION_CREATED:
                sid = effect.event.resource_sid
                self._queue.enqueue(sid, lambda: self._post_event(engine, effect))
            case EventCallback():
                self._post_event(engine, effect)

    def _post_assignment(self, engine: Engine, effect: AssignmentCallback) -> None:
        delivery = Delivery(
            "assignment",
            effect.url,
            effect.parameters,
            self._settings.assignment_callback_seconds,
        )
        self._send(
            engine, delivery, lambda response: self._handle_assignment(engine, effect, response)
        )

    def _handle_assignment(
        self, engine: Engine, effect: AssignmentCallback, response: Response
    ) -> None:
        """Process the response to an assignment callback."""
        if code := _execute_instruction(engine, effect, effect.url, response):
            self._post_fallback(engine, effect, code)
        self._queue.done(effect.reservation_sid)

    def _post_fallback(self, engine: Engine, effect: AssignmentCallback, code: int) -> None:
        def on_response(response: Response) -> None:
            if _execute_instruction(engine, effect, effect.fallback_url, response):
                _give_up(engine, effect)

        if not effect.fallback_url:
            _give_up(engine, effect)
            return
        parameters = dict(effect.parameters)
        if self._settings.fallback_error_parameters:
            parameters |= {"ErrorCode": str(code), "ErrorUrl": effect.url}
        delivery = Delivery(
            "fallback",
            effect.fallback_url,
            parameters,
            self._settings.fallback_callback_seconds,
            single_attempt=not self._settings.fallback_connection_overrides,
        )
        self._send(engine, delivery, on_response)

    def _post_event(
        self,
        engine: Engine,
        effect: EventCallback,
        failed: Delivery | None = None,
        failures: int = 0,
    ) -> None:
        """Post an event, or retry a failed delivery with the same idempotency token."""
        delivery = failed or Delivery(
            "event", effect.url, effect.event.parameters, self._settings.event_callback_seconds
        )

        def on_response(response: Response) -> None:
            if effect.event.event_type == _RESERVATION_CREATED:
                self._queue.done(effect.event.resource_sid)
            success = _NO_CONTENT if self._settings.event_callback_wants_204 else answers.SUCCESS
            if not response.error and response.status in success:
                return
            details = {"url": effect.url, "event_sid": effect.event.sid}
            engine.alert(answers.HTTP_FAILURE, response.problem, details)
            if failures < self._settings.event_callback_retries:
                self._post_event(engine, effect, delivery, failures + 1)

        self._send(engine, delivery, on_response)

    def _fetch_twiml(self, engine: Engine, effect: FetchTwiml) -> None:
        def on_response(response: Response) -> None:
            try:
                body = answers.twiml_body(response)
            except answers.UnusableResponse as error:
                failure = (error.code, str(error))
                execution.receive_failure(engine, effect.call_sid, effect.request, *failure)
            else:
                execution.receive_document(engine, effect.call_sid, effect.request, body)

        seconds = self._settings.twiml_seconds
        delivery = Delivery("twiml", effect.url, effect.parameters, seconds)
        self._send(engine, delivery, on_response)

    def _send_status(self, engine: Engine, effect: StatusCallback) -> None:
        def on_response(response: Response) -> None:
            if response.error or response.status not in answers.SUCCESS:
                details = {"url": effect.url}
                engine.alert(answers.HTTP_FAILURE, response.problem, details)

        seconds = self._settings.status_callback_seconds
        delivery = Delivery("status", effect.url, effect.parameters, seconds, effect.method)
        self._send(engine, delivery, on_response)

    def _send(self, engine: Engine, delivery: Delivery, handle: ResponseHandler) -> None:
        """Start a delivery with its fault, if any; latency is in simulated seconds."""
        fault = self._faults.take(delivery.kind, delivery.method, urlsplit(delivery.url).path)
        deliveries = [replace(delivery, fault=fault)]
        if fault and fault.kind == "duplicate":
            deliveries.append(delivery)
        if fault and fault.kind == "latency":
            due = engine.now() + fault.seconds
            engine.clock.call_at(due, lambda: self._start(deliveries, handle))
        else:
            self._start(deliveries, handle)

    def _start(self, deliveries: Sequence[Delivery], handle: ResponseHandler) -> None:
        for delivery in deliveries:
            task = asyncio.get_running_loop().create_task(self._deliver(delivery, handle))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: Delivery, handle: ResponseHandler) -> None:
        async with self._report_slots.get(delivery.kind, self._slots):
            response = await self._client.deliver(delivery)
        handle(response)


def _execute_instruction(
    engine: Engine, effect: AssignmentCallback, url: str, response: Response
) -> int | None:
    """Execute the instruction in a response.

    Returns:
        The alert code if TaskRouter must request the fallback URL or give up; otherwise None.
    """
    bad_json_fails = engine.settings.bad_json_uses_fallback
    details = {"url": url, "reservation_sid": effect.reservation_sid}
    try:
        instruction = answers.parse_instruction(response)
    except answers.UnusableResponse as error:
        is_warning = error.code == answers.NOT_JSON
        engine.alert(error.code, str(error), details, "warning" if is_warning else "error")
        return error.code if bad_json_fails or not is_warning else None
    instructions.handle_response(engine, effect.workspace_sid, effect.reservation_sid, instruction)
    is_missing = bool(instruction) and "instruction" not in instruction
    return instructions.NO_INSTRUCTION if is_missing and bad_json_fails else None


def _give_up(engine: Engine, effect: AssignmentCallback) -> None:
    """Cancel a Reservation after failed callbacks if `failed_callbacks_cancel` is set."""
    workspace = engine.workspaces.get(effect.workspace_sid)
    reservation = workspace.reservations.get(effect.reservation_sid) if workspace else None
    cancels = engine.settings.failed_callbacks_cancel
    if cancels and workspace and reservation and reservation.status == "pending":
        reservations.cancel_and_reoffer(engine, workspace, reservation)
