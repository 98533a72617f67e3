"""Twilio's form posts, parsed: bad input is refused by name.

Twilio may add parameters without notice (https://www.twilio.com/docs/usage/security), so unknown
ones are kept, and every one of them takes part in the signature.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl

from chalicelib.domain.errors import BadRequest
from chalicelib.domain.reservations import Status
from chalicelib.domain.sids import checked_sid

_MAX_FIELDS = 200
_SECONDS = re.compile("[0-9]{10}")


class Form(Mapping[str, str]):
    """A form's parameters, in which a name may stand more than once.

    Item access gives a name's first value; `getall` gives all of them, which is also where
    Twilio's RequestValidator looks.
    """

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Parse a body of the type application/x-www-form-urlencoded.

        Raises:
            BadRequest: it is not such a form.
        """
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MAX_FIELDS,
            )
            if not all(name for name, _ in pairs):
                raise ValueError("a parameter without a name")
        except ValueError as error:
            raise BadRequest(
                f"The body must be a form (application/x-www-form-urlencoded, UTF-8) of at most "
                f"{_MAX_FIELDS} parameters."
            ) from error
        return cls(pairs)

    def __getitem__(self, name: str) -> str:
        return self._values[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def getall(self, name: str) -> list[str]:
        """Return every value of *name*, in the order received."""
        return list(self._values[name])

    def received(self, name: str) -> str | list[str]:
        """Return the value of *name*, or the list of them where it was repeated."""
        values = self._values[name]
        return values[0] if len(values) == 1 else list(values)


_STORED_BY_THEMSELVES = {
    "ReservationSid",
    "TaskSid",
    "WorkerSid",
    "WorkflowSid",
    "TaskQueueSid",
    "TaskAttributes",
    "WorkerAttributes",
}


@dataclass(frozen=True)
class AssignmentCallback:
    """TaskRouter has reserved a Worker for a Task and asks what to do.

    https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks lists the parameters;
    ``Timestamp`` is among them but captured callbacks lack it, so nothing relies on it.

    Attributes:
        reservation_sid: WR….
        task_sid: WT….
        worker_sid: WK….
        workflow_sid: WW…, or None.
        task_queue_sid: WQ…, or None.
        task_attributes: JSON text, or None.
        worker_attributes: JSON text, or None.
        parameters: every other parameter as received.
    """

    reservation_sid: str
    task_sid: str
    worker_sid: str
    workflow_sid: str | None
    task_queue_sid: str | None
    task_attributes: str | None
    worker_attributes: str | None
    parameters: Mapping[str, str | list[str]]

    @classmethod
    def from_form(cls, form: Form, *, account_sid: str, workspace_sid: str) -> Self:
        """Read a callback that was sent for this account (AC…) and Workspace (WS…).

        Raises:
            BadRequest: a parameter that everything hangs on is missing, malformed or repeated,
                or the callback is about another account or Workspace; the message names it.
        """
        _must_be_ours(form, account_sid=account_sid, workspace_sid=workspace_sid)
        return cls(
            **_told(form),
            parameters={
                name: form.received(name) for name in form if name not in _STORED_BY_THEMSELVES
            },
        )


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
"""The events that tell a Reservation's status. ``reservation.failed`` is not among them: there is
no status of that name, so what has become of such a Reservation is the sweep's to find out."""


@dataclass(frozen=True)
class ReservationEvent:
    """TaskRouter tells what has become of a Reservation.

    https://www.twilio.com/docs/taskrouter/api/event/reference

    Attributes:
        status: what it has become.
        at: epoch ms at which TaskRouter says that it did, or None.
        reservation_sid: WR….
        task_sid: WT….
        worker_sid: WK….
        worker_name: or None.
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

    @classmethod
    def from_form(cls, form: Form, *, account_sid: str, workspace_sid: str) -> Self | None:
        """Read an event that was sent for this account (AC…) and Workspace (WS…).

        Returns:
            The event; None where it tells no Reservation's status.

        Raises:
            BadRequest: as for a callback.
        """
        _must_be_ours(form, account_sid=account_sid, workspace_sid=workspace_sid)
        status = EVENT_TYPES.get(form.get("EventType", ""))
        if status is None:
            return None
        return cls(
            status=status,
            at=_moment(form.get("Timestamp", "")),
            worker_name=form.get("WorkerName"),
            **_told(form),
        )


@dataclass(frozen=True)
class EventPage:
    """Some of TaskRouter's Events.

    Attributes:
        events: those that tell of a Reservation, as event callbacks do.
        are_all: whether these are all that were asked for.
        unreadable: how many do not say which Reservation, Task and Worker they are about.
    """

    events: list[ReservationEvent]
    are_all: bool = True
    unreadable: int = 0


def _moment(timestamp: str) -> int | None:
    """Return an event's Timestamp, epoch seconds as text, in epoch ms; None if it is none."""
    return int(timestamp) * 1000 if _SECONDS.fullmatch(timestamp) else None


def _must_be_ours(form: Form, *, account_sid: str, workspace_sid: str) -> None:
    """Raise BadRequest where *form* is about another account (AC…) or Workspace (WS…)."""
    for name, ours in (("AccountSid", account_sid), ("WorkspaceSid", workspace_sid)):
        if form.get(name, ours) != ours:
            raise BadRequest(f"{name} is not the one that this service is set up for.")


def _told(form: Form) -> dict[str, Any]:
    """Return whose Reservation *form* is about, and what it says of Task and Worker."""
    for name in _STORED_BY_THEMSELVES & form.keys():
        if len(form.getall(name)) > 1:
            raise BadRequest(f"{name} was given more than once.")
    return {
        "reservation_sid": checked_sid(form.get("ReservationSid"), "WR", "ReservationSid"),
        "task_sid": checked_sid(form.get("TaskSid"), "WT", "TaskSid"),
        "worker_sid": checked_sid(form.get("WorkerSid"), "WK", "WorkerSid"),
        "workflow_sid": form.get("WorkflowSid"),
        "task_queue_sid": form.get("TaskQueueSid"),
        "task_attributes": form.get("TaskAttributes"),
        "worker_attributes": form.get("WorkerAttributes"),
    }
