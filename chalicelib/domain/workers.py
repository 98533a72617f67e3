"""Activities, and the Activity of a Worker.

https://www.twilio.com/docs/taskrouter/api/activity
"""

from dataclasses import dataclass
from typing import Self

from chalicelib.domain.callbacks import Form, event_time, read_name
from chalicelib.domain.sids import is_sid

ACTIVITY_EVENT = "worker.activity.update"
"""The event type that reports the new Activity of a Worker."""


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
        changed_at: epoch ms. The milliseconds only determine the order of changes within a second.
            They may be inexact, because TaskRouter's REST API returns whole seconds.
    """

    worker_sid: str
    worker_name: str | None
    activity_sid: str
    activity_name: str
    changed_at: int

    @classmethod
    def from_form(cls, form: Form, *, now: int) -> Self | None:
        """Return the Activity that an event reports; None if it reports none or a SID is invalid.

        https://www.twilio.com/docs/taskrouter/api/event/reference

        Args:
            form: the parameters of an event for this account and Workspace.
            now: epoch ms, used if the exact time of the event is unknown.
        """
        worker_sid, activity_sid = form.get("WorkerSid", ""), form.get("WorkerActivitySid", "")
        is_reported = form.get("EventType") == ACTIVITY_EVENT
        if not (is_reported and is_sid(worker_sid, "WK") and is_sid(activity_sid, "WA")):
            return None
        return cls(
            worker_sid=worker_sid,
            worker_name=read_name(form, "WorkerName"),
            activity_sid=activity_sid,
            activity_name=read_name(form, "WorkerActivityName") or "",
            changed_at=event_time(form, until=now) or now,
        )
