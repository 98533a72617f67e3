"""Control routes that place calls and simulate people's actions on the phone."""

import re
from typing import Any

from taskrouter_simulator.control_base import ControlError, Simulator
from taskrouter_simulator.engine.call_model import Call, Conference
from taskrouter_simulator.engine.calls import call_control, conferences
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import ApiError
from taskrouter_simulator.identifiers import is_url

_DEFAULT = object()
"""Sentinel that distinguishes an absent field from null."""
_MAX_DIGITS_ITEMS = 100
_STATUSES = ("completed", "in-progress")


async def list_calls(simulator: Simulator) -> Any:
    """List the calls, oldest first."""
    engine = simulator.engine
    return {"calls": [_render_call(engine, call) for call in engine.calls.values()]}


async def place(
    simulator: Simulator,
    *,
    from_: Any = None,
    to: Any = None,
    url: Any = _DEFAULT,
    digits: Any = None,
    worker_answers: Any = True,
) -> Any:
    """Place a call.

    Args:
        simulator: The simulator.
        from_: The caller.
        to: The called number or client.
        url: The URL of the first document (default: the app's `voice_path`).
        digits: The keys pressed: a string, or a list with one item for each `<Gather>` (null for
            no key).
        worker_answers: Whether a called Worker answers.

    Raises:
        ControlError: An argument is invalid.
    """
    for name, value in (("from", from_), ("to", to)):
        if not _matches(value, "[!-~]{1,100}"):
            raise ControlError(
                f"{name} must be a phone number such as +15550001111, or a client such as "
                "client:alice"
            )
    settings = simulator.settings
    url = (settings.url(settings.voice_path) or None) if url is _DEFAULT else url
    if url is None:
        raise ControlError(
            "url must be an absolute URL; it can be omitted only if the voice_path setting is not "
            "empty"
        )
    if not isinstance(url, str) or not is_url(url):
        raise ControlError("url must be an absolute URL")
    if not isinstance(worker_answers, bool):
        raise ControlError("worker_answers must be true or false")
    call = call_control.place(
        simulator.engine,
        caller=from_,
        called=to,
        url=url,
        keys=_parse_digits(digits),
        worker_answers=worker_answers,
    )
    await simulator.advance(0)
    return _render_call(simulator.engine, call)


async def fetch(simulator: Simulator, sid: str) -> Any:
    """Return a call."""
    return _render_call(simulator.engine, _find_call(simulator.engine, sid))


async def update(
    simulator: Simulator,
    sid: str,
    *,
    status: Any = None,
    muted: Any = None,
    hold: Any = None,
    speaking: Any = None,
    end_conference_on_exit: Any = None,
) -> Any:
    """Simulate a person's action on the phone.

    Args:
        simulator: The simulator.
        sid: SID of the call.
        status: "completed" hangs up or declines, and "in-progress" answers a ringing phone.
        muted: Whether the call is muted in its conference.
        hold: Whether the call is on hold in its conference.
        speaking: True if the person starts speaking in the conference, False if the person stops.
        end_conference_on_exit: Whether the conference ends when the call leaves.

    Raises:
        ControlError: An argument is invalid, or the call does not allow the update.
    """
    engine, call = simulator.engine, _find_call(simulator.engine, sid)
    flags = {
        "muted": muted,
        "hold": hold,
        "speaking": speaking,
        "end_conference_on_exit": end_conference_on_exit,
    }
    changes = {name: flag for name, flag in flags.items() if flag is not None}
    if status not in _STATUSES if status is not None else not changes:
        raise ControlError(
            'the body must contain at least one of status ("completed" to hang up, "in-progress"'
            f" to answer), {', '.join(flags)}"
        )
    for name, flag in changes.items():
        if not isinstance(flag, bool):
            raise ControlError(f"{name} must be true or false")
    try:
        if changes:
            conference = conferences.require(engine, call.conference_sid, call.sid)
            conferences.update(engine, conference, call.sid, **changes)
        if status == "completed":
            call_control.hang_up(engine, call)
        elif status == "in-progress":
            call_control.answer(call)
    except ApiError as error:
        raise ControlError(error.message) from error
    await simulator.advance(0)
    return _render_call(engine, call)


def _find_call(engine: Engine, sid: str) -> Call:
    call = engine.calls.get(sid)
    if call is None:
        raise ControlError(f"call {sid[:50]} does not exist", 404)
    return call


def _parse_digits(digits: Any) -> list[str | None]:
    keys = digits if isinstance(digits, list) else [digits]
    are_valid = all(item is None or _matches(item, "[0-9*#]*") for item in keys)
    if len(keys) > _MAX_DIGITS_ITEMS or not are_valid:
        raise ControlError(
            'digits must be a string of keys such as "1", or a list of at most '
            f"{_MAX_DIGITS_ITEMS} such strings and nulls"
        )
    return list(keys)


def _matches(value: Any, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _render_call(engine: Engine, call: Call) -> dict[str, Any]:
    conference = engine.conferences.get(call.conference_sid)
    return {
        "sid": call.sid,
        "from": call.caller,
        "to": call.called,
        "direction": call.direction,
        "status": call.status,
        "url": call.url,
        "task_sid": call.task_sid or None,
        "reservation_sid": call.reservation_sid or None,
        "connected_with": call.partner_sid or _first_other_participant(call, conference),
        "conference": _render_conference(call, conference) if conference else None,
        "steps": call.steps,
    }


def _first_other_participant(call: Call, conference: Conference | None) -> str | None:
    """Return the SID of the first call, other than this one, to join a conference."""
    participants = conference.participants if conference else {}
    return next((sid for sid in participants if sid != call.sid), None)


def _render_conference(call: Call, conference: Conference) -> dict[str, Any]:
    participant = vars(conference.participants[call.sid])
    return {
        "sid": conference.sid,
        "participants": list(conference.participants),
        **{name: value for name, value in participant.items() if name != "call_sid"},
    }
