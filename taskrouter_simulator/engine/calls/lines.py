"""A call from its first document to its end: verbs are carried out until one has to wait.

What takes time takes the simulator's: a `<Pause>`, and a `<Gather>` where no key is pressed. What
is said or played takes none.
"""

from collections.abc import Callable

from taskrouter_simulator.engine import offers
from taskrouter_simulator.engine.calls import bridges, queueing
from taskrouter_simulator.engine.calls.model import Call, reservation_of, ringing
from taskrouter_simulator.engine.calls.twiml import SPOKEN, VERBS, TwimlError, Verb, parse
from taskrouter_simulator.engine.core import Engine, FetchTwiml
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import ReservationStatus
from taskrouter_simulator.identifiers import resolve_url

NOT_TWIML = 12100
UNKNOWN_VERB = 12200
INVALID_URL = 11100
NO_RESERVATION = 14215
MAX_DOCUMENTS = 100
"""A call that asks for more at one go, without waiting for anything, goes round in circles."""

_GATHER_SECONDS = 5
_MAX_SECONDS = 3600
_MAX_SHOWN = 1000


def fetch(engine: Engine, call: Call, url: str, **more: str) -> None:
    """Ask for the document that the call goes on with.

    Args:
        engine: the engine.
        call: the call.
        url: absolute, or relative to the call's document.
        **more: further parameters, such as Digits.
    """
    target = resolve_url(call.url, url)
    call.requests += 1
    call.at_one_go += 1
    if target is None:
        fail(engine, call, INVALID_URL, f"{url[:100]} is not a valid URL")
        return
    if call.at_one_go > MAX_DOCUMENTS:
        fail(engine, call, NOT_TWIML, f"more than {MAX_DOCUMENTS} documents at one go")
        return
    engine.disarm("call", call.sid)
    call.url = target
    call.is_asking = True
    parameters = call.parameters(engine.account_sid) | more
    engine.emit(FetchTwiml(call.sid, call.requests, target, parameters))


def heard(engine: Engine, call_sid: str, request: int, body: bytes) -> None:
    """Carry out a document that was asked for; none for a call that has gone on or ended."""
    call = _asking(engine, call_sid, request)
    if call is None:
        return
    try:
        verbs = parse(body)
    except TwimlError as error:
        fail(engine, call, NOT_TWIML, str(error))
        return
    call.status = "in-progress"
    shown = body[:_MAX_SHOWN].decode("utf-8", errors="replace")
    call.note(engine, "document", url=call.url, twiml=shown)
    call.verbs = list(verbs)
    run(engine, call)


def unheard(engine: Engine, call_sid: str, request: int, code: int, message: str) -> None:
    """No document came: the call fails with that alert."""
    if call := _asking(engine, call_sid, request):
        fail(engine, call, code, message)


def _asking(engine: Engine, call_sid: str, request: int) -> Call | None:
    call = engine.calls.get(call_sid)
    if call is None or call.has_ended or call.requests != request or not call.is_asking:
        return None
    call.is_asking = False
    return call


def run(engine: Engine, call: Call) -> None:
    """Carry out what is left of the document, until something has to be waited for."""
    while call.verbs:
        verb = call.verbs.pop(0)
        if verb.name not in VERBS:
            about = {"call_sid": call.sid, "url": call.url}
            message = f"{verb.name[:100]} is not simulated, or is no verb of TwiML"
            engine.alert(UNKNOWN_VERB, message, about, "warning")
        elif _VERBS[verb.name](engine, call, verb):
            return
    end(engine, call, "the document has no more verbs")


def end(engine: Engine, call: Call, why: str, status: str = "completed") -> None:
    """The call is over; whoever it was connected with goes on or is over too."""
    call.status = status
    call.waiting = call.declined = None
    for kind in ("call", "ring"):
        engine.disarm(kind, call.sid)
    call.note(engine, "ended", why=why, status=status)
    stop_ringing(engine, call)
    partner = bridges.part(engine, call)
    bridges.finish_task(engine, call)
    if partner and partner.waiting:
        leave(engine, partner, "bridged")
    elif partner:
        run(engine, partner)


def stop_ringing(engine: Engine, caller: Call) -> None:
    """No Worker's phone rings for somebody who does not wait any more."""
    for leg in ringing(engine):
        if leg.caller_sid == caller.sid:
            call_off(engine, leg, "the caller does not wait any more")


