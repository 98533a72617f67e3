"""Executes the TwiML documents of a call until the call ends.

Verbs are executed until a verb has to wait. `<Pause>` takes time on the simulator's clock, and so
does `<Gather>` if no key is pressed. `<Say>` and `<Play>` take no time.
"""

from collections.abc import Callable
from functools import partial

from taskrouter_simulator.continuations import Continuation, continuation
from taskrouter_simulator.engine import reservations
from taskrouter_simulator.engine.call_model import Call, Verb
from taskrouter_simulator.engine.calls import call_tasks, conferences, ringing, status
from taskrouter_simulator.engine.calls.twiml import PROMPTS, VERBS, TwimlError, parse
from taskrouter_simulator.engine.core import Engine, FetchTwiml
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import ReservationStatus
from taskrouter_simulator.identifiers import resolve_url

NOT_TWIML = 12100
UNKNOWN_VERB = 12200
INVALID_URL = 11100
NO_RESERVATION = 14215
MAX_DOCUMENTS = 100
"""Maximum number of consecutive document requests without a pause, to stop endless redirects."""

_GATHER_SECONDS = 5
_MAX_SECONDS = 3600
_MAX_LOGGED_LENGTH = 1000
_MAX_CALLS = 1000
_DIAL_SECONDS = 30
_MAX_DIAL_SECONDS = 600
_PHONES = ("Number", "Client", "Sip")


def fetch(engine: Engine, call: Call, url: str, **parameters: str) -> None:
    """Request a call's next document.

    Args:
        engine: The engine.
        call: The call.
        url: Absolute URL, or URL relative to the call's current document.
        **parameters: Additional parameters, such as Digits.
    """
    target = resolve_url(call.url, url)
    call.requests += 1
    call.requests_without_pause += 1
    if target is None:
        fail(engine, call, INVALID_URL, f"{url[:100]} is not a valid URL")
        return
    if call.requests_without_pause > MAX_DOCUMENTS:
        message = f"more than {MAX_DOCUMENTS} documents were requested without a pause"
        fail(engine, call, NOT_TWIML, message)
        return
    engine.cancel_timer("call", call.sid)
    call.url = target
    call.is_fetching = True
    parameters = call.parameters(engine.account_sid) | parameters
    engine.emit(FetchTwiml(call.sid, call.requests, target, parameters))


def receive_document(engine: Engine, call_sid: str, request: int, body: bytes) -> None:
    """Execute a requested document, unless the call has ended or made a newer request."""
    call = _finish_request(engine, call_sid, request)
    if call is None:
        return
    try:
        verbs = parse(body)
    except TwimlError as error:
        fail(engine, call, NOT_TWIML, str(error))
        return
    call.status = "in-progress"
    excerpt = body[:_MAX_LOGGED_LENGTH].decode("utf-8", errors="replace")
    engine.record_step(call, "document", url=call.url, twiml=excerpt)
    call.verbs = list(verbs)
    run(engine, call)


def receive_failure(engine: Engine, call_sid: str, request: int, code: int, message: str) -> None:
    """Fail a call whose requested document could not be fetched."""
    if call := _finish_request(engine, call_sid, request):
        fail(engine, call, code, message)


def _finish_request(engine: Engine, call_sid: str, request: int) -> Call | None:
    """Finish a request and return its call; None if the call is over or awaits no such request."""
    call = engine.calls.get(call_sid)
    if call is None or call.has_ended or call.requests != request or not call.is_fetching:
        return None
    call.is_fetching = False
    return call


@continuation
def run(engine: Engine, call: Call) -> None:
    """Execute verbs until a verb has to wait; end the call after the last verb."""
    while call.verbs:
        verb = call.verbs.pop(0)
        if verb.name not in VERBS:
            details = {"call_sid": call.sid, "url": call.url}
            message = f"{verb.name[:100]} is not a TwiML verb that the simulator supports"
            engine.alert(UNKNOWN_VERB, message, details, "warning")
        elif _VERBS[verb.name](engine, call, verb):
            return
    end(engine, call, "the document has no more verbs")


def add(engine: Engine, call: Call) -> None:
    """Add a call; if there are too many calls, drop the oldest ended call."""
    engine.calls[call.sid] = call
    if len(engine.calls) > _MAX_CALLS:
        oldest = next((ended for ended in engine.calls.values() if ended.has_ended), None)
        if oldest:
            del engine.calls[oldest.sid]


def answer_delay(engine: Engine, caller: Call) -> float | None:
    """Return how many seconds a phone rings for a caller until it is answered, or None if never."""
    return engine.settings.answer_seconds if caller.worker_answers else None


