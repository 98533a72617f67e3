"""What a caller may want of a new Task."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.sids import checked_sid

MAX_ATTRIBUTES_LENGTH = 4_096
"""Characters, white space included: https://www.twilio.com/docs/taskrouter/limits."""

QUICKSTART_ATTRIBUTES = {"selected_language": "es"}
"""What Twilio's TaskRouter quickstart creates its Task with."""

_MAX_PRIORITY = 2**31 - 1
_MAX_TIMEOUT = 1_209_600
_MAX_CHANNEL = 64


@dataclass(frozen=True)
class NewTask:
    """A Task to create; None leaves a value to TaskRouter."""

    attributes: str
    workflow_sid: str
    priority: int | None = None
    timeout: int | None = None
    task_channel: str | None = None


@dataclass(frozen=True)
class CreatedTask:
    """A Task as TaskRouter has created it; attributes as JSON text."""

    sid: str
    attributes: str
    assignment_status: str
    workflow_sid: str | None
    task_queue_sid: str | None
    priority: int | None


@dataclass(frozen=True)
class IdempotencyRecord:
    """What an Idempotency-Key stands for.

    Attributes:
        fingerprint: of the request that it was first used for.
        owner: who took it last.
        taken_at: epoch ms at which it was first used.
        until: epoch ms at which that lease lapses.
        answer: what came of it, once that is known.
    """

    fingerprint: str
    owner: str
    taken_at: int
    until: int
    answer: dict[str, Any] | None


def compact_json(attributes: dict[str, Any]) -> str:
    """Return attributes as the shortest JSON text, which is what the limit is measured on."""
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))


def parse_new_task(parameters: Mapping[str, Any], *, workflow_sid: str) -> NewTask:
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
    text = given if isinstance(given, str) else compact_json(given)
    if len(text) > MAX_ATTRIBUTES_LENGTH:
        raise BadRequest(
            f"attributes may have at most {MAX_ATTRIBUTES_LENGTH} characters as JSON text."
        )
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
