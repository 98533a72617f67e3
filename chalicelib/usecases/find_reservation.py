"""Find the Reservation to accept if the caller names only its Task."""

from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.errors import BadRequest, NotFound, TaskRouterNotFound
from chalicelib.domain.reservations import ACHIEVED, Status
from chalicelib.usecases.ports import TaskRouter


def find_reservation_to_accept(
    task_sid: str, *, principal: Principal, taskrouter: TaskRouter
) -> str:
    """Return the SID (WR…) of a Task's pending Reservation that the caller may accept.

    If none is pending, an earlier request may have succeeded, so the accepted Reservation is
    returned.

    Raises:
        NotFound: there is no such Task, or it has no pending or accepted Reservation.
        Forbidden: the Reservation belongs to another Worker.
        BadRequest: several Workers are reserved, so the caller must name the Reservation.
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
        raise BadRequest("The Task has several pending Reservations. Send reservation_sid.")
    if reservations:
        principal.authorize(Action.ACCEPT_RESERVATION, worker_sid=reservations[0].worker_sid)
    raise NotFound("The Task has no pending Reservation.")
