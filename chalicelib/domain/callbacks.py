"""Parsing and validation of the forms posted by Twilio.

If a parameter is invalid, the error message names it.

Twilio may add parameters without notice (https://www.twilio.com/docs/usage/security). Unknown
parameters are kept, because the signature covers all of them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Self

from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import json_size
from chalicelib.domain.messages import display_name
from chalicelib.domain.reservations import Delivery, Status
from chalicelib.domain.sids import SID_PATTERNS, invalid_sid

MAX_RECORDED_BYTES = 65_536
"""Maximum size of a callback's parameters in a record, as JSON.

Twilio limits the attributes of a Task or Worker to 4,096 characters, which are at most 24,576 bytes
as a JSON string. docs/adr/0023 explains the calculation.
"""

MAX_DELIVERY_BYTES = 10_240
"""Maximum size of a delivery in a record, as JSON. The delivery counts toward MAX_RECORDED_BYTES.

API Gateway limits a request line with its headers to 10,240 bytes:
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
"""

MAX_NAME_LENGTH = 256
"""Maximum length of a friendly name in a record. Twilio limits friendly names to 64 characters."""

OMITTED = "(omitted)"
"""The parameter in which a record lists the names of omitted parameters."""

_MAX_OMITTED_NAMES = 10
_MAX_BYTES_PER_CHARACTER = 6
"""Maximum number of bytes per character in JSON: the size of an escaped control character."""

_MAX_FIELDS = 200
_SECONDS = re.compile("[0-9]{10}")
_MILLISECONDS = re.compile("[0-9]{13}")
_LATEST_TIME = 10**13
"""A time in epoch ms that is later than the time of any event."""

_STRAY = re.compile(b"%(?![0-9A-Fa-f]{2})")
"""A "%" that does not begin an encoded byte. Twilio never sends such a "%"."""

_MAX_STRAYS = 200
"""Maximum number of literal "%" characters in a form, to limit the time spent finding them."""


class Form(dict[str, str]):
    """The parameters of a form.

    If a parameter is repeated, the mapping contains its first value.

    Args:
        pairs: names and values, in the order received.
    """

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__()
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self.setdefault(name, value)
            self._values.setdefault(name, []).append(value)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Parse a request body of type application/x-www-form-urlencoded.

        Raises:
            BadRequest: the body is not such a form, or has too many parameters.
        """
        if not body.isascii():
            raise _not_a_form(" in ASCII. Percent-encode all other characters.")
        if body.count(b"&") >= _MAX_FIELDS:
            raise _not_a_form(f" of at most {_MAX_FIELDS} parameters.")
        # Python decodes its own escape sequences much faster than `parse_qsl` decodes a form.
        # Forged forms are also parsed, because the signature covers the decoded text.
        escaped = body.replace(b"+", b" ").replace(b"\\", rb"\\").replace(b"%", rb"\x")
        fields = (field.partition(b"=")[::2] for field in escaped.split(b"&") if field)
        try:
            texts = [
                text.decode("unicode_escape").encode("latin-1").decode()
                for text in chain.from_iterable(fields)
            ]
        except UnicodeDecodeError as error:
            encoded, strays = _STRAY.subn(b"%25", body, count=_MAX_STRAYS)
            if strays and not _STRAY.search(encoded):
                return cls.parse(encoded)
            if strays:
                raise _not_a_form(". Encode each literal % as %25.") from error
            raise _not_a_form(" in UTF-8. A percent-encoded character is not UTF-8.") from error
        names, values = texts[::2], texts[1::2]
        if not all(names):
            raise _not_a_form(", in which each parameter has a name.")
        return cls([*zip(names, values, strict=True)])

    def getall(self, name: str) -> list[str]:
        """Return all values of *name*, in the order received.

        The RequestValidator of Twilio's SDK calls a method with this name.
        """
        return list(self._values[name])


def _not_a_form(requirement: str) -> BadRequest:
    return BadRequest(f"The body must be a form (application/x-www-form-urlencoded){requirement}")


_COLUMNS = {
    "ReservationSid": "reservation_sid",
    "TaskSid": "task_sid",
    "WorkerSid": "worker_sid",
    "WorkflowSid": "workflow_sid",
    "TaskQueueSid": "task_queue_sid",
    "TaskAttributes": "task_attributes",
    "WorkerAttributes": "worker_attributes",
}
"""Parameters that a record stores as separate attributes, with the attribute names."""

