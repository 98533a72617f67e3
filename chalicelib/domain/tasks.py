"""New Tasks: the parameters that a caller may set, and idempotency records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import (
    BYTE_ORDER_MARK,
    JsonError,
    parse_json_object,
    read_json_object,
    to_json,
)
from chalicelib.domain.sids import checked_sid

MAX_ATTRIBUTES_LENGTH = 4_096
"""Limit in characters, including whitespace: https://www.twilio.com/docs/taskrouter/limits"""

QUICKSTART_TASK = {"attributes": {"selected_language": "es"}}
"""The parameters of the Task in Twilio's TaskRouter quickstart."""

_MAX_PRIORITY = 2**31 - 1
_MAX_TIMEOUT_SECONDS = 1_209_600
_MAX_CHANNEL_LENGTH = 64
_MAX_DIGITS = 10


@dataclass(frozen=True)
class NewTask:
    """A Task to create. TaskRouter uses its default for any value that is None.

    Attributes:
        attributes: JSON text.
        workflow_sid: WW….
        priority: Tasks with higher values are assigned first.
        timeout: the Task's time to live, in seconds.
        task_channel: SID or unique name of a TaskChannel.
    """

    attributes: str
    workflow_sid: str
    priority: int | None = None
    timeout: int | None = None
    task_channel: str | None = None


@dataclass(frozen=True)
class CreatedTask:
    """A Task created by TaskRouter. Its attributes are JSON text."""

    sid: str
    attributes: str
    assignment_status: str
    workflow_sid: str | None
    task_queue_sid: str | None
    priority: int | None


@dataclass(frozen=True)
class FoundTask:
    """A Task found by a search.

    Attributes:
        task: the Task.
        timeout: the Task's time to live, in seconds.
        task_channel: SID and unique name of its TaskChannel.
    """

    task: CreatedTask
    timeout: int | None
    task_channel: tuple[str | None, str | None]


def has_attribute(task: CreatedTask, name: str, value: str) -> bool:
    """Return whether the attribute *name* of a Task equals *value*."""
    try:
        return read_json_object(task.attributes or "").get(name) == value
    except JsonError:
        return False


def matches_request(found: FoundTask, requested: NewTask) -> bool:
    """Return whether a Task may be the result of a request.

    Additional attributes and a different priority are allowed, because other programs or the
    Workflow may have set them.
    """
    try:
        attributes = read_json_object(found.task.attributes or "")
    except JsonError:
        return False
    return (
        attributes | parse_json_object(requested.attributes) == attributes
        and found.task.workflow_sid == requested.workflow_sid
        and requested.timeout in (None, found.timeout)
        and requested.task_channel in (None, *found.task_channel)
    )


@dataclass(frozen=True)
class IdempotencyRecord:
    """The record of an idempotency key.

    Attributes:
        fingerprint: identifies the content of the first request with the key.
        marker: a random string in the attributes of the Task, used to find the Task; empty in
            records that earlier versions of the service wrote.
        owner: identifies the request that holds the key.
        until: epoch ms at which the owner's lease expires.
        response: the created Task, or None until it is known.
    """

    fingerprint: str
    marker: str
    owner: str
    until: int
    response: dict[str, Any] | None


def parse_new_task(parameters: Mapping[str, Any], *, workflow_sid: str) -> NewTask:
    """Parse the parameters of a request to create a Task.

    Args:
        parameters: ``attributes`` (a JSON object, or a string that contains one), ``priority``,
            ``timeout`` (seconds), ``task_channel`` (SID or unique name), ``workflow_sid``; only
            ``attributes`` is required.
        workflow_sid: the default Workflow (WW…).

    Raises:
        BadRequest: a parameter is invalid. The message names the parameter.
    """
    return NewTask(
        workflow_sid=checked_sid(
            parameters.get("workflow_sid", workflow_sid), "WW", "workflow_sid"
        ),
        priority=_parse_whole_number(parameters, "priority", 0, _MAX_PRIORITY),
        timeout=_parse_whole_number(parameters, "timeout", 1, _MAX_TIMEOUT_SECONDS),
        task_channel=_parse_channel(parameters.get("task_channel")),
        attributes=_parse_attributes(parameters),
    )


def _parse_attributes(parameters: Mapping[str, Any]) -> str:
    if "attributes" not in parameters:
        raise BadRequest('attributes is missing. Send a JSON object, such as {"language": "en"}.')
    value = parameters["attributes"]
    if not isinstance(value, (str, dict)):
        raise BadRequest("attributes must be a JSON object, or a string that contains one.")
    text = value.removeprefix(BYTE_ORDER_MARK) if isinstance(value, str) else to_json(value)
    if len(text) > MAX_ATTRIBUTES_LENGTH:
        raise BadRequest(
            f"attributes may have at most {MAX_ATTRIBUTES_LENGTH} characters as JSON text."
        )
    try:
        parse_json_object(text)
    except JsonError as error:
        raise BadRequest(f"attributes is not a valid JSON object: {error}.") from error
    return text


def _parse_whole_number(
    parameters: Mapping[str, Any], name: str, minimum: int, maximum: int
) -> int | None:
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise BadRequest(f"{name} must be a whole number from {minimum} to {maximum}.")
    return value


def _parse_channel(value: object) -> str | None:
    if value is None:
        return None
    if (
        not isinstance(value, str)
        or not value.isprintable()
        or not 1 <= len(value) <= _MAX_CHANNEL_LENGTH
    ):
        raise BadRequest(
            f"task_channel must be the SID or unique name of a TaskChannel, with at most "
            f"{_MAX_CHANNEL_LENGTH} characters."
        )
    return value
