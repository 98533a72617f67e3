"""Find a Reservation in TaskRouter if it is not recorded, or if the caller did not specify it."""

from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.errors import BadRequest, NotFound, TaskRouterNotFound
from chalicelib.domain.reservations import ACHIEVED, RemoteReservation, Status
from chalicelib.usecases.ports import TaskRouter


def find_reservation_to_accept(
    task_sid: str, *, principal: Principal, taskrouter: TaskRouter
) -> str:
    """Return the SID (WR…) of a Task's pending Reservation that the caller may accept.

    If none is pending, an earlier request may have succeeded, so a Reservation that was accepted
    is returned, even if it is already wrapping or completed.

    Raises:
        NotFound: the Task does not exist, or none of its Reservations is pending or was accepted.
        Forbidden: the Reservation belongs to a different Worker.
        BadRequest: several Reservations qualify, so the caller must specify one of them.
        TaskRouterError: a request to TaskRouter failed.
    """
    try:
        reservations = taskrouter.list_pending_reservations(task_sid)
        if not reservations:
            reservations = [
                remote
                for remote in taskrouter.list_reservations(task_sid)
                if remote.status in ACHIEVED[Status.ACCEPTED]
            ]
    except TaskRouterNotFound as error:
        raise NotFound("TaskRouter has no such Task.") from error
    own_worker_sid = principal.confined_to(Action.ACCEPT_RESERVATION)
    allowed = [remote for remote in reservations if own_worker_sid in (None, remote.worker_sid)]
    if len(allowed) == 1:
        return allowed[0].reservation_sid
    if allowed:
        raise BadRequest("The Task has several Reservations. Send reservation_sid.")
    if reservations:
        principal.authorize(Action.ACCEPT_RESERVATION, worker_sid=reservations[0].worker_sid)
    raise NotFound("The Task has no pending Reservation.")


def find_unrecorded(
    reservation_sid: str,
    *,
    task_sid: str | None,
    principal: Principal,
    action: Action,
    taskrouter: TaskRouter,
) -> RemoteReservation:
    """Fetch a Reservation that is not recorded, if the caller may access it.

    Raises:
        NotFound: TaskRouter does not have the Reservation, or *task_sid* is needed to find it.
        Forbidden: the Reservation belongs to a different Worker.
        TaskRouterError: the request to TaskRouter failed.
    """
    worker_sid = principal.confined_to(action)
    if task_sid is None and worker_sid is None:
        raise not_recorded(task_sid, worker_sid)
    try:
        remote = taskrouter.fetch_reservation(
            reservation_sid, task_sid=task_sid, worker_sid=worker_sid
        )
    except TaskRouterNotFound as error:
        raise not_recorded(task_sid, worker_sid) from error
    principal.authorize(action, worker_sid=remote.worker_sid)
    return remote


def not_recorded(task_sid: str | None, worker_sid: str | None) -> NotFound:
    """Build the error for a Reservation that was not found; name the resources searched.

    Args:
        task_sid: WT… of the Task whose Reservations were searched in TaskRouter, if any.
        worker_sid: WK… of the Worker whose Reservations were searched instead, if any.
    """
    if task_sid is None and worker_sid is None:
        return NotFound(
            "The Reservation is not recorded. Only this service's records were searched. Send "
            "task_sid to search TaskRouter too."
        )
    searched = "your Worker" if task_sid is None else "the Task in task_sid"
    return NotFound(
        f"The Reservation is not recorded, and {searched} has no such Reservation in TaskRouter."
    )