_SIDS = {"ReservationSid": "WR", "TaskSid": "WT", "WorkerSid": "WK"}
"""The required parameters, with the prefixes of their SIDs."""


@dataclass(frozen=True)
class AssignmentCallback:
    """An assignment callback, which asks for an instruction for a new Reservation.

    https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks lists the parameters.
    The page includes ``Timestamp``, which is not used, because an observed callback lacked it.

    Attributes:
        reservation_sid: WR….
        task_sid: WT….
        worker_sid: WK….
        workflow_sid: WW…, or None.
        task_queue_sid: WQ…, or None.
        task_attributes: JSON text, or None.
        worker_attributes: JSON text, or None.
        parameters: all other parameters as received. A repeated parameter has a list of values.
        delivery: the request that delivered the callback, or None if it is not recorded.
    """

    reservation_sid: str
    task_sid: str
    worker_sid: str
    workflow_sid: str | None
    task_queue_sid: str | None
    task_attributes: str | None
    worker_attributes: str | None
    parameters: Mapping[str, str | list[str]]
    delivery: Delivery | None = None

    @classmethod
    def from_form(
        cls,
        form: Form,
        *,
        account_sid: str,
        workspace_sid: str,
        delivery: Delivery | None = None,
    ) -> Self:
        """Parse a callback for this account (AC…) and Workspace (WS…).

        Raises:
            BadRequest: a required parameter is missing or malformed, a parameter that is stored as
                a separate attribute is repeated, or the callback belongs to a different account
                or Workspace. The message names the parameter.
        """
        _check_owner(form, account_sid=account_sid, workspace_sid=workspace_sid)
        parameters: dict[str, str | list[str]] = {}
        for name in form:
            if name not in _COLUMNS:
                values = form.getall(name)
                parameters[name] = values if len(values) > 1 else form[name]
        absent = tuple(name for name in _COLUMNS if name not in form)
        return cls(
            **_parse_columns(form),
            parameters=parameters,
            delivery=delivery and replace(delivery, absent=absent),
        )

    def within_size_limit(self) -> Self:
        """Return the callback without the parameters that make a record too large.

        The parameter OMITTED lists at most ten of the omitted names. Required SIDs are always kept.
        A delivery that exceeds MAX_DELIVERY_BYTES is omitted.
        """
        columns = {name: getattr(self, attribute) for name, attribute in _COLUMNS.items()}
        received = {**columns, **self.parameters}
        characters = sum(len(str(item)) for item in received.items()) + len(str(self.delivery))
        if characters * _MAX_BYTES_PER_CHARACTER <= MAX_RECORDED_BYTES:
            return self  # typical callbacks need no exact measurement
        delivery, size = self.delivery, json_size(vars(self.delivery)) if self.delivery else 0
        if size > MAX_DELIVERY_BYTES:
            delivery, size = None, 0
        kept, omitted = _omit_oversized(received, MAX_RECORDED_BYTES - size)
        if not omitted:
            return replace(self, delivery=delivery)
        fitting = {attribute: kept.pop(name, None) for name, attribute in _COLUMNS.items()}
        kept[OMITTED] = omitted[:_MAX_OMITTED_NAMES]
        return replace(self, **fitting, parameters=kept, delivery=delivery)


EVENT_TYPES = {
    "reservation.created": Status.PENDING,
    "reservation.accepted": Status.ACCEPTED,
    "reservation.rejected": Status.REJECTED,
    "reservation.timeout": Status.TIMEOUT,
    "reservation.canceled": Status.CANCELED,
    "reservation.rescinded": Status.RESCINDED,
    "reservation.wrapup": Status.WRAPPING,
    "reservation.completed": Status.COMPLETED,
}
"""The event types that report a status. ``reservation.failed`` is not listed, because TaskRouter
has no ``failed`` status. The sweep determines the status of a Reservation that failed."""