@continuation
def end(engine: Engine, call: Call, reason: str, final_status: str = "completed") -> None:
    """End a call; calls that were connected to the call continue with their own documents."""
    call.status = final_status
    call.queued = call.on_answer = call.on_no_answer = None
    for kind in ("call", "ring"):
        engine.cancel_timer(kind, call.sid)
    engine.record_step(call, "ended", why=reason, status=final_status)
    status.report(engine, call, "completed")
    stop_ringing(engine, call)
    disconnected = _leave_conference(engine, call)
    if partner := call_tasks.disconnect(engine, call):
        disconnected.append(partner)
    for other in [*(item for item in disconnected if item.connected_by), call]:
        call_tasks.finish(engine, other)
    for other in disconnected:
        _continue(engine, other, call)


def _leave_conference(engine: Engine, call: Call) -> list[Call]:
    """Remove a call from its conference, if any; return the other calls that had to leave."""
    conference = engine.conferences.get(call.conference_sid)
    if conference is None:
        return []
    sids = conferences.leave(engine, conference, call.sid, call.status)
    return [engine.calls[sid] for sid in sids if sid in engine.calls]


def _continue(engine: Engine, call: Call, other: Call) -> None:
    """Continue a call that is no longer connected: request an action, or run the next verb.

    Args:
        engine: The engine.
        call: The call.
        other: The call that ended the connection.
    """
    if call.queued:
        leave_queue(engine, call, "bridged")
    elif call.dial:
        _finish_dial(engine, call, other)
    else:
        run(engine, call)


def _finish_dial(engine: Engine, call: Call, other: Call) -> None:
    """Finish a call's `<Dial>`: request its `action`, or run the next verb.

    See https://www.twilio.com/docs/voice/twiml/dial#action.
    """
    verb, call.dial = call.dial, None
    action = verb.attributes.get("action") if verb else None
    if not action:
        run(engine, call)
        return
    seconds = 0 if other.answered is None else engine.seconds_since(other.answered)
    fetch(
        engine, call, action,
        DialCallSid=other.sid,
        DialCallStatus=other.status,
        DialCallDuration=str(int(seconds)),
        DialBridged=str(other.answered is not None).lower(),
    )  # fmt: skip


def ringing_legs(engine: Engine) -> list[Call]:
    """Return the legs that are ringing."""
    return [call for call in engine.calls.values() if call.on_no_answer]


def stop_ringing(engine: Engine, caller: Call) -> None:
    """Cancel the legs that are ringing for a caller who is no longer waiting."""
    for leg in ringing_legs(engine):
        if leg.caller_sid == caller.sid:
            cancel_leg(engine, leg, "the caller is no longer waiting")


def cancel_leg(engine: Engine, leg: Call, reason: str) -> None:
    """Cancel a ringing leg, and resume the timer of its Reservation if that is still pending."""
    end(engine, leg, reason, "canceled")
    found = call_tasks.reservation_of(engine, leg)
    if found and found[1].status is ReservationStatus.PENDING:
        reservations.start_timer(engine, *found)


def leave_queue(engine: Engine, call: Call, result: str) -> None:
    """Remove a call from its queue: request the queue's `action`, or run the next verb.

    Args:
        engine: The engine.
        call: A call that is in a queue, or was in a queue until it was connected.
        result: Twilio's `QueueResult`, such as "bridged".
    """
    if not _request_action(engine, call, result):
        run(engine, call)


def _request_action(engine: Engine, call: Call, result: str) -> bool:
    """Remove a call from its queue; return whether the queue's `action` was requested."""
    position, call.queued = call.queued, None
    engine.record_step(call, "left the queue", result=result)
    if position is None or not position.action:
        return False
    seconds = str(int(engine.seconds_since(position.since)))
    fetch(engine, call, position.action, QueueResult=result, QueueTime=seconds)
    return True


def fail(engine: Engine, call: Call, code: int, message: str) -> None:
    """Emit an alert and end a call that cannot continue."""
    engine.alert(code, message, {"call_sid": call.sid, "url": call.url})
    end(engine, call, message, "failed")


def _wait(engine: Engine, call: Call, seconds: float, then: Continuation) -> None:
    if seconds:
        call.requests_without_pause = 0
    engine.set_timer("call", call.sid, engine.now() + seconds, then)


