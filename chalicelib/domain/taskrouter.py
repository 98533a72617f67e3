"""What TaskRouter tells, and what it is told. Times are epoch ms."""

from dataclasses import dataclass

from chalicelib.domain.reservations import Status


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