@dataclass(frozen=True)
class ReservationEvent:
    """An event that reports the status of a Reservation.

    https://www.twilio.com/docs/taskrouter/api/event/reference

    Attributes:
        status: the reported status.
        at: epoch ms of the event according to TaskRouter, or None. If TaskRouter reports whole
            seconds, this is the earliest possible time of a creation, or the latest possible time
            of any other change.
        reservation_sid: WR….
        task_sid: WT….
        worker_sid: WK….
        worker_name: the Worker's friendly name, or None.
        workflow_name: the Workflow's friendly name, or None. Undocumented by Twilio.
        task_queue_name: the TaskQueue's friendly name, or None. Undocumented by Twilio.
        workflow_sid: WW…, or None.
        task_queue_sid: WQ…, or None.
        task_attributes: JSON text, or None.
        worker_attributes: JSON text, or None.
    """

    status: Status
    at: int | None
    reservation_sid: str
    task_sid: str
    worker_sid: str
    worker_name: str | None
    workflow_sid: str | None
    task_queue_sid: str | None
    task_attributes: str | None
    worker_attributes: str | None
    workflow_name: str | None = None
    task_queue_name: str | None = None

    @classmethod
    def from_form(cls, form: Form, *, account_sid: str, workspace_sid: str) -> Self | None:
        """Parse an event for this account (AC…) and Workspace (WS…).

        Returns:
            The event, or None if it does not report a Reservation's status.

        Raises:
            BadRequest: a required parameter is missing or malformed, a parameter that is stored as
                a separate attribute is repeated, or the event belongs to a different account or
                Workspace. The message names the parameter.
        """
        _check_owner(form, account_sid=account_sid, workspace_sid=workspace_sid)
        status = EVENT_TYPES.get(form.get("EventType", ""))
        if status is None:
            return None
        columns = _parse_columns(form)
        _, omitted = _omit_oversized(columns, MAX_RECORDED_BYTES)
        columns |= dict.fromkeys(omitted)
        # Within a reported second, assume that a creation came first, and any other change last.
        until = 0 if status is Status.PENDING else _LATEST_TIME
        return cls(
            status=status,
            at=event_time(form, until=until),
            worker_name=read_name(form, "WorkerName"),
            workflow_name=read_name(form, "WorkflowName"),
            task_queue_name=read_name(form, "TaskQueueName"),
            **columns,
        )


def event_time(form: Form, *, until: int = 0) -> int | None:
    """Return an event's time in epoch ms, or None if its ``Timestamp`` is missing or malformed.

    Twilio does not document ``TimestampMs``, so it is used only if it agrees with ``Timestamp``.
    Otherwise, the time is *until* (epoch ms), clamped to the second in ``Timestamp``.
    """
    seconds, milliseconds = form.get("Timestamp", ""), form.get("TimestampMs", "")
    if not _SECONDS.fullmatch(seconds):
        return None
    if _MILLISECONDS.fullmatch(milliseconds) and milliseconds.startswith(seconds):
        return int(milliseconds)
    return latest_in_second(int(seconds) * 1000, until)


def latest_in_second(start: int, until: int) -> int:
    """Return *until*, clamped to the second that starts at *start* (both in epoch ms)."""
    return max(start, min(start + 999, until))


def read_name(form: Form, parameter: str) -> str | None:
    """Return a friendly name, or None if the parameter is missing or empty."""
    return form.get(parameter, "")[:MAX_NAME_LENGTH] or None


@dataclass(frozen=True)
class EventPage:
    """Part of TaskRouter's list of Events.

    Attributes:
        events: the Events that report a Reservation's status.
        is_complete: whether the page contains all requested Events.
        unreadable: number of Events that can't be recorded, such as those with an invalid SID.
    """

    events: list[ReservationEvent]
    is_complete: bool = True
    unreadable: int = 0


def _check_owner(form: Form, *, account_sid: str, workspace_sid: str) -> None:
    for name, expected in (("AccountSid", account_sid), ("WorkspaceSid", workspace_sid)):
        if name in form and {*form.getall(name)} != {expected}:
            raise BadRequest(f"{name} does not match this service's settings.")


def _parse_columns(form: Form) -> dict[str, Any]:
    """Validate the parameters that are stored as separate attributes; return them by attribute."""
    for name in _COLUMNS.keys() & form.keys():
        if len(form.getall(name)) > 1:
            raise BadRequest(f"{name} must not be repeated.")
    for name, prefix in _SIDS.items():
        if not SID_PATTERNS[prefix].fullmatch(form.get(name, "")):
            raise invalid_sid(prefix, name)
    return {attribute: form.get(name) for name, attribute in _COLUMNS.items()}


def _omit_oversized(
    received: Mapping[str, Any], max_bytes: int
) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters that fit into a record, and the names of all other parameters.

    Args:
        received: values by name, in descending order of importance.
        max_bytes: maximum size of the parameters that fit, as JSON.
    """
    kept, remaining_bytes = dict[str, Any](), max_bytes
    for name, value in received.items():
        size = json_size([name, value])
        if size <= remaining_bytes:
            kept[name] = value
            remaining_bytes -= size
    return kept, [display_name(name) for name in received if name not in kept]
