"""Activities, and the Activity of a Worker.

https://www.twilio.com/docs/taskrouter/api/activity
"""

import re
from dataclasses import dataclass
from typing import Self

from chalicelib.domain.callbacks import Form, read_name
from chalicelib.domain.sids import is_sid

ACTIVITY_EVENT = "worker.activity.update"
"""The event type that reports the new Activity of a Worker."""

_SECONDS = re.compile("[0-9]{10}")


@dataclass(frozen=True)
class Activity:
    """An Activity of the Workspace.

    Attributes:
        sid: WA….
        name: the friendly name.
        is_available: whether TaskRouter offers Tasks to Workers in this Activity.
    """

    sid: str
    name: str
    is_available: bool


@dataclass(frozen=True)
class WorkerActivity:
    """The Activity of a Worker, as last reported by TaskRouter.

    Attributes:
        worker_sid: WK….
        worker_name: the Worker's friendly name, or None if TaskRouter did not report it.
        activity_sid: WA….
        activity_name: the Activity's friendly name.
        changed_at: epoch ms, with a precision of one second.
    """

    worker_sid: str
    worker_name: str | None
    activity_sid: str
    activity_name: str
    changed_at: int

    @classmethod
    def from_form(cls, form: Form, *, now: int) -> Self | None:
        """Return the Activity that an event reports; None if the event does not report one.

        https://www.twilio.com/docs/taskrouter/api/event/reference

        Args:
            form: the parameters of an event for this account and Workspace.
            now: epoch ms, used if the event has no valid timestamp.
        """
        worker_sid, activity_sid = form.get("WorkerSid", ""), form.get("WorkerActivitySid", "")
        is_reported = form.get("EventType") == ACTIVITY_EVENT
        if not (is_reported and is_sid(worker_sid, "WK") and is_sid(activity_sid, "WA")):
            return None
        timestamp = form.get("Timestamp", "")
        at = int(timestamp) if _SECONDS.fullmatch(timestamp) else now // 1000
        return cls(
            worker_sid=worker_sid,
            worker_name=read_name(form, "WorkerName"),
            activity_sid=activity_sid,
            activity_name=read_name(form, "WorkerActivityName") or "",
            changed_at=at * 1000,
        )
