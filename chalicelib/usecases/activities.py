"""Read the Activities, and switch and record the Activity of a Worker."""

from contextlib import suppress
from dataclasses import replace

from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.callbacks import latest_in_second
from chalicelib.domain.errors import BadRequest, NotFound, StoreUnavailable, TaskRouterNotFound
from chalicelib.domain.workers import Activity, WorkerActivity
from chalicelib.usecases.ports import TaskRouter, WorkerActivities


def list_activities(
    *, principal: Principal, taskrouter: TaskRouter, activities: WorkerActivities, now: int
) -> tuple[list[Activity], WorkerActivity | None]:
    """Return the Activities, sorted by name, and the Activity of the caller's Worker, if any.

    The Worker's Activity is also recorded, because an earlier event may have been lost.

    Raises:
        Forbidden: the caller may not list Activities.
        NotFound: TaskRouter does not have the Worker.
        TaskRouterError: a request to TaskRouter failed.
    """
    principal.authorize(Action.LIST_ACTIVITIES)
    listed = sorted(taskrouter.list_activities(), key=lambda activity: activity.name)
    if principal.worker_sid is None:
        return listed, None
    try:
        current = taskrouter.fetch_worker(principal.worker_sid)
    except TaskRouterNotFound as error:
        raise _no_worker() from error
    _record(current, activities, now)
    return listed, current


def switch_activity(
    activity_sid: str,
    *,
    worker_sid: str | None,
    principal: Principal,
    taskrouter: TaskRouter,
    activities: WorkerActivities,
    now: int,
) -> WorkerActivity:
    """Switch a Worker to an Activity. A repeated request has no further effect.

    Args:
        activity_sid: WA….
        worker_sid: WK…; None for the caller's Worker.
        principal: the caller. A Worker may only switch its own Activity.
        taskrouter: TaskRouter's REST API.
        activities: the recorded Activities of Workers.
        now: epoch ms at which the request started.

    Raises:
        BadRequest: the caller has no Worker, and *worker_sid* is None.
        Forbidden: the caller may not switch the Activity of this Worker.
        NotFound: TaskRouter does not have the Worker.
        TaskRouterError: the request to TaskRouter failed. After TaskRouterUnavailable, the Activity
            may have been switched, unless the error is a TaskRouterNotProcessed.
    """
    worker_sid = worker_sid or principal.confined_to(Action.SWITCH_ACTIVITY)
    if worker_sid is None:
        raise BadRequest("Send worker_sid, because the token does not identify a Worker.")
    principal.authorize(Action.SWITCH_ACTIVITY, worker_sid=worker_sid)
    try:
        current = taskrouter.update_worker(worker_sid, activity_sid=activity_sid)
    except TaskRouterNotFound as error:
        raise _no_worker() from error
    _record(current, activities, now)
    return current


def _record(current: WorkerActivity, activities: WorkerActivities, now: int) -> None:
    # TaskRouter returns the time of the change in whole seconds. Record the latest time in that
    # second that is not after the start of the request: the response includes all changes before
    # the request, but an event may report a later change in the same second.
    changed_at = latest_in_second(current.changed_at, now)
    # If the write fails, an event or the next request to list the Activities corrects the record.
    with suppress(StoreUnavailable):
        activities.save(replace(current, changed_at=changed_at), now=now)


def _no_worker() -> NotFound:
    return NotFound("TaskRouter has no such Worker in the Workspace of this service.")
