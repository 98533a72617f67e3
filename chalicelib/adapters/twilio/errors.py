"""Translates the error responses of TaskRouter's REST API into this service's errors."""

import re
from keyword import iskeyword
from typing import Any
from urllib.parse import parse_qs

from requests import Response

from chalicelib.adapters.twilio.http_client import parse_retry_after
from chalicelib.domain.errors import (
    TaskRouterDenied,
    TaskRouterError,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import INSTRUCTION_TYPES
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.messages import public_text

_REFUSED = {*range(400, 500)} - {408, 499}
"""Statuses that mean that TaskRouter did not process the request. After a timeout (408, 499),
TaskRouter may have processed the request."""
_UNAUTHENTICATED = (401, 403)
_NOT_FOUND = 404
_THROTTLED = 429

_MIN_VALUE_LENGTH = 3
"""Minimum length of a value that identifies its parameter in Twilio's message."""

_PARAMETERS = {
    parameter.rest_name: (name, parameter)
    for instruction in INSTRUCTION_TYPES.values()
    for name, parameter in instruction.parameters().items()
}
"""The name that this service uses for each instruction parameter, and the parameter's definition,
by REST name."""


def sdk_name(name: str) -> str:
    """Return the SDK's name for a REST parameter: ``call_from`` for ``CallFrom``."""
    word = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return f"{word}_" if iskeyword(word) else word


def to_error(response: Response) -> TaskRouterError:
    """Build the error for a response whose status is not 2xx.

    Only the errors for refused requests and 404 responses contain Twilio's message.
    """
    status = response.status_code
    try:
        problem = parse_json_object(response.text)
    except JsonError:
        problem = {}
    code = problem.get("code")
    cause = f"HTTP {status}" + (f", error {code}" if type(code) is int else "")
    body = str(response.request.body or "")
    retry_after = parse_retry_after(response.headers.get("Retry-After", ""))
    if status in _UNAUTHENTICATED:
        return TaskRouterDenied(f"TaskRouter rejected this service's credentials ({cause}).")
    if status == _NOT_FOUND:
        text = f"TaskRouter has no such resource ({cause})"
        return TaskRouterNotFound(text + _describe_problem(problem, body))
    if status == _THROTTLED:
        return TaskRouterThrottled("TaskRouter throttled the request.", retry_after=retry_after)
    if status in _REFUSED:
        text = f"TaskRouter refused the request ({cause})"
        return TaskRouterRefused(text + _describe_problem(problem, body))
    return TaskRouterUnavailable(f"TaskRouter failed ({cause}).", retry_after=retry_after)


def _describe_problem(problem: dict[str, Any], body: str) -> str:
    """Return the end of an error message: Twilio's message and the parameters to check.

    If Twilio's response contains no message that may be shown, return a link to Twilio's error
    codes.

    Args:
        problem: Twilio's error, with ``message`` or (RFC 9457) ``detail`` and ``title``.
        body: the form that was sent.
    """
    form = parse_qs(body)
    texts = [problem.get(name) for name in ("message", "detail", "title")]
    message = next((text for text in texts if text and isinstance(text, str)), "")
    private = [
        value
        for name, values_sent in form.items()
        for value in values_sent
        if name == "Attributes" or (name in _PARAMETERS and _PARAMETERS[name][1].secret)
    ]
    reason = public_text(message, private)
    if not reason:
        return "; see https://www.twilio.com/docs/api/errors."
    words = set(re.findall(r"\w+", message))
    named = [name for name in form if name in words] or [
        name
        for name, values_sent in form.items()
        if any(len(value) >= _MIN_VALUE_LENGTH and value in words for value in values_sent)
    ]
    # Omit the status: the route determines it, so the caller can't change it.
    parameters = [
        _PARAMETERS[name][0] if name in _PARAMETERS else sdk_name(name)
        for name in named
        if name != "ReservationStatus"
    ]
    return f": {reason}." + (f" Check {', '.join(parameters)}." if parameters else "")
