"""Webhook routes called by Twilio Voice.

A caller chooses a language and is enqueued as a Task. The routes implement part 3 of Twilio's
quickstart: https://www.twilio.com/docs/taskrouter/quickstart. They use neither DynamoDB nor
TaskRouter, so calls are answered during an outage of either. Every URL in a response is relative,
because the path of the deployed API begins with its stage.
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
    """Say the menu; if no key is pressed, enqueue the call in the default language."""
    _read_request()
    return _say_menu("enqueue_call")


@route(blueprint, "/enqueue_call", methods=["POST"], action=None)
def enqueue_call() -> Response:
    """Enqueue the call in the selected language; repeat the menu after an invalid key."""
    request = _read_request()
    menu = _configured_menu()
    language = menu.find_language(request.digits) if request.digits else menu.default
    return _enqueue(language) if language else _say_menu("enqueue_call_again")


@route(blueprint, "/enqueue_call_again", methods=["POST"], action=None)
def enqueue_call_again() -> Response:
    """Enqueue the call in the selected language, or in the default language."""
    request = _read_request()
    menu = _configured_menu()
    return _enqueue(menu.find_language(request.digits) or menu.default)


@route(blueprint, "/left_queue", methods=["POST"], action=None)
def left_queue() -> Response:
    """End a call that left its queue, with an apology if nobody answered the call."""
    request = _read_request()
    observability.bind(queue_result=request.queue_result)
    response = _new_response()
    if request.is_unanswered:
        for language in _configured_menu().languages:
            if language.sorry:
                response.say(language.sorry, language=language.language, voice=language.voice)
    response.hangup()
    return _respond(response)


def _read_request() -> VoiceRequest:
    service = runtime.current()
    form, _ = signed_form(blueprint.current_request, service)
    request = VoiceRequest.from_form(form, account_sid=service.settings.twilio_account_sid)
    observability.bind(call_sid=request.call_sid)
    return request


def _configured_menu() -> Menu:
    return runtime.current().settings.voice_languages


def _say_menu(action: str) -> Response:
    """Say the menu and gather a key. A menu with one language needs no key."""
    menu, response = _configured_menu(), _new_response()
    speaker = response
    if len(menu.languages) > 1:
        speaker = response.gather(
            num_digits=1, action=_relative_url(action), method="POST", timeout=_GATHER_SECONDS
        )
    for language in menu.languages:
        speaker.say(language.say, language=language.language, voice=language.voice)
    # If no key is pressed, Twilio continues with the next verb.
    _append_queue(response, menu.default)
    return _respond(response)


def _enqueue(language: Language) -> Response:
    observability.bind(selected_language=language.language)
    response = _new_response()
    _append_queue(response, language)
    return _respond(response)


def _append_queue(response: "VoiceResponse", language: Language) -> None:
    queue = response.enqueue(
        None,
        workflow_sid=runtime.current().settings.twilio_workflow_sid,
        action=_relative_url("left_queue"),
        method="POST",
    )
    queue.task(json.dumps({"selected_language": language.language}))


def _relative_url(route: str) -> str:
    """Return the URL of a route relative to the requested URL, which may end with a slash."""
    path = str(blueprint.current_request.context.get("path"))
    return f"../{route}" if path.endswith("/") else route


def _new_response() -> "VoiceResponse":
    from twilio.twiml.voice_response import (  # noqa: PLC0415  callbacks do not need TwiML
        VoiceResponse,
    )

    return VoiceResponse()


def _respond(response: "VoiceResponse") -> Response:
    return Response(str(response), headers={"Content-Type": _XML})