def _play_or_pause(engine: Engine, call: Call, verb: Verb) -> bool:
    """Execute `<Say>`, `<Play>` or `<Pause>`."""
    if verb.name == "Pause":
        seconds = verb.number("length", 1, _MAX_SECONDS)
        engine.record_step(call, "paused", seconds=seconds)
        _wait(engine, call, seconds, partial(run, engine, call))
        return True
    text = " ".join(verb.text.split())[:_MAX_LOGGED_LENGTH]
    language = verb.attributes.get("language", "")
    engine.record_step(call, verb.name.lower(), text=text, language=language)
    return False


def _gather(engine: Engine, call: Call, verb: Verb) -> bool:
    for child in verb.children:
        if child.name in PROMPTS:
            _play_or_pause(engine, call, child)
    pressed = call.keys.pop(0) if call.keys else None
    finish_key = verb.attributes.get("finishOnKey", "#")
    digits = (pressed or "").partition(finish_key)[0] if finish_key else pressed or ""
    digits = digits[: verb.number("numDigits", len(digits), 100)]
    action = verb.attributes.get("action", "")
    if digits:
        engine.record_step(call, "pressed", digits=digits)
        fetch(engine, call, action, Digits=digits)
        return True
    seconds = verb.number("timeout", _GATHER_SECONDS, _MAX_SECONDS)
    requests_action = verb.attributes.get("actionOnEmptyResult") == "true"
    engine.record_step(call, "pressed nothing", seconds=seconds)
    proceed = (
        partial(_send_no_digits, engine, call, action)
        if requests_action
        else partial(run, engine, call)
    )
    _wait(engine, call, seconds, proceed)
    return True


@continuation
def _send_no_digits(engine: Engine, call: Call, action: str) -> None:
    fetch(engine, call, action, Digits="")


def _enqueue(engine: Engine, call: Call, verb: Verb) -> bool:
    call_tasks.finish_task(engine, call, call_tasks.REDIRECTED)
    result = call_tasks.enqueue(engine, call, verb)
    return _request_action(engine, call, result) if result else True


def _redirect(engine: Engine, call: Call, verb: Verb) -> bool:
    engine.record_step(call, "redirected", url=verb.text)
    fetch(engine, call, verb.text)
    return True


def _dial(engine: Engine, call: Call, verb: Verb) -> bool:
    """Execute `<Dial>`: connect the call to a waiting caller or to a phone.

    A `<Dial>` to a conference, or to a queue without `reservationSid`, is assumed to last until the
    call ends.
    """
    noun = verb.child("Queue", "Number", "Client", "Sip", "Conference")
    reservation_sid = noun.attributes.get("reservationSid") if noun else None
    if noun is None or reservation_sid is None:
        to = noun.text if noun else verb.text
        engine.record_step(call, "dialed", to=to)
        if noun is None or noun.name in _PHONES:
            _dial_phone(engine, call, verb, to)
        return True
    try:
        stop_ringing(engine, call_tasks.dial_queue(engine, call, reservation_sid, noun))
        call.dial = verb
    except BadRequest as error:
        details = {"call_sid": call.sid, "url": call.url}
        engine.alert(NO_RESERVATION, error.message, details)
        return False
    return True


def _dial_phone(engine: Engine, call: Call, verb: Verb, to: str) -> None:
    """Ring another phone; when its leg ends, the call continues after the `<Dial>`."""
    leg = Call(
        **vars(engine.new_resource("CA")),
        caller=call.caller,
        called=to,
        direction="outbound-dial",
        url="",
    )
    add(engine, leg)
    call.dial, call.partner_sid, leg.partner_sid = verb, leg.sid, call.sid
    ringing.ring(
        engine,
        leg,
        answer_delay=answer_delay(engine, call),
        seconds=verb.number("timeout", _DIAL_SECONDS, _MAX_DIAL_SECONDS),
        on_answer=partial(_record_answer, engine, call, leg),
        on_no_answer=partial(end, engine, leg, "no answer", "no-answer"),
    )


@continuation
def _record_answer(engine: Engine, call: Call, leg: Call) -> None:
    engine.record_step(leg, "connected", with_call=call.sid, how="dial")


def _hang_up(engine: Engine, call: Call, _verb: Verb) -> bool:
    end(engine, call, "the document hung up the call")
    return True


_VERBS: dict[str, Callable[[Engine, Call, Verb], bool]] = {
    "Say": _play_or_pause,
    "Play": _play_or_pause,
    "Pause": _play_or_pause,
    "Gather": _gather,
    "Enqueue": _enqueue,
    "Redirect": _redirect,
    "Dial": _dial,
    "Hangup": _hang_up,
}
"""Handlers by verb. A handler returns whether `run` must stop after the verb."""
