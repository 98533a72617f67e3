"""What a caller may want of a new Task."""

from collections.abc import Mapping
from typing import Any

from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.sids import checked_sid
from chalicelib.domain.taskrouter import MAX_ATTRIBUTES, NewTask, compact

QUICKSTART_ATTRIBUTES = {"selected_language": "es"}
"""What Twilio's TaskRouter quickstart creates its Task with."""

_MAX_PRIORITY = 2**31 - 1
_MAX_TIMEOUT = 1_209_600
_MAX_CHANNEL = 64


def task_of(parameters: Mapping[str, Any], *, workflow_sid: str) -> NewTask:
    """Read the Task that a caller wants.

    Args:
        parameters: ``attributes`` (an object, or JSON text of one), ``priority``, ``timeout``
            (seconds), ``task_channel`` (SID or unique name), ``workflow_sid``; all optional.
        workflow_sid: the Workflow (WW…) for Tasks that name none.

    Raises:
        BadRequest: a parameter is not what it should be; the message names it.
    """
    return NewTask(
        attributes=_attributes(parameters.get("attributes", QUICKSTART_ATTRIBUTES)),
        workflow_sid=checked_sid(
            parameters.get("workflow_sid", workflow_sid), "WW", "workflow_sid"
        ),
        priority=_whole_number(parameters, "priority", 0, _MAX_PRIORITY),
        timeout=_whole_number(parameters, "timeout", 1, _MAX_TIMEOUT),
        task_channel=_channel(parameters.get("task_channel")),
    )


def _attributes(given: object) -> str:
    if not isinstance(given, (str, dict)):
        raise BadRequest("attributes must be a JSON object, or the text of one.")
    text = given if isinstance(given, str) else compact(given)
    if len(text) > MAX_ATTRIBUTES:
        raise BadRequest(f"attributes may have at most {MAX_ATTRIBUTES} characters as JSON text.")
    try:
        parse_json_object(text)
    except JsonError as error:
        raise BadRequest(f"attributes must be the text of a JSON object: {error}.") from error
    return text


def _whole_number(parameters: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    given = parameters.get(name)
    if given is None:
        return None
    if (
        isinstance(given, str)
        and given.isascii()
        and given.isdigit()
        and len(given) <= len("9" * 10)
    ):
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}.")
    return given


def _channel(given: object) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or not given.isprintable() or not 1 <= len(given) <= _MAX_CHANNEL:
        raise BadRequest(
            f"task_channel must be a TaskChannel's SID or unique name, "
            f"at most {_MAX_CHANNEL} characters."
        )
    return given