def call_off(engine: Engine, leg: Call, why: str) -> None:
    """Nobody wants the Worker to pick up any more; an offer's paused timer goes on."""
    end(engine, leg, why, "canceled")
    found = reservation_of(engine, leg)
    if found and found[1].status is ReservationStatus.PENDING:
        offers.arm(engine, *found)


def leave(engine: Engine, call: Call, result: str) -> None:
    """The call leaves its queue: its `action` is asked, or the next verb has its turn.

    Args:
        engine: the engine.
        call: a call that waits, or has waited until it was connected.
        result: Twilio's `QueueResult`, such as "bridged".
    """
    if not _leave(engine, call, result):
        run(engine, call)


def _leave(engine: Engine, call: Call, result: str) -> bool:
    waiting, call.waiting = call.waiting, None
    call.note(engine, "left the queue", result=result)
    if waiting is None or not waiting.action:
        return False
    seconds = str(int(engine.since(waiting.since)))
    fetch(engine, call, waiting.action, QueueResult=result, QueueTime=seconds)
    return True


def fail(engine: Engine, call: Call, code: int, message: str) -> None:
    """The call can't go on: raise the alert, and end it."""
    engine.alert(code, message, {"call_sid": call.sid, "url": call.url})
    end(engine, call, message, "failed")


def _wait(engine: Engine, call: Call, seconds: float, then: Callable[[], None]) -> None:
    if seconds:
        call.at_one_go = 0
    engine.arm("call", call.sid, engine.now() + seconds, then)


def _speak(engine: Engine, call: Call, verb: Verb) -> bool:
    if verb.name == "Pause":
        seconds = verb.number("length", 1, _MAX_SECONDS)
        call.note(engine, "paused", seconds=seconds)
        _wait(engine, call, seconds, lambda: run(engine, call))
        return True
    said, language = " ".join(verb.text.split()), verb.attributes.get("language", "")
    call.note(engine, verb.name.lower(), text=said[:_MAX_SHOWN], language=language)
    return False


def _gather(engine: Engine, call: Call, verb: Verb) -> bool:
    for one in verb.children:
        if one.name in SPOKEN and one.name != "Pause":
            _speak(engine, call, one)
    pressed = call.keys.pop(0) if call.keys else None
    finish = verb.attributes.get("finishOnKey", "#")
    digits = (pressed or "").partition(finish)[0] if finish else pressed or ""
    digits = digits[: verb.number("numDigits", len(digits), 100)]
    action = verb.attributes.get("action", "")
    if digits:
        call.note(engine, "pressed", digits=digits)
        fetch(engine, call, action, Digits=digits)
        return True
    seconds = verb.number("timeout", _GATHER_SECONDS, _MAX_SECONDS)
    asks = verb.attributes.get("actionOnEmptyResult") == "true"
    call.note(engine, "pressed nothing", seconds=seconds)

    def go_on() -> None:
        if asks:
            fetch(engine, call, action, Digits="")
        else:
            run(engine, call)

    _wait(engine, call, seconds, go_on)
    return True


def _enqueue(engine: Engine, call: Call, verb: Verb) -> bool:
    bridges.finish_task(engine, call, bridges.REDIRECTED)
    result = queueing.enqueue(engine, call, verb)
    return _leave(engine, call, result) if result else True


def _redirect(engine: Engine, call: Call, verb: Verb) -> bool:
    call.note(engine, "redirected", url=verb.text)
    fetch(engine, call, verb.text)
    return True


def _dial(engine: Engine, call: Call, verb: Verb) -> bool:
    """Connect with a waiting caller; anybody else counts as answered, until somebody hangs up."""
    noun = verb.child("Queue", "Number", "Client", "Sip", "Conference")
    reservation_sid = noun.attributes.get("reservationSid") if noun else None
    if noun is None or reservation_sid is None:
        call.note(engine, "dialed", to=noun.text if noun else verb.text)
        return True
    try:
        stop_ringing(engine, queueing.dial(engine, call, reservation_sid, noun))
    except BadRequest as refusal:
        engine.alert(NO_RESERVATION, refusal.message, {"call_sid": call.sid, "url": call.url})
        return False
    return True


def _hang_up(engine: Engine, call: Call, _verb: Verb) -> bool:
    end(engine, call, "the document hangs up")
    return True


_VERBS: dict[str, Callable[[Engine, Call, Verb], bool]] = {
    "Say": _speak,
    "Play": _speak,
    "Pause": _speak,
    "Gather": _gather,
    "Enqueue": _enqueue,
    "Redirect": _redirect,
    "Dial": _dial,
    "Hangup": _hang_up,
}
"""Each says whether the rest of the document has to wait."""
