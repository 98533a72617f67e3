"""What Twilio Voice calls: a caller chooses a language and becomes a Task.

Twilio's quickstart, part 3: https://www.twilio.com/docs/taskrouter/quickstart. Nothing here needs
DynamoDB or TaskRouter, so a caller is served while they are not. Every URL is relative, because
the deployed API stands under its stage, and none has a query, which would make signing hard.
"""

import json
from typing import TYPE_CHECKING

from chalice.app import Blueprint, Response

from chalicelib import observability, runtime
from chalicelib.domain.voice import Language, Menu, VoiceRequest
from chalicelib.routes.http import route, signed_form

if TYPE_CHECKING:
    from twilio.twiml.voice_response import VoiceResponse

blueprint = Blueprint(__name__)

_GATHER_SECONDS = 5
_XML = "text/xml; charset=utf-8"


@route(blueprint, "/incoming_call", methods=["POST"], action=None)
def incoming_call() -> Response:
    """Say the menu and wait for a key; who presses none is enqueued in the default language."""
    _read()
    return _menu("enqueue_call")


@route(blueprint, "/enqueue_call", methods=["POST"], action=None)
def enqueue_call() -> Response:
    """Enqueue the call in the chosen language; after a key that is no choice, ask once more."""
    asked = _read()
    menu = _languages()
    chosen = menu.chosen(asked.digits) if asked.digits else menu.default
    return _enqueue(chosen) if chosen else _menu("enqueue_call_again")


@route(blueprint, "/enqueue_call_again", methods=["POST"], action=None)
def enqueue_call_again() -> Response:
    """Enqueue the call in the language that was chosen at last, or in the default one."""
    asked = _read()
    menu = _languages()
    return _enqueue(menu.chosen(asked.digits) or menu.default)


@route(blueprint, "/left_queue", methods=["POST"], action=None)
def left_queue() -> Response:
    """End a call that left its queue, with an apology where nobody talked to the caller."""
    asked = _read()
    observability.bind(queue_result=asked.queue_result)
    response = _response()
    if asked.is_unserved:
        for one in _languages().languages:
            if one.sorry:
                response.say(one.sorry, language=one.language, voice=one.voice)
    response.hangup()
    return _answer(response)


def _read() -> VoiceRequest:
    service = runtime.current()
    form = signed_form(blueprint.current_request, service)
    asked = VoiceRequest.from_form(form, account_sid=service.settings.twilio_account_sid)
    observability.bind(call_sid=asked.call_sid)
    return asked


def _languages() -> Menu:
    return runtime.current().settings.voice_languages


def _menu(action: str) -> Response:
    """Say what can be chosen; with one language there is no choice, and no key to press."""
    menu, response = _languages(), _response()
    speaker = response
    if len(menu.languages) > 1:
        speaker = response.gather(
            num_digits=1, action=action, method="POST", timeout=_GATHER_SECONDS
        )
    for one in menu.languages:
        speaker.say(one.say, language=one.language, voice=one.voice)
    # Where no key is pressed Twilio goes on here, and needs no second answer of ours.
    _append_queue(response, menu.default)
    return _answer(response)


def _enqueue(language: Language) -> Response:
    observability.bind(selected_language=language.language)
    response = _response()
    _append_queue(response, language)
    return _answer(response)


def _append_queue(response: "VoiceResponse", language: Language) -> None:
    queue = response.enqueue(
        None,
        workflow_sid=runtime.current().settings.twilio_workflow_sid,
        action="left_queue",
        method="POST",
    )
    queue.task(json.dumps({"selected_language": language.language}))


def _response() -> "VoiceResponse":
    from twilio.twiml.voice_response import (  # noqa: PLC0415  no callback needs it
        VoiceResponse,
    )

    return VoiceResponse()


def _answer(response: "VoiceResponse") -> Response:
    return Response(str(response), headers={"Content-Type": _XML})
