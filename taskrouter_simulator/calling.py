"""Calls as a test or a person sees them: placed from a description, shown as JSON."""

import re
from collections.abc import Mapping
from typing import Any

from taskrouter_simulator.engine.call_model import Call
from taskrouter_simulator.engine.calls import call_control
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import Refusal
from taskrouter_simulator.urls import is_url

_FIELDS = ("from", "to", "url", "digits", "worker_answers")
_MOST_KEYS = 100


class CallError(ValueError):
    """A description of a call, or of what is to happen to it, that cannot be carried out.

    Args:
        message: what is wrong.
        status: HTTP's.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def place(engine: Engine, description: Mapping[str, Any]) -> Call:
    """Place a call.

    Args:
        engine: the engine.
        description: `from` and `to`; `url`, the first document's, by default the settings'
            `voice_path` of the app; `digits`, what is pressed: a text, or a list of one for each
            `<Gather>`, in which null is nothing; `worker_answers`, by default true.

    Raises:
        CallError: it is no such description.
    """
    if unknown := sorted(description.keys() - set(_FIELDS)):
        raise CallError(f"a call has no {unknown[0]}, only {', '.join(_FIELDS)}")
    for name in ("from", "to"):
        if not _fits(description.get(name), "[!-~]{1,100}"):
            raise CallError(f"{name} must be a number or a client, such as +15550001111")
    url = description.get("url", engine.settings.url(engine.settings.voice_path) or None)
    if url is None:
        raise CallError("a url is needed: the settings name no app to call")
    if not isinstance(url, str) or not is_url(url):
        raise CallError("url must be an absolute URL")
    answers = description.get("worker_answers", True)
    if not isinstance(answers, bool):
        raise CallError("worker_answers must be true or false")
    return call_control.place(
        engine,
        caller=description["from"],
        called=description["to"],
        url=url,
        keys=_keys(description.get("digits")),
        worker_answers=answers,
    )


def change(engine: Engine, sid: str, description: Mapping[str, Any]) -> Call:
    """Hang a call up: `{"status": "completed"}`.

    Raises:
        CallError: there is no such call, it is over, or that is not what is asked.
    """
    call = find(engine, sid)
    if dict(description) != {"status": "completed"}:
        raise CallError('send {"status": "completed"}: hanging up is all that can be done')
    try:
        call_control.hang_up(engine, call)
    except Refusal as refusal:
        raise CallError(refusal.message) from refusal
    return call


def find(engine: Engine, sid: str) -> Call:
    """The call of that SID; raises CallError (404) if there is none."""
    if call := engine.calls.get(sid):
        return call
    raise CallError(f"there is no call {sid[:50]}", 404)


def render(call: Call) -> dict[str, Any]:
    """A call as JSON."""
    return {
        "sid": call.sid,
        "from": call.caller,
        "to": call.called,
        "direction": call.direction,
        "status": call.status,
        "url": call.url,
        "task_sid": call.task_sid or None,
        "reservation_sid": call.reservation_sid or None,
        "connected_with": call.partner_sid,
        "steps": call.steps,
    }


def _keys(digits: Any) -> list[str | None]:
    keys = digits if isinstance(digits, list) else [digits]
    if len(keys) > _MOST_KEYS or not all(one is None or _fits(one, "[0-9*#]*") for one in keys):
        raise CallError('digits must be keys such as "1", or a list of them and of nulls')
    return list(keys)


def _fits(value: Any, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None
