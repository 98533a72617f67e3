"""Executes the engine's effects, and passes the app's responses to the engine."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlsplit

from taskrouter_simulator.callbacks import answers
from taskrouter_simulator.callbacks.answers import Response
from taskrouter_simulator.callbacks.delivery import Delivery, DeliveryClient
from taskrouter_simulator.continuations import Continuation, continuation
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
"""Maximum number of concurrent callbacks in each group: events, status callbacks, all others.

A thousand concurrent callbacks would exhaust the available sockets.
"""

_NO_CONTENT = range(204, 205)
_RESERVATION_CREATED = "reservation.created"
"""Type of the event that is emitted together with the assignment callback."""

ResponseHandler = Continuation
"""Called with the response as an additional argument."""


@dataclass(frozen=True, eq=False)
class Job:
    """A callback that is being delivered, and the handler for its response."""

    delivery: Delivery
    handle: ResponseHandler


@dataclass(frozen=True)
class UnfinishedCallbacks:
    """Callbacks that are in progress or waiting, for a snapshot.

    Callbacks that a latency fault delays are not included: in a snapshot, they are timers.

    Attributes:
        jobs: The callbacks that are being delivered; a restored simulator delivers them again.
        waiting: The callbacks that are waiting for an earlier callback, by Reservation SID.
    """

    jobs: list[Job]
    waiting: dict[str, list[Continuation]]


class ReservationQueue:
    """Sequences a Reservation's assignment callback and `reservation.created` event.

    Args:
        ordered: Whether a callback waits for the response to the previous callback for the same
            Reservation.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self.waiting: dict[str, list[Continuation]] = {}

    def enqueue(self, sid: str, start: Continuation) -> None:
        """Start a callback now or, if the queue is ordered, after the Reservation's current one."""
        if self._ordered and sid in self.waiting:
            self.waiting[sid].append(start)
        else:
            self.waiting[sid] = []
            start()

    def mark_done(self, sid: str) -> None:
        """Mark a Reservation's current callback as done, and start the waiting callbacks."""
        for start in self.waiting.pop(sid, []):
            start()

    def clear(self) -> None:
        """Drop all waiting callbacks."""
        self.waiting.clear()


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
        self._jobs: dict[Job, None] = {}
        # Separate limits, so that slow responses to events and status callbacks do not delay
        # assignment callbacks.
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._report_slots = {
            "event": asyncio.Semaphore(1 if settings.event_callbacks_in_order else MAX_CONCURRENT),
            "status": asyncio.Semaphore(MAX_CONCURRENT),
        }
        if settings.seed:
            # Deliver one callback at a time, so that the order of responses does not depend on the
            # speed of the app.
            self._slots, self._report_slots = asyncio.Semaphore(1), {}

    async def close(self) -> None:
        """Cancel all callbacks and wait until their tasks have ended."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cancel(self) -> None:
        """Cancel all callbacks, whether waiting or in progress."""
        self._queue.clear()
        self._jobs.clear()
        for task in self._tasks:
            task.cancel()

    def unfinished(self) -> UnfinishedCallbacks:
        """Return the callbacks that are in progress or waiting."""
        return UnfinishedCallbacks(list(self._jobs), self._queue.waiting)

    def resume(self, unfinished: UnfinishedCallbacks) -> None:
        """Replace all callbacks with a snapshot's; redeliver those that were in progress."""
        self.cancel()
        self._queue.waiting = unfinished.waiting
        for job in unfinished.jobs:
            self._start([job.delivery], job.handle)

    async def drain(self) -> None:
        """Wait until no callback is in progress."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
            # Wait for the loop's next iteration, in which routing can emit more callbacks.
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
                self._queue.enqueue(sid, partial(self._post_assignment, engine, effect))
            case EventCallback() if effect.event.event_type == _RESERVATION_CREATED:
                sid = effect.event.resource_sid
                self._queue.enqueue(sid, partial(self._post_event, engine, effect))
            case EventCallback():
                self._post_event(engine, effect)

    @continuation
    def _post_assignment(self, engine: Engine, effect: AssignmentCallback) -> None:
        delivery = Delivery(
            "assignment",
            effect.url,
            effect.parameters,
            self._settings.assignment_callback_seconds,
            token=engine.new_sid(""),
        )
        self._send(engine, delivery, partial(self._handle_assignment, engine, effect))

    @continuation
    def _handle_assignment(
        self, engine: Engine, effect: AssignmentCallback, response: Response
    ) -> None:
        """Process the response to an assignment callback."""
        if code := _execute_instruction(engine, effect, effect.url, response):
            self._post_fallback(engine, effect, code)
        self._queue.mark_done(effect.reservation_sid)

    def _post_fallback(self, engine: Engine, effect: AssignmentCallback, code: int) -> None:
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
            token=engine.new_sid(""),
            single_attempt=not self._settings.fallback_connection_overrides,
        )
        self._send(engine, delivery, partial(self._handle_fallback, engine, effect))

    @continuation
    def _handle_fallback(
        self, engine: Engine, effect: AssignmentCallback, response: Response
    ) -> None:
        if _execute_instruction(engine, effect, effect.fallback_url, response):
            _give_up(engine, effect)

    @continuation
    def _post_event(self, engine: Engine, effect: EventCallback) -> None:
        seconds, token = self._settings.event_callback_seconds, engine.new_sid("")
        delivery = Delivery("event", effect.url, effect.event.parameters, seconds, token=token)
        self._send(engine, delivery, partial(self._handle_event, engine, effect, delivery, 0))

    @continuation
    def _handle_event(
        self,
        engine: Engine,
        effect: EventCallback,
        delivery: Delivery,
        failures: int,
        response: Response,
    ) -> None:
        """Process the response to an event; a retry has the same idempotency token."""
        if effect.event.event_type == _RESERVATION_CREATED:
            self._queue.mark_done(effect.event.resource_sid)
        success = _NO_CONTENT if self._settings.event_callback_wants_204 else answers.SUCCESS
        if not response.error and response.status in success:
            return
        details = {"url": effect.url, "event_sid": effect.event.sid}
        engine.alert(answers.HTTP_FAILURE, response.problem, details)
        if failures < self._settings.event_callback_retries:
            retry = partial(self._handle_event, engine, effect, delivery, failures + 1)
            self._send(engine, delivery, retry)

    def _fetch_twiml(self, engine: Engine, effect: FetchTwiml) -> None:
        seconds, token = self._settings.twiml_seconds, engine.new_sid("")
        delivery = Delivery("twiml", effect.url, effect.parameters, seconds, token=token)
        self._send(engine, delivery, partial(self._handle_twiml, engine, effect))

    @continuation
    def _handle_twiml(self, engine: Engine, effect: FetchTwiml, response: Response) -> None:
        try:
            body = answers.twiml_body(response)
        except answers.UnusableResponse as error:
            failure = (error.code, str(error))
            execution.receive_failure(engine, effect.call_sid, effect.request, *failure)
        else:
            execution.receive_document(engine, effect.call_sid, effect.request, body)

    def _send_status(self, engine: Engine, effect: StatusCallback) -> None:
        seconds, token = self._settings.status_callback_seconds, engine.new_sid("")
        delivery = Delivery("status", effect.url, effect.parameters, seconds, token, effect.method)
        self._send(engine, delivery, partial(_handle_status, engine, effect))

    def _send(self, engine: Engine, delivery: Delivery, handle: ResponseHandler) -> None:
        """Start a delivery with its fault, if any; latency is in simulated seconds."""
        fault = self._faults.take(delivery.kind, delivery.method, urlsplit(delivery.url).path)
        deliveries = [replace(delivery, fault=fault)]
        if fault and fault.kind == "duplicate":
            deliveries.append(delivery)
        if fault and fault.kind == "latency":
            due = engine.now() + fault.seconds
            engine.clock.call_at(due, partial(self._start, deliveries, handle))
        else:
            self._start(deliveries, handle)

    @continuation
    def _start(self, deliveries: list[Delivery], handle: ResponseHandler) -> None:
        for delivery in deliveries:
            job = Job(delivery, handle)
            self._jobs[job] = None
            task = asyncio.get_running_loop().create_task(self._deliver(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, job: Job) -> None:
        async with self._report_slots.get(job.delivery.kind, self._slots):
            response = await self._client.deliver(job.delivery)
        self._jobs.pop(job, None)
        job.handle(response)


@continuation
def _handle_status(engine: Engine, effect: StatusCallback, response: Response) -> None:
    if response.error or response.status not in answers.SUCCESS:
        engine.alert(answers.HTTP_FAILURE, response.problem, {"url": effect.url})


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
        content = answers.parse_instruction(response)
    except answers.UnusableResponse as error:
        is_warning = error.code == answers.NOT_JSON
        engine.alert(error.code, str(error), details, "warning" if is_warning else "error")
        return error.code if bad_json_fails or not is_warning else None
    instructions.handle_response(engine, effect.workspace_sid, effect.reservation_sid, content)
    is_missing = bool(content) and "instruction" not in content
    return instructions.NO_INSTRUCTION if is_missing and bad_json_fails else None


def _give_up(engine: Engine, effect: AssignmentCallback) -> None:
    """Cancel a Reservation after failed callbacks if `failed_callbacks_cancel` is set."""
    workspace = engine.workspaces.get(effect.workspace_sid)
    reservation = workspace.reservations.get(effect.reservation_sid) if workspace else None
    cancels = engine.settings.failed_callbacks_cancel
    if cancels and workspace and reservation and reservation.status == "pending":
        reservations.cancel_and_reoffer(engine, workspace, reservation)
