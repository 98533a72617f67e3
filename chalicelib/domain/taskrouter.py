"""What TaskRouter tells, and what it is told. Times are epoch ms."""

import json
from dataclasses import dataclass
from typing import Any

from chalicelib.domain.callbacks import ReservationEvent
from chalicelib.domain.reservations import Status

MAX_ATTRIBUTES = 4_096
"""Characters, white space included: https://www.twilio.com/docs/taskrouter/limits."""


def compact(attributes: dict[str, Any]) -> str:
    """Return attributes as the shortest JSON text, which is what the limit is measured on."""
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Seen:
    """A Reservation as TaskRouter tells it; times are epoch ms."""

    reservation_sid: str
    task_sid: str
    worker_sid: str
    worker_name: str | None
    status: Status
    created_at: int


@dataclass(frozen=True)
class Told:
    """Some of TaskRouter's Events.

    Attributes:
        events: those that tell of a Reservation, as event callbacks do.
        are_all: whether these are all that were asked for.
        unreadable: how many do not say which Reservation, Task and Worker they are about.
    """

    events: list[ReservationEvent]
    are_all: bool = True
    unreadable: int = 0


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
